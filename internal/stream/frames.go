package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
)

// frame is what a client sends.
type frame struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// reply is what it gets back.
type reply struct {
	Type    string `json:"type"`
	Success bool   `json:"success"`
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitempty"`
	Payload any    `json:"payload,omitempty"`
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("stream: reply does not encode: %v", err)) // its members are ours
	}
	return b
}

// handle answers one frame of an authenticated client.
func (s *socket) handle(ctx context.Context, f frame) {
	switch f.Type {
	case "ping":
		s.answer(encode(map[string]string{"type": "pong", "timestamp": s.gate.now().UTC().Format("2006-01-02T15:04:05.000Z")}))
	case "subscribe":
		s.subscribe(ctx, f.Payload)
	default:
		s.answer(encode(reply{Type: "error", Message: "Unknown frame", Status: 400}))
	}
}

// subscribe chooses types for this socket and may resume from a cursor.
func (s *socket) subscribe(ctx context.Context, payload json.RawMessage) {
	var p struct {
		Types *[]string `json:"types"`
		Since *string   `json:"since"`
	}
	refuse := func(status int, message string) {
		s.answer(encode(reply{Type: "subscribe", Message: message, Status: status}))
	}
	if len(payload) > 0 && json.Unmarshal(payload, &p) != nil {
		refuse(400, "payload.types is an array of event types, payload.since a cursor")
		return
	}
	if p.Types != nil {
		known := strings.Split(Types, ",")
		for _, t := range *p.Types {
			if !slices.Contains(known, t) {
				refuse(400, fmt.Sprintf("payload.types: unknown event type %q", t))
				return
			}
		}
	}
	since := int64(-1)
	if p.Since != nil {
		seq, err := event.ParseCursor(*p.Since)
		if err != nil {
			refuse(400, "payload.since is not a cursor")
			return
		}
		if err := s.gate.events.Check(ctx, seq); err != nil {
			e := fault.Of(err)
			if e == nil {
				e = fault.New(fault.Unavailable)
			}
			refuse(fault.Lookup(e.Code).Status, e.Public())
			return
		}
		since = seq
	}
	head, err := s.horizon(ctx, since)
	if err != nil {
		refuse(503, "Service unavailable")
		return
	}
	s.choose(p.Types, since, head)
}

// horizon gives the newest cursor that the answer may name. Without a resumption the client takes it that everything after that cursor is chosen by the new
// types; so rows that are committed but did not come by here yet must be after it, and zero leaves it to the socket's own place.
func (s *socket) horizon(ctx context.Context, since int64) (int64, error) {
	head, _, err := s.gate.events.Head(ctx)
	if err != nil || since >= 0 {
		return head, err
	}
	s.mu.Lock()
	place := s.place
	s.mu.Unlock()
	if place >= head {
		return head, nil
	}
	coming, err := s.gate.events.Read(ctx, event.Query{Account: s.who.Account, After: place, Until: head, Limit: 1})
	if err != nil || len(coming) > 0 {
		return 0, err
	}
	return head, nil
}

// choose takes effect and queues the answer, in that order, under one lock: the answer stands before the events that it lets through.
func (s *socket) choose(types *[]string, since, head int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if types != nil {
		s.types = append([]string{}, *types...)
	}
	names := s.types
	if names == nil {
		names = storedTypes(s.stored, s.gate.now())
	}
	if since < 0 {
		head = max(head, s.place)
	}
	answer := reply{Type: "subscribe", Success: true, Message: "ok", Payload: map[string]any{"types": names, "cursor": event.FormatCursor(head)}}
	s.frames = append(s.frames, encode(answer))
	if since >= 0 {
		s.replaying, s.replay, s.after = true, &replayJob{after: since}, since
		s.queue, s.bytes = nil, 0 // the log has them, after the cursor
	}
	s.signal()
}

func storedTypes(subs []Subscription, now time.Time) []string {
	out := []string{}
	for _, s := range subs {
		if s.Active && (s.Expires.IsZero() || now.Before(s.Expires)) && !slices.Contains(out, s.Type) {
			out = append(out, s.Type)
		}
	}
	slices.Sort(out)
	return out
}
