package sip

import (
	"sync"
	"time"
)

// timer is an entry of a wheel, embedded in what it belongs to: setting one costs no allocation and no goroutine.
type timer struct {
	next, prev *timer
	at         uint64
	fn         func()
}

// wheel is a hashed timer wheel. A transaction lives 32 s after its end and there are thousands a second; the run-time's heap is too dear
// for that. Its tick is the precision of all timers.
type wheel struct {
	mu    sync.Mutex
	now   uint64
	slots [wheelSlots]timer // heads of circular lists
	tick  time.Duration
	count int
}

func newWheel(tick time.Duration) *wheel {
	w := &wheel{tick: tick}
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
	return w
}

// set arms t to call fn after d, replacing what it was armed for.
func (w *wheel) set(t *timer, d time.Duration, fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(t)
	t.at, t.fn = w.now+uint64(max(1, (d+w.tick-1)/w.tick)), fn
	head := &w.slots[t.at%wheelSlots]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
	w.count++
}

// stop disarms t. A call that is under way is not waited for: its function must look at the state itself.
func (w *wheel) stop(t *timer) {
	w.mu.Lock()
	w.unlink(t)
	w.mu.Unlock()
}

func (w *wheel) unlink(t *timer) {
	if t.next == nil {
		return
	}
	t.next.prev, t.prev.next = t.prev, t.next
	t.next, t.prev, t.fn = nil, nil, nil
	w.count--
}

// advance moves the clock to tick number now and runs what is due.
func (w *wheel) advance(now uint64) {
	var due []func()
	w.mu.Lock()
	for w.now < now {
		w.now++
		head := &w.slots[w.now%wheelSlots]
		for t := head.next; t != head; {
			next := t.next
			if t.at <= w.now {
				due = append(due, t.fn)
				w.unlink(t)
			}
			t = next
		}
	}
	w.mu.Unlock()
	for _, fn := range due {
		fn()
	}
}
