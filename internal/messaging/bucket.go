package messaging

import (
	"sync"
	"time"
)

// poolPatience is how long a pool's number may be busy before another is preferred.
const poolPatience = 10 * time.Second

// bucketKey names a token bucket; a rate of zero is no limit.
type bucketKey struct {
	name   string
	perSec float64
}

// buckets are token buckets of one second's depth (at least one token), kept in the memory of this node.
type buckets struct {
	mu sync.Mutex // guards m
	m  map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newBuckets() *buckets { return &buckets{m: map[string]*bucket{}} }

// fill brings a bucket up to date. The lock is held.
func (b *buckets) fill(k bucketKey, now time.Time) *bucket {
	t := b.m[k.name]
	if t == nil {
		if len(b.m) >= cacheSize {
			clear(b.m)
		}
		t = &bucket{tokens: max(k.perSec, 1), at: now}
		b.m[k.name] = t
	}
	if d := now.Sub(t.at).Seconds(); d > 0 {
		t.tokens, t.at = min(max(k.perSec, 1), t.tokens+d*k.perSec), now
	}
	return t
}

// wait says how long until the bucket has a token.
func (b *buckets) wait(k bucketKey, now time.Time) time.Duration {
	if k.perSec <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.fill(k, now)
	if t.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - t.tokens) / k.perSec * float64(time.Second))
}

// take takes one token of each bucket, or none and says when to come back.
func (b *buckets) take(keys []bucketKey, now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if k.perSec <= 0 {
			continue
		}
		if t := b.fill(k, now); t.tokens < 1 {
			wait = max(wait, time.Duration((1-t.tokens)/k.perSec*float64(time.Second)))
		}
	}
	if wait > 0 {
		return wait, false
	}
	for _, k := range keys {
		if k.perSec > 0 {
			b.fill(k, now).tokens--
		}
	}
	return 0, true
}
