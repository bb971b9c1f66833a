package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// closeUnauthorized is how the server ends a socket whose credential is not, or no longer, good.
const closeUnauthorized = 4401

// ErrSignedOut says that the server does not accept the credential on the websocket.
var ErrSignedOut = errors.New("the server does not accept the token")

// Event is one event as it came; Raw is the whole frame.
type Event struct {
	UUID      string          `json:"uuid"`
	Cursor    string          `json:"cursor"`
	Type      string          `json:"type"`
	Message   string          `json:"message"`
	CreatedOn string          `json:"created_on"`
	RefID     string          `json:"ref_id"`
	Command   string          `json:"command"` // call_flow: the element's name
	Payload   json.RawMessage `json:"payload"`
	Call      json.RawMessage `json:"call"`
	Raw       []byte          `json:"-"`
}

// answer is a frame that is no event.
type answer struct {
	Type    string          `json:"type"`
	Success *bool           `json:"success"`
	Message string          `json:"message"`
	Status  int             `json:"status"`
	Cursor  string          `json:"cursor"` // of an event
	Payload json.RawMessage `json:"payload"`
}

// Stream is a signed-in websocket with a subscription.
type Stream struct {
	conn    *websocket.Conn
	early   [][]byte // events that came before the subscription was answered
	current string
}

// Subscribe opens a websocket, signs in and subscribes to event types ("*": all). With since, events behind that cursor come first. Events that happen after
// Subscribe has returned are not missed.
func (c *Client) Subscribe(ctx context.Context, types []string, since string) (*Stream, error) {
	dial, cancel := context.WithTimeout(ctx, signInTimeout)
	defer cancel()
	address := "ws" + strings.TrimPrefix(c.base, "http") + "/"
	conn, response, err := websocket.Dial(dial, address, nil)
	if err != nil {
		if response != nil {
			return nil, fmt.Errorf("websocket: the server answers %s", response.Status)
		}
		return nil, &UnreachableError{c.base, err}
	}
	conn.SetReadLimit(maxFrame)
	s := &Stream{conn: conn, current: since}
	if err := s.begin(dial, c.token, types, since); err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	return s, nil
}

// begin signs in and subscribes, each with its answer.
func (s *Stream) begin(ctx context.Context, token string, types []string, since string) error {
	if _, err := s.ask(ctx, "auth", token); err != nil {
		return err
	}
	want := map[string]any{"types": types}
	if since != "" {
		want["since"] = since
	}
	a, err := s.ask(ctx, "subscribe", want)
	if err != nil {
		return err
	}
	var p struct {
		Cursor string `json:"cursor"`
	}
	if err := json.Unmarshal(a.Payload, &p); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if since == "" {
		s.current = p.Cursor
	}
	return nil
}

func (s *Stream) ask(ctx context.Context, kind string, payload any) (answer, error) {
	b, err := json.Marshal(map[string]any{"type": kind, "payload": payload})
	if err != nil {
		return answer{}, err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, b); err != nil {
		return answer{}, ended(err)
	}
	for {
		_, frame, err := s.conn.Read(ctx)
		if err != nil {
			return answer{}, ended(err)
		}
		var a answer
		if err := json.Unmarshal(frame, &a); err != nil {
			return a, fmt.Errorf("websocket: %w", err)
		}
		switch {
		case a.Type != kind || a.Success == nil:
			s.early = append(s.early, frame)
		case !*a.Success && a.Status == 401:
			return a, ErrSignedOut
		case !*a.Success:
			return a, &Error{Status: a.Status, Message: a.Message, Code: kind + "_refused"}
		default:
			return a, nil
		}
	}
}

// ended gives the error of a websocket that is over.
func ended(err error) error {
	if websocket.CloseStatus(err) == closeUnauthorized {
		return ErrSignedOut
	}
	return fmt.Errorf("websocket: %w", err)
}

// Next waits for the next event. A context that ends also ends the stream.
func (s *Stream) Next(ctx context.Context) (Event, error) {
	var frame []byte
	if len(s.early) > 0 {
		frame, s.early = s.early[0], s.early[1:]
	} else {
		var err error
		if _, frame, err = s.conn.Read(ctx); err != nil {
			if ctx.Err() != nil {
				return Event{}, ctx.Err()
			}
			return Event{}, ended(err)
		}
	}
	e := Event{Raw: frame}
	if err := json.Unmarshal(frame, &e); err != nil {
		return e, fmt.Errorf("event: %w", err)
	}
	if e.Cursor != "" {
		s.current = e.Cursor
	}
	return e, nil
}

// Cursor is the place in the log behind which a new stream would go on.
func (s *Stream) Cursor() string { return s.current }

// Close ends the stream.
func (s *Stream) Close() { _ = s.conn.Close(websocket.StatusNormalClosure, "") }

// Following says what Follow does beside the events.
type Following struct {
	Types []string
	Since string
	// Opened is told each time a stream is open, with the cursor behind which it begins; nil is fine.
	Opened func(cursor string)
	// Lost is told when the connection broke and will be tried again; nil is fine.
	Lost func(error)
}

// Follow gives every event to each, without gap or double, until ctx ends (nil), each gives an error, or the server refuses the credential or the
// cursor. A lost connection comes back after a second and resumes behind the last event; so does a server that says it cannot serve now. One that is not there at
// the beginning is an error.
func (c *Client) Follow(ctx context.Context, f Following, each func(Event) error) error {
	since, began := f.Since, false
	for {
		s, err := c.Subscribe(ctx, f.Types, since)
		if err == nil {
			began = true
			if f.Opened != nil {
				f.Opened(s.Cursor())
			}
			var stop bool
			since, stop, err = drainInto(ctx, s, each)
			if stop {
				return err
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if !comesBack(err, began) {
			return err
		}
		if f.Lost != nil {
			f.Lost(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.pause):
		}
	}
}

// comesBack tells whether trying again may help; began says that it worked before.
func comesBack(err error, began bool) bool {
	var refused *Error
	switch {
	case errors.Is(err, ErrSignedOut):
		return false
	case errors.As(err, &refused):
		return refused.Status >= 500
	}
	return began || websocket.CloseStatus(err) == websocket.StatusGoingAway
}

// drainInto hands events on until the stream breaks, or until each has had enough (stop).
func drainInto(ctx context.Context, s *Stream, each func(Event) error) (cursor string, stop bool, err error) {
	defer s.Close()
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return s.Cursor(), false, err
		}
		if err := each(e); err != nil {
			return s.Cursor(), true, err
		}
	}
}
