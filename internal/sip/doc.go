// Package sip is a SIP user agent: it answers calls and places them, and knows nothing about who is calling or what is said.
//
// An Endpoint owns the sockets. A Dialog is one call leg in either direction; direction is a field. The owner of a Dialog hears
// Events one after the other through Observe and steers with Ring, Accept, Reject, ReInvite, SendInfo, Bye and Hangup. SDP passes through
// as bytes. Options asks a peer for a sign of life. Suspect silences who only guesses. An Authenticator is the server side of digest for the registrar and for callers that must prove who they are.
//
// The path of a datagram: transport_udp.go reads it and does nothing else · shard.go queues it by Call-ID, so that the messages of a call
// are handled in their order by one worker · parse.go cuts it into a message · check.go refuses what is wrong before anything else
// sees it · server_tx.go absorbs retransmissions, client_tx.go matches answers · endpoint.go starts a call or asks the Handler ·
// dialog.go, dialog_in.go, dialog_out.go, dialog_mid.go change the state of the call and queue its events · build.go writes what goes out.
//
// The parser and the transactions are ours. Those of emiago/sipgo, which the tests call as an independent peer, drop malformed
// requests unanswered, keep a parsed message with its timers for 32 s after each transaction, hold their timers in package globals and
// start a goroutine per message that nobody waits for.
//
// It never opens a database, never resolves SRV records inside a dialog, never follows a redirection and never touches media.
package sip
