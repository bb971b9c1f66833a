package call

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second // how long a test waits for what must come

var loopback = netip.MustParseAddr("127.0.0.1")

// facts is an Observer that keeps all it hears.
type facts struct {
	mu      sync.Mutex
	legs    []Leg
	records []Record
	changed chan struct{}
}

func newFacts() *facts { return &facts{changed: make(chan struct{})} }

func (f *facts) LegChanged(l Leg)       { f.add(func() { f.legs = append(f.legs, l) }) }
func (f *facts) RecordChanged(r Record) { f.add(func() { f.records = append(f.records, r) }) }

func (f *facts) add(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	close(f.changed)
	f.changed = make(chan struct{})
}

// leg waits for a change that fits.
func (f *facts) leg(t testing.TB, what string, want func(Leg) bool) Leg {
	t.Helper()
	return await(t, f, what, func() (Leg, bool) {
		i := slices.IndexFunc(f.legs, want)
		if i < 0 {
			return Leg{}, false
		}
		return f.legs[i], true
	})
}

func (f *facts) record(t testing.TB, what string, want func(Record) bool) Record {
	t.Helper()
	return await(t, f, what, func() (Record, bool) {
		i := slices.IndexFunc(f.records, want)
		if i < 0 {
			return Record{}, false
		}
		return f.records[i], true
	})
}

func await[T any](t testing.TB, f *facts, what string, find func() (T, bool)) T {
	t.Helper()
	limit := time.After(patience)
	for {
		f.mu.Lock()
		v, ok := find()
		changed := f.changed
		f.mu.Unlock()
		if ok {
			return v
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%s never came; heard:\n%s", what, f)
		}
	}
}

func (f *facts) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := ""
	for _, l := range f.legs {
		s += fmt.Sprintf("%s %s %s>%s %s cause %+v\n", l.ID, l.Direction, l.From, l.To, l.State, l.Cause)
	}
	for _, r := range f.records {
		s += fmt.Sprintf("record %s %s %v\n", r.ID, r.State, r.Duration)
	}
	return s
}

// states lists the states of a leg in their order.
func (f *facts) states(id string) []State {
	f.mu.Lock()
	defer f.mu.Unlock()
	var states []State
	for _, l := range f.legs {
		if l.ID == id {
			states = append(states, l.State)
		}
	}
	return states
}

// check proves that every leg went through the table, each change once, to destroyed.
func (f *facts) check(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	last := map[string]Leg{}
	for _, l := range f.legs {
		before := last[l.ID].State
		allowed := false
		for _, to := range table[before] {
			allowed = allowed || to == l.State
		}
		if !allowed {
			t.Errorf("leg %s went from %q to %q", l.ID, before, l.State)
		}
		last[l.ID] = l
	}
	for id, l := range last {
		if l.State != Destroyed {
			t.Errorf("leg %s ended as %s", id, l.State)
		}
		if l.Cause.Q850 == 0 || l.Cause.Reason == "" || l.Cause.By == "" {
			t.Errorf("leg %s ended without a whole cause: %+v", id, l.Cause)
		}
		if l.HangupOn.IsZero() || l.DestroyOn.IsZero() {
			t.Errorf("leg %s has no times of its end", id)
		}
	}
	states := map[string]string{}
	for _, r := range f.records {
		states[r.ID] += r.State + " "
	}
	for id, s := range states {
		if s != "recording processing available " && s != "recording processing failed " {
			t.Errorf("recording %s: %s", id, s)
		}
	}
}

// world is an engine with its SIP endpoint, and what phones need.
type world struct {
	t      testing.TB
	engine *Engine
	sip    *sip.Endpoint
	facts  *facts
	store  *blob.Store
	dir    string
	clock  *rtp.Clock
	ports  *rtp.Ports
	script func(*Call) // runs for each inbound call

	mu    sync.Mutex
	route func(RouteRequest) ([]Attempt, *Cause)
}

func (w *world) Route(_ context.Context, r RouteRequest) ([]Attempt, *Cause) {
	w.mu.Lock()
	route := w.route
	w.mu.Unlock()
	return route(r)
}

// change sets what the goroutines of the SIP endpoint read.
func (w *world) change(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
}

func (w *world) Invite(d *sip.Dialog) {
	w.mu.Lock()
	engine, script := w.engine, w.script
	w.mu.Unlock()
	c, err := engine.Inbound(d, Inbound{Account: "acc", Type: "CallSCA", From: "+" + d.From().User, To: d.Called().User})
	if err != nil {
		return
	}
	script(c)
}

func (w *world) Request(*sip.Request) sip.Response { return sip.Response{} }

// newWorld makes an engine whose script is run for each inbound call.
func newWorld(t testing.TB, script func(*Call), change ...func(*Config)) *world {
	t.Helper()
	dir := t.TempDir()
	store, err := blob.Open("file:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := &world{t: t, facts: newFacts(), store: store, dir: dir, script: script}
	w.clock, w.ports = startClock(t)
	w.sip = startSIP(t, w)
	cfg := Config{
		SIP: w.sip, Ports: w.ports, Clock: w.clock, MediaIP: loopback, Observer: w.facts, Router: w, Blob: store,
		Limits: Limits{Drain: 300 * time.Millisecond, PreAnswer: 400 * time.Millisecond},
	}
	for _, fn := range change {
		fn(&cfg)
	}
	w.change(func() { w.engine = NewEngine(cfg) })
	run(t, w.engine.Run)
	// Registered last, runs first: when the test is through, all calls end and their histories must be whole.
	t.Cleanup(func() { w.drained(); w.facts.check(t) })
	return w
}

// drained waits until no call is left, hanging up those that are.
func (w *world) drained() {
	w.t.Helper()
	for _, c := range w.engine.registry.all() {
		c.Hangup(Cause{Q850: NormalClearing, By: ByAPI})
	}
	w.gone()
}

// gone waits until no call is left.
func (w *world) gone() {
	w.t.Helper()
	limit := time.After(patience)
	for w.engine.Count() > 0 {
		select {
		case <-limit:
			w.t.Fatalf("%d calls never ended; heard:\n%s", w.engine.Count(), w.facts)
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.engine.calls.Wait()
}

func (w *world) addr() netip.AddrPort { return w.sip.Addr()[0].Addr }

func startClock(t testing.TB) (*rtp.Clock, *rtp.Ports) {
	t.Helper()
	clock := rtp.NewClock()
	run(t, func(ctx context.Context, ready func()) error {
		ready()
		return clock.Run(ctx)
	})
	ports, err := rtp.NewPorts(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return clock, ports
}

func startSIP(t testing.TB, handler sip.Handler) *sip.Endpoint {
	t.Helper()
	ep, err := sip.New(sip.Config{Listen: []string{"127.0.0.1:0"}, T1: 50 * time.Millisecond, T2: 200 * time.Millisecond, T4: 100 * time.Millisecond}, handler)
	if err != nil {
		t.Fatal(err)
	}
	run(t, ep.Run)
	return ep
}

// run runs a part until the end of the test.
func run(t testing.TB, part func(context.Context, func()) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- part(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// openFiles counts the descriptors of this process; 0 on systems that do not show them.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
