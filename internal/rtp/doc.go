// Package rtp moves the audio of one call leg (RFC 3550, RFC 3551, RFC 4733).
//
// A Stream (stream.go) owns the UDP ports of a leg, which Ports (ports.go) hands
// out and, where legs come and go quickly, uses again with their sockets, and is driven by the one Clock (clock.go) that paces all streams. Connect
// (bridge.go) joins two streams so that packets go straight through. Pipe
// (pipe.go) carries frames from one place to another.
//
// A received packet goes reader.go or poller_linux.go, receive.go (validation, latch.go), then to
// keys_in.go when it is a telephone event, to jitter.go when somebody listens,
// and to bridge.go when a peer is connected. A sent packet begins in tick.go with a
// frame of a Source, of silence, or a key from keys_out.go; sender.go numbers it.
// rtcp.go reports and stats.go sums up.
//
// Nothing is allocated per packet, and a relayed leg that nobody listens to is
// never decoded. The package negotiates nothing, resolves no name, knows no
// call, and never blocks on a slow listener: callbacks run on the clock or on a
// reader and must return at once; they must not call Close.
package rtp
