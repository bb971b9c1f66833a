package speech

import (
	"container/list"
	"sync"
)

// The limits of the cache when none are given.
const (
	DefaultMemoryBytes = 32 << 20 // half an hour of speech
	DefaultDiskBytes   = 1 << 30
	bytesPerSample     = 2
)

// Cache bounds what is kept of spoken texts. Zero values mean the defaults; negative MemoryBytes turn the memory off.
type Cache struct {
	MemoryBytes int64
	Dir         string // "" keeps nothing on disk; the folder is made when it is missing
	DiskBytes   int64
}

func (c Cache) orDefault() Cache {
	if c.MemoryBytes == 0 {
		c.MemoryBytes = DefaultMemoryBytes
	}
	if c.DiskBytes <= 0 {
		c.DiskBytes = DefaultDiskBytes
	}
	return c
}

// recency orders keys by use and knows their sizes; the least used ones go when the sum passes its limit. It is not safe by itself.
type recency struct {
	most  int64
	sum   int64
	order *list.List // of *kept, newest first
	byKey map[string]*list.Element
}

type kept struct {
	key  string
	size int64
}

func newRecency(most int64) recency {
	return recency{most: most, order: list.New(), byKey: map[string]*list.Element{}}
}

func (r *recency) touch(key string) bool {
	element, ok := r.byKey[key]
	if ok {
		r.order.MoveToFront(element)
	}
	return ok
}

// add enters a key as the newest and returns those that have to go.
func (r *recency) add(key string, size int64) (gone []string) {
	r.remove(key)
	r.byKey[key] = r.order.PushFront(&kept{key, size})
	r.sum += size
	for r.sum > r.most && r.order.Len() > 0 {
		oldest := r.order.Back().Value.(*kept).key
		r.remove(oldest)
		gone = append(gone, oldest)
	}
	return gone
}

func (r *recency) remove(key string) {
	if element, ok := r.byKey[key]; ok {
		r.sum -= r.order.Remove(element).(*kept).size
		delete(r.byKey, key)
	}
}

// memoryCache keeps the pieces used last.
type memoryCache struct {
	mu     sync.Mutex
	used   recency
	pieces map[string][]int16
}

func newMemoryCache(most int64) *memoryCache {
	return &memoryCache{used: newRecency(most), pieces: map[string][]int16{}}
}

func (c *memoryCache) take(key string) ([]int16, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.used.touch(key) {
		return nil, false
	}
	return c.pieces[key], true
}

func (c *memoryCache) put(key string, samples []int16) {
	size := int64(cap(samples)) * bytesPerSample
	c.mu.Lock()
	defer c.mu.Unlock()
	if size > c.used.most {
		return // it would push out all others and itself
	}
	c.pieces[key] = samples
	for _, k := range c.used.add(key, size) {
		delete(c.pieces, k)
	}
}
