// Package event is the log of everything the platform reports: one row per event, in one order, read by websockets, webhooks and REST alike.
//
// The way of an event, by file: a domain fills an Event and calls Log.Append inside the transaction of the change (append.go); at the commit of the group
// the log takes the next cursors and renders each envelope once (envelope.go); after the commit the relay of every node is nudged, reads the new rows in
// order and hands them to its subscribers (relay.go). Readers that come back later ask Log.Read from their cursor (log_store.go, which also trims). The
// envelopes of a group are kept together in compressed blocks (block.go). filter.go narrows what a reader gets to the objects that it names.
//
// Cursors are given under the lock of one row that is held until the commit, so nothing commits later behind a cursor that was served.
// The package knows no event type's meaning, no socket and no webhook.
package event
