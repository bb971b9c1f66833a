package stream

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/internal/event"
)

// Close codes (events.md §1).
const (
	closeRestart      = 1001
	closeGone         = 1001 // also: the client does not answer pings
	closeBadText      = 1007
	closeBadFrame     = 4400
	closeUnauthorized = 4401
	closeSlow         = 4408
	closeTooMany      = 4429
)

// socket is one authenticated websocket. The handler's goroutine reads; one more goroutine, owned by the handler, writes.
type socket struct {
	gate *Gate
	conn *websocket.Conn
	id   string // connection uuid
	who  Session
	wake chan struct{} // holds one: there is something to write, or to end
	done chan struct{} // closed when the writer ended

	mu        sync.Mutex // guards everything below
	stored    []Subscription
	types     []string // chosen by a subscribe frame; nil: the stored subscriptions
	queue     []event.Row
	frames    [][]byte // answers to the client's frames; they go out before events
	bytes     int
	replaying bool  // rows come from the log now; offered ones only move latest
	after     int64 // rows up to here were sent or skipped
	latest    int64
	place     int64  // last row that was decided on: sent, queued, or not wanted
	sent      string // cursor of the last event sent
	replay    *replayJob
	code      int // close code once the socket shall end
	reason    string
	missed    int // pings without an answer
	pinging   bool
}

func newSocket(g *Gate, conn *websocket.Conn, id string, who Session) *socket {
	return &socket{gate: g, conn: conn, id: id, who: who, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

func (s *socket) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *socket) setStored(subs []Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = subs
}

// wants decides by the frame's types or the stored subscriptions; s.mu is held.
func (s *socket) wants(r event.Row) bool {
	if r.Type == string(AuthEvent) && r.RefID == s.id {
		return false // its own auth answer was sent as such
	}
	if s.types != nil {
		return slices.Contains(s.types, "*") || slices.Contains(s.types, r.Type)
	}
	now := s.gate.now()
	for _, sub := range s.stored {
		if sub.Channel == "wss" && sub.wants(r.Type, r.Body, now) {
			return true
		}
	}
	return false
}

// offer queues a live event. A full queue ends the socket: the client resumes from the cursor in the close reason.
func (s *socket) offer(r event.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = r.Seq
	if s.replaying || r.Seq <= s.after || s.code != 0 {
		return
	}
	if s.place = r.Seq; !s.wants(r) {
		return
	}
	if len(s.queue) >= maxQueued || s.bytes+len(r.Body) > maxQueuedBytes {
		s.endLocked(closeSlow, s.sent)
		return
	}
	s.queue = append(s.queue, r)
	s.bytes += len(r.Body)
	s.signal()
}

// answer queues a frame that answers one of the client's. A client that asks and never reads is ended like any slow reader.
func (s *socket) answer(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) >= maxQueued {
		s.endLocked(closeSlow, s.sent)
		return
	}
	s.frames = append(s.frames, frame)
	s.signal()
}

// end closes the socket with a code; the first one counts.
func (s *socket) end(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(code, reason)
}

func (s *socket) endLocked(code int, reason string) {
	if s.code == 0 {
		s.code, s.reason = code, reason
		s.signal()
	}
}

// batch is what the writer sends next.
type batch struct {
	frames [][]byte
	rows   []event.Row
	replay *replayJob
	ended  bool
}

func (s *socket) next() batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := batch{frames: s.frames, rows: s.queue, replay: s.replay, ended: s.code != 0}
	s.frames, s.queue, s.bytes, s.replay = nil, nil, 0, nil
	return b
}

// write is the one goroutine that sends; it ends with the connection.
func (s *socket) write(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		b := s.next()
		if b.ended {
			s.finish()
			return
		}
		if !s.sendAll(ctx, b) {
			return
		}
	}
}

func (s *socket) sendAll(ctx context.Context, b batch) bool {
	for _, f := range b.frames {
		if !s.send(ctx, f) {
			return false
		}
	}
	for _, r := range b.rows {
		if !s.sendRow(ctx, r) {
			return false
		}
	}
	return b.replay == nil || b.replay.run(ctx, s)
}

// sendRow sends an event and notes its cursor; false means that the socket is at its end.
func (s *socket) sendRow(ctx context.Context, r event.Row) bool {
	if !s.send(ctx, r.Body) {
		return false
	}
	s.mu.Lock()
	s.sent = r.Cursor()
	ended := s.code != 0
	s.mu.Unlock()
	if ended {
		s.finish()
	}
	return !ended
}

// finish sends the close frame that was decided on; a slow reader is told the cursor of the last event sent.
func (s *socket) finish() {
	s.mu.Lock()
	code, reason := s.code, s.reason
	if code == closeSlow {
		reason = s.sent
	}
	s.mu.Unlock()
	s.conn.Close(websocket.StatusCode(code), reason)
}

func (s *socket) send(ctx context.Context, frame []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, frame); err != nil {
		s.end(closeSlow, "")
		s.finish()
		return false
	}
	return true
}

// ping asks the client for a sign of life on a goroutine of its own, at most one at a time; two misses end the socket.
func (s *socket) ping() {
	s.mu.Lock()
	if s.pinging || s.code != 0 {
		s.mu.Unlock()
		return
	}
	s.pinging = true
	s.mu.Unlock()
	s.gate.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), pingEvery-time.Second)
		defer cancel()
		err := s.conn.Ping(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pinging = false
		if err == nil {
			s.missed = 0
			return
		}
		if s.missed++; s.missed >= missedPings {
			s.endLocked(closeGone, "no pong")
		}
	})
}
