package trunk

import (
	"context"
	"sync"
	"time"
)

// health is what this node knows of the carriers' states; a carrier nobody asked is up.
type health struct {
	mu     sync.Mutex
	misses map[string]int
	down   map[string]bool
}

func newHealth() *health { return &health{misses: map[string]int{}, down: map[string]bool{}} }

func (h *health) up(carrier string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.down[carrier]
}

// note counts an OPTIONS and tells whether the state changed.
func (h *health) note(carrier string, answered bool) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.down[carrier]
	if answered {
		delete(h.misses, carrier)
		delete(h.down, carrier)
		return was
	}
	if h.misses[carrier] < maxMisses {
		h.misses[carrier]++
	}
	if h.misses[carrier] == maxMisses {
		h.down[carrier] = true
	}
	return h.down[carrier] != was
}

func (h *health) set(carrier string, up bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.misses, carrier)
	if up {
		delete(h.down, carrier)
		return
	}
	h.down[carrier] = true
}

func (h *health) forget(carrier string) { h.set(carrier, true) }

// SetState tells whether a carrier works, as those who use it know: the SMS side of its links.
func (s *Service) SetState(carrier string, up bool) { s.health.set(carrier, up) }

// Up tells whether a carrier works, as far as this node knows.
func (s *Service) Up(carrier string) bool { return s.health.up(carrier) }

// rounds asks each carrier for a sign of life when its time has come. At most maxPings carriers are asked at once; the others wait a second more.
type rounds struct {
	s    *Service
	next map[string]time.Time
	room chan struct{}
	wg   sync.WaitGroup
}

func newRounds(s *Service) *rounds {
	return &rounds{s: s, next: map[string]time.Time{}, room: make(chan struct{}, maxPings)}
}

func (r *rounds) start(ctx context.Context) {
	if r.s.pinger == nil {
		return
	}
	now, living := r.s.now(), map[string]time.Time{}
	for _, c := range r.s.table.Load().carriers {
		due, known := r.next[c.ID]
		if c.Voice.OptionsPing == 0 || len(c.Voice.Hosts) == 0 {
			r.s.health.forget(c.ID) // what was found while it was asked says nothing for ever
			continue
		}
		living[c.ID] = due
		if known && now.Before(due) {
			continue
		}
		select {
		case r.room <- struct{}{}:
		default:
			continue
		}
		living[c.ID] = now.Add(max(time.Duration(c.Voice.OptionsPing)*time.Second, pingTimeout))
		r.wg.Go(func() {
			defer func() { <-r.room }()
			r.ask(ctx, c)
		})
	}
	r.next = living
}

// ask tries the hosts of a carrier until one answers.
func (r *rounds) ask(ctx context.Context, c Carrier) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	answered := make(chan bool, len(c.Voice.Hosts))
	var wg sync.WaitGroup
	for _, h := range c.Voice.Hosts {
		wg.Go(func() { answered <- r.s.pinger.Ping(ctx, h) == nil })
	}
	wg.Wait()
	close(answered)
	alive := false
	for a := range answered {
		alive = alive || a
	}
	if ctx.Err() == context.Canceled {
		return // the server stops
	}
	if r.s.health.note(c.ID, alive) {
		r.s.log.WarnContext(ctx, "carrier changed its state", "carrier", c.Name, "up", alive)
	}
}

func (r *rounds) wait() { r.wg.Wait() }
