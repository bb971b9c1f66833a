package webhook

import (
	"context"
	"sync"
)

// slots bounds the requests at once of each lane on this node, whoever makes them.
type slots struct {
	mu sync.Mutex // guards of
	of map[string]*slot
}

// slot is the room of one lane.
type slot struct {
	running chan struct{} // one for each request under way
	users   int
}

// enter waits for room in a lane. leave gives it back.
func (s *slots) enter(ctx context.Context, lane string, width int) (leave func(), err error) {
	s.mu.Lock()
	l := s.of[lane]
	if l == nil {
		l = &slot{running: make(chan struct{}, width)}
		s.of[lane] = l
	}
	l.users++
	s.mu.Unlock()
	part := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.of, lane)
		}
	}
	select {
	case <-ctx.Done():
		part()
		return nil, ctx.Err()
	case l.running <- struct{}{}:
	}
	return func() { <-l.running; part() }, nil
}
