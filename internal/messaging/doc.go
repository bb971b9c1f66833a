// Package messaging is SMS: profiles and their number pools, messages in both directions, receipts, consent, and the campaigns they go under.
//
// The way of an outbound message, by file: sms_http.go decodes one of the documented bodies, send.go checks in the contract's order, pool.go chooses a sender
// when none is named (contact.go knows who talked with whom), and one transaction writes the hold, the row and the event (intake.go, message_store.go; bulk.go
// for many at once). A message whose thread is free is in this node's hands from then on (direct.go); the row of any other is its own queue entry: submit.go
// claims due rows in batches (queue_store.go), keeps the order within a thread, counts the references of joined ones (reference.go) and hands them to a
// carrier's driver (carrier/); result.go settles. receipt.go matches receipts, early ones included, with the messages that sent.go remembers, else with the
// table. What a message keeps of its number is stored once for all that share it (context_store.go). An inbound message comes through Inbound (inbound.go),
// where consent words act (words.go, optout.go). view.go renders a message once for events, callbacks and answers; profile.go and campaign.go are what messages
// are sent under.
//
// A message with a positive answer reaches a final state, whatever process dies. Requests that come at the same time are accepted in one transaction (intake.go);
// hand-over and receipts work in batches too. All SQL statements are for each batch: accept 3 for each account (consent, balance, holds) and 6 for the batch
// (leases, threads, rows; cursor, events, envelopes), carrier's queue 1, hand-over 5 and 4 for each account (holds, balance, ledger, view), receipts 4; 2 more
// to claim what waited in the table. The balance rows of a batch are locked before its first write.
//
// A node that dies leaves its messages marked with its name: whoever declares it dead calls TakeBack. A node that may be dead hands nothing over (Config.Holds)
// and saves nothing (Config.Fence).
//
// It never speaks to a carrier itself, never sends a callback itself, and never lets a receipt be acknowledged before its commit.
package messaging
