package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// timeForm is the wire's dt: UTC with milliseconds (rest-conventions §6).
const timeForm = "2006-01-02T15:04:05.000Z"

// rendered is an event that waits for its cursor: everything else is bytes already, made on the caller's goroutine.
type rendered struct {
	row  Row
	tail []byte // from `"created_on"` to the closing brace
}

func render(e Event) (rendered, error) {
	var b bytes.Buffer
	b.Grow(1024)
	at := e.At.UTC().Format(timeForm)
	fmt.Fprintf(&b, `"created_on":%q,"modified_on":%q,"timestamp":%q,"type":%q`, at, at, at, string(e.Type))
	early := map[string]bool{"success": true, "command": true, "source_action": true, "test": true}
	if err := members(&b, e.Members, early, true); err != nil {
		return rendered{}, err
	}
	if err := member(&b, "message", e.Message); err != nil {
		return rendered{}, err
	}
	if err := member(&b, "payload", e.Payload); err != nil {
		return rendered{}, err
	}
	if err := members(&b, e.Members, early, false); err != nil {
		return rendered{}, err
	}
	fmt.Fprintf(&b, `,"ref_id":%q`, e.RefID)
	if err := members(&b, e.Members, map[string]bool{"account": true}, true); err != nil {
		return rendered{}, err
	}
	b.WriteString(`,"delivery_report":[]}`)
	row := Row{UUID: e.UUID, Account: e.Account, Type: string(e.Type), RefID: e.RefID, At: e.At.UTC().Truncate(time.Microsecond)}
	return rendered{row: row, tail: b.Bytes()}, nil
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

// body puts the cursor in.
func (r rendered) body(seq int64) []byte {
	out := make([]byte, 0, len(r.tail)+96)
	out = append(out, `{"uuid":"`...)
	out = append(out, r.row.UUID...)
	out = append(out, `","cursor":"`...)
	out = append(out, FormatCursor(seq)...)
	out = append(out, `",`...)
	return append(out, r.tail...)
}
