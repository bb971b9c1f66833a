package voice

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/bus"
	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/voice/call"
)

// join makes a member live until the test ends; gone gives the end of its Run.
func join(t *testing.T, m *cluster.Member) (gone chan error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- m.Run(ctx, func() { close(ready) })
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	<-ready
	return done
}

// open reports a live leg that reserves money.
func (h *house) open(l *number.Lease) call.Leg {
	tg := &tag{tn: l.TN, lease: l.ID, charge: chargeIn, rate: Rate{PerMin: money.MustParse("0.0055"), MinTime: 6, Interval: 6}}
	a := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: tg, InitOn: time.Now(), State: call.Init}
	h.s.LegChanged(a)
	a.State, a.AnswerOn = call.Live, time.Now()
	h.s.LegChanged(a)
	return a
}

// beside runs the service of another node on the same database.
func (h *house) beside(node string, nodes Nodes, change func(*Config)) *Service {
	h.t.Helper()
	cfg := h.s.cfg
	cfg.Node, cfg.Nodes, cfg.Fence = node, nodes, nil
	cfg.Jobs = nil // those of the database are for the first
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	s.engine = &fakeEngine{s: s, calls: map[string]*fakeCall{}}
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	h.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
	return s
}

func TestTheCallsOfADeadNodeAreClosedOnceByTheOthers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		member := func(name string) *cluster.Member { return cluster.New(cluster.Config{DB: d, Name: name}) }
		frozen := member("one")
		gone := join(t, frozen)
		h := build(t, d, func(c *Config) { c.Node, c.Nodes, c.Fence = frozen.ID(), frozen, frozen.Fence })
		l := h.lease(0)
		const calls = lostBatch + 30 // more than one batch
		var legs []call.Leg
		for range calls {
			legs = append(legs, h.open(&l))
		}
		for range 2 * calls {
			h.next("", CallStateEvent)
		}
		next := member("one") // its start ends the earlier run, and both others look for the calls at the same moment
		for _, name := range []string{"two", "three"} {
			m := member(name)
			join(t, m)
			next.OnDead(name, h.beside(m.ID(), m, func(c *Config) { c.Fence = m.Fence }).TakeBack)
		}
		join(t, next)
		states := map[string][]string{}
		for range 2 * calls {
			e := h.next("", CallStateEvent)
			said := fmt.Sprint(e.Payload["state"], " ", e.Payload["reason"], ": ", e.Payload["release_cause_from_protocol_stack"])
			states[e.RefID] = append(states[e.RefID], said)
		}
		for _, leg := range legs {
			if got := states[leg.ID]; !slices.Equal(got, []string{"hangup internal: Node was lost", "destroyed internal: Node was lost"}) {
				t.Fatalf("leg %s: %v", leg.ID, got)
			}
		}
		if d.Engine() == db.SQLite {
			<-gone // there the fence asks nobody: two servers do not share a file
		}
		for _, leg := range legs { // the frozen node comes back
			leg.State, leg.HangupOn, leg.DestroyOn = call.Destroyed, time.Now(), time.Now()
			h.s.LegChanged(leg)
		}
		h.stop()
		rows, err := h.log.Read(t.Context(), queryOf(h.ann.Account))
		h.must(err)
		told := 0
		for _, row := range rows {
			if row.Type == string(CallStateEvent) {
				told++
			}
		}
		if told != 4*calls || h.s.Dropped() == 0 {
			t.Errorf("%d events of %d calls, %d facts dropped", told, calls, h.s.Dropped())
		}
		if _, _, reserved, err := h.billing.Balance(t.Context(), d.Read(), h.ann.Account); err != nil || reserved != 0 {
			t.Errorf("%s stay reserved, %v", reserved, err)
		}
	})
}

// TestCallsOfANodeThatNobodyKnowsAreClosedAtTheStart: those of a time before there were nodes, or of one that was forgotten.
func TestCallsOfANodeThatNobodyKnowsAreClosedAtTheStart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		l := h.lease(0)
		a := h.open(&l)
		h.states(a.ID, "init", "live")
		living := cluster.New(cluster.Config{DB: d, Name: "two"})
		join(t, living)
		kept := h.open(&l) // its call is over, and its recording was being made into a file
		h.states(kept.ID, "init", "live")
		r := call.Record{ID: ident.New(), Leg: kept.ID, Account: kept.Account, State: "processing", Format: "wav", Channels: "mono", StartedOn: time.Now()}
		h.s.RecordChanged(r)
		kept.State, kept.HangupOn, kept.DestroyOn, kept.Cause = call.Destroyed, time.Now(), time.Now(), call.Cause{Q850: 16, Reason: "normal"}
		h.s.LegChanged(kept)
		has(t, h.states(kept.ID, "destroyed").Payload, map[string]string{"finished_on": "null"})
		h.beside(living.ID(), living, nil)
		has(t, h.states(a.ID, "hangup", "destroyed").Payload, map[string]string{"q850_cause": "41", "reason": `"internal"`})
		has(t, h.do("GET", "/rest/call/"+a.ID, "").is(200).object(), map[string]string{"release_cause_from_protocol_stack": `"Node was lost"`})
		if e := h.next(kept.ID, CallRecordEvent); e.Payload["event"] != "failed" {
			t.Errorf("its recording: %v", e.Payload)
		}
		if o := h.do("GET", "/rest/call/"+kept.ID, "").is(200).object(); o["finished_on"] == nil || o["reason"] != "normal" {
			t.Errorf("a call that was over: %v", o)
		}
	})
}

func TestCommandsGoToTheNodeThatHasTheCall(t *testing.T) {
	wire, err := bus.Open(bus.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.Close)
	d := dbtest.SQLite(t)
	m := cluster.New(cluster.Config{DB: d, Name: "one"})
	join(t, m)
	h := build(t, d, func(c *Config) { c.Node, c.Nodes, c.Bus = m.ID(), m, wire })
	_, l := h.app(func(a *App) { a.StaticFlow = "<Response><Answer/><Pause length='600'/></Response>" })
	n := cluster.New(cluster.Config{DB: d, Name: "two"})
	join(t, n)
	other := h.beside(n.ID(), n, nil)
	deaf := h.beside("deaf", n, func(c *Config) { c.Bus = nil })
	account, ctx := h.ann.Account, t.Context()
	c := h.fake.begin(call.Leg{Account: account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: &tag{tn: l.TN, lease: l.ID}})
	h.states(c.A().ID, "init")
	c.enter(call.Live)
	h.states(c.A().ID, "live")
	id := c.A().ID
	if err := other.SendKeys(ctx, account, id, "12#", "aleg", 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	sent := c.sent
	c.mu.Unlock()
	if sent != "12#" {
		t.Fatalf("sent %q", sent)
	}
	if err := other.SendKeys(ctx, account, id, "1", "bleg", 0); !fault.Is(err, fault.Conflict) || fault.Of(err).Message != "the call has no other leg" {
		t.Fatal("the owner's words:", err)
	}
	if err := other.PushFlow(ctx, account, id, "<Response><Hangup/></Response>", false); !fault.Is(err, fault.CallEnded) {
		t.Fatal("no script runs on it:", err)
	}
	if err := other.HangupCall(ctx, ident.New(), id, 16); !fault.Is(err, fault.NotFound) {
		t.Fatal("another account's call:", err)
	}
	if err := deaf.HangupCall(ctx, account, id, 16); !fault.Is(err, fault.Unavailable) {
		t.Fatal("without a common bus:", err)
	}
	if err := other.HangupCall(ctx, account, id, 17); err != nil {
		t.Fatal(err)
	}
	<-c.ctx.Done()
	has(t, h.states(id, "hangup").Payload, map[string]string{"q850_cause": "17", "reason": `"api"`})
	if err := other.HangupCall(ctx, account, id, 16); !fault.Is(err, fault.CallEnded) {
		t.Fatal(err)
	}
}
