package voice

import (
	"sync"
	"time"

	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

// Bounds of what is remembered of numbers that are called again and again.
const (
	hotFor  = time.Second            // then it is read anew
	hotIdle = 100 * time.Millisecond // not asked for so long: read anew too, so that only a stream of calls sees older values
	hotFrom = 8                      // closely following calls from which on answers are shared: below, each sees what is true now
	hotMax  = 4096                   // entries; then it starts anew
)

// hot remembers what was read for a call, for the calls that follow it closely. Their number of reads does not grow with their rate then.
type hot[V any] struct {
	mu  sync.Mutex
	m   map[string]hotEntry[V]
	gen uint64 // grows with each drop: what was read before it is not kept after it
}

type hotEntry[V any] struct {
	v           V
	read, asked time.Time
	streak      int // calls that followed closely
}

// get gives the value of a key, remembered or loaded; what fails is not remembered.
func (h *hot[V]) get(key string, now time.Time, load func() (V, error)) (V, error) {
	h.mu.Lock()
	e, ok := h.m[key]
	gen := h.gen
	if ok && now.Sub(e.asked) < hotIdle {
		e.streak++
		e.asked = now
		h.m[key] = e
	} else {
		e.streak = 0
	}
	h.mu.Unlock()
	if e.streak >= hotFrom && now.Sub(e.read) < hotFor {
		return e.v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if gen == h.gen {
		if h.m == nil || len(h.m) >= hotMax {
			h.m = map[string]hotEntry[V]{}
		}
		h.m[key] = hotEntry[V]{v, now, now, e.streak}
	}
	return v, nil
}

// drop forgets everything, and what is being read now.
func (h *hot[V]) drop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gen++
	clear(h.m)
}

// hots are the answers to what is asked about each inbound call.
type hots struct {
	leases hot[*number.Lease] // by number
	apps   hot[*App]          // by uuid
	rates  hot[Rate]          // by account and plan
	money  hot[money.Amount]  // available, by account
}
