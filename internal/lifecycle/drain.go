package lifecycle

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrDrainLimit is the cause of KeepWorking's end when the drain took its whole time.
var ErrDrainLimit = errors.New("drain limit reached")

// Drain gives work its two contexts: TakeNew ends as soon as draining begins, KeepWorking a limit later, or when Close says that
// nothing is left to do. It runs no goroutine of its own.
type Drain struct {
	limit    time.Duration
	takeNew  context.Context
	keep     context.Context
	endTake  context.CancelCauseFunc
	endKeep  context.CancelCauseFunc
	unfollow func() bool

	mu    sync.Mutex // guards what follows
	begun bool
	timer *time.Timer
}

// NewDrain makes a drain that begins when ctx ends or Begin is called. The values of ctx are seen in both contexts. A limit of zero
// or less ends KeepWorking together with TakeNew. The caller must call Close.
func NewDrain(ctx context.Context, limit time.Duration) *Drain {
	d := &Drain{limit: limit}
	d.takeNew, d.endTake = context.WithCancelCause(ctx)
	d.keep, d.endKeep = context.WithCancelCause(context.WithoutCancel(ctx))
	d.unfollow = context.AfterFunc(ctx, func() { d.Begin(context.Cause(ctx)) })
	return d
}

// TakeNew is the context under which new work is accepted.
func (d *Drain) TakeNew() context.Context { return d.takeNew }

// KeepWorking is the context under which accepted work is finished; its cause is ErrDrainLimit when time ran out.
func (d *Drain) KeepWorking() context.Context { return d.keep }

// Begin ends TakeNew with the cause and starts the clock of KeepWorking. Only the first call counts.
func (d *Drain) Begin(cause error) {
	d.mu.Lock()
	first := !d.begun
	d.begun = true
	if first && d.limit > 0 && d.keep.Err() == nil {
		d.timer = time.AfterFunc(d.limit, func() { d.endKeep(ErrDrainLimit) })
	}
	d.mu.Unlock()
	if first {
		d.endTake(cause)
	}
	if first && d.limit <= 0 {
		d.endKeep(ErrDrainLimit)
	}
}

// Close ends both contexts, with ErrStopping as the cause where they had not ended, and frees the timer. It may be called again.
func (d *Drain) Close() {
	d.unfollow()
	d.endTake(ErrStopping)
	d.endKeep(ErrStopping)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
