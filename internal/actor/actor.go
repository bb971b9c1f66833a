package actor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Errors of Post, Ask and Run.
var (
	ErrFull    = errors.New("inbox is full")
	ErrStopped = errors.New("actor has stopped")
	ErrRunning = errors.New("actor runs only once")
)

// DefaultInbox is the bound of an inbox for which none is asked.
const DefaultInbox = 256

// Actor owns a T.
type Actor[T any] struct {
	value T
	room  chan struct{} // bound: the inbox; a token for each function in queue, or about to be
	wake  chan struct{} // bound 1, dropped when full: it only says "look again"
	shut  chan struct{} // closed when nothing new is taken
	done  chan struct{} // closed when Run has returned

	mu      sync.Mutex // guards what follows
	queue   []*letter[T]
	started bool
	closed  bool
}

// letter is a function on its way.
type letter[T any] struct {
	f     func(*T)
	state atomic.Int32
	ran   chan struct{} // nil for Post; closed when f has run or never will
}

// The states of a letter. It leaves waiting once: for taken by Run, or for dropped by its sender or by the end.
const (
	waiting = iota
	taken
	dropped
)

// New makes an actor with an inbox of so many functions; zero or less means DefaultInbox. Nothing runs before Run.
func New[T any](value T, inbox int) *Actor[T] {
	if inbox <= 0 {
		inbox = DefaultInbox
	}
	return &Actor[T]{value: value, room: make(chan struct{}, inbox), wake: make(chan struct{}, 1), shut: make(chan struct{}), done: make(chan struct{})}
}

// Post sends a function and does not wait. After nil it will run, unless a function before it panics (one that panics counts as run); ErrFull and ErrStopped mean that it
// never will. Functions of one sender run in the order they were sent.
func (a *Actor[T]) Post(f func(*T)) error {
	select {
	case a.room <- struct{}{}:
		return a.put(&letter[T]{f: f})
	default:
	}
	select {
	case <-a.shut:
		return ErrStopped
	default:
		return ErrFull
	}
}

// Ask sends a function and waits until it has run. After an error, ErrStopped or the cause of ctx, it has not run and never will, so what
// it would have written is the caller's again. An actor's own function must not Ask it: it would wait for itself.
func (a *Actor[T]) Ask(ctx context.Context, f func(*T)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case a.room <- struct{}{}:
	case <-a.shut:
		return ErrStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	l := &letter[T]{f: f, ran: make(chan struct{})}
	if err := a.put(l); err != nil {
		return err
	}
	select {
	case <-l.ran:
	case <-ctx.Done():
		if l.state.CompareAndSwap(waiting, dropped) {
			return context.Cause(ctx)
		}
		<-l.ran // it runs at this moment
	}
	if l.state.Load() == dropped {
		return ErrStopped
	}
	return nil
}

// Query is Ask for a result.
func Query[T, R any](ctx context.Context, a *Actor[T], f func(*T) R) (R, error) {
	var result, none R
	if err := a.Ask(ctx, func(v *T) { result = f(v) }); err != nil {
		return none, err
	}
	return result, nil
}

// put takes a letter for which there is room.
func (a *Actor[T]) put(l *letter[T]) error {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		<-a.room
		return ErrStopped
	}
	a.queue = append(a.queue, l)
	a.mu.Unlock()
	a.nudge()
	return nil
}

func (a *Actor[T]) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run runs what is sent until Close is called or ctx ends, then what is left, and returns nil. A panic of a function goes through Run to
// its caller; functions not yet run are then dropped, and who asked for them gets ErrStopped. A second Run is ErrRunning.
func (a *Actor[T]) Run(ctx context.Context) error {
	a.mu.Lock()
	again := a.started
	a.started = true
	a.mu.Unlock()
	if again {
		return ErrRunning
	}
	defer a.end()
	defer context.AfterFunc(ctx, a.Close)()
	for {
		l, more := a.next()
		switch {
		case l != nil:
			a.run(l)
		case !more:
			return nil
		default:
			<-a.wake // Close wakes too
		}
	}
}

// next takes the oldest letter; more is false when there is none and never will be.
func (a *Actor[T]) next() (l *letter[T], more bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		return nil, !a.closed
	}
	l = a.queue[0]
	a.queue[0] = nil
	a.queue = a.queue[1:]
	<-a.room
	return l, true
}

func (a *Actor[T]) run(l *letter[T]) {
	if !l.state.CompareAndSwap(waiting, taken) {
		return // who asked has given up
	}
	if l.ran != nil {
		defer close(l.ran)
	}
	l.f(&a.value)
}

// end drops what a panic left behind.
func (a *Actor[T]) end() {
	a.Close()
	a.mu.Lock()
	left := a.queue
	a.queue = nil
	a.mu.Unlock()
	for _, l := range left {
		<-a.room
		if l.state.CompareAndSwap(waiting, dropped) && l.ran != nil {
			close(l.ran)
		}
	}
	close(a.done)
}

// Close stops taking functions. What was taken still runs; wait for Done to know that it has. It may be called from anywhere, again too.
func (a *Actor[T]) Close() {
	a.mu.Lock()
	first := !a.closed
	a.closed = true
	a.mu.Unlock()
	if first {
		close(a.shut)
		a.nudge()
	}
}

// Done is closed when Run has returned.
func (a *Actor[T]) Done() <-chan struct{} { return a.done }

// Waiting is how many functions are in the inbox at this moment.
func (a *Actor[T]) Waiting() int { return len(a.room) }
