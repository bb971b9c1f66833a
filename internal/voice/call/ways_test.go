package call

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/sip"
)

func TestNextRouteIsTriedAfter503AndSilence(t *testing.T) {
	good, full := newPhone(t), newPhone(t)
	var released atomic.Int32
	b := map[string]*phone{"200": good}
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, b)
	route := func(r RouteRequest) ([]Attempt, *Cause) {
		silent := attempt(r, good)
		silent.Dest = "127.0.0.1:9"
		attempts := []Attempt{silent, attempt(r, full), attempt(r, good), attempt(r, good)}
		for i := range attempts {
			attempts[i].Tag = i
			attempts[i].Release = func() { released.Add(1) }
		}
		return attempts, nil
	}
	w.change(func() { w.route = route })
	caller := newPhone(t).dial(w, "100")
	_ = full.incoming().d.Reject(503, sip.Reason{})
	callee := good.incoming()
	callee.answer(200)
	expect[sip.Answered](caller)
	leg := w.facts.leg(t, "live", func(l Leg) bool { return l.Direction == Out && l.State == Live })
	if leg.Tag != 2 {
		t.Errorf("tag %v, want that of the third route", leg.Tag)
	}
	if n := released.Load(); n != 3 {
		t.Errorf("%d routes released while one is in use, want 3", n)
	}
	callee.bye()
	r := result(t, results)
	if got := w.facts.states(r.Call); !slices.Equal(got, []State{Init, Live, Bridged, Hangup, Destroyed}) {
		t.Errorf("states %v: one leg for all routes", got)
	}
	caller.bye()
	w.gone()
	if n := released.Load(); n != 4 {
		t.Errorf("%d routes released, want 4", n)
	}
}

func TestCarrierWithoutRoomIsPassedOver(t *testing.T) {
	good, full := newPhone(t), newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, nil)
	var taken, held atomic.Int32
	room := func(ok bool) func() (func(), bool) {
		return func() (func(), bool) {
			if !ok {
				return nil, false
			}
			taken.Add(1)
			held.Add(1)
			return func() { held.Add(-1) }, true
		}
	}
	route := func(r RouteRequest) ([]Attempt, *Cause) {
		one, two, three := attempt(r, full), attempt(r, full), attempt(r, good)
		one.Admit, two.Admit, three.Admit = room(false), room(true), room(true)
		one.Release = func() { held.Add(-10) }
		held.Add(10)
		return []Attempt{one, two, three}, nil
	}
	w.change(func() { w.route = route })
	caller := newPhone(t).dial(w, "100")
	_ = full.incoming().d.Reject(503, sip.Reason{})
	callee := good.incoming()
	if len(full.calls) != 0 || taken.Load() != 2 || held.Load()%10 != 1 {
		t.Errorf("%d calls more to the carrier without room, %d channels taken, %d held", len(full.calls), taken.Load(), held.Load())
	}
	callee.answer(200)
	expect[sip.Answered](caller)
	callee.bye()
	result(t, results)
	caller.bye()
	w.gone()
	if held.Load() != 0 {
		t.Errorf("%d channels held after the call", held.Load())
	}
	w.change(func() {
		w.route = func(r RouteRequest) ([]Attempt, *Cause) {
			one := attempt(r, full)
			one.Admit = room(false)
			return []Attempt{one}, nil
		}
	})
	caller = newPhone(t).dial(w, "100")
	if r := result(t, results); r.Status != StatusFailed || r.Targets[0].Q850 != Congestion || len(full.calls) != 0 {
		t.Errorf("no carrier has room: %+v", r)
	}
	caller.d.Hangup(sip.Reason{})
}

func TestAtMostThreeRoutesAreTried(t *testing.T) {
	full := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, nil)
	route := func(r RouteRequest) ([]Attempt, *Cause) {
		return []Attempt{attempt(r, full), attempt(r, full), attempt(r, full), attempt(r, full)}, nil
	}
	w.change(func() { w.route = route })
	caller := newPhone(t).dial(w, "100")
	for range 3 {
		_ = full.incoming().d.Reject(503, sip.Reason{})
	}
	r := result(t, results)
	if r.Targets[0].Q850 != 41 || r.Targets[0].SIP != 503 || len(full.calls) != 0 {
		t.Errorf("result %+v, %d calls more", r, len(full.calls))
	}
	caller.d.Hangup(sip.Reason{})
}

func TestNoOtherRouteAfterEarlyMedia(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, nil)
	w.change(func() {
		w.route = func(r RouteRequest) ([]Attempt, *Cause) { return []Attempt{attempt(r, b), attempt(r, b)}, nil }
	})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(183)
	caller.accepted(expect[sip.Progress](caller).Body)
	_ = callee.d.Reject(503, sip.Reason{})
	if r := result(t, results); r.Status != StatusFailed || len(b.calls) != 0 {
		t.Errorf("result %+v, %d calls more", r, len(b.calls))
	}
	caller.d.Hangup(sip.Reason{})
}

func TestWayLimitsTheBridgeAndHasItRecorded(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), MaxDuration: time.Hour}, nil)
	w.change(func() {
		w.route = func(r RouteRequest) ([]Attempt, *Cause) {
			a := attempt(r, b)
			a.Longest, a.Record = 400*time.Millisecond, &RecordOptions{Channels: "dual"}
			return []Attempt{a}, nil
		}
	})
	caller := newPhone(t).dial(w, "100")
	b.incoming().answer(200)
	expect[sip.Answered](caller)
	r := result(t, results)
	if cause := ended(t, w, r.Call); cause.Reason != "max_duration" || r.Duration < 400*time.Millisecond {
		t.Errorf("cause %+v after %v", cause, r.Duration)
	}
	rec := w.facts.record(t, "available", func(r Record) bool { return r.State == RecordAvailable })
	if rec.Channels != "dual" || rec.Duration < 300*time.Millisecond {
		t.Errorf("recorded %+v", rec)
	}
}

func TestWayLimitsAPlacedCall(t *testing.T) {
	b := newPhone(t)
	w := newWorld(t, nil)
	w.change(func() {
		w.route = func(r RouteRequest) ([]Attempt, *Cause) {
			a := attempt(r, b)
			a.Longest = 300 * time.Millisecond
			return []Attempt{a}, nil
		}
	})
	c, err := w.engine.Place(bg, Outbound{Targets: to("200"), MaxDuration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b.incoming().answer(200)
	if cause := ended(t, w, c.A().ID); cause.Reason != "max_duration" {
		t.Errorf("cause %+v", cause)
	}
}
