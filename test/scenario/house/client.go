package house

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client sends REST requests to a server.
type Client struct {
	Base  string // http://host:port
	Token string // API token or JWT; empty for none
	HTTP  *http.Client
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Doc    any // the body as JSON, nil when it is none
}

// Client of the first administrator, with its own connections.
func (s *Server) Client() *Client { return NewClient("http://"+s.HTTP, Token) }

// NewClient makes a client that keeps up to 256 connections.
func NewClient(base, token string) *Client {
	tr := &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second}
	return &Client{Base: base, Token: token, HTTP: &http.Client{Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// Request sends body with the given headers; an empty body is none.
func (c *Client) Request(ctx context.Context, method, path string, body []byte, header http.Header) (*Answer, error) {
	var r io.Reader
	if len(body) > 0 {
		r = bytes.NewReader(body)
	}
	if !strings.Contains(path, "://") {
		path = c.Base + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, r)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", kind(body))
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(res.Body)
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return nil, err
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Body: b}
	if strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(b, &a.Doc); err != nil {
			return nil, fmt.Errorf("%s %s: answer is not the JSON that it says: %w", method, path, err)
		}
	}
	return a, nil
}

// kind tells call XML from JSON.
func kind(body []byte) string {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return "application/xml"
	}
	return "application/json"
}

// Do sends JSON and wants a 2xx; the answer's payload comes back as a document.
func (c *Client) Do(ctx context.Context, method, path string, body any) (Doc, error) {
	var b []byte
	switch v := body.(type) {
	case nil:
	case string:
		b = []byte(v)
	default:
		var err error
		if b, err = json.Marshal(v); err != nil {
			return Doc{}, err
		}
	}
	a, err := c.Request(ctx, method, path, b, nil)
	if err != nil {
		return Doc{}, err
	}
	if a.Status/100 != 2 {
		return Doc{}, fmt.Errorf("%s %s: %w: %s", method, path, StatusError(a.Status), short(a.Body))
	}
	return Doc{a.Doc}.At("payload"), nil
}

// StatusError is an answer that is not a 2xx.
type StatusError int

func (e StatusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

func short(b []byte) string {
	if len(b) > 600 {
		b = append(b[:600:600], "…"...)
	}
	return string(b)
}

// Await asks again and again until the condition holds of the answer, or ctx ends; then the error shows the last answer.
func (c *Client) Await(ctx context.Context, method, path string, body []byte, conds []Condition) (*Answer, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		a, err := c.Request(ctx, method, path, body, nil)
		if err == nil {
			if err = Check(a.Doc, conds); err == nil {
				return a, nil
			}
			last = fmt.Sprintf("%v\nlast answer %d: %s", err, a.Status, short(a.Body))
		} else if ctx.Err() == nil {
			return nil, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s: in vain: %s", method, path, last)
		}
	}
}
