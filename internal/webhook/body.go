package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/opentact/opentact/internal/event"
)

// bodies keeps the bodies of the newest events in memory: the first attempt follows the event at once and need not read it again.
type bodies struct {
	mu   sync.Mutex // guards those below
	of   map[string][]byte
	ring []string // oldest first
}

func (b *bodies) put(event string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.of[event]; known {
		return
	}
	if len(b.ring) >= knownBody {
		delete(b.of, b.ring[0])
		b.ring = b.ring[1:]
	}
	b.of[event] = body
	b.ring = append(b.ring, event)
}

func (b *bodies) get(event string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[event]
}

// bodyOf gives what is sent of a signed delivery's event, the same bytes each time.
func (s *Service) bodyOf(ctx context.Context, d *delivery) ([]byte, error) {
	if len(d.notice.Body) > 0 { // a trial
		return d.notice.Body, nil
	}
	if b := s.bodies.get(d.event); b != nil {
		return b, nil
	}
	b, err := storedBody(ctx, s.db.Read(), d.event)
	if err == nil && b != nil && len(b) == 0 {
		err = errBody
	}
	if err != nil || b != nil {
		return b, err
	}
	rows, err := s.events.Read(ctx, event.Query{After: d.seq - 1, Until: d.seq, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || rows[0].UUID != d.event {
		return nil, errBody
	}
	return Shorten(rows[0].Type, rows[0].Body), nil
}

// small are the members of a payload that no other member of the envelope repeats, by type of event; the others are copies for older readers.
var small = map[string][]string{
	"call_state": {"state", "duration", "duration_ms", "reason", "machine", "q850_cause", "q850_cause_string"},
	"call_flow":  {"command"},
}

// Shorten is what endpoints get of an event. It makes a body of more than 20 KiB smaller: without call.logs, then without the older readers' copies in payload (webhooks.md §7.2).
func Shorten(typ string, body []byte) []byte {
	if len(body) <= signedBody {
		return body
	}
	const mark = `,"truncated":true}`
	out := edit(body, "call", func(call []byte) []byte { return without(call, func(name string) bool { return name == "logs" }) })
	if keep, known := small[typ]; known && len(out)+len(mark)-1 > signedBody {
		if typ == "call_flow" {
			out = edit(out, "payload", func(p []byte) []byte { return without(p, func(name string) bool { return name == "call" }) })
		} else {
			out = edit(out, "payload", func(p []byte) []byte {
				return without(p, func(name string) bool { return !slices.Contains(keep, name) })
			})
		}
	}
	if len(out) == len(body) {
		return body
	}
	return slices.Concat(out[:len(out)-1], []byte(mark))
}

// member is one of an object, as its bytes stand.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf reads an object without changing the bytes of its values; nil when it is none.
func membersOf(object []byte) []member {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil
		}
		var m member
		m.name, _ = name.(string)
		if err := dec.Decode(&m.value); err != nil {
			return nil
		}
		out = append(out, m)
	}
	return out
}

func objectOf(list []member) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name) // a string
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// edit replaces the value of one member; an object without it stays as it is.
func edit(object []byte, name string, change func([]byte) []byte) []byte {
	list := membersOf(object)
	i := slices.IndexFunc(list, func(m member) bool { return m.name == name })
	if i < 0 {
		return object
	}
	list[i].value = change(list[i].value)
	return objectOf(list)
}

// without leaves members out of an object; what is none stays as it is.
func without(object []byte, drop func(name string) bool) []byte {
	list := membersOf(object)
	if list == nil {
		return object
	}
	return objectOf(slices.DeleteFunc(list, func(m member) bool { return drop(m.name) }))
}
