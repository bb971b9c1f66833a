package fake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// Request is one request that came in; it is JSON so that scenarios can look into it.
type Request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   map[string]string `json:"query"`
	Headers map[string]string `json:"headers"` // names in lower case
	Body    any               `json:"body"`    // as JSON if it is, else as text
	At      time.Time         `json:"at"`
}

// Page is what a path answers.
type Page struct {
	Status int
	Type   string
	Body   []byte
}

// Customer is the customer's web server.
type Customer struct {
	URL string // http://127.0.0.1:port

	srv  *http.Server
	done chan struct{}

	mu    sync.Mutex
	pages map[string]Page
	seen  map[string][]Request
	taken map[string]int
	news  chan struct{}
}

// NewCustomer starts a server on a free port of 127.0.0.1.
func NewCustomer() (*Customer, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Customer{URL: "http://" + ln.Addr().String(), done: make(chan struct{}), pages: map[string]Page{}, seen: map[string][]Request{}, taken: map[string]int{}, news: make(chan struct{})}
	c.srv = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(c.done)
		_ = c.srv.Serve(ln) // it always ends with ErrServerClosed
	}()
	return c, nil
}

// Close ends the server and waits for it.
func (c *Customer) Close() {
	_ = c.srv.Close()
	<-c.done
}

// Put sets what a path answers. A zero status is 200; an empty type is that of call XML or JSON, by the body.
func (c *Customer) Put(path string, p Page) {
	if p.Status == 0 {
		p.Status = http.StatusOK
	}
	if p.Type == "" {
		p.Type = "application/json"
		if bytes.HasPrefix(bytes.TrimSpace(p.Body), []byte("<")) {
			p.Type = "application/xml"
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages[path] = p
}

// Received waits for the next request to path (each is given once) that match takes; others on the way are passed over.
func (c *Customer) Received(ctx context.Context, path string, match func(Request) bool) (Request, error) {
	for {
		c.mu.Lock()
		for c.taken[path] < len(c.seen[path]) {
			r := c.seen[path][c.taken[path]]
			c.taken[path]++
			if match(r) {
				c.mu.Unlock()
				return r, nil
			}
		}
		news, n := c.news, len(c.seen[path])
		c.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
			return Request{}, fmt.Errorf("no such request at %s, %d others came: %v", path, n, c.All(path))
		}
	}
}

// All gives every request to path so far.
func (c *Customer) All(path string) []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Request(nil), c.seen[path]...)
}

// ServeHTTP keeps the request and answers as its path says.
func (c *Customer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.keep(r, body)
	c.mu.Lock()
	page, ok := c.pages[r.URL.Path]
	c.mu.Unlock()
	if !ok {
		page, ok = bad(w, r)
	}
	if !ok {
		return
	}
	w.Header().Set("Content-Type", page.Type)
	w.WriteHeader(page.Status)
	_, _ = w.Write(page.Body) // the asking side may have gone
}

func (c *Customer) keep(r *http.Request, body []byte) {
	req := Request{Method: r.Method, Path: r.URL.Path, Query: map[string]string{}, Headers: map[string]string{}, Body: string(body), At: time.Now()}
	for k, v := range r.URL.Query() {
		req.Query[k] = strings.Join(v, ",")
	}
	for k, v := range r.Header {
		req.Headers[strings.ToLower(k)] = strings.Join(v, ",")
	}
	var doc any
	if json.Unmarshal(body, &doc) == nil {
		req.Body = doc
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[r.URL.Path] = append(c.seen[r.URL.Path], req)
	close(c.news)
	c.news = make(chan struct{})
}

// bad answers for the paths that are always there; false means that the answer, or none, was given already.
func bad(w http.ResponseWriter, r *http.Request) (Page, bool) {
	const web = "text/html; charset=utf-8"
	switch r.URL.Path {
	case "/dead":
		panic(http.ErrAbortHandler)
	case "/slow":
		<-r.Context().Done()
		return Page{}, false
	case "/drip":
		w.Header().Set("Content-Length", "4096")
		_, _ = io.WriteString(w, "<Response>")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return Page{}, false
	case "/html":
		return Page{200, web, []byte("<!doctype html><html><head><title>Shop</title></head><body><p>Welcome<br>in</body></html>")}, true
	case "/empty":
		w.WriteHeader(http.StatusOK)
		return Page{}, false
	case "/hop":
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		return Page{}, false
	case "/ring":
		http.Redirect(w, r, "/ring", http.StatusFound)
		return Page{}, false
	case "/huge":
		return Page{200, "application/xml", append([]byte("<Response>"), bytes.Repeat([]byte("<Answer/>"), 1<<20/9)...)}, true
	case "/tone.wav":
		return Page{200, "audio/wav", Tone(440, 2*time.Second)}, true
	}
	if code, ok := strings.CutPrefix(r.URL.Path, "/status/"); ok {
		if n, err := strconv.Atoi(code); err == nil && n >= 200 && n < 600 {
			return Page{n, "text/plain", []byte("so it is\n")}, true
		}
	}
	return Page{200, "text/plain", nil}, true
}

// Tone is a WAV of one frequency at -12 dBFS.
func Tone(hz float64, d time.Duration) []byte {
	samples := make([]int16, audio.Samples(d))
	for i := range samples {
		samples[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/audio.Rate))
	}
	var b bytes.Buffer
	if err := audio.EncodeWAV(&b, samples); err != nil {
		panic(err) // memory takes everything
	}
	return b.Bytes()
}
