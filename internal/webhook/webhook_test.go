package webhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// customer is a server that keeps what it got and answers as told.
type customer struct {
	*httptest.Server
	mu     sync.Mutex // guards got
	got    []request
	news   chan struct{}
	answer func(n int, r request) int
}

type request struct {
	path, body string
	header     http.Header
}

func serve(t *testing.T, answer func(n int, r request) int) *customer {
	t.Helper()
	c := &customer{answer: answer, news: make(chan struct{}, 1000)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		in := request{r.URL.Path, string(body), r.Header}
		c.got = append(c.got, in)
		n := len(c.got)
		c.mu.Unlock()
		status := c.answer(n, in)
		if status/100 == 3 {
			w.Header().Set("Location", "/moved")
		}
		w.WriteHeader(status)
		c.news <- struct{}{}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *customer) await(t *testing.T, n int) []request {
	t.Helper()
	over := time.After(20 * time.Second)
	for {
		c.mu.Lock()
		list := slices.Clone(c.got)
		c.mu.Unlock()
		if len(list) >= n {
			return list
		}
		select {
		case <-c.news:
		case <-over:
			t.Fatalf("%d requests, want %d", len(list), n)
		}
	}
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

type rig struct {
	t *testing.T
	d *db.DB
	s *webhook.Service
	c *clock
}

func build(t *testing.T, d *db.DB) *rig {
	c := &clock{at: time.Now()}
	f := fetch.New(fetch.Options{AllowPrivate: true})
	t.Cleanup(f.Close)
	return &rig{t: t, d: d, c: c, s: webhook.New(webhook.Config{DB: d, Fetch: f, Now: c.now, Node: ident.New(), PollEvery: 20 * time.Millisecond})}
}

func (r *rig) run() (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- r.s.Run(ctx, func() { close(ready) }) }()
	<-ready
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Error(err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) notify(n webhook.Notice) {
	r.t.Helper()
	if err := r.d.Update(r.t.Context(), func(ctx context.Context, tx *db.Tx) error { return r.s.Notify(ctx, tx, n) }); err != nil {
		r.t.Fatal(err)
	}
}

// told is what a test reads of an account's newest notification.
type told struct {
	state    string
	attempts int
	statuses []int
}

// history waits until the account's newest notification is in a state with so many finished attempts.
func (r *rig) history(account, state string, attempts int) told {
	r.t.Helper()
	for over := time.Now().Add(20 * time.Second); ; {
		h := r.newest(account)
		if h.state == state && h.attempts == attempts && len(h.statuses) == attempts && h.statuses[attempts-1] >= 0 {
			return h
		}
		if time.Now().After(over) {
			r.t.Fatalf("no delivery in state %s with %d attempts: %+v", state, attempts, h)
		}
	}
}

func (r *rig) newest(account string) (h told) {
	var id string
	q := r.d.Read()
	if err := q.QueryRow(r.t.Context(), "SELECT uuid, state, tries FROM webhook_delivery WHERE account = $1 ORDER BY uuid DESC LIMIT 1", account).Scan(&id, &h.state, &h.attempts); err != nil {
		return h
	}
	rows, err := q.Query(r.t.Context(), "SELECT COALESCE(status, -1) FROM webhook_attempt WHERE delivery = $1 ORDER BY n", id)
	h.statuses, err = db.List("attempts", rows, err, func(into func(...any) error) (n int, err error) { err = into(&n); return n, err })
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func TestASignedNotificationArrivesOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		c := serve(t, func(int, request) int { return 204 })
		secret := "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
		account := ident.New()
		r.notify(webhook.Notice{Account: account, URLs: []string{c.URL + "/sms"}, Schedule: webhook.Messaging, Body: []byte(`{"a":1}`), Secret: secret, Trigger: "sms_sent"})
		r.run()
		got := c.await(t, 1)[0]
		id := got.header.Get("Webhook-Id")
		if got.path != "/sms" || got.body != `{"a":1}` || got.header.Get("X-Opentact-Event") != "sms_sent" || !strings.HasPrefix(id, "msg_") {
			t.Fatalf("%+v", got)
		}
		var at int64
		if _, err := fmt.Sscan(got.header.Get("Webhook-Timestamp"), &at); err != nil {
			t.Fatal(err)
		}
		if want := webhook.Signature(secret, id, time.Unix(at, 0), []byte(got.body)); got.header.Get("Webhook-Signature") != want {
			t.Fatalf("signature %q, want %q", got.header.Get("Webhook-Signature"), want)
		}
		r.history(account, "success", 1)
	})
}

func TestSignatureCheckValue(t *testing.T) {
	got := webhook.Signature("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "msg_0194f2b0-6100-7d5e-8f60-718293a4b5c6", time.Unix(1770111168, 0), []byte(`{"type":"balance","payload":40.0847}`))
	if want := "v1,10bmBjSlcrImmnHSLJIH7vrG+XOeC4lkpM+eYIPqRXQ="; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

func TestTheSecondAddressIsUsedWhenTheFirstFailsThreeTimes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		c := serve(t, func(_ int, in request) int {
			if in.path == "/first" {
				return 302 // messaging callbacks follow no redirects
			}
			return 200
		})
		account := ident.New()
		r.notify(webhook.Notice{Account: account, URLs: []string{c.URL + "/first", c.URL + "/second"}, Schedule: webhook.Messaging, Trigger: "sms_sent"})
		r.run()
		for n, wait := range []time.Duration{5 * time.Second, 25 * time.Second} { // the second address follows the third failure at once
			c.await(t, n+1)
			r.history(account, "pending", n+1)
			r.c.move(wait)
		}
		h := r.history(account, "success", 4)
		if got := c.await(t, 4)[3].path; got != "/second" || h.statuses[0] != 302 || h.statuses[3] != 200 {
			t.Fatalf("%s %+v", got, h)
		}
	})
}

func TestAppWebhooksFollowRedirectsAndAreGivenUpAfterFourTries(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		c := serve(t, func(_ int, in request) int {
			if in.path == "/moved" {
				return 500
			}
			return 307
		})
		account := ident.New()
		r.notify(webhook.Notice{Account: account, Key: "call", URLs: []string{c.URL + "/call"}, Method: "GET", Schedule: webhook.App, Trigger: "call_state", Body: []byte(`{}`)})
		r.run()
		for n, wait := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second} {
			r.history(account, "pending", n+1)
			r.c.move(wait)
		}
		h := r.history(account, "failed", 4)
		got := c.await(t, 8)
		if h.statuses[3] != 500 || got[1].path != "/moved" || got[0].body != "" || len(got) != 8 {
			t.Fatalf("%d requests, %+v", len(got), h)
		}
	})
}

func TestOneKeyKeepsItsOrderAndAFailingOneBlocksAMinuteAtMost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		c := serve(t, func(_ int, in request) int {
			if in.body == `"bad"` {
				return 500
			}
			return 200
		})
		account := ident.New()
		for i := range 20 {
			r.notify(webhook.Notice{Account: account, Key: "a", URLs: []string{c.URL}, Schedule: webhook.Messaging, Body: fmt.Appendf(nil, "%d", i), Trigger: "sms_sent"})
		}
		r.run()
		for i, in := range c.await(t, 20) {
			if in.body != fmt.Sprint(i) {
				t.Fatalf("place %d has %s", i, in.body)
			}
		}
		r.notify(webhook.Notice{Account: account, Key: "a", URLs: []string{c.URL}, Schedule: webhook.Messaging, Body: []byte(`"bad"`), Trigger: "sms_sent"})
		r.history(account, "pending", 1)
		r.notify(webhook.Notice{Account: account, Key: "a", URLs: []string{c.URL}, Schedule: webhook.Messaging, Body: []byte(`"next"`), Trigger: "sms_sent"})
		r.notify(webhook.Notice{Account: account, Key: "b", URLs: []string{c.URL}, Schedule: webhook.Messaging, Body: []byte(`"other"`), Trigger: "sms_sent"})
		if got := c.await(t, 22)[21].body; got != `"other"` {
			t.Fatalf("%s went before its turn", got)
		}
		r.c.move(61 * time.Second)
		c.await(t, 24)
		next := false
		for _, in := range c.await(t, 24)[22:] {
			next = next || in.body == `"next"`
		}
		if !next {
			t.Fatal("the next one is still held back")
		}
	})
}

func TestDeliveryGoesOnAfterARestart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		reached, release := make(chan struct{}), make(chan struct{})
		c := serve(t, func(n int, _ request) int {
			if n == 1 {
				close(reached)
				<-release
			}
			return 200
		})
		account := ident.New()
		r.notify(webhook.Notice{Account: account, URLs: []string{c.URL}, Schedule: webhook.Messaging, Trigger: "sms_sent", Body: []byte(`{}`)})
		stop := r.run()
		<-reached
		stop() // the request is under way: its attempt is in the history, its end is not
		close(release)
		again := build(t, d)
		again.run()
		got := c.await(t, 2)
		if got[0].header.Get("X-Opentact-Attempt") != "1" || got[1].header.Get("X-Opentact-Attempt") != "2" {
			t.Fatalf("%v %v", got[0].header, got[1].header)
		}
		again.history(account, "success", 2)
	})
}

func TestTrimTakesFinishedOnesOnly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		c := serve(t, func(_ int, in request) int {
			if in.body == "1" {
				return 200
			}
			return 500
		})
		done, open := ident.New(), ident.New()
		r.notify(webhook.Notice{Account: done, URLs: []string{c.URL}, Schedule: webhook.Messaging, Trigger: "sms_sent", Body: []byte("1")})
		r.notify(webhook.Notice{Account: open, URLs: []string{c.URL}, Schedule: webhook.Messaging, Trigger: "sms_sent", Body: []byte("2")})
		r.run()
		r.history(done, "success", 1)
		r.history(open, "pending", 1)
		n, err := r.s.Trim(t.Context(), r.c.now().Add(time.Hour), 10)
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		r.history(open, "pending", 1)
	})
}

// TestAHostThatHangsDelaysNoOtherHostsNotices: more notices than it may get at once wait for it.
func TestAHostThatHangsDelaysNoOtherHostsNotices(t *testing.T) {
	d := dbtest.SQLite(t)
	r := build(t, d)
	release := make(chan struct{})
	hung := serve(t, func(int, request) int { <-release; return 200 })
	t.Cleanup(func() { close(release) })
	well := serve(t, func(int, request) int { return 200 })
	account := ident.New()
	for range 200 {
		r.notify(webhook.Notice{Account: account, URLs: []string{hung.URL}, Schedule: webhook.App, Trigger: "call_state"})
	}
	r.run()
	for n := range 20 {
		r.notify(webhook.Notice{Account: account, URLs: []string{well.URL}, Schedule: webhook.App, Trigger: "call_state"})
		well.await(t, n+1)
	}
}
