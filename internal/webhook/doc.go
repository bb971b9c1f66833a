// Package webhook sends notifications to customers' servers, durably: signed events to endpoints, state webhooks of apps and callbacks of messages.
//
// The way of an event, by file: fanout.go follows the log with a place that is kept in the database, one node at a time, and writes a delivery row for each
// endpoint (endpoint.go, subscription.go) that wants the event, in one transaction with the new place. The way of any other notification: a domain calls
// Service.Notify inside the transaction of its cause (webhook.go), which writes the row. The row is its own queue entry from then on.
//
// dispatch.go gives lanes (an endpoint, or a host of an account) their turns, so that one that hangs delays no other. claim.go takes due rows of a lane in the
// order that the endpoint's health (health.go) asks for, with an attempt row each that is on disk before the request (queue_store.go; front_store.go finds what no older
// one holds back, however long the queue is). deliver.go sends by
// internal/fetch what body.go gives, signed (sign.go). settle.go writes what came back, many results at once: the end of the delivery, or its next try by its
// schedule (schedule.go). history.go lists and replays, trial.go sends a sample, debug.go tells why a signature does not verify; *_http.go are the REST side.
// slots.go bounds the requests at once, sample.go holds the made-up events, counters.go what operators see.
//
// Deliveries of one order start one after the other; a failing one holds the next back only as long as its schedule says. Where a receiver answers quickly, a
// worker takes a whole run of them at once: what it does not come to is put back as it was. After an outage of an endpoint
// everything that waited goes at once, in the order of the log. The bytes of an event are read from the log, and copied only when the log is about to forget
// them (Keep). A delivery may arrive twice after a crash: its webhook-id stays the same. Rows that a node has in hand name it; what it writes about them
// counts only as long as they do. The package never asks what a notification means, and its outcome never changes what it reports.
package webhook
