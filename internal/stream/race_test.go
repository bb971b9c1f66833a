package stream_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/stream"
)

// TestEverythingAfterTheAnswersCursorIsChosenByIt: a client that chooses types gets every such event after the cursor of the answer, however the log grows
// at that moment.
func TestEverythingAfterTheAnswersCursorIsChosenByIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		for round := range 15 {
			c := h.signIn(fmt.Sprintf("a-u%d", round))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { h.emit("a", "sms", round) })
			}
			c.send(`{"type":"subscribe","payload":{"types":["sms"]}}`)
			answer := c.next()
			wg.Wait()
			after, err := event.ParseCursor(answer["payload"].(map[string]any)["cursor"].(string))
			if err != nil {
				t.Fatal(answer)
			}
			rows, err := h.log.Read(t.Context(), event.Query{Account: "a", After: after, Types: []string{"sms"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if m := c.next(); m["cursor"] != r.Cursor() {
					t.Fatalf("round %d: got %v, want %s", round, m["cursor"], r.Cursor())
				}
			}
			_ = c.c.CloseNow()
		}
	})
}

// TestResumingAgainWhileReplayingHasNoGap: each frame with a cursor starts over.
func TestResumingAgainWhileReplayingHasNoGap(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	for i := range 700 {
		h.emit("a", "sms", i)
	}
	c := h.signIn("a-u")
	for range 5 {
		c.send(`{"type":"subscribe","payload":{"types":["sms"],"since":"c_0000000000000000"}}`)
	}
	answers, want := 0, -1
	for answers < 5 || want < 700 {
		m := c.next()
		if m["type"] == "subscribe" {
			answers, want = answers+1, 0
			continue
		}
		if int(m["payload"].(float64)) != want {
			t.Fatalf("got %v, want %d after %d answers", m["payload"], want, answers)
		}
		want++
	}
	h.emit("a", "sms", 700)
	if m := c.next(); m["payload"] != 700.0 {
		t.Fatal(m)
	}
}

// TestSilentConnectionsAreRefusedAndAStopWaitsForNobody, without leaving goroutines.
func TestSilentConnectionsAreRefusedAndAStopWaitsForNobody(t *testing.T) {
	before := goleak.IgnoreCurrent()
	d := dbtest.SQLite(t)
	log := event.NewLog(event.Config{DB: d})
	quick := stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}, AuthWithin: 50 * time.Millisecond})
	h := serve(t, d, log, quick)
	c := h.dial("/", nil)
	if m := c.next(); m["success"] != false || m["status"] != 401.0 {
		t.Fatal(m)
	}
	c.closed(4401)
	h.stop()

	slow := stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}, AuthWithin: time.Hour})
	h = serve(t, d, log, slow)
	silent, signed := h.dial("/", nil), h.signIn("a-u")
	if !slow.Online("u") || slow.Sockets() != 1 {
		t.Error("presence", slow.Sockets())
	}
	var ended sync.WaitGroup
	ended.Go(func() { silent.closed(1001) })
	ended.Go(func() { signed.closed(1001) })
	h.stop()
	ended.Wait()
	if slow.Online("u") || slow.Sockets() != 0 {
		t.Error("presence after the stop", slow.Sockets())
	}
	http.DefaultClient.CloseIdleConnections()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

type stoppable struct {
	*house
	stop func()
}

// serve runs a gate of the test's own, or a usual one, until stop.
func serve(t testing.TB, d *db.DB, log *event.Log, gate *stream.Gate) stoppable {
	t.Helper()
	if gate == nil {
		gate = stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}})
	}
	api := httpapi.New(httpapi.Options{Auth: tokens{}})
	gate.Routes(api)
	gate.Mount(api)
	h := &house{t: t, d: d, log: log, ses: &sessions{}, gate: gate}
	h.srv = newServer(api)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context, func()) error{log.Run, gate.Run} {
		up := make(chan struct{})
		wg.Go(func() {
			if err := run(ctx, func() { close(up) }); err != nil {
				t.Error(err)
			}
		})
		<-up
	}
	return stoppable{h, func() { cancel(); wg.Wait(); h.srv.Close() }}
}
