package stream_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/stream"
)

// heap is the live heap and the stacks, in bytes.
func heap() uint64 {
	var m runtime.MemStats
	for range 3 { // a collection also shrinks stacks and empties pools
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestAThousandSocketsOneEventAndBack: all of them get it, each costs little, and what they cost comes back.
func TestAThousandSocketsOneEventAndBack(t *testing.T) {
	before := goleak.IgnoreCurrent()
	d := dbtest.SQLite(t)
	h := serve(t, d, event.NewLog(event.Config{DB: d}), nil)
	warm := h.rawSignedIn("a-warm")
	const sockets = 1000
	empty := heap()
	all := make([]*raw, sockets)
	var dialers sync.WaitGroup
	for first := range 25 {
		dialers.Go(func() {
			for i := first; i < sockets; i += 25 {
				all[i] = h.rawSignedIn(fmt.Sprintf("a-u%d", i/20))
				all[i].write(masked(0x81, `{"type":"subscribe","payload":{"types":["sms"]}}`))
				if m := all[i].text(); m["type"] != "subscribe" || m["success"] != true {
					t.Error(m)
				}
			}
		})
	}
	if dialers.Wait(); t.Failed() {
		return
	}
	if n := h.gate.Sockets(); n != sockets+1 {
		t.Fatal(n, "sockets")
	}
	full := heap()
	if each := (full - empty) / sockets; each > 16<<10 { // with what the clients here keep
		t.Errorf("%d bytes a socket", each)
	}
	h.emit("a", "sms", 42)
	for _, r := range all {
		if m := r.text(); m["type"] != "sms" || m["payload"] != 42.0 {
			t.Fatal(m)
		}
	}
	for _, r := range all {
		r.write(masked(0x88, "\x03\xe8"))
	}
	for _, r := range all {
		r.ended(1000)
		_ = r.conn.Close()
	}
	h.stop()
	warm.ended(1001)
	clear(all)
	if n := h.gate.Sockets(); n != 0 {
		t.Error(n, "sockets after the stop")
	}
	if now := heap(); now > empty+(full-empty)*6/10 { // the runtime keeps goroutines' headers, the test its cleanups
		t.Errorf("%d bytes before, %d with the sockets, %d after", empty, full, now)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

// TestWhoDoesNotReadHarmsNobody: their queues end at the limit, with the cursor of the last event sent; who reads gets everything.
func TestWhoDoesNotReadHarmsNobody(t *testing.T) {
	d := dbtest.SQLite(t)
	h := serve(t, d, event.NewLog(event.Config{DB: d}), nil)
	defer h.stop()
	subscribe := masked(0x81, `{"type":"subscribe","payload":{"types":["sms"]}}`)
	deaf := make([]*raw, 20)
	for i := range deaf {
		deaf[i] = h.rawSignedIn("a-deaf")
		deaf[i].write(subscribe)
	}
	good := h.rawSignedIn("a-good")
	good.write(subscribe)
	good.text()
	body := strings.Repeat("x", 32<<10)
	const waves, each = 22, 10 // 7 MiB: the queue's 4, what the kernel holds, and more
	for range waves {
		err := h.d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
			for range each {
				if err := h.log.Append(tx, event.Event{Account: "a", Type: "sms", RefID: "r", Payload: body}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range each {
			if m := good.text(); m["type"] != "sms" {
				t.Fatal(m)
			}
		}
	}
	for _, r := range deaf {
		last := ""
		for {
			op, payload, err := r.frame()
			if err != nil {
				t.Fatalf("not told: %v", err)
			}
			if op == 8 {
				if string(payload) != "\x11\x38"+last { // 4408
					t.Fatalf("closed with %q, the last cursor was %s", payload, last)
				}
				break
			}
			if _, after, ok := strings.Cut(string(payload), `"cursor":"`); ok {
				last, _, _ = strings.Cut(after, `"`)
			}
		}
	}
}

// TestASocketThatAnswersNoPingIsEnded, one that does stays.
func TestASocketThatAnswersNoPingIsEnded(t *testing.T) {
	d := dbtest.SQLite(t)
	log := event.NewLog(event.Config{DB: d})
	gate := stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}, PingEvery: 300 * time.Millisecond})
	h := serve(t, d, log, gate)
	defer h.stop()
	good := h.rawSignedIn("a-good")
	silent := h.rawSignedIn("a-silent")
	pings := 0
	var wait sync.WaitGroup
	wait.Go(func() {
		if reason := silent.ended(1001); reason != "no pong" {
			t.Error(reason)
		}
	})
	over := make(chan struct{})
	go func() { wait.Wait(); close(over) }()
	for {
		op, payload, err := good.frame()
		if err != nil || op != 9 {
			t.Fatal(op, payload, err)
		}
		pings++
		good.write(masked(0x8a, string(payload)))
		select {
		case <-over:
			if pings < 2 {
				t.Error(pings, "pings")
			}
			good.write(masked(0x81, `{"type":"ping"}`))
			if m := good.text(); m["type"] != "pong" {
				t.Fatal(m)
			}
			return
		default:
		}
	}
}

// TestAnEndedSessionEndsItsSockets.
func TestAnEndedSessionEndsItsSockets(t *testing.T) {
	d := dbtest.SQLite(t)
	log := event.NewLog(event.Config{DB: d})
	ses := &sessions{}
	gate := stream.NewGate(stream.Config{DB: d, Log: log, Sessions: ses, PingEvery: 300 * time.Millisecond})
	h := serve(t, d, log, gate)
	defer h.stop()
	c := h.signIn("a-u")
	ses.mu.Lock()
	ses.dead = true
	ses.mu.Unlock()
	c.closed(4401)
}

// wire joins the buses of gates in one process.
type wire struct {
	mu   sync.Mutex
	subs []func([]byte)
}

func (w *wire) Publish(_ string, data []byte) error {
	w.mu.Lock()
	subs := append([]func([]byte){}, w.subs...)
	w.mu.Unlock()
	for _, f := range subs {
		f(data)
	}
	return nil
}

func (w *wire) Subscribe(_ string, f func([]byte)) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subs = append(w.subs, f)
	return func() {}, nil
}

// TestASubscriptionMadeOnOneNodeCountsOnAnother.
func TestASubscriptionMadeOnOneNodeCountsOnAnother(t *testing.T) {
	d := dbtest.SQLite(t)
	bus := &wire{}
	node := func() stoppable {
		log := event.NewLog(event.Config{DB: d})
		return serve(t, d, log, stream.NewGate(stream.Config{DB: d, Log: log, Sessions: &sessions{}, Bus: bus}))
	}
	one, other := node(), node()
	defer one.stop()
	defer other.stop()
	c := other.signIn("a-u")
	if status, out := one.rest("POST", "/rest/event/subscription", "a-u", `{"channel":"wss","type":"sms"}`); status != 201 {
		t.Fatal(status, out)
	}
	one.emit("a", "sms", 1)
	c.send(`{"type":"subscribe","payload":{"types":["balance"]}}`) // on top of the stored ones
	if m := c.next(); m["type"] == "sms" {
		t.Log("the event overtook the answer")
	} else if types := m["payload"].(map[string]any)["types"]; fmt.Sprint(types) != "[balance sms]" {
		t.Fatal(m)
	}
	one.emit("a", "balance", 2)
	one.emit("a", "tn_lease", 3)
	one.emit("a", "sms", 4)
	var got []any
	for len(got) == 0 || got[len(got)-1] != 4.0 {
		if m := c.next(); m["type"] != "subscribe" {
			got = append(got, m["payload"])
		}
	}
	if s := fmt.Sprint(got); s != "[1 2 4]" && s != "[2 4]" {
		t.Fatal(s)
	}
}

// TestCursorsThatCannotBeResumedFrom are told apart, on the socket and over REST; the socket stays open.
func TestCursorsThatCannotBeResumedFrom(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		for i := range 4 {
			h.emit("a", "sms", i)
		}
		h.emit("b", "sms", 9)
		foreign := event.FormatCursor(5)
		if n, err := h.log.Trim(t.Context(), time.Now().Add(time.Hour), 2); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		c := h.signIn("a-u")
		for cursor, want := range map[string]struct {
			status int
			text   string
		}{
			"c_0000000000000001":    {410, "Cursor is too old"},
			foreign:                 {404, "use the cursor of an event of this account"},
			"c_0fffffffffffffff":    {400, "newer than the log"},
			"yesterday":             {400, "not a cursor"},
			event.FormatCursor(3):   {200, "ok"},
			event.FormatCursor(2):   {200, "ok"}, // just removed: nothing is missing after it
			"c_" + foreign[2:] + "": {404, "Cursor not found"},
		} {
			c.send(fmt.Sprintf(`{"type":"subscribe","payload":{"types":["auth"],"since":%q}}`, cursor))
			m := c.next()
			text := fmt.Sprint(m["message"])
			if (want.status == 200) != (m["success"] == true) || want.status != 200 && m["status"] != float64(want.status) || !strings.Contains(text, want.text) {
				t.Errorf("%s on the socket: %v", cursor, m)
			}
			status, out := h.rest("GET", "/rest/event?since="+cursor, "a-u", "")
			if want.status == 410 { // what to do: the place behind which nothing is missing
				field, _ := out["fields"].(map[string]any)["params.since"].(map[string]any)
				for _, advice := range []any{m["detail"], field["message"]} {
					if !strings.Contains(fmt.Sprint(advice), "go on with "+event.FormatCursor(2)) {
						t.Errorf("no advice in %v, %v", m, out)
					}
				}
			}
			if status != want.status || want.status != 200 && !strings.Contains(fmt.Sprint(out["message"]), want.text) {
				t.Errorf("%s over REST: %d %v", cursor, status, out)
			}
		}
		_, out := h.rest("GET", "/rest/event", "nobody-here", "") // an empty log of its own
		cursor := out["payload"].(map[string]any)["cursor"].(string)
		if status, out := h.rest("GET", "/rest/event?since="+cursor, "nobody-here", ""); status != 200 {
			t.Error(cursor, status, out)
		}
	})
}
