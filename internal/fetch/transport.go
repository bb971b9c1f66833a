package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Limits of connections.
const (
	dialTimeout    = 10 * time.Second // one address
	tlsTimeout     = 10 * time.Second
	idleTimeout    = 30 * time.Second
	maxAddresses   = 4        // tried of one name
	maxPerHost     = 128      // connections of one host, unless Options.PerHost says otherwise
	maxIdle        = 1024     // kept open for all hosts
	maxIdlePerHost = 32       // kept open for one host
	maxHeaderBytes = 64 << 10 // of an answer
)

// Resolver finds the addresses of a name; *net.Resolver is one. The network is "ip", "ip4" or "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects only to addresses that the policy allows.
type dialer struct {
	policy   Policy
	resolver Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(o Options) *dialer {
	d := &dialer{policy: Policy{AllowPrivate: o.AllowPrivate}, resolver: o.Resolver, dial: o.Dial}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.dial == nil {
		d.dial = (&net.Dialer{Timeout: dialTimeout, ControlContext: d.control}).DialContext
	}
	return d
}

// control looks at the very address that the socket is about to connect to, whatever path led there.
func (d *dialer) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &Error{Address, "address not allowed: " + address, err}
	}
	return d.policy.Check(ap.Addr())
}

// connect resolves the name once and dials the allowed ones of its addresses in turn.
func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &Error{URL, "invalid URL", err}
	}
	addrs, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		var c net.Conn
		if c, err = d.dial(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// addresses gives at least one allowed address or an error.
func (d *dialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, d.policy.Check(a)
	}
	found, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, &net.OpError{Op: "lookup", Net: "ip", Err: err}
	}
	var allowed []netip.Addr
	err = &Error{Kind: Connection, Message: "Connection failed", Err: errors.New("the name has no address")}
	for _, a := range found {
		if refusal := d.policy.Check(a); refusal != nil {
			err = refusal
			continue
		}
		allowed = append(allowed, a.Unmap())
	}
	if len(allowed) == 0 {
		return nil, err
	}
	return allowed, nil
}

func newTransport(o Options) *http.Transport {
	if o.PerHost <= 0 {
		o.PerHost = maxPerHost
	}
	return &http.Transport{
		Proxy:                  nil, // a proxy would connect where we cannot look
		DialContext:            newDialer(o).connect,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    tlsTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // a small body cannot grow
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxConnsPerHost:        o.PerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// brokenConnection tells the transport's errors about a lost connection, which have no type, from those about a bad answer.
func brokenConnection(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &dns) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "server closed idle connection")
}
