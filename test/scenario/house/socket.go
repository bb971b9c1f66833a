package house

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Socket follows the events of an account over the websocket. A goroutine of its own reads until Close or the end of the connection.
type Socket struct {
	conn *websocket.Conn
	done chan struct{}

	mu     sync.Mutex
	frames []Frame
	next   int // first frame that Next has not looked at
	news   chan struct{}
	err    error
}

// Frame is one message of the server.
type Frame struct {
	Doc
	At time.Time // when it was read
}

// Open connects, signs in with token and chooses types ("*" for all) from the cursor since, which may be empty.
func Open(ctx context.Context, addr, token string, types []string, since string) (*Socket, error) {
	conn, _, err := websocket.Dial(ctx, "ws://"+addr+"/", nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(4 << 20)
	s := &Socket{conn: conn, done: make(chan struct{}), news: make(chan struct{})}
	go s.read()
	if err := s.hello(ctx, token, types, since); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Socket) hello(ctx context.Context, token string, types []string, since string) error {
	if err := s.Send(ctx, map[string]any{"type": "auth", "payload": token}); err != nil {
		return err
	}
	f, err := s.Next(ctx, func(f Frame) bool { return f.Str("type") == "auth" })
	if err != nil {
		return fmt.Errorf("websocket sign-in: %w", err)
	}
	if f.Str("success") != "true" {
		return fmt.Errorf("websocket sign-in refused: %s", f.Str("message"))
	}
	if len(types) == 0 {
		return nil
	}
	payload := map[string]any{"types": types}
	if since != "" {
		payload["since"] = since
	}
	if err := s.Send(ctx, map[string]any{"type": "subscribe", "payload": payload}); err != nil {
		return err
	}
	f, err = s.Next(ctx, func(f Frame) bool { return f.Str("type") == "subscribe" })
	if err == nil && f.Str("success") != "true" {
		err = fmt.Errorf("subscription refused: %s", f.Str("message"))
	}
	return err
}

// Send writes one frame.
func (s *Socket) Send(ctx context.Context, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.conn.Write(ctx, websocket.MessageText, b)
}

func (s *Socket) read() {
	defer close(s.done)
	for {
		_, b, err := s.conn.Read(context.Background())
		f := Frame{At: time.Now()}
		if err == nil {
			err = json.Unmarshal(b, &f.Value)
		}
		s.mu.Lock()
		if err != nil {
			s.err = err
		} else {
			s.frames = append(s.frames, f)
		}
		close(s.news)
		s.news = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Next gives the next frame that match wants; the frames before it are passed over for good. When ctx ends the error lists them.
func (s *Socket) Next(ctx context.Context, match func(Frame) bool) (Frame, error) {
	from := -1
	for {
		s.mu.Lock()
		if from < 0 {
			from = s.next
		}
		for s.next < len(s.frames) {
			f := s.frames[s.next]
			s.next++
			if match(f) {
				s.mu.Unlock()
				return f, nil
			}
		}
		news, err := s.news, s.err
		s.mu.Unlock()
		if err != nil {
			return Frame{}, fmt.Errorf("websocket: %w", err)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Frame{}, fmt.Errorf("no such event; since then came:\n%s", s.Seen(from))
		}
	}
}

// Seen describes the frames from the given one on, a line each.
func (s *Socket) Seen(from int) string {
	var b strings.Builder
	for _, f := range s.All()[from:] {
		fmt.Fprintf(&b, "  %s: %s\n", f.Str("type"), f.Str("message"))
	}
	return b.String()
}

// All gives every frame so far.
func (s *Socket) All() []Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Frame(nil), s.frames...)
}

// Cursor is the cursor of the last event that Next gave or passed over; empty before any.
func (s *Socket) Cursor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.next - 1; i >= 0; i-- {
		if c := s.frames[i].Str("cursor"); c != "" {
			return c
		}
	}
	return ""
}

// Close ends the connection and waits for the reader.
func (s *Socket) Close() {
	_ = s.conn.Close(websocket.StatusNormalClosure, "") // the server may have closed it
	<-s.done
}
