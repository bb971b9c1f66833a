package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"sort"
	"strconv"
)

// wholer is an output that completes itself before it is written.
type wholer interface{ whole() any }

// answer writes the success envelope (rest-conventions §2).
func (a *API) answer(st *state, out any) error {
	buf := a.buffer()
	defer a.buffers.Put(buf)
	if err := success(buf, out); err != nil {
		return err
	}
	st.w.json(st.statusOf(), "application/json", buf.Bytes())
	return nil
}

// statusOf is the status of a success.
func (st *state) statusOf() int {
	if st.status != 0 {
		return st.status
	}
	return st.op.op.Status
}

// success renders the envelope.
func success(buf *bytes.Buffer, out any) error {
	env, extra := out, map[string]any(nil)
	switch e := out.(type) {
	case Envelope:
		env, extra = e.Payload, e.Extra
	case *Envelope:
		env, extra = e.Payload, e.Extra
	}
	buf.WriteString(`{"success":true,"payload":`)
	if err := encode(buf, presentable(env)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	names := make([]string, 0, len(extra))
	for k := range extra {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		buf.WriteByte(',')
		if err := encode(buf, k); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		buf.WriteByte(':')
		if err := encode(buf, extra[k]); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
	buf.WriteByte('}')
	return nil
}

// presentable turns what would be written as null though it is empty into [] or {}.
func presentable(out any) any {
	if w, ok := out.(wholer); ok {
		return w.whole()
	}
	if out == nil {
		return Empty{}
	}
	v := reflect.ValueOf(out)
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() && v.Type() != rawJSONType {
			return []Empty{}
		}
	case reflect.Map:
		if v.IsNil() {
			return Empty{}
		}
	}
	return out
}

// Rendered is an answer that is compact JSON already: it goes out as it is.
type Rendered interface {
	Rendered() []byte
}

// encode appends the JSON of a value without the encoder's final newline.
func encode(buf *bytes.Buffer, v any) error {
	if r, ok := v.(Rendered); ok {
		buf.Write(r.Rendered())
		return nil
	}
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	buf.Truncate(buf.Len() - 1)
	return nil
}

func (a *API) buffer() *bytes.Buffer {
	if b, ok := a.buffers.Get().(*bytes.Buffer); ok && b.Cap() <= maxStored {
		b.Reset()
		return b
	}
	return new(bytes.Buffer)
}

// json writes a whole body.
func (w *response) json(status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a broken connection has no reader for an error
}

// writeJSON is response.json for the pages of the layer.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var buf bytes.Buffer
	if err := encode(&buf, v); err != nil {
		http.Error(w, "internal", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes())
}
