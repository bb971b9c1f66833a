package voice

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// feed reports one call of Ann's: a leg in that talks for a while, and how it ended.
func (h *house) feed(id string, t *tag, talked time.Duration) {
	at := time.Now().Add(-talked)
	l := call.Leg{ID: id, Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(t.tn), Tag: t, InitOn: at}
	l.State = call.Init
	h.s.LegChanged(l)
	l.State, l.AnswerOn = call.Live, at
	h.s.LegChanged(l)
	l.State, l.HangupOn, l.Cause = call.Hangup, at.Add(talked), call.Cause{Q850: 16, Reason: "normal", By: call.ByCaller}
	h.s.LegChanged(l)
	l.State, l.DestroyOn = call.Destroyed, at.Add(talked)
	h.s.LegChanged(l)
}

func TestAnsweredCallIsChargedOnceAndExactly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		l := h.lease(0)
		before, err := h.billing.Available(t.Context(), d.Read(), h.ann.Account)
		h.must(err)
		tg := &tag{tn: l.TN, lease: l.ID, charge: chargeIn, rate: Rate{PerMin: money.MustParse("0.0055"), MinTime: 6, Interval: 6}, meta: &metaBag{}}
		id := ident.New()
		h.feed(id, tg, 61*time.Second)
		h.states(id, "init", "live", "hangup", "destroyed")
		o := h.do("GET", "/rest/call/"+id, "").is(200).object()
		has(t, o, map[string]string{"billed_duration": "66", "price": "0.00605", "rate": "0.0055", "duration": "61", "hangup_by": `"caller"`})
		after, err := h.billing.Available(t.Context(), d.Read(), h.ann.Account)
		h.must(err)
		if before-after != money.MustParse("0.00605") {
			t.Errorf("charged %s", before-after)
		}
		if drift, err := h.billing.Drift(t.Context(), h.ann.Account); err != nil || drift != 0 {
			t.Errorf("drift %s %v", drift, err)
		}
	})
}

func TestManyCallsShareTransactionsAndKeepTheirOrder(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	l := h.lease(0)
	committed, _ := h.d.Stats()
	const calls = 300
	var wait sync.WaitGroup
	for range calls {
		wait.Go(func() { h.feed(ident.New(), &tag{tn: l.TN, lease: l.ID}, time.Second) })
	}
	wait.Wait()
	states := map[string][]string{}
	for range 4 * calls {
		e := h.next("", CallStateEvent)
		states[e.RefID] = append(states[e.RefID], e.Payload["state"].(string))
	}
	if len(states) != calls {
		t.Fatalf("%d calls", len(states))
	}
	for id, got := range states {
		if !slices.Equal(got, []string{"init", "live", "hangup", "destroyed"}) {
			t.Errorf("%s: %v", id, got)
		}
	}
	after, _ := h.d.Stats()
	if n := after - committed; n > calls {
		t.Errorf("%d transactions for %d calls", n, calls)
	}
}

func TestChildLegsShowTheirParentAndTheParentItsChildren(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	l := h.lease(0)
	tg := &tag{tn: l.TN, lease: l.ID}
	a := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: tg, InitOn: time.Now(), State: call.Init}
	h.s.LegChanged(a)
	b := call.Leg{ID: ident.New(), Parent: a.ID, Account: a.Account, Type: kindApp, Direction: call.Out, From: string(l.TN), To: "13125550190", Tag: tg, InitOn: time.Now(), State: call.Init}
	h.s.LegChanged(b)
	b.State, b.HangupOn, b.Cause = call.Hangup, time.Now(), call.Cause{Q850: 18, SIP: 480, Reason: "no_answer", By: call.ByCallee, Stack: "SIP 480"}
	h.s.LegChanged(b)
	b.State, b.DestroyOn = call.Destroyed, time.Now()
	h.s.LegChanged(b)
	e := h.states(b.ID, "init")
	has(t, e.Call["parent"].(map[string]any), map[string]string{"uuid": `"` + a.ID + `"`, "sip_user": "null", "q850_cause": "null"})
	has(t, h.states(b.ID, "hangup", "destroyed").Payload, map[string]string{"q850_cause": "18", "q850_cause_string": `"NO_USER_RESPONSE"`, "release_cause_from_protocol_stack": `"SIP 480"`})
	a.State, a.HangupOn, a.DestroyOn = call.Destroyed, time.Now(), time.Now()
	h.s.LegChanged(a)
	last := h.states(a.ID, "destroyed")
	children := last.Call["children"].([]any)
	if len(children) != 1 {
		t.Fatalf("children %v", children)
	}
	has(t, children[0].(map[string]any), map[string]string{"uuid": `"` + b.ID + `"`, "state": `"destroyed"`, "q850_cause": "18"})
	if o := h.do("GET", "/rest/call/"+a.ID, "").is(200).object(); len(o["children"].([]any)) != 1 {
		t.Errorf("REST: %v", o["children"])
	}
}

func TestRecordIsToldWhenItIsAvailableAndEndsTheCallsWork(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		l := h.lease(0)
		tg := &tag{tn: l.TN, lease: l.ID}
		a := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: tg, InitOn: time.Now(), State: call.Init}
		h.s.LegChanged(a)
		r := call.Record{ID: ident.New(), Leg: a.ID, Account: a.Account, Tag: "voicemail", State: "recording", Format: "wav", Channels: "mono", StartedOn: time.Now()}
		h.s.RecordChanged(r)
		a.State, a.HangupOn, a.DestroyOn = call.Destroyed, time.Now(), time.Now()
		h.s.LegChanged(a)
		has(t, h.states(a.ID, "init", "destroyed").Payload, map[string]string{"finished_on": "null"})
		h.do("GET", "/rest/record/"+r.ID+".wav", "").is(409)
		h.do("DELETE", "/rest/record/"+r.ID, "").is(409)
		r.State, r.Duration, r.Size, r.SHA256, r.AvailableOn, r.BlobKey = "available", 14280*time.Millisecond, 228524, "ab", time.Now(), "rec/x.wav"
		h.s.RecordChanged(r)
		e := h.next(a.ID, CallRecordEvent)
		has(t, e.Payload, map[string]string{"event": `"available"`, "uuid": `"` + r.ID + `"`, "tag": `"voicemail"`, "duration": "14.28", "size": "228524", "transcript": "null", "transcript_state": `"none"`})
		if e.Message != "Record "+r.ID+": available" || len(e.Call["records"].([]any)) != 1 {
			t.Errorf("%q %v", e.Message, e.Call["records"])
		}
		o := h.do("GET", "/rest/call/"+a.ID, "").is(200).object()
		if o["finished_on"] == nil || len(o["records"].([]any)) != 1 {
			t.Errorf("call %v", o)
		}
	})
}

func TestCallsOfADeadRunAreClosedBeforeNewOnesAreTaken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, nil)
		_, l := h.app(func(*App) {})
		tg := &tag{tn: l.TN, lease: l.ID, charge: chargeIn, rate: Rate{PerMin: money.MustParse("0.0055"), MinTime: 6, Interval: 6}}
		a := call.Leg{ID: ident.New(), Account: h.ann.Account, Type: kindApp, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: tg, InitOn: time.Now(), State: call.Init}
		h.s.LegChanged(a)
		a.State, a.AnswerOn = call.Live, time.Now()
		h.s.LegChanged(a)
		r := call.Record{ID: ident.New(), Leg: a.ID, Account: a.Account, State: "recording", Format: "wav", Channels: "mono", StartedOn: time.Now()}
		h.s.RecordChanged(r)
		h.states(a.ID, "init", "live")
		h.stop()
		_, _, reserved, err := h.billing.Balance(t.Context(), d.Read(), h.ann.Account)
		if err != nil || reserved == 0 {
			t.Fatalf("reserved %s %v", reserved, err)
		}
		cfg := h.s.cfg
		cfg.Jobs = nil // the earlier run handles them
		again := New(cfg)
		again.engine = h.fake
		h.s = again
		h.run()
		o := h.do("GET", "/rest/call/"+a.ID, "").is(200).object()
		has(t, o, map[string]string{"state": `"destroyed"`, "q850_cause": "41", "reason": `"internal"`, "price": "0"})
		if o["finished_on"] == nil || o["records"].([]any)[0].(map[string]any)["state"] != "failed" {
			t.Errorf("closed: %v", o)
		}
		rows, err := h.log.Read(t.Context(), queryOf(h.ann.Account))
		h.must(err)
		var kinds []string
		for _, row := range rows {
			if row.RefID == a.ID {
				kinds = append(kinds, row.Type)
			}
		}
		if want := []string{"call_state", "call_state", "call_record", "call_state", "call_state"}; !slices.Equal(kinds, want) {
			t.Errorf("events %v", kinds)
		}
		if _, _, reserved, _ := h.billing.Balance(t.Context(), d.Read(), h.ann.Account); reserved != 0 {
			t.Errorf("%s stay reserved", reserved)
		}
	})
}

func TestFullQueueGivesUpStatisticsFirst(t *testing.T) {
	var facts []fact
	for _, s := range []call.State{call.Init, call.Ringing, call.Live} {
		facts = append(facts, fact{leg: &call.Leg{State: s}})
	}
	facts = append(facts, fact{log: &Log{Name: "Say"}}, fact{leg: &call.Leg{State: call.Destroyed}})
	show := func() (out []string) {
		for _, f := range facts {
			if f.log != nil {
				out = append(out, f.log.Name)
			} else {
				out = append(out, string(f.leg.State))
			}
		}
		return out
	}
	for _, want := range []string{"[init ringing live destroyed]", "[init live destroyed]", "[live destroyed]"} {
		facts = dropOne(facts)
		if got := fmt.Sprint(show()); got != want {
			t.Errorf("left %s, want %s", got, want)
		}
	}
}
