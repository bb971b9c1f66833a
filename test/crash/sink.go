package crash

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// Paths of the customers' server.
const (
	callbackPath = "/callback" // messaging callbacks
	appPath      = "/app"      // states of the calls of the account's app
	signedPath   = "/signed"   // signed deliveries
)

// delivery is what came under one webhook-id.
type delivery struct {
	sum    uint64
	cursor string
	count  int
	only   bool // the first attempt was the only one so far
	order  int  // of arrival
	ref    string
}

// sink is the customers' server. It takes everything and keeps what tells one delivery from another, not the bodies.
type sink struct {
	url    string
	notes  *notes
	seed   maphash.Seed
	secret string // of the endpoint; empty while there is none
	srv    *http.Server
	done   chan struct{}

	mu        sync.Mutex
	callbacks map[string]int // "trigger uuid" of a message to count
	states    map[string]int // "state uuid" of a call to count
	signed    map[string]*delivery
	at        time.Time // of the last request
}

func newSink(notes *notes, seed maphash.Seed) (*sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{url: "http://" + ln.Addr().String(), notes: notes, seed: seed, done: make(chan struct{}), callbacks: map[string]int{}, states: map[string]int{}, signed: map[string]*delivery{}}
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.srv.Serve(ln) // it always ends with ErrServerClosed
	}()
	return s, nil
}

func (s *sink) close() {
	_ = s.srv.Close()
	<-s.done
}

// register makes an endpoint for every event. The secret is ours, so that the signatures can be checked.
func (s *sink) register(ctx context.Context, c *house.Client) error {
	s.secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("crash-harness-secret-0123456789"))
	_, err := c.Do(ctx, "POST", "/rest/webhook", map[string]any{"url": s.url + signedPath, "types": []string{"*"}, "secret": s.secret})
	var status house.StatusError
	if errors.As(err, &status) && status == http.StatusNotFound {
		s.secret = ""
		return nil
	}
	return err
}

// ServeHTTP takes a request.
func (s *sink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // the sender died: it has no answer either
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = time.Now()
	switch r.URL.Path {
	case callbackPath:
		s.callback(r, body)
	case appPath:
		s.state(r, body)
	case signedPath:
		s.delivery(r, body)
	}
}

func (s *sink) callback(r *http.Request, body []byte) {
	var sms struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal(body, &sms); err != nil || sms.UUID == "" {
		s.notes.complain("a callback is no message: %v %s", err, body)
	}
	s.callbacks[r.Header.Get("X-Opentact-Event")+" "+sms.UUID]++
}

// state takes a request of the app's webhook: the query and the body tell of one call, the header what happened (webhooks.md §3).
func (s *sink) state(r *http.Request, body []byte) {
	q := r.URL.Query()
	state, id := q.Get("state"), q.Get("call")
	var c struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal(body, &c); err != nil || c.UUID == "" || c.UUID != id {
		s.notes.complain("an app's webhook about call %q is none: %v %.200s", id, err, body)
	}
	trigger := "call_state"
	switch state {
	case "init":
		trigger = "sca_call_started"
	case "destroyed":
		trigger = "sca_call_finished"
	}
	if have := r.Header.Get("X-Opentact-Event"); have != trigger {
		s.notes.complain("an app's webhook says %q of state %s", have, state)
	}
	s.states[state+" "+id]++
}

func (s *sink) delivery(r *http.Request, body []byte) {
	id := r.Header.Get("webhook-id")
	var e struct {
		UUID, Cursor string
		Ref          string `json:"ref_id"`
	}
	if err := json.Unmarshal(body, &e); err != nil || id != "msg_"+e.UUID {
		s.notes.complain("delivery %s carries event %s: %v", id, e.UUID, err)
		return
	}
	if want := sign(s.secret, id, r.Header.Get("webhook-timestamp"), body); !strings.Contains(r.Header.Get("webhook-signature"), want) {
		s.notes.complain("delivery %s has signature %q, want %s", id, r.Header.Get("webhook-signature"), want)
	}
	sum := maphash.Bytes(s.seed, body)
	d := s.signed[id]
	if d == nil {
		d = &delivery{sum: sum, cursor: e.Cursor, ref: e.Ref, order: len(s.signed), only: true}
		s.signed[id] = d
	}
	if d.sum != sum {
		s.notes.complain("delivery %s came with two bodies", id)
	}
	d.count++
	if n, err := strconv.Atoi(r.Header.Get("x-opentact-attempt")); err != nil || n != 1 || d.count > 1 {
		d.only = false
	}
}

// sign is webhooks §7.2.
func sign(secret, id, at string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err) // it is ours
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + at + "."))
	h.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// since is how long nothing came.
func (s *sink) since() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.at)
}
