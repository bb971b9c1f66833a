package stream

import (
	"context"
	"hash/fnv"
)

// slots are the parts of the time between two pings: in each of them one part of the sockets has its turn, so that ten thousand need no timer each and do not
// all wake at once.
const slots = 30

// wheel holds every connection in one of the slots. The gate's lock guards it.
type wheel struct {
	slots [slots][]*socket
	next  int
}

// enter gives a connection the next slot; settle moves it to that of its user, whose sockets mostly share one session to check.
func (w *wheel) enter(s *socket) {
	w.next = (w.next + 1) % slots
	w.add(s, w.next)
}

func (w *wheel) settle(s *socket, user string) {
	w.remove(s)
	h := fnv.New32a()
	h.Write([]byte(user))
	w.add(s, int(h.Sum32()%slots))
}

func (w *wheel) add(s *socket, slot int) {
	s.slot = slot
	s.spoke = len(w.slots[s.slot])
	w.slots[s.slot] = append(w.slots[s.slot], s)
}

func (w *wheel) remove(s *socket) {
	list := w.slots[s.slot]
	last := len(list) - 1
	list[s.spoke], list[last].spoke = list[last], s.spoke
	list[last] = nil
	w.slots[s.slot] = list[:last]
}

func (w *wheel) all() []*socket {
	var out []*socket
	for _, list := range w.slots {
		out = append(out, list...)
	}
	return out
}

// turn pings the sockets of one slot, and checks the sessions of that one and of the one opposite.
func (g *Gate) turn(ctx context.Context, turn int) {
	g.mu.RLock()
	due := append([]*socket(nil), g.wheel.slots[turn%slots]...)
	opposite := append([]*socket(nil), g.wheel.slots[(turn+slots/2)%slots]...)
	g.mu.RUnlock()
	for _, s := range due {
		s.ping()
	}
	g.check(ctx, append(due, opposite...))
}

// check closes the sockets whose session was ended; each session is asked for once.
func (g *Gate) check(ctx context.Context, sockets []*socket) {
	alive := map[Session]bool{}
	for _, s := range sockets {
		who := g.whose(s)
		if who.User == "" {
			continue
		}
		ok, known := alive[who]
		if !known {
			var err error
			if ok, err = g.sessions.Alive(ctx, who); err != nil {
				if ctx.Err() == nil {
					g.log.Warn("check websocket session", "error", err)
				}
				ok = true
			}
			alive[who] = ok
		}
		if !ok {
			s.end(closeUnauthorized, "not authenticated")
		}
	}
}

// whose tells whose a socket is; nobody's before it signed in.
func (g *Gate) whose(s *socket) Session {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return s.who
}
