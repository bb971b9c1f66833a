package call

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/rtp"
)

// ErrNotAnswered is returned where a call must be answered, or have early media, first.
var ErrNotAnswered = errors.New("call: not answered")

// Call is one controlled leg with the legs that its Dials made. Its methods may be used from any goroutine but that of an Observer;
// those with a context end with it.
type Call struct {
	engine *Engine
	inbox  *inbox
	ctx    context.Context // ends at hangup with an *EndedError
	cancel context.CancelCauseFunc
	a      *leg
	keys   keypad
	up     chan struct{} // closed at the answer
	max    time.Duration
	work   sync.WaitGroup // goroutines that end with the call

	joined atomic.Pointer[leg] // that of br

	mu sync.Mutex
	bs map[string]*leg // the other legs by id, until they are destroyed

	// Of the call's goroutine.
	ending    bool
	destroyed bool
	timer     *time.Timer // longest duration
	br        *bridge
	early     *rtp.Bridge // early media of a leg that rings
	records   []*Recording
}

func newCall(e *Engine, snap Leg, longest time.Duration) *Call {
	if longest <= 0 {
		longest = e.cfg.Limits.MaxDuration
	}
	c := &Call{engine: e, inbox: newInbox(), max: longest, up: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.a = newLeg(c, snap)
	c.keys.init()
	return c
}

// run is the goroutine of the call.
func (c *Call) run() {
	var fns []func()
	for {
		fns = c.inbox.take(fns)
		if len(fns) == 0 {
			if c.finished() && c.inbox.close() {
				break
			}
			<-c.inbox.wake
			continue
		}
		for _, fn := range fns {
			c.guard(fn)
		}
	}
	c.work.Wait()
}

// guard keeps a fault in one call from the others.
func (c *Call) guard(fn func()) {
	defer func() {
		if v := recover(); v != nil {
			c.engine.cfg.Logger.Error("call broke", "call", c.a.snapshot().ID, "panic", v, "stack", string(debug.Stack()))
			switch { // each step is tried once, the next one when it broke too
			case !c.ending:
				c.guard(func() { c.end(Cause{Q850: TemporaryFailure, Reason: "internal", By: ByPlatform}, false) })
			case !c.destroyed:
				c.guard(c.destroy)
			}
		}
	}()
	fn()
}

// finished says that nothing of the call is left to be told.
func (c *Call) finished() bool { return c.destroyed && len(c.records) == 0 }

// do runs fn on the goroutine of the call and waits for it; false when the goroutine has ended.
func (c *Call) do(fn func()) bool {
	done := make(chan struct{})
	if !c.inbox.post(func() { defer close(done); fn() }) {
		return false
	}
	<-done
	return true
}

// after runs fn on the goroutine of the call later.
func (c *Call) after(d time.Duration, fn func()) *time.Timer {
	return time.AfterFunc(d, func() { c.inbox.post(fn) })
}

// Context ends at hangup; its cause is an *EndedError.
func (c *Call) Context() context.Context { return c.ctx }

// A is the controlled leg.
func (c *Call) A() Leg { return c.a.snapshot() }

// B is the leg that the controlled leg is joined with now.
func (c *Call) B() (Leg, bool) {
	if l := c.joined.Load(); l != nil {
		return l.snapshot(), true
	}
	return Leg{}, false
}

// Legs gives the a-leg and the legs of Dials that are not destroyed.
func (c *Call) Legs() []Leg {
	legs := []Leg{c.a.snapshot()}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.bs {
		legs = append(legs, l.snapshot())
	}
	return legs
}

// Answered says whether the controlled leg was answered.
func (c *Call) Answered() bool { return !c.a.snapshot().AnswerOn.IsZero() }

// SetMachine stores what the answering machine detection found on a leg of the call; it is told with the leg's next state.
func (c *Call) SetMachine(legID, result string) {
	if l, ok := c.leg(legID); ok {
		l.set(func(s *Leg) { s.Machine = result })
	}
}

// SetTag changes what the owner attached to the controlled leg.
func (c *Call) SetTag(tag any) { c.a.set(func(l *Leg) { l.Tag = tag }) }

// EndAfter hangs the call up at that time from now, in place of any earlier limit of its duration.
func (c *Call) EndAfter(d time.Duration, cause Cause) {
	c.do(func() { c.limit(d, cause) })
}

func (c *Call) limit(d time.Duration, cause Cause) {
	if c.timer != nil {
		c.timer.Stop()
	}
	if !c.ending {
		c.timer = c.after(d, func() { c.end(cause, false) })
	}
}

// Hangup ends the call, answered or not. It does not wait; a second one does nothing.
func (c *Call) Hangup(cause Cause) {
	c.inbox.post(func() { c.end(cause, false) })
}

// HangupLeg ends one leg, with the controlled one the call; false when the leg is over. A leg of a Dial leaves the call to its script, which goes on
// behind the Dial.
func (c *Call) HangupLeg(id string, cause Cause) (live bool) {
	c.do(func() {
		l, ok := c.leg(id)
		if live = ok && !l.state().Over(); live {
			c.endLeg(l, cause, false)
		}
	})
	return live
}

// Refuse ends a call that is not answered with Cause.SIP, or the status of its cause; an answered one it hangs up.
func (c *Call) Refuse(cause Cause) { c.Hangup(cause) }

// endedError is the error of methods that came too late.
func (c *Call) endedError() error {
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	return &EndedError{}
}

// leg finds a leg by its id.
func (c *Call) leg(id string) (*leg, bool) {
	if id == c.a.snapshot().ID {
		return c.a, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.bs[id]
	return l, ok
}

// addLeg makes a leg of a Dial; false when the call is ending.
func (c *Call) addLeg(a Attempt) (*leg, bool) {
	if c.ending {
		return nil, false
	}
	snap := c.a.snapshot()
	l := newLeg(c, Leg{ID: ident.New(), Parent: snap.ID, Account: snap.Account, Type: snap.Type, Direction: Out, From: a.From, To: a.To, Tag: a.Tag})
	c.mu.Lock()
	if c.bs == nil {
		c.bs = map[string]*leg{}
	}
	c.bs[l.snap.ID] = l
	c.mu.Unlock()
	c.engine.registry.add(l.snap.ID, c)
	return l, true
}

func (c *Call) dropLeg(l *leg) {
	id := l.snapshot().ID
	c.mu.Lock()
	delete(c.bs, id)
	c.mu.Unlock()
	c.engine.registry.drop(id)
}

// bLegs copies the list of the other legs.
func (c *Call) bLegs() []*leg {
	c.mu.Lock()
	defer c.mu.Unlock()
	legs := make([]*leg, 0, len(c.bs))
	for _, l := range c.bs {
		legs = append(legs, l)
	}
	return legs
}
