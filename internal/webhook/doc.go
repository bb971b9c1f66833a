// Package webhook sends notifications to customers' servers, durably: state webhooks of apps and callbacks of messages.
//
// The way of a notification, by file: a domain calls Service.Notify inside the transaction of its cause (webhook.go), which writes a delivery row; the
// row is its own queue entry. Run claims due rows (webhook_store.go), with an attempt row each that is on disk before the request, and sends them by
// internal/fetch (deliver.go), signed when there is a secret (sign.go). What comes back ends the delivery or moves it along its schedule (schedule.go).
//
// Deliveries with one key go one after the other; a failing one holds the next back only as long as its schedule says. A delivery may arrive twice after
// a crash: its webhook-id stays the same. The package never asks what a notification means, and its outcome never changes what it reports.
package webhook
