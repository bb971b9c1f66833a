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

// request is what a client sends.
type request struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

// reply is what it gets back.
type reply struct {
	Type    string `json:"type"`
	Success bool   `json:"success"`
	Message string `json:"message,omitempty"`
	Status  int    `json:"status,omitempty"`
	Detail  string `json:"detail,omitempty"` // what to do
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
func (s *socket) handle(ctx context.Context, f request) {
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
	since, err := s.since(ctx, p.Since)
	if err != nil {
		e := fault.Of(err)
		if e == nil {
			s.gate.log.Warn("resume a websocket", "error", err)
			e = fault.New(fault.Unavailable)
		}
		r := reply{Type: "subscribe", Message: e.Public(), Status: fault.Lookup(e.Code).Status}
		if r.Detail = e.Fields["since"].Message; r.Detail == r.Message {
			r.Detail = ""
		}
		s.answer(encode(r))
		return
	}
	_, removed, err := s.gate.events.Head(ctx)
	if err != nil {
		refuse(503, "Service unavailable")
		return
	}
	s.choose(p.Types, since, removed)
}

// live says that a subscribe frame wants no stored events.
const live = -1

// since reads the cursor of a subscribe frame, which may have none.
func (s *socket) since(ctx context.Context, cursor *string) (int64, error) {
	if cursor == nil {
		return live, nil
	}
	seq, err := event.ParseCursor(*cursor)
	if err != nil {
		return 0, fault.Newf(fault.Validation, "payload.since: %s", noCursor)
	}
	return seq, s.gate.resumable(ctx, s.who.Account, seq)
}

// choose takes effect and queues the answer, in that order, under one lock: the answer stands before the events that it lets through. The answer's cursor is the
// client's own and everything after it is chosen by the new types; rows that are committed but did not come by here yet are after it. Removed is how far the
// retention went: a place before it could not be resumed from.
func (s *socket) choose(types *[]string, since, removed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types = nil
	if types != nil {
		s.types = slices.Clone(*types)
	}
	cursor := max(s.place, removed)
	if since >= 0 {
		cursor = max(cursor, since, s.latest)
	}
	names := s.types
	for _, t := range storedTypes(s.stored, s.gate.now()) {
		if !slices.Contains(names, t) {
			names = append(names, t)
		}
	}
	if names == nil {
		names = []string{}
	}
	s.answerLocked(encode(reply{Type: "subscribe", Success: true, Message: "ok", Payload: map[string]any{"types": names, "cursor": event.FormatCursor(cursor)}}))
	if since >= 0 {
		s.replaying, s.replay, s.after = true, &replayJob{after: since}, since
		s.queue, s.bytes = nil, 0 // the log has them, after the cursor
		s.kick()
	}
}

func storedTypes(subs []Subscription, now time.Time) []string {
	out := []string{}
	for _, s := range subs {
		if s.Channel == "wss" && s.Active && (s.Expires.IsZero() || now.Before(s.Expires)) && !slices.Contains(out, s.Type) {
			out = append(out, s.Type)
		}
	}
	slices.Sort(out)
	return out
}
