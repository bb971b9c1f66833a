package call

import (
	"hash/maphash"
	"sync"
)

// registry finds calls by the id of any of their legs. Its shards keep calls from waiting for each other.
type registry struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	calls map[string]*Call // by leg id
}

func (r *registry) make() {
	r.seed = maphash.MakeSeed()
	for i := range r.shards {
		r.shards[i].calls = map[string]*Call{}
	}
}

func (r *registry) shard(id string) *shard { return &r.shards[maphash.String(r.seed, id)%shards] }

func (r *registry) add(id string, c *Call) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[id] = c
}

func (r *registry) drop(id string) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
}

func (r *registry) find(id string) (*Call, bool) {
	s := r.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.calls[id]
	return c, ok
}

// each runs fn for all entries without holding a lock.
func (r *registry) each(fn func(id string, c *Call)) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		calls := make(map[string]*Call, len(s.calls))
		for id, c := range s.calls {
			calls[id] = c
		}
		s.mu.Unlock()
		for id, c := range calls {
			fn(id, c)
		}
	}
}

// all gives each call once.
func (r *registry) all() []*Call {
	var calls []*Call
	r.each(func(id string, c *Call) {
		if id == c.a.snapshot().ID {
			calls = append(calls, c)
		}
	})
	return calls
}

// legs gives the legs that are registered.
func (r *registry) legs() []*leg {
	var legs []*leg
	r.each(func(id string, c *Call) {
		if l, ok := c.leg(id); ok {
			legs = append(legs, l)
		}
	})
	return legs
}
