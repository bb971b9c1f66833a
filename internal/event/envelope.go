package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// timeForm is the wire's dt: UTC with milliseconds (rest-conventions §6).
const timeForm = "2006-01-02T15:04:05.000Z"

// rendered is an event that waits for its cursor: everything else is bytes already, made on the caller's goroutine.
type rendered struct {
	row    Row
	text   []byte // the envelope with room for the cursor
	cursor int    // where that is
}

// Members with a place of their own; the others stand after the payload.
var (
	early   = map[string]bool{"success": true, "command": true, "source_action": true, "test": true}
	account = map[string]bool{"account": true}
)

func render(e Event) (rendered, error) {
	size := 1024 + len(e.Message)
	if raw, ok := e.Payload.(json.RawMessage); ok {
		size += len(raw)
	}
	for _, m := range e.Members {
		if raw, ok := m.Value.(json.RawMessage); ok {
			size += len(raw) + len(m.Name)
		}
	}
	var b bytes.Buffer
	b.Grow(size)
	b.WriteString(`{"uuid":"`)
	b.WriteString(e.UUID)
	b.WriteString(`","cursor":"`)
	cursor := b.Len()
	b.WriteString(noCursor)
	b.WriteString(`",`)
	at := e.At.UTC().AppendFormat(make([]byte, 0, len(timeForm)), timeForm)
	for i, name := range []string{`"created_on":"`, `","modified_on":"`, `","timestamp":"`} {
		b.WriteString(name)
		b.Write(at)
		if i == 2 {
			b.WriteByte('"')
		}
	}
	steps := []func() error{
		func() error { return member(&b, "type", string(e.Type)) },
		func() error { return members(&b, e.Members, early, true) },
		func() error { return member(&b, "message", e.Message) },
		func() error { return member(&b, "payload", e.Payload) },
		func() error { return members(&b, e.Members, early, false) },
		func() error { return member(&b, "ref_id", e.RefID) },
		func() error { return members(&b, e.Members, account, true) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return rendered{}, err
		}
	}
	b.WriteString(`,"delivery_report":[]}`)
	row := Row{UUID: e.UUID, Account: e.Account, Type: string(e.Type), RefID: e.RefID, At: e.At.UTC().Truncate(time.Microsecond)}
	return rendered{row: row, text: b.Bytes(), cursor: cursor}, nil
}

// members writes those whose name is (want) or is not (!want) in the set; account is always left to its own place.
func members(b *bytes.Buffer, all []Member, set map[string]bool, want bool) error {
	for _, m := range all {
		if set[m.Name] != want || !want && m.Name == "account" {
			continue
		}
		if err := member(b, m.Name, m.Value); err != nil {
			return err
		}
	}
	return nil
}

func member(b *bytes.Buffer, name string, v any) error {
	b.WriteByte(',')
	b.WriteByte('"')
	b.WriteString(name)
	b.WriteString(`":`)
	if raw, ok := v.(json.RawMessage); ok {
		if len(raw) == 0 {
			raw = json.RawMessage("null")
		}
		if !utf8.Valid(raw) { // PostgreSQL and websockets refuse it
			raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
		}
		b.Write(raw)
		return nil
	}
	if s, ok := v.(string); ok && plain(s) {
		b.WriteByte('"')
		b.WriteString(s)
		b.WriteByte('"')
		return nil
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("event member %s: %w", name, err)
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	return nil
}

// plain tells a text that JSON needs no escapes for.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// noCursor keeps the room of a cursor, which are all of one length.
const noCursor = "c_0000000000000000"

// body puts the cursor in.
func (r rendered) body(seq int64) []byte {
	copy(r.text[r.cursor:], FormatCursor(seq))
	return r.text
}
