package messaging

import (
	"sync"
	"time"
)

// memo keeps values for a short time, a bounded number of them; when full it starts anew.
type memo[K comparable, V any] struct {
	ttl time.Duration
	now func() time.Time

	mu  sync.Mutex // guards what follows
	m   map[K]memoEntry[V]
	gen uint64 // grows with each drop
}

type memoEntry[V any] struct {
	v       V
	until   time.Time
	renewed bool // somebody makes it anew
}

func newMemo[K comparable, V any](ttl time.Duration, now func() time.Time) *memo[K, V] {
	return &memo[K, V]{ttl: ttl, now: now, m: map[K]memoEntry[V]{}}
}

// get gives the value while it is fresh, else makes it anew with load. While one caller does so, the others get the old value for another while: requests that
// come by the hundred must not all ask the database at the same moment.
func (c *memo[K, V]) get(k K, load func() (V, error)) (V, error) {
	now := c.now()
	c.mu.Lock()
	e, ok := c.m[k]
	if ok && (now.Before(e.until) || e.renewed && now.Before(e.until.Add(c.ttl))) {
		c.mu.Unlock()
		return e.v, nil
	}
	gen := c.gen
	if ok {
		e.renewed = true
		c.m[k] = e
	}
	c.mu.Unlock()
	v, err := load()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case gen != c.gen: // what was read may be older than the change that dropped
	case err != nil:
		delete(c.m, k)
	default:
		if len(c.m) >= cacheSize {
			clear(c.m)
		}
		c.m[k] = memoEntry[V]{v: v, until: now.Add(c.ttl)}
	}
	return v, err
}

// has tells whether a fresh value is there.
func (c *memo[K, V]) has(k K) bool {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[k]
	return ok && now.Before(e.until)
}

// drop forgets everything.
func (c *memo[K, V]) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	clear(c.m)
}

// put keeps a value that is newer than what is there.
func (c *memo[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= cacheSize {
		clear(c.m)
	}
	c.m[k] = memoEntry[V]{v: v, until: c.now().Add(c.ttl)}
}
