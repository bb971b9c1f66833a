package call

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"
)

// forkKind is what a fork says.
type forkKind int

const (
	forkRang forkKind = iota
	forkEarly
	forkAnswered
	forkEnded
)

// forkEvents is how often a fork speaks at most: each kind once for each attempt.
const forkEvents = 2*maxAttempts + 2

type forkEvent struct {
	f    *fork
	kind forkKind
}

// fork rings one target of a Dial on a goroutine of its own.
type fork struct {
	d      *dialing
	target Target
	cancel context.CancelCauseFunc // nil until it began

	leg atomic.Pointer[leg] // nil while none was made

	// Written by the fork's goroutine before its last event, then by the Dial's.
	cause Cause
	won   bool
}

func (f *fork) begin(ctx context.Context) {
	ctx, f.cancel = context.WithCancelCause(ctx)
	f.d.wait.Go(func() {
		kind := forkEnded
		if f.run(ctx) {
			kind = forkAnswered
		}
		f.d.events <- forkEvent{f, kind}
	})
}

// lose ends a fork that did not win, also one that has answered meanwhile.
func (f *fork) lose() {
	if f.cancel == nil {
		return
	}
	cause := Cause{Q850: LoseRace, Reason: "canceled", By: ByPlatform}
	f.cancel(&EndedError{cause})
	if l := f.leg.Load(); l != nil {
		f.d.c.do(func() { f.d.c.endLeg(l, cause, false) })
	}
}

// run returns true when the target answered.
func (f *fork) run(ctx context.Context) bool {
	d, c := f.d, f.d.c
	if !wait(ctx, f.target.Delay) {
		f.cause = c.given(ctx)
		return false
	}
	ctx, cancel := f.ringTime(ctx)
	defer cancel()
	attempts, refused := c.engine.cfg.Router.Route(ctx, f.request())
	if refused != nil || len(attempts) == 0 {
		releaseAll(attempts)
		f.cause = Cause{Q850: 3, Reason: "no_route", By: ByPlatform}
		if refused != nil {
			f.cause = refused.complete()
		}
		return false
	}
	var l *leg
	ok := false
	c.do(func() { l, ok = c.addLeg(attempts[0]) })
	if !ok {
		releaseAll(attempts)
		f.cause = c.given(ctx)
		return false
	}
	f.leg.Store(l)
	failed := c.reach(ctx, l, attempts, func(early bool) {
		kind := forkRang
		if early {
			kind = forkEarly
		}
		d.events <- forkEvent{f, kind}
	})
	if failed != nil {
		f.cause = *failed
		return false
	}
	// The race may have been lost between the answer and now.
	if ctx.Err() != nil {
		f.cause = c.given(ctx)
		c.do(func() { c.endLeg(l, f.cause, false) })
		return false
	}
	return true
}

// ringTime limits the ringing: the target's own time, else in a sequence that of the Dial.
func (f *fork) ringTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.target.Timeout > 0 || f.d.r.Sequential {
		return ringContext(ctx, f.target.Timeout, f.d.r.Timeout)
	}
	return context.WithCancel(ctx)
}

func (f *fork) request() RouteRequest {
	a := f.d.c.a.snapshot()
	r := RouteRequest{
		Account: a.Account, Type: f.d.r.Type, From: f.d.r.From, To: f.target.To,
		CallerID: cmp.Or(f.target.CallerID, f.d.r.CallerID), Leg: a,
	}
	if a.Direction == In {
		r.CallerFrom, r.CalledTN = a.From, a.To
	}
	return r
}

func (f *fork) report() TargetResult {
	r := TargetResult{To: f.target.To, Success: f.won}
	if l := f.leg.Load(); l != nil {
		snap := l.snapshot()
		r.Call = snap.ID
		if snap.State.Over() {
			f.cause = snap.Cause
		}
	}
	if f.won {
		f.cause.Q850, f.cause.Reason = cmp.Or(f.cause.Q850, NormalClearing), cmp.Or(f.cause.Reason, "normal")
	}
	r.Q850, r.Q850Name, r.SIP, r.Reason = f.cause.Q850, Name(f.cause.Q850), f.cause.SIP, f.cause.Reason
	return r
}

// wait returns false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
