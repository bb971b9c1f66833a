// Package sdp reads and writes the session descriptions of SIP legs and
// decides what two sides agreed on (RFC 8866, RFC 3264).
//
// Parse (parse.go) accepts what devices really send and keeps what it does not
// know; a Session and its Media (session.go) write themselves back as text.
// Offer, Answer and Accept (negotiate.go) turn a Local description of our side
// into a body and both bodies into a Negotiated result: where to send, which
// codec and payload types (codec.go), who may talk, whether we were put on hold.
//
// A body travels parse.go, session.go, codec.go, negotiate.go. The package opens
// no socket, resolves no name, keeps no state between calls, and never writes
// an unspecified address.
package sdp
