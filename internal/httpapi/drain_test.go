package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/obs"
)

func TestHeldServerShowsOnlyPages(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/user", "x", NoAuth)
	plain := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") })
	b.Mount("/ws", plain)
	b.Mount("/metrics", plain)
	b.KeepOpen("/metrics")
	b.Hold(true)
	for _, path := range []string{"/rest/user", "/ws"} {
		if r := b.do(t, "GET", path, "").want(t, 503); r.header.Get("Retry-After") == "" || r.body["meta"] != "unavailable" {
			t.Errorf("%s: %s", path, r.text)
		}
	}
	for _, path := range []string{"/metrics", "/health/live", "/version"} {
		b.do(t, "GET", path, "").want(t, 200)
	}
	b.Hold(false)
	b.do(t, "GET", "/rest/user", "").want(t, 200)
	b.do(t, "GET", "/ws", "").want(t, 200)
}

func TestDrainEndsWhatWaitsAndServesCallsInProgress(t *testing.T) {
	b := newBench(t, nil)
	waiting := make(chan struct{})
	wait := func(ctx context.Context, _ *struct{}) (string, error) {
		close(waiting)
		<-Draining(ctx)
		return "drained", nil
	}
	Handle(b.API, Op{ID: "Wait", Method: "GET", Path: "/rest/event", Tag: "Event", Auth: NoAuth}, wait)
	Handle(b.API, Op{ID: "Hangup", Method: "DELETE", Path: "/rest/call/{uuid}", Tag: "Call", Auth: NoAuth, InDrain: true}, func(context.Context, *struct{}) (string, error) { return "ended", nil })
	answered := make(chan string, 1)
	go func() {
		res := httptest.NewRecorder()
		b.ServeHTTP(res, httptest.NewRequest("GET", "/rest/event", nil))
		answered <- res.Body.String()
	}()
	<-waiting
	none, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.Settle(none); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an operation was not waited for: %v", err)
	}
	b.Drain(true)
	if err := b.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	if text := <-answered; !strings.Contains(text, "drained") {
		t.Error(text)
	}
	b.do(t, "GET", "/rest/event", "").want(t, 503)
	b.do(t, "DELETE", "/rest/call/x", "").want(t, 200)
}

func TestLogLinesOfARequestCarryItsID(t *testing.T) {
	var out bytes.Buffer
	log, err := obs.NewLogger(obs.LogOptions{Writer: &out, Level: "debug", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(o *Options) { o.Logger = log })
	Handle(b.API, Op{ID: "Log", Method: "GET", Path: "/rest/user", Tag: "User", Auth: NoAuth}, func(ctx context.Context, _ *struct{}) (string, error) {
		log.InfoContext(ctx, "inside", slog.String("a", "b"))
		return "", errors.New("broken")
	})
	req := httptest.NewRequest("GET", "/rest/user", nil)
	req.Header.Set("X-Request-Id", "rid-7")
	b.ServeHTTP(httptest.NewRecorder(), req)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatal(out.String())
	}
	for _, l := range lines {
		if strings.Count(l, `"request_id":"rid-7"`) != 1 {
			t.Error(l)
		}
	}
}
