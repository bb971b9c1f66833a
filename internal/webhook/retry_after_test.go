package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
)

// putOff is a customer's server that answers requests about some payload with 503 and Retry-After.
type putOff struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	got    []string   // bodies
	answer func(body string) (status int, retryAfter string)
}

func servePutOff(t *testing.T, answer func(body string) (int, string)) *putOff {
	p := &putOff{answer: answer}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.got = append(p.got, string(body))
		status, after := p.answer(string(body))
		p.mu.Unlock()
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(p.Close)
	return p
}

// set changes the answers.
func (p *putOff) set(answer func(body string) (int, string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// count gives the number of requests whose body has a text.
func (p *putOff) count(text string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.got {
		if strings.Contains(b, text) {
			n++
		}
	}
	return n
}

// look waits until the service has looked at everything that is due now.
func (h *house) look(endpoint string) {
	h.t.Helper()
	h.until("idle", func() bool {
		var due, busy int
		err := h.d.Read().QueryRow(h.t.Context(), "SELECT count(CASE WHEN owner IS NULL AND due_on <= $2 THEN 1 END), count(owner) FROM webhook_delivery WHERE endpoint = $1",
			endpoint, h.c.now().UnixMicro()).Scan(&due, &busy)
		return err == nil && due == 0 && busy == 0
	})
}

// TestRetryAfterHoldsThoughANewerEventOfTheObjectGoes (webhooks.md §7.3): what an answer put off is not tried for the sake of order.
func TestRetryAfterHoldsThoughANewerEventOfTheObjectGoes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		s := servePutOff(t, func(string) (int, string) { return 503, "3600" })
		id, _ := h.endpoint(s.URL, "")
		ref := ident.New()
		h.emit("sms", ref, "first")
		h.delivery(id, "pending", 1)
		for n, status := range []int{500, 200} {
			s.set(func(string) (int, string) { return status, "" })
			h.c.move(10 * time.Minute)
			h.emit("sms", ref, "newer")
			h.until("the newer one", func() bool { return s.count("newer") > n })
			h.look(id)
		}
		if n := s.count("first"); n != 1 {
			t.Fatalf("the first was sent %d times before its time", n)
		}
		h.c.move(41 * time.Minute)
		h.until("the first one", func() bool { return s.count("first") == 2 })
	})
}

// TestRetryAfterHoldsForAnEndpointThatTakesNothing: neither its probes nor what goes when it is up again come before the time that it asked for.
func TestRetryAfterHoldsForAnEndpointThatTakesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		s := servePutOff(t, func(body string) (int, string) {
			if strings.Contains(body, "first") {
				return 503, "7200"
			}
			return 500, ""
		})
		id, _ := h.endpoint(s.URL, "")
		ref := ident.New()
		h.emit("sms", ref, "first")
		h.delivery(id, "pending", 1)
		for n := range 4 {
			h.emit("sms", ident.New(), "other")
			h.until("another", func() bool { return s.count("other") == n+1 })
			h.look(id)
		}
		for range 10 { // it gets one request at a time now
			before := s.count("")
			h.emit("sms", ref, "second")
			h.c.move(5 * time.Minute)
			h.until("a probe", func() bool { return s.count("") > before })
			h.until("its end", func() bool {
				var busy int
				return d.Read().QueryRow(t.Context(), "SELECT count(owner) FROM webhook_delivery").Scan(&busy) == nil && busy == 0
			})
		}
		s.set(func(string) (int, string) { return 200, "" })
		h.c.move(5 * time.Minute)
		h.until("what waited", func() bool {
			return h.payload("GET", "/rest/webhook/"+id+"/delivery?state=success", "", 200)["total"] == 14.0
		})
		if n := s.count("first"); n != 1 {
			t.Fatalf("the first was sent %d times before its time", n)
		}
		h.c.move(66 * time.Minute)
		h.until("the first", func() bool { return s.count("first") == 2 })
	})
}

// TestAnEndpointThatTakesNothingIsProbedWhenItAskedFor at the earliest.
func TestAnEndpointThatTakesNothingIsProbedWhenItAskedFor(t *testing.T) {
	d := dbtest.SQLite(t)
	h := open(t, d, nil)
	h.run()
	s := servePutOff(t, func(string) (int, string) { return 503, "7200" })
	id, _ := h.endpoint(s.URL, "")
	for n := range 5 {
		h.emit("sms", ident.New(), n)
		h.until("a request", func() bool { return s.count("") == n+1 })
		h.look(id)
		h.c.move(time.Second) // the endpoint's rate is halved
	}
	h.emit("sms", ident.New(), "new")
	h.c.move(time.Hour)
	h.until("fanned out", func() bool {
		return h.payload("GET", "/rest/webhook/"+id+"/delivery", "", 200)["total"] == 6.0
	})
	s.set(func(string) (int, string) { return 200, "" })
	h.c.move(30 * time.Minute)
	if n := s.count(""); n != 5 {
		t.Fatalf("%d requests", n)
	}
	h.c.move(31 * time.Minute)
	h.until("all", func() bool {
		return h.payload("GET", "/rest/webhook/"+id+"/delivery?state=success", "", 200)["total"] == 6.0
	})
}
