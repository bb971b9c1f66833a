// Package messaging is SMS: profiles and their number pools, messages in both directions, receipts, consent, and the campaigns they go under.
//
// The way of an outbound message, by file: sms_http.go decodes one of the documented bodies, send.go checks in the contract's order, pool.go chooses a
// sender when none is named, and one transaction writes the hold, the row and the event (intake.go, message_store.go). The row is its own queue entry: submit.go
// claims due rows in batches (queue_store.go), keeps the order within a thread and hands them to a carrier's driver (carrier/); result.go settles. receipt.go
// matches receipts, early ones included. An inbound message comes through Inbound (inbound.go), where consent words act (words.go, optout.go).
// view.go renders a message once for events, callbacks and answers; profile.go and campaign.go are what messages are sent under.
//
// A message with a positive answer reaches a final state, whatever process dies. Requests that come at the same time are accepted in one transaction (intake.go);
// hand-over and receipts work in batches too. SQL statements: one for each message (its lease), all others for each batch: accept 4 for each account and 2 for
// the batch (consent, balance, holds; rows, events), claim 2, carrier's queue 1, hand-over 3 and 3 for each account (hold, balance, ledger), receipts 3 to 5.
// The balance rows of a batch are locked before its first write.
//
// It never speaks to a carrier itself, never sends a callback itself, and never lets a receipt be acknowledged before its commit.
package messaging
