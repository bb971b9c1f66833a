package account

import (
	"sync"
	"time"
)

// cache keeps answers for a short time, at most max of them; when full it starts anew, which costs each of them one look-up.
type cache[K comparable, V any] struct {
	ttl time.Duration
	max int
	now func() time.Time

	mu  sync.Mutex // guards what follows
	m   map[K]cached[V]
	gen uint64 // grows with each clear
}

type cached[V any] struct {
	v     V
	until time.Time
}

func newCache[K comparable, V any](ttl time.Duration, size int, now func() time.Time) *cache[K, V] {
	return &cache[K, V]{ttl: ttl, max: size, now: now, m: map[K]cached[V]{}}
}

// get gives the value, and the generation that put wants back: a value read before a change is then not kept after it.
func (c *cache[K, V]) get(k K) (v V, ok bool, gen uint64) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[k]
	if ok && now.After(e.until) {
		delete(c.m, k)
		ok = false
	}
	if !ok {
		var zero V
		return zero, false, c.gen
	}
	return e.v, true, c.gen
}

func (c *cache[K, V]) put(k K, v V, gen uint64) {
	until := c.now().Add(c.ttl)
	c.mu.Lock()
	defer c.mu.Unlock()
	if gen != c.gen {
		return
	}
	if len(c.m) >= c.max {
		clear(c.m)
	}
	c.m[k] = cached[V]{v, until}
}

// drop forgets everything, and what is being looked up now.
func (c *cache[K, V]) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	clear(c.m)
}
