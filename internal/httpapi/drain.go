package httpapi

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/opentact/opentact/internal/fault"
)

// doors says which operations are let in, and counts those inside.
type doors struct {
	held     atomic.Bool // nothing is let in: the server starts, or its calls have ended
	draining atomic.Bool // only what acts on a call in progress is
	inside   atomic.Int64
	left     chan struct{} // bound 1, dropped when full: it only says "count again"

	mu   sync.Mutex    // guards shut
	shut chan struct{} // closed while the server drains
}

func newDoors() *doors {
	return &doors{left: make(chan struct{}, 1), shut: make(chan struct{})}
}

// enter lets an operation in or refuses it. The count goes up before the look at the doors, so that Settle, which looks after they were shut, misses nobody.
func (d *doors) enter(live bool) error {
	if !live {
		d.inside.Add(1)
	}
	if d.held.Load() || d.draining.Load() && !live {
		d.leave(live)
		return fault.New(fault.Unavailable)
	}
	return nil
}

func (d *doors) leave(live bool) {
	if !live && d.inside.Add(-1) == 0 && d.draining.Load() {
		select {
		case d.left <- struct{}{}:
		default:
		}
	}
}

// Hold makes every operation and mount answer 503, or serves them again: while the server starts, and when nothing is left that they could work with.
// The pages of the layer and the mounts of KeepOpen stay.
func (a *API) Hold(on bool) { a.doors.held.Store(on) }

// KeepOpen names mounts, by their patterns, that Hold does not close: what operators look at.
func (a *API) KeepOpen(patterns ...string) {
	for _, p := range patterns {
		a.open[p] = true
	}
}

// Drain makes every operation that does not act on a call in progress (Op.InDrain) answer 503 from now on and ends what waits for news, or serves them again; the
// pages of the layer and mounts stay.
func (a *API) Drain(on bool) {
	d := a.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	if was := d.draining.Swap(on); was == on {
		return
	}
	if on {
		close(d.shut)
	} else {
		d.shut = make(chan struct{})
	}
}

// Settle waits, while the server drains, until the operations that were let in before have ended; those on calls in progress may go on.
func (a *API) Settle(ctx context.Context) error {
	for a.doors.inside.Load() > 0 {
		select {
		case <-a.doors.left:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Draining is closed when the server begins to drain: an operation that waits for news answers then with what it has. Outside a request it is nil.
func Draining(ctx context.Context) <-chan struct{} {
	st := stateOf(ctx)
	if st == nil || st.w == nil || st.w.api == nil {
		return nil
	}
	d := st.w.api.doors
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shut
}
