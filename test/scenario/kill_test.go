package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// notes are what clients were promised: every 2xx that reached them.
type notes struct {
	mu     sync.Mutex
	sms    []string
	calls  []string
	orders []string
	by     map[string]string // id to the path that promised it
	other  []error           // answers that were neither 2xx nor a broken connection
}

func (n *notes) add(list *[]string, id, path string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.by[id] = path
	*list = append(*list, id)
}

// traffic is mixed work against a server until ctx ends or the server is gone.
type traffic struct {
	c                     *house.Client
	sender, number, route string // route is an outbound voice profile
	notes                 *notes
	killed                atomic.Bool // set before SIGKILL: what breaks from then on was never promised
}

// send does one request and notes its promise; false ends the client.
func (w *traffic) send(ctx context.Context, path string, body any, list *[]string) bool {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // the bodies are maps of plain values
	}
	a, err := w.c.Request(ctx, "POST", path, b, nil)
	if err != nil {
		if !w.killed.Load() && ctx.Err() == nil {
			w.fault(err)
		}
		return false
	}
	if a.Status/100 != 2 {
		if a.Status < 502 { // 502 and 503: too busy, nothing promised
			w.fault(fmt.Errorf("%s: %d %s", path, a.Status, a.Body))
		}
		return !w.killed.Load()
	}
	w.notes.add(list, house.Doc{Value: a.Doc}.Str("payload.uuid"), path)
	return true
}

func (w *traffic) fault(err error) {
	w.notes.mu.Lock()
	defer w.notes.mu.Unlock()
	w.notes.other = append(w.notes.other, err)
}

// loop repeats one kind of work at most once per pause.
func (w *traffic) loop(ctx context.Context, pause time.Duration, do func(i int) bool) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := 0; do(i); i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// start runs all kinds of work; the group ends when the server is gone.
func (w *traffic) start(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	n := w.notes
	far := []string{"15005550101", "15005550102", "15005550103", "15005550104", w.number}
	for range 4 {
		wg.Go(func() {
			w.loop(ctx, 5*time.Millisecond, func(i int) bool {
				return w.send(ctx, "/rest/sms", map[string]any{"from": w.sender, "to": far[i%len(far)], "message": fmt.Sprintf("message %d", i)}, &n.sms)
			})
		})
	}
	for _, to := range []string{"15005550001", "15005550002", "15005550004"} {
		wg.Go(func() {
			w.loop(ctx, 60*time.Millisecond, func(int) bool {
				return w.send(ctx, "/rest/call", map[string]any{"to": to, "from": w.sender, "outbound_voice_profile": w.route, "xml": "<Response><Pause length='400'/><Hangup/></Response>"}, &n.calls)
			})
		})
	}
	wg.Go(func() {
		w.loop(ctx, 80*time.Millisecond, func(i int) bool {
			return w.send(ctx, "/rest/sandbox/call", map[string]any{"from": fmt.Sprintf("1312555%04d", i%10000), "to": w.number, "script": []any{map[string]any{"wait_ms": 300}}}, &n.calls)
		})
	})
	wg.Go(func() {
		w.loop(ctx, 100*time.Millisecond, func(int) bool {
			found, err := w.c.Do(ctx, "POST", "/rest/tn/search?take=1", `{"npa": "416"}`)
			if err != nil || found.Str("data[0].tn") == "" {
				return false
			}
			return w.send(ctx, "/rest/order", map[string]any{"items": []any{map[string]any{"tn": found.Num("data[0].tn"), "features": []string{"voice"}}}}, &n.orders)
		})
	})
	return &wg
}

func TestKillNine(t *testing.T) {
	onBoth(t, "kill", func(t *testing.T, db string) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		s, c, number := begin(t, db, `<Response><Answer/><Pause length="600"/><Hangup/></Response>`)
		sender, err := house.Sender(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		profile, err := house.OutboundProfile(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		w := &traffic{c: c, sender: sender, number: number, route: profile, notes: &notes{by: map[string]string{}}}
		wg := w.start(ctx)
		// The blow falls when enough was promised, at whatever the server is doing then.
		promised, stop := context.WithTimeout(ctx, 20*time.Second)
		defer stop()
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			w.notes.mu.Lock()
			enough := len(w.notes.sms) > 300 && len(w.notes.calls) > 40 && len(w.notes.orders) > 5
			w.notes.mu.Unlock()
			if enough || promised.Err() != nil {
				tick.Stop()
				break
			}
		}
		w.killed.Store(true)
		s.Kill()
		wg.Wait()
		n := w.notes
		t.Logf("promised: %d messages, %d calls, %d orders", len(n.sms), len(n.calls), len(n.orders))
		if len(n.other) > 0 {
			t.Fatalf("%d odd answers before the kill: %v", len(n.other), n.other[0])
		}
		if len(n.sms) < 100 || len(n.calls) < 10 || len(n.orders) < 3 {
			t.Fatal("too little traffic to tell anything")
		}
		if err := s.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		*c = *s.Client()
		t.Logf("ready again after %v", s.Took())
		checkMessages(ctx, t, c, n.sms)
		checkCalls(ctx, t, c, n)
		checkOrders(ctx, t, c, n.orders)
		checkLedger(ctx, t, c)
		checkUniqueEvents(ctx, t, c)
	})
}

// checkMessages wants every promised message final: delivered, or failed.
func checkMessages(ctx context.Context, t *testing.T, c *house.Client, ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	final := func(d house.Doc) bool { return d.Str("state") == "failed" || d.Str("delivered") == "true" }
	for _, id := range ids {
		if err := until(ctx, c, "/rest/sms/outbound/"+id, final); err != nil {
			t.Errorf("message %s: %v", id, err)
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// checkCalls wants every promised call closed, and no other open.
func checkCalls(ctx context.Context, t *testing.T, c *house.Client, n *notes) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	for _, id := range n.calls {
		err := until(ctx, c, "/rest/call/"+id, func(d house.Doc) bool { return d.Str("state") == "destroyed" && d.Str("destroy_on") != "" })
		if err != nil {
			t.Errorf("call %s of %s: %v", id, n.by[id], err)
		}
	}
	conds, err := house.Conditions("payload.total = 0")
	if err == nil {
		_, err = c.Await(ctx, "POST", "/rest/call/search", []byte(`{"state": "online"}`), conds)
	}
	if err != nil {
		t.Errorf("calls that never end: %v", err)
	}
}

func checkOrders(ctx context.Context, t *testing.T, c *house.Client, ids []string) {
	t.Helper()
	for _, id := range ids {
		err := until(ctx, c, "/rest/order/"+id, func(d house.Doc) bool { return d.Str("state") == "success" || d.Str("state") == "failed" })
		if err != nil {
			t.Errorf("order %s: %v", id, err)
		}
	}
}

// until asks for an object until it is as wanted.
func until(ctx context.Context, c *house.Client, path string, ok func(house.Doc) bool) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := c.Do(ctx, "GET", path, nil)
		switch {
		case err == nil && ok(d):
			return nil
		case err != nil && ctx.Err() == nil:
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not final: state %s, delivered %s, reason %s, sent_on %s, destroy_on %s, modified_on %s", d.Str("state"), d.Str("delivered"), d.Str("reason"), d.Str("sent_on"), d.Str("destroy_on"), d.Str("modified_on"))
		}
	}
}

// checkLedger wants the balance to be the sum of the transactions, and each to begin where the one before it ended. Money is compared in micro-dollars.
func checkLedger(ctx context.Context, t *testing.T, c *house.Client) {
	t.Helper()
	micro := func(f float64) int64 { return int64(math.Round(f * 1e6)) }
	for attempt := 0; ; attempt++ {
		account, err := c.Do(ctx, "GET", "/rest/account", nil)
		if err != nil {
			t.Fatal(err)
		}
		var sum, entries int64
		broken := 0
		for skip := 0; ; skip += 100 {
			page, err := c.Do(ctx, "POST", fmt.Sprintf("/rest/transaction/search?take=100&skip=%d", skip), `{"order": {"created_on": "ASC"}}`)
			if err != nil {
				t.Fatal(err)
			}
			list := page.List("data")
			if len(list) == 0 {
				break
			}
			for _, x := range list {
				entries++
				sum += micro(x.Num("amount"))
				if micro(x.Num("account_balance_before"))+micro(x.Num("amount")) != micro(x.Num("account_balance_after")) {
					broken++
				}
			}
		}
		again, err := c.Do(ctx, "GET", "/rest/account", nil)
		if err != nil {
			t.Fatal(err)
		}
		if account.Num("balance") != again.Num("balance") && attempt < 20 {
			continue // charges were still being made while we read
		}
		if broken > 0 || sum != micro(again.Num("balance")) || entries < 10 {
			t.Errorf("the balance is %v, %d transactions sum to %.6f, %d of them do not add up", again.Num("balance"), entries, float64(sum)/1e6, broken)
		}
		return
	}
}

// checkUniqueEvents reads the whole log twice: no uuid comes with two contents, no cursor goes back.
func checkUniqueEvents(ctx context.Context, t *testing.T, c *house.Client) {
	t.Helper()
	content := map[string][]byte{}
	total := 0
	for range 2 {
		last := ""
		err := house.EachEvent(ctx, c, "", func(e house.Doc) error {
			total++
			b, err := json.Marshal(e.Value)
			if err != nil {
				return err
			}
			id, cursor := e.Str("uuid"), e.Str("cursor")
			if old, ok := content[id]; ok && !bytes.Equal(old, b) {
				return fmt.Errorf("event %s has two contents:\n%s\n%s", id, old, b)
			}
			content[id] = b
			if cursor <= last {
				return fmt.Errorf("cursor %s after %s", cursor, last)
			}
			last = cursor
			return nil
		})
		if err != nil {
			t.Error(err)
			return
		}
	}
	t.Logf("%d events read, %d different", total, len(content))
	if len(content) < 100 {
		t.Errorf("only %d events", len(content))
	}
}
