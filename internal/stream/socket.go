package stream

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/stream/frame"
)

// Close codes (events.md §1), besides those of the standard.
const (
	closeRestart      = 1001
	closeGone         = 1001 // also: the client does not answer pings
	closeBadFrame     = 4400
	closeUnauthorized = 4401
	closeSlow         = 4408
	closeTooMany      = 4429
)

// socket is one connection. One goroutine reads (read.go); a second one lives while there is something to write (write.go), and the first waits for it.
type socket struct {
	gate *Gate
	conn net.Conn
	in   *frame.Reader
	id   string // connection uuid
	ip   string

	who         Session // guarded by the gate's lock, like the places below
	seat        int     // among the sockets of the account
	slot, spoke int     // on the wheel

	until  time.Time // write deadline; the writer's
	listed bool      // may stand in the database as a socket of its user; the reader's

	mu        sync.Mutex // guards everything below
	stored    []Subscription
	reading   int64    // which reading of the subscriptions stored is
	types     []string // chosen by a subscribe frame, on top of the stored subscriptions
	queue     []*parcel
	bytes     int      // of the queue
	flying    int      // events that the writer has taken and not yet written
	flyBytes  int      // and their bytes
	frames    [][]byte // answers to the client's frames; they go out before events
	replaying bool     // rows come from the log now; offered ones only move latest
	after     int64    // rows up to here were sent or skipped
	latest    int64
	place     int64 // last row that was decided on: sent, queued, or not wanted
	sent      int64 // last event sent
	replay    *replayJob
	pong      []byte // answer to the client's last ping
	pingDue   bool
	missed    int // pings without an answer
	code      int // close code once the socket shall end
	reason    string
	parted    bool          // the close frame was taken by the writer
	cut       bool          // the connection is of no use any more
	writing   bool          // there is a writer
	quiet     chan struct{} // closed by the writer's end, for the reader that waits
}

// parcel is an event on its way to many sockets; its frame is rendered for the first that wants it, on the relay's goroutine.
type parcel struct {
	row   event.Row
	frame []byte
}

func (p *parcel) render() []byte {
	if p.frame == nil {
		p.frame = frame.Append(make([]byte, 0, len(p.row.Body)+10), frame.Text, p.row.Body)
	}
	return p.frame
}

func (s *socket) setStored(subs []Subscription, reading int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reading >= s.reading {
		s.stored, s.reading = subs, reading
	}
}

// wants decides by the frame's types and the stored subscriptions; s.mu is held.
func (s *socket) wants(r event.Row, now time.Time) bool {
	if r.Type == string(AuthEvent) && r.RefID == s.id {
		return false // its own auth answer was sent as such
	}
	if slices.Contains(s.types, r.Type) || slices.Contains(s.types, "*") {
		return true
	}
	for _, sub := range s.stored {
		if sub.Channel == "wss" && sub.wants(r.Type, r.Body, now) {
			return true
		}
	}
	return false
}

// offer queues a live event. A full queue ends the socket: the client resumes from the cursor in the close reason.
func (s *socket) offer(p *parcel, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latest = p.row.Seq
	if s.replaying || p.row.Seq <= s.after || s.code != 0 || s.cut {
		return
	}
	if s.place = p.row.Seq; !s.wants(p.row, now) {
		return
	}
	size := len(p.render())
	if len(s.queue)+s.flying >= maxQueued || s.bytes+s.flyBytes+size > maxQueuedBytes {
		s.endLocked(closeSlow, "")
		return
	}
	s.queue = append(s.queue, p)
	s.bytes += size
	s.kick()
}

// answer queues a frame that answers one of the client's. A client that asks and never reads is ended like any slow reader.
func (s *socket) answer(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerLocked(text)
}

func (s *socket) answerLocked(text []byte) {
	switch {
	case s.code != 0 || s.cut:
	case len(s.frames) >= maxQueued:
		s.endLocked(closeSlow, "")
	default:
		s.frames = append(s.frames, frame.Append(nil, frame.Text, text))
		s.kick()
	}
}

// ping asks the client for a sign of life, unless it left the last two unanswered: then it is gone.
func (s *socket) ping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missed >= missedPings {
		s.endLocked(closeGone, "no pong")
		return
	}
	s.missed++
	s.pingDue = true
	s.kick()
}

// ponged notes a sign of life.
func (s *socket) ponged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed = 0
}

// pinged answers the client's ping; of many that wait only the last is answered (RFC 6455 §5.5.3).
func (s *socket) pinged(payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pong = frame.Append(nil, frame.Pong, payload)
	s.kick()
}

// end closes the socket with a code; the first one counts.
func (s *socket) end(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(code, reason)
}

func (s *socket) endLocked(code int, reason string) {
	if s.code != 0 || s.cut {
		return
	}
	s.code, s.reason = code, reason
	s.queue, s.bytes = nil, 0 // the client resumes from the log
	if s.writing {
		s.within(lastWrite)
	}
	s.kick()
}

// ending tells whether the close was decided on.
func (s *socket) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code != 0 || s.cut
}

// within gives a write in progress no more than a time.
func (s *socket) within(d time.Duration) { _ = s.conn.SetWriteDeadline(time.Now().Add(d)) }
