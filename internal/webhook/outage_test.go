package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// TestEverythingArrivesInOrderAfterThreeDaysWithoutTheEndpoint: events of few objects through the whole outage, in a virtual time.
func TestEverythingArrivesInOrderAfterThreeDaysWithoutTheEndpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		var up atomic.Bool
		var mu sync.Mutex
		var arrived []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if !up.Load() {
				w.WriteHeader(500)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			arrived = append(arrived, string(body))
		}))
		t.Cleanup(s.Close)
		id, _ := h.endpoint(s.URL, "")
		refs := []string{ident.New(), ident.New(), ident.New()}
		var want []string
		emit := func() {
			row, err := h.log.Get(t.Context(), h.account, h.emit("sms", refs[len(want)%3], len(want)))
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(row.Body))
		}
		idle := func() { // every delivery has its place and nothing is under way
			h.until("idle", func() bool {
				var made, busy, due, open int
				now := h.c.now().UnixMicro()
				err := d.Read().QueryRow(t.Context(), `SELECT count(*), count(owner), count(CASE WHEN due_on <= $1 THEN 1 END),
					(SELECT count(*) FROM webhook_endpoint WHERE fails >= 5 AND probe_on > $1) FROM webhook_delivery`, now).Scan(&made, &busy, &due, &open)
				return err == nil && made == len(want) && busy == 0 && (due == 0 || open == 1)
			})
		}
		for range 3 {
			emit()
		}
		idle()
		for at := time.Duration(0); at < 72*time.Hour; at += 90 * time.Minute {
			h.c.move(90 * time.Minute)
			if len(want) < 40 {
				emit()
			}
			idle()
		}
		up.Store(true)
		h.c.move(5 * time.Minute)
		h.until("all events", func() bool { mu.Lock(); defer mu.Unlock(); return len(arrived) >= len(want) })
		mu.Lock()
		defer mu.Unlock()
		place := map[string]int{}
		for i, body := range arrived {
			place[body] = i
		}
		if len(place) != len(want) {
			t.Fatalf("%d of %d events arrived", len(place), len(want))
		}
		for i := 3; i < len(want); i++ {
			if place[want[i-3]] > place[want[i]] {
				t.Fatalf("event %d came after event %d of the same object", i-3, i)
			}
		}
		h.until("ok", func() bool { return h.payload("GET", "/rest/webhook/"+id, "", 200)["state"] == "ok" })
	})
}

func TestALoneDeliveryFollowsTheScheduleExactly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, func(int, request) int { return 500 })
		id, _ := h.endpoint(c.URL, "")
		h.emit("sms", ident.New(), 1)
		steps := []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
		for i, step := range steps {
			next, _ := time.Parse(time.RFC3339, h.delivery(id, "pending", i+1)["next_attempt_on"].(string))
			wait := next.Sub(h.c.now())
			if wait < step*8/10-time.Millisecond || wait > step*12/10+time.Millisecond {
				t.Fatalf("wait %d is %s, want %s", i, wait, step)
			}
			h.c.move(wait - time.Millisecond)
			h.delivery(id, "pending", i+1)
			h.c.move(2 * time.Millisecond)
		}
		h.delivery(id, "failed", 10)
		h.until("the counts", func() bool {
			c := h.s.Counters()
			return c.Success.Load() == 0 && c.Again.Load() == 9 && c.Failed.Load() == 1 && c.Running.Load() == 0
		})
	})
}

func TestAnEndpointThatFailsForFiveDaysIsDisabledAndItsAdministratorTold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, func(int, request) int { return 500 })
		id, _ := h.endpoint(c.URL, "")
		h.emit("sms", ident.New(), 1)
		h.delivery(id, "pending", 1)
		h.c.move(5 * 24 * time.Hour)
		h.emit("sms", ident.New(), 2)
		h.until("disabled", func() bool {
			e := h.payload("GET", "/rest/webhook/"+id, "", 200)
			return e["state"] == "disabled" && e["disabled_reason"] == "failing" && e["disabled_on"] != nil
		})
		h.until("letter", func() bool { return len(h.mail.all()) == 1 })
		h.until("ended", func() bool {
			return h.payload("GET", "/rest/webhook/"+id+"/delivery?state=failed", "", 200)["total"].(float64) >= 1
		})
		if e := h.payload("PATCH", "/rest/webhook/"+id, `{"is_active":true}`, 200); e["state"] != "ok" || e["disabled_reason"] != nil {
			t.Fatal(e)
		}
	})
}

// TestOneObjectsEventsStartInOrderAndAFailingOneHoldsNothingBack: hundred events of five objects, of which one always fails.
func TestOneObjectsEventsStartInOrderAndAFailingOneHoldsNothingBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, func(_ int, r request) int {
			if strings.Contains(r.body, `"payload":17,`) {
				return 500
			}
			return 200
		})
		h.endpoint(c.URL, "")
		refs := []string{ident.New(), ident.New(), ident.New(), ident.New(), ident.New()}
		for i := range 100 {
			h.emit("sms", refs[i%5], i)
		}
		last := map[int]int{}
		seen := map[int]bool{}
		h.until("all", func() bool { return len(c.await(t, 100)) >= 100 })
		for _, r := range c.await(t, 100) {
			_, rest, _ := strings.Cut(r.body, `"payload":`)
			text, _, _ := strings.Cut(rest, ",")
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(r.body)
			}
			if n == 17 {
				continue
			}
			if n < last[n%5] {
				t.Fatalf("%d came after %d", n, last[n%5])
			}
			last[n%5], seen[n] = n, true
		}
		if len(seen) < 97 {
			t.Fatal(len(seen))
		}
	})
}

// TestEndpointsThatHangDelayNoOther: fifty of them and a healthy one behind one host and port, while two hundred events of the healthy account arrive within
// 100 ms each.
func TestEndpointsThatHangDelayNoOther(t *testing.T) {
	d := dbtest.SQLite(t)
	f := fetch.New(fetch.Options{AllowPrivate: true, PerHost: webhook.Pool})
	h := open(t, d, func(cfg *webhook.Config) { cfg.Fetch, cfg.Now = f, nil })
	release := make(chan struct{})
	var hanging sync.Map
	var once sync.Once
	freed := func() { once.Do(func() { close(release) }) }
	t.Cleanup(f.Close)
	arrived := make(chan string, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/healthy" {
			arrived <- r.Header.Get("Webhook-Id")
			return
		}
		hanging.Store(r.URL.Path, true)
		<-release
	}))
	t.Cleanup(func() { freed(); server.Close() })
	var bad []string
	for i := range 50 {
		bad = append(bad, ident.New())
		h.account = bad[i]
		h.endpoint(fmt.Sprintf("%s/hangs/%d", server.URL, i), "")
	}
	good := ident.New()
	h.account = good
	h.endpoint(server.URL+"/healthy", "")
	h.run()
	p99 := func() time.Duration {
		h.account = good
		var times []time.Duration
		for range 200 {
			at := time.Now()
			id := h.emit("sms", ident.New(), 1)
			if got := <-arrived; got != "msg_"+id {
				t.Fatal(got, id)
			}
			times = append(times, time.Since(at))
		}
		slices.Sort(times)
		t.Logf("p50 %s, p99 %s, most %s", times[100], times[197], times[199])
		return times[197]
	}
	alone := p99()
	for round := range 10 {
		for _, a := range bad {
			h.account = a
			h.emit("sms", ident.New(), round)
		}
	}
	h.until("all hang", func() bool {
		n := 0
		hanging.Range(func(any, any) bool { n++; return true })
		return n == 50
	})
	limit := max(100*time.Millisecond, 3*alone) // the machine may have other things to do
	for try := 1; p99() > limit; try++ {
		if try == 3 {
			t.Errorf("p99 is more than %s; alone it is %s", limit, alone)
			break
		}
	}
	freed()
}

// TestTwoServicesSendEachDeliveryOnce on one database, with never more than twenty requests at once.
func TestTwoServicesSendEachDeliveryOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, func(cfg *webhook.Config) { cfg.Now = nil })
		var mu sync.Mutex
		got := map[string]int{}
		running, most := 0, 0
		release := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			running++
			most = max(most, running)
			got[r.Header.Get("Webhook-Id")]++
			mu.Unlock()
			_, _ = io.Copy(io.Discard, r.Body)
			<-release
			mu.Lock()
			running--
			mu.Unlock()
		}))
		t.Cleanup(s.Close)
		h.endpoint(s.URL, "")
		h.run()
		other := open(t, d, func(cfg *webhook.Config) { cfg.Now = nil })
		other.run()
		const events = 300
		for range events / 20 {
			err := d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
				for i := range 20 {
					if err := h.log.Append(tx, event.Event{Account: h.account, Type: "sms", RefID: ident.New(), Payload: i}); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for left := events; left > 0; left-- { // the endpoint takes its time: both services have requests under way and look for more
			h.until("as many as there may be", func() bool { mu.Lock(); defer mu.Unlock(); return running >= min(20, left) })
			release <- struct{}{}
		}
		h.until("all saved", func() bool {
			var n int
			_ = d.Read().QueryRow(t.Context(), "SELECT count(*) FROM webhook_delivery WHERE state = 'success' AND tries = 1").Scan(&n)
			return n == events
		})
		mu.Lock()
		defer mu.Unlock()
		for id, n := range got {
			if n != 1 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
		if most > 20 {
			t.Errorf("%d requests at once", most)
		}
	})
}

var errDead = errors.New("declared dead")

// TestWhatANodeDidNotDareToSendIsSentWhenItDares: its lease was in doubt for a moment.
func TestWhatANodeDidNotDareToSendIsSentWhenItDares(t *testing.T) {
	d := dbtest.SQLite(t)
	var asked atomic.Int64
	h := open(t, d, func(cfg *webhook.Config) { cfg.Holds, cfg.Now = func() bool { return asked.Add(1) > 1 }, nil })
	c := serve(t, ok)
	id, _ := h.endpoint(c.URL, "")
	h.run()
	h.emit("sms", ident.New(), 1)
	c.await(t, 1)
	h.delivery(id, "success", 2)
}

// TestAClaimWhoseNodeDiedIsSentAgainWithTheSameID: the attempt row is there, the request was never made.
func TestAClaimWhoseNodeDiedIsSentAgainWithTheSameID(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		dead := ident.New()
		var lost atomic.Bool
		h := open(t, d, func(cfg *webhook.Config) {
			cfg.Node, cfg.Holds = dead, func() bool { lost.Store(true); return false }
			cfg.Fence = func(context.Context, *db.Tx) error {
				if lost.Load() {
					return errDead
				}
				return nil
			}
		})
		c := serve(t, ok)
		id, _ := h.endpoint(c.URL, "")
		h.run()
		event := h.emit("sms", ident.New(), 1)
		h.until("claimed", lost.Load)
		other := open(t, d, nil)
		other.account = h.account
		other.run()
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return other.s.TakeBack(ctx, tx, dead) })
		if err != nil {
			t.Fatal(err)
		}
		got := c.await(t, 1)[0]
		if got.header.Get("Webhook-Id") != "msg_"+event || got.header.Get("X-Opentact-Attempt") == "1" {
			t.Fatal(got.header)
		}
		other.until("success", func() bool {
			return other.payload("GET", "/rest/webhook/"+id+"/delivery?state=success", "", 200)["total"] == 1.0
		})
	})
}

// TestAnEndpointThatAsksForLessGetsHalf of the requests at once of a second.
func TestAnEndpointThatAsksForLessGetsHalf(t *testing.T) {
	h := webhook.Health{}
	now := time.Unix(1_800_000_000, 0)
	slow := webhook.AfterFailure(h, 429, 20*time.Millisecond, now)
	if slow.Pace != 40*time.Millisecond || !slow.SlowUntil.Equal(now.Add(5*time.Minute)) {
		t.Fatal(slow)
	}
	slow.PacedOn = now.Add(-10 * time.Second)
	if n, _ := webhook.Allowance(slow, 100, now); n != 26 { // what a second allows
		t.Fatal(n)
	}
	if n, _ := webhook.Allowance(slow, 100, now.Add(6*time.Minute)); n != 100 {
		t.Fatal(n)
	}
}

// TestNoRequestReachesAnAddressInside: names that lead there, names that lead there the second time, redirects.
func TestNoRequestReachesAnAddressInside(t *testing.T) {
	d := dbtest.SQLite(t)
	var hits atomic.Int64
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			hits.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-counted })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	look := &turning{}
	f := fetch.New(fetch.Options{Resolver: look})
	t.Cleanup(f.Close)
	h := open(t, d, func(cfg *webhook.Config) { cfg.Fetch, cfg.Resolver = f, look })
	h.run()
	id, _ := h.endpoint("http://rebound.example:"+port+"/hook", "")
	look.inside.Store(true)
	h.emit("sms", ident.New(), 1)
	got := h.delivery(id, "pending", 1)
	if text, _ := got["attempts"].([]any)[0].(map[string]any)["error"].(string); !strings.HasPrefix(text, "address not allowed") {
		t.Fatal(got)
	}
	if hits.Load() != 0 {
		t.Fatal("connected")
	}
}

// turning is a resolver whose answer turns from outside to inside.
type turning struct{ inside atomic.Bool }

func (r *turning) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if r.inside.Load() {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
}

// TestAnswersWithoutEndAreCut: bodies are read up to 4 KiB, headers up to their limit, and nothing is unpacked.
func TestAnswersWithoutEndAreCut(t *testing.T) {
	d := dbtest.SQLite(t)
	h := open(t, d, nil)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Set-Cookie", "session=secret")
		switch r.URL.Path {
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
		case "/headers":
			for i := range 2000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
			}
		}
		for range 1000 {
			if _, err := w.Write([]byte(strings.Repeat("x", 1024))); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	for path, want := range map[string]string{"/": "success", "/gzip": "success", "/headers": "failed"} {
		id, _ := h.endpoint(s.URL+path, "")
		got := h.payload("POST", "/rest/webhook/"+id+"/test", "{}", 200)
		a := got["attempts"].([]any)[0].(map[string]any)
		if got["state"] != want {
			t.Fatal(path, got)
		}
		if want == "success" {
			answer := a["response"].(map[string]any)
			if len(answer["body"].(string)) != 4096 || answer["headers"].(map[string]any)["Set-Cookie"] != "***" {
				t.Fatal(path, len(answer["body"].(string)), answer["headers"])
			}
		}
	}
}

// TestATestIsOneOfTheRequestsAtOnce of an endpoint: it waits while twenty are under way.
func TestATestIsOneOfTheRequestsAtOnce(t *testing.T) {
	h := open(t, dbtest.SQLite(t), func(cfg *webhook.Config) { cfg.Now = nil })
	release := make(chan struct{})
	var running, most atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		running.Add(-1)
	}))
	t.Cleanup(s.Close)
	id, _ := h.endpoint(s.URL, "")
	h.run()
	for range 25 {
		h.emit("sms", ident.New(), 1)
	}
	h.until("twenty", func() bool { return running.Load() == 20 })
	done := make(chan error, 1)
	go func() {
		_, err := h.s.Test(context.Background(), h.account, id, "sms")
		done <- err
	}()
	for left := 26; left > 0; left-- {
		h.until("as many as there may be", func() bool { return running.Load() >= int64(min(20, left)) })
		release <- struct{}{}
	}
	if err := <-done; err != nil || most.Load() > 20 {
		t.Fatal(err, most.Load())
	}
}
