package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
)

// Kind is what went wrong, as far as a caller must tell it apart.
type Kind string

// Kinds of errors.
const (
	URL        Kind = "url"        // the URL can never be fetched
	Address    Kind = "address"    // the name or address is not public
	Connection Kind = "connection" // no connection, or it broke
	TLS        Kind = "tls"        // the handshake failed or the certificate is not good
	Timeout    Kind = "timeout"    // the time of one hop ran out
	Redirects  Kind = "redirects"  // more redirects than allowed
	Protocol   Kind = "protocol"   // the request could not be written or the answer is no HTTP
	Canceled   Kind = "canceled"   // the caller's context ended; its cause is inside
)

// Error is a request without a usable answer.
type Error struct {
	Kind    Kind
	Message string // may be shown to the customer; holds no credentials
	Err     error  // detail for the log; may be nil
}

// Error is the public message alone, so that `Timeout` or `address not allowed: 127.0.0.1` can be reported as they are.
func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of an error of this package, or empty.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// errTimeout is the cause with which the time of a hop ends.
var errTimeout = errors.New("time for the request ran out")

// classify turns what the transport returned into an Error. ctx is the context of the hop.
func classify(ctx context.Context, err error) error {
	var own *Error
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var network *net.OpError
	switch {
	case errors.As(err, &own):
		return own
	case ctx.Err() != nil && context.Cause(ctx) == errTimeout:
		return &Error{Timeout, "Timeout", err}
	case ctx.Err() != nil:
		return &Error{Canceled, "Canceled", context.Cause(ctx)}
	case errors.As(err, &cert):
		return &Error{TLS, "TLS certificate not accepted", err}
	case errors.As(err, &record), errors.As(err, &alert):
		return &Error{TLS, "TLS handshake failed", err}
	case strings.HasPrefix(err.Error(), "net/http: invalid"):
		return &Error{Protocol, "invalid request", err}
	case errors.Is(err, os.ErrDeadlineExceeded), timedOut(err):
		return &Error{Timeout, "Timeout", err}
	case errors.As(err, &network), brokenConnection(err):
		return &Error{Connection, "Connection failed", err}
	}
	return &Error{Protocol, "Bad HTTP answer", err}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
