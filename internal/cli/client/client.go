package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of the package.
const (
	requestTimeout = 30 * time.Second
	maxAnswer      = 64 << 20 // bytes of a JSON answer
	maxFrame       = 16 << 20 // bytes of an event
	comeBack       = time.Second
	signInTimeout  = 10 * time.Second
)

// Client talks to one server with one credential. Its methods may be called from many goroutines.
type Client struct {
	base  string // http://host:port
	auth  string // value of Authorization
	token string
	http  *http.Client
	pause time.Duration // before a lost websocket is opened again
}

// New makes a client; base is the address of the server with or without /rest, token an API token or a JWT.
func New(base, token string) (*Client, error) {
	c, err := open(base)
	if err != nil {
		return nil, err
	}
	c.token, c.auth = token, "Bearer "+token
	return c, nil
}

// NewWithPassword makes a client that signs in with e-mail and password on every request; it has no websocket.
func NewWithPassword(base, email, password string) (*Client, error) {
	c, err := open(base)
	if err != nil {
		return nil, err
	}
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(email, password)
	c.auth = r.Header.Get("Authorization")
	return c, nil
}

func open(base string) (*Client, error) {
	base = strings.TrimSuffix(strings.TrimRight(base, "/"), "/rest")
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is not an address of a server like http://127.0.0.1:8080", base)
	}
	return &Client{base: base, http: &http.Client{Timeout: requestTimeout}, pause: comeBack}, nil
}

// Base is the address of the server, without /rest.
func (c *Client) Base() string { return c.base }

// Error is a refusal by the server.
type Error struct {
	Status    int              `json:"status"`
	Message   string           `json:"message"`
	Code      string           `json:"meta"`
	Fields    map[string]Field `json:"fields"`
	RequestID string           `json:"request_id"`
}

// Field is one bad input.
type Field struct {
	Message string `json:"message"`
	Value   any    `json:"value"`
}

// Error is one sentence: what is wrong, with which input, and how the server calls it.
func (e *Error) Error() string {
	text := e.Message
	if len(e.Fields) > 0 {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
			parts = append(parts, strings.TrimPrefix(name, "params.")+": "+e.Fields[name].Message)
		}
		text = strings.Join(parts, "; ")
	}
	return fmt.Sprintf("%s (%d %s)", text, e.Status, e.Code)
}

// IsStatus tells whether err is a refusal with this HTTP status.
func IsStatus(err error, status int) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == status
}

// IsCode tells whether err is a refusal with this code, the member meta of an error.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// UnreachableError says that no server answered.
type UnreachableError struct {
	Base string
	Err  error
}

// Error names the server and what happened.
func (e *UnreachableError) Error() string {
	return "no server answers at " + e.Base + ": " + plain(e.Err)
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// plain is the innermost message: the outer ones repeat the address.
func plain(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err.Error()
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err.Error()
	}
	return err.Error()
}

// Do sends in as JSON (nil: no body) and reads the payload of the answer into out (nil: not wanted). Path begins with /rest.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	kind := ""
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body, kind = bytes.NewReader(b), "application/json"
	}
	return c.send(ctx, method, path, kind, body, out)
}

// Send is Do for a body of another kind, such as application/xml.
func (c *Client) Send(ctx context.Context, method, path, kind string, body []byte, out any) error {
	return c.send(ctx, method, path, kind, bytes.NewReader(body), out)
}

func (c *Client) send(ctx context.Context, method, path, kind string, body io.Reader, out any) error {
	answer, err := c.round(ctx, method, c.base+path, kind, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if answer.StatusCode >= 300 {
		return refusal(answer.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	var envelope struct {
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		return fmt.Errorf("%s %s: the answer is not JSON; is %s an Opentact server?", method, path, c.base)
	}
	if err := json.Unmarshal(envelope.Payload, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// Get reads a file, such as a recording. The address is a path of the server, or an absolute one, which gets no credential.
func (c *Client) Get(ctx context.Context, address string) ([]byte, error) {
	if strings.HasPrefix(address, "/") {
		address = c.base + address
	}
	answer, err := c.round(ctx, http.MethodGet, address, "", nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && answer.StatusCode >= 300 {
		err = refusal(answer.StatusCode, b)
	}
	return b, err
}

func (c *Client) round(ctx context.Context, method, address, kind string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(address, c.base+"/") {
		r.Header.Set("Authorization", c.auth)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	answer, err := c.http.Do(r)
	if err != nil && ctx.Err() == nil {
		return nil, &UnreachableError{c.base, err}
	}
	return answer, err
}

func refusal(status int, body []byte) error {
	e := &Error{}
	if json.Unmarshal(body, e) != nil || e.Message == "" {
		e.Message, e.Code = http.StatusText(status), "no_detail"
	}
	e.Status = status
	return e
}
