// Command bench measures the built server on one core with the load generators on another, and prints each figure beside its target and what
// peers reached on such a machine. `make bench` runs it.
//
// main.go picks what is measured and prints the table (table.go); stand.go starts a server pinned to one core, with the data it needs. calls.go,
// latency.go, media.go, rest.go, stream.go, idle.go, log.go, hear.go and webhooks.go hold the measurements; probe.go is a telephone written out by hand for the
// latencies, socket.go a websocket of which there can be thousands, hub.go the other end of a hundred streams of sound. Calls are placed by SIPp, an independent peer.
//
// Nothing is switched off for a figure: records, charges and events are written as always, each commit reaches the disk.
package main
