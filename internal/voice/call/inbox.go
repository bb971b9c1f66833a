package call

import "sync"

// inbox is the queue of functions that the goroutine of a call runs. What the far side may send at will is bounded by offer; what the
// engine and its timers post is bounded by what they do.
type inbox struct {
	wake chan struct{} // holds one; full means that the goroutine will look anyway

	mu     sync.Mutex
	fns    []func()
	closed bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// post adds a function; false when the goroutine has ended. What was added runs.
func (b *inbox) post(fn func()) bool { return b.add(fn, false) }

// offer adds a function unless too many wait.
func (b *inbox) offer(fn func()) bool { return b.add(fn, true) }

func (b *inbox) add(fn func(), bounded bool) bool {
	b.mu.Lock()
	if b.closed || bounded && len(b.fns) >= maxInbox {
		b.mu.Unlock()
		return false
	}
	b.fns = append(b.fns, fn)
	b.mu.Unlock()
	b.poke()
	return true
}

// poke wakes the goroutine.
func (b *inbox) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take gives all that waits; done is what take gave before, for its memory.
func (b *inbox) take(done []func()) []func() {
	clear(done)
	b.mu.Lock()
	defer b.mu.Unlock()
	fns := b.fns
	b.fns = done[:0]
	return fns
}

// close ends the inbox if it is empty.
func (b *inbox) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = len(b.fns) == 0
	return b.closed
}
