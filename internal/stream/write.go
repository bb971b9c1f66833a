package stream

import (
	"net"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/stream/frame"
)

// batch is what the writer sends next.
type batch struct {
	frames [][]byte
	events int   // how many of the frames, at their end, are events
	bytes  int   // of those
	last   int64 // cursor of the last of them
	replay *replayJob
	bye    bool // the close frame is the last one
}

// kick starts the writer unless there is one; s.mu is held.
func (s *socket) kick() {
	if !s.writing && !s.cut {
		s.writing = true
		go s.write()
	}
}

// write sends what waits and ends when nothing does, so that an idle socket has no writer.
func (s *socket) write() {
	done := batch{}
	for {
		b, more := s.next(done)
		if !more {
			return
		}
		if !s.send(b.frames) {
			s.shut()
		} else if b.replay != nil {
			b.replay.run(s)
		}
		if b.bye {
			s.part()
		}
		done = b
	}
}

// next settles what was sent and takes what waits; false is the writer's end.
func (s *socket) next(done batch) (b batch, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if done.events > 0 {
		s.flying, s.flyBytes = s.flying-done.events, s.flyBytes-done.bytes
		if !s.cut {
			s.sent = done.last
		}
	}
	switch {
	case s.cut || s.parted:
	case s.code != 0:
		s.parted, b.bye = true, true
		if s.code == closeSlow {
			s.frames, s.reason = nil, event.FormatCursor(s.sent)
		}
		b.frames = append(b.frames, s.frames...)
		b.frames = append(b.frames, frame.AppendClose(nil, s.code, s.reason))
		s.frames = nil
	default:
		s.take(&b)
	}
	if len(b.frames) == 0 && b.replay == nil {
		s.writing = false
		if s.quiet != nil {
			close(s.quiet)
		}
		return b, false
	}
	return b, true
}

// take moves control frames, answers and events into the batch, in this order.
func (s *socket) take(b *batch) {
	b.frames = s.asides()
	if n := min(maxWrite-len(b.frames), len(s.queue)); n > 0 {
		b.frames = slices.Grow(b.frames, n)
	}
	b.replay, s.replay = s.replay, nil
	for len(s.queue) > 0 && len(b.frames) < maxWrite {
		p := s.queue[0]
		if b.events > 0 && b.bytes+len(p.frame) > maxWriteBytes {
			break
		}
		b.frames = append(b.frames, p.frame)
		b.events++
		b.bytes += len(p.frame)
		b.last = p.row.Seq
		s.queue = s.queue[1:]
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
	s.bytes -= b.bytes
	s.flying, s.flyBytes = b.events, b.bytes
}

// asides takes what goes out before events: control frames and answers. s.mu is held.
func (s *socket) asides() [][]byte {
	out := s.frames
	s.frames = nil
	if s.pingDue {
		out, s.pingDue = append(out, frame.Append(nil, frame.Ping, nil)), false
	}
	if s.pong != nil {
		out, s.pong = append(out, s.pong), nil
	}
	return out
}

// send writes frames with one system call; false means that the connection is of no use any more. A client that takes nothing for too long is cut: the middle of a
// frame is no place for a close frame.
func (s *socket) send(frames [][]byte) bool {
	if len(frames) == 0 {
		return true
	}
	if now := time.Now(); s.until.Sub(now) < writeDeadline/2 {
		s.until = now.Add(writeDeadline)
		if s.conn.SetWriteDeadline(s.until) != nil {
			return false
		}
	}
	var err error
	if len(frames) == 1 {
		_, err = s.conn.Write(frames[0])
	} else {
		all := net.Buffers(frames)
		_, err = all.WriteTo(s.conn)
	}
	return err == nil
}

// part follows the close frame: nothing more will be sent, and the reader has a moment left to see the other side's.
func (s *socket) part() {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // the client may be gone
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(closeWait))
}

// shut gives the connection up.
func (s *socket) shut() {
	s.mu.Lock()
	s.cut, s.queue, s.bytes, s.frames = true, nil, 0, nil
	s.mu.Unlock()
	_ = s.conn.Close() // the reader notices
}
