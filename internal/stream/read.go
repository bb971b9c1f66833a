package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/opentact/opentact/internal/stream/frame"
)

// errFrame says that a frame was binary, too large or no JSON object.
var errFrame = errors.New("frame is not a JSON object of at most 64 KiB")

// live is the reading goroutine: it waits on a small stack for most of its life, and hands what needs a large one to a goroutine that ends with the frame.
// broken is what the sign-in ended with, if it did.
func (s *socket) live(broken error) {
	defer s.gate.running.Done()
	for broken == nil {
		var text []byte
		if text, broken = s.message(); broken == nil {
			handled := make(chan struct{})
			go func() {
				defer close(handled)
				s.took(text)
			}()
			<-handled
		}
	}
	s.fail(broken)
	s.gate.leave(s) // its user may come back before this connection has ended
	s.within(closeWait)
	_, _ = io.Copy(io.Discard, s.conn) // until the other side closes too, or the writer's deadline after the close frame
	s.settle()
	s.shut()
}

// message gives the client's next text message; control frames are answered on the way.
func (s *socket) message() ([]byte, error) {
	for {
		m, err := s.in.Next()
		if err != nil {
			return nil, err
		}
		switch m.Op {
		case frame.Text:
			if !s.ending() {
				return m.Payload, nil
			}
		case frame.Ping:
			s.pinged(m.Payload)
		case frame.Pong:
			s.ponged()
		case frame.Close:
			return nil, &frame.Error{Code: m.Code, Reason: ""} // the same code goes back (RFC 6455 §5.5.1)
		}
	}
}

// took handles a message of a socket that has signed in.
func (s *socket) took(text []byte) {
	f, err := parse(text)
	if err != nil {
		s.end(closeBadFrame, err.Error())
		return
	}
	s.handle(s.gate.ctx, f)
}

// fail ends the socket for a reason that the reader met.
func (s *socket) fail(err error) {
	var e *frame.Error
	switch {
	case errors.As(err, &e):
		s.end(e.Code, e.Reason)
	case errors.Is(err, frame.ErrBinary), errors.Is(err, frame.ErrTooLarge):
		s.end(closeBadFrame, errFrame.Error())
	case !s.ending():
		s.shut()
	}
}

// settle waits for the writer, which ends after the close frame or with the connection, and tells the operator how the socket ended.
func (s *socket) settle() {
	s.mu.Lock()
	var quiet chan struct{}
	if s.writing {
		quiet = make(chan struct{})
		s.quiet = quiet
	}
	code, reason := s.code, s.reason
	s.mu.Unlock()
	if quiet != nil {
		<-quiet
	}
	s.gate.log.Debug("websocket ended", "connection", s.id, "user", s.who.User, "ip", s.ip, "code", code, "reason", reason)
}

// parse reads a JSON object.
func parse(text []byte) (request, error) {
	var f request
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' || json.Unmarshal(text, &f) != nil {
		return request{}, errFrame
	}
	return f, nil
}

// inTime sets the time until the client must have signed in, or takes it back; not over the one of a close frame.
func (s *socket) inTime(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code == 0 {
		_ = s.conn.SetReadDeadline(t) // fails only on a closed connection, which the reader notices
	}
}
