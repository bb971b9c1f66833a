package fetch

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Defaults and limits of a request.
const (
	DefaultTimeout = 15 * time.Second
	MaxTimeout     = 5 * time.Minute // of one hop, also when the caller wants no limit
	NoTimeout      = time.Duration(-1)
	DefaultMaxBody = 256 << 10
	XMLMaxBody     = 64 << 10
	MaxRedirects   = 5 // what fetches and app webhooks follow
)

// Options build a Client. The zero value works.
type Options struct {
	AllowPrivate bool   // see Policy
	UserAgent    string // sent unless the request has one; "Opentact" by default
	PerHost      int    // connections of one host and port, whoever asks; more requests wait for one. Zero: 128

	Resolver Resolver                                                             // nil: the system's
	Dial     func(ctx context.Context, network, address string) (net.Conn, error) // nil: a dialer that checks the address again
	RootCAs  *x509.CertPool                                                       // nil: the system's
}

// Client makes requests. It is safe for many goroutines; Close frees its idle connections.
type Client struct {
	Policy
	userAgent string
	transport *http.Transport
}

// Request is one request. URL may carry `user:password@`, sent as Basic authorization unless Header has its own.
type Request struct {
	Method        string // empty: GET
	URL           string
	Header        http.Header
	Body          []byte
	Timeout       time.Duration // of each hop, its body included; zero: DefaultTimeout, NoTimeout: MaxTimeout
	RedirectLimit int           // hops that are followed; with 0 a redirect is an ordinary answer
	MaxBody       int           // bytes kept of the answer's body; zero: DefaultMaxBody
}

// Answer is what the last hop said.
type Answer struct {
	Status    int
	Header    http.Header
	Body      []byte
	Truncated bool          // the body was longer than MaxBody
	FinalURL  string        // after redirects, without credentials
	Duration  time.Duration // all hops
	Attempt   Attempt
}

// Attempt tells how far the last hop came; it is filled in also when Do returns an error.
type Attempt struct {
	RemoteAddr netip.AddrPort // zero when there was no connection
	Reused     bool           // an open connection was used
	Sent       bool           // request written: the other side may have acted on it
	Redirects  int            // hops followed
	FirstByte  time.Duration  // from the start of the hop
}

// methods are what customers may use; CONNECT would open a tunnel.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// New makes a client; it starts nothing.
func New(o Options) *Client {
	if o.UserAgent == "" {
		o.UserAgent = "Opentact"
	}
	return &Client{Policy: Policy{AllowPrivate: o.AllowPrivate}, userAgent: o.UserAgent, transport: newTransport(o)}
}

// Close ends idle connections; requests under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// hop is one request of a chain of redirects.
type hop struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// Do makes the request and reads the answer. Any status is an answer, not an error; errors are *Error. Together with an error the
// Answer holds what is known by then: duration, attempt, and status when the body could not be read.
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	began := time.Now()
	u, err := c.parse(r.URL)
	if err != nil {
		return Answer{}, err
	}
	h := hop{method: strings.ToUpper(r.Method), url: u, header: r.Header.Clone(), body: r.Body}
	if h.method == "" {
		h.method = http.MethodGet
	}
	if h.header == nil {
		h.header = http.Header{}
	}
	if !slices.Contains(methods, h.method) {
		return Answer{}, &Error{Kind: Protocol, Message: "HTTP method not allowed: " + h.method}
	}
	drop(h.header, ownHeaders)
	for followed := 0; ; followed++ {
		a, err := c.one(ctx, h, r)
		a.Attempt.Redirects, a.Duration = followed, time.Since(began)
		if err != nil || r.RedirectLimit <= 0 {
			return a, err
		}
		next := follow(h, a.Status, a.Header)
		switch {
		case next == nil:
			return a, nil
		case followed >= r.RedirectLimit:
			return a, &Error{Kind: Redirects, Message: "Too many redirects"}
		}
		if err := c.checkParsed(next.url); err != nil {
			return a, err
		}
		h = *next
	}
}

// one makes the request of one hop within the time of one hop.
func (c *Client) one(ctx context.Context, h hop, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, hopTime(r.Timeout), errTimeout)
	defer cancel()
	a := Answer{FinalURL: bare(h.url)}
	t := trace{began: time.Now()}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.hooks()), h.method, h.url.String(), bytes.NewReader(h.body))
	if err != nil {
		return a, &Error{Protocol, "invalid request", err}
	}
	c.dress(req, h)
	resp, err := c.transport.RoundTrip(req)
	a.Attempt = t.attempt()
	if err != nil {
		return a, classify(ctx, err)
	}
	defer resp.Body.Close() // a body not read to its end closes the connection
	a.Status, a.Header = resp.StatusCode, resp.Header
	a.Body, a.Truncated, err = readBody(resp.Body, r.MaxBody)
	if err != nil {
		return a, classify(ctx, err)
	}
	return a, nil
}

// dress gives the request its headers.
func (c *Client) dress(req *http.Request, h hop) {
	req.Header = h.header.Clone()
	if host := h.header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	if u := h.url.User; u != nil && req.Header.Get("Authorization") == "" {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	req.URL.User = nil
}

func hopTime(d time.Duration) time.Duration {
	switch {
	case d < 0, d > MaxTimeout:
		return MaxTimeout
	case d == 0:
		return DefaultTimeout
	}
	return d
}

// bare is the URL without credentials and fragment.
func bare(u *url.URL) string {
	b := *u
	b.User, b.Fragment, b.RawFragment = nil, "", ""
	return b.String()
}

func readBody(body io.Reader, limit int) ([]byte, bool, error) {
	if limit <= 0 {
		limit = DefaultMaxBody
	}
	b, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if len(b) > limit {
		return b[:limit], true, nil
	}
	return b, false, err
}

// trace collects the Attempt of a hop; the transport may call its hooks from its own goroutines, also after RoundTrip returned.
type trace struct {
	began time.Time

	mu sync.Mutex // guards what follows
	a  Attempt
}

func (t *trace) attempt() Attempt {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.a
}

func (t *trace) hooks() *httptrace.ClientTrace {
	set := func(f func(*Attempt)) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f(&t.a)
	}
	return &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			remote, _ := netip.ParseAddrPort(i.Conn.RemoteAddr().String())
			set(func(a *Attempt) { a.RemoteAddr, a.Reused = remote, i.Reused })
		},
		WroteHeaders:         func() { set(func(a *Attempt) { a.Sent = true }) },
		GotFirstResponseByte: func() { set(func(a *Attempt) { a.FirstByte = time.Since(t.began) }) },
	}
}
