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
	v     V
	until time.Time
}

func newMemo[K comparable, V any](ttl time.Duration, now func() time.Time) *memo[K, V] {
	return &memo[K, V]{ttl: ttl, now: now, m: map[K]memoEntry[V]{}}
}

// get gives the value while it is fresh, else makes it anew with load.
func (c *memo[K, V]) get(k K, load func() (V, error)) (V, error) {
	now := c.now()
	c.mu.Lock()
	e, ok := c.m[k]
	gen := c.gen
	c.mu.Unlock()
	if ok && now.Before(e.until) {
		return e.v, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if gen != c.gen {
		return v, nil // what was read may be older than the change that dropped
	}
	if len(c.m) >= cacheSize {
		clear(c.m)
	}
	c.m[k] = memoEntry[V]{v, now.Add(c.ttl)}
	return v, nil
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
	c.m[k] = memoEntry[V]{v, c.now().Add(c.ttl)}
}
