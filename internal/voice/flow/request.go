package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/fault"
)

// field is one parameter of a request, in the order of webhooks.md §5.1.
type field struct{ name, value string }

// withFields appends parameters to a URL; its own query is kept as it is, and a fragment is dropped.
func withFields(url string, fields []field) string {
	url, _, _ = strings.Cut(url, "#")
	var b strings.Builder
	b.WriteString(url)
	sep := byte('?')
	if i := strings.IndexByte(url, '?'); i >= 0 {
		sep = '&'
		if i == len(url)-1 {
			sep = 0
		}
	}
	for _, f := range fields {
		if sep != 0 {
			b.WriteByte(sep)
		}
		b.WriteString(percent(f.name))
		b.WriteByte('=')
		b.WriteString(percent(f.value))
		sep = '&'
	}
	return b.String()
}

// flowFields are the parameters of Gather url, Callback and Redirect.
func (m *Machine) flowFields(c *command, dtmf string, always bool) []field {
	i := m.cfg.Phone.Info()
	var f []field
	if dtmf != "" || always {
		f = append(f, field{"dtmf", dtmf})
	}
	f = append(f, field{"from", i.From}, field{"tn", i.TN}, field{"state", i.State}, field{"sca", i.AppUUID}, field{"call", i.UUID})
	if tag := c.tag(); tag != "" {
		f = append(f, field{"tag", tag})
	}
	return append(f, m.metaFields(c)...)
}

func (m *Machine) metaFields(c *command) []field {
	names, values := m.metaNames(c)
	f := make([]field, len(names))
	for i, name := range names {
		f[i] = field{"meta." + name, text(values[name])}
	}
	return f
}

// asObject gives fields as a JSON object; meta becomes an object of its own, typed.
func (m *Machine) asObject(c *command, fields []field) map[string]any {
	o := map[string]any{}
	for _, f := range fields {
		if !strings.HasPrefix(f.name, "meta.") {
			o[f.name] = f.value
		}
	}
	if _, values := m.metaNames(c); len(values) > 0 {
		o["meta"] = values
	}
	return o
}

// encoded is JSON as the contract writes it; a value that cannot be written gives an empty object.
func encoded(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return []byte("{}")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// orNull is a text on the wire that is null when there is none.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// fetchTime is a timeout attribute as the time a request gets; 0 means the default.
func fetchTime(d time.Duration) time.Duration {
	if d <= 0 {
		return fetchTimeout
	}
	return min(d, longestFetch)
}

// fetch makes a request, once more when no connection was made, and notes the answer for the report. Its error is a
// failure in the contract's words.
func (m *Machine) fetch(ctx context.Context, c *command, r FetchRequest) (FetchAnswer, error) {
	a, err := m.cfg.Fetcher.Fetch(ctx, r)
	if errors.Is(err, ErrConnect) && ctx.Err() == nil {
		a, err = m.cfg.Fetcher.Fetch(ctx, r)
	}
	if err != nil {
		return a, fetchFailure(c, err)
	}
	c.noteAnswer(a)
	return a, nil
}

func (c *command) noteAnswer(a FetchAnswer) {
	headers := a.Header
	if headers == nil {
		headers = map[string]string{}
	}
	c.response = &Response{Status: a.Status, Headers: headers, Body: cut(strings.ToValidUTF8(string(a.Body), "\uFFFD"), maxShown)}
	c.result["status"] = a.Status
}

// fetchFailure words an error; what the fetcher tells the customer becomes a warning.
func fetchFailure(c *command, err error) error {
	if f := fault.Of(err); f != nil {
		c.warn("%s", f.Public())
	}
	var timeout interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return failure("Timeout")
	}
	return failure("Connection failed")
}

// fetchFlow makes a request and reads its answer as call XML; a nil document is an answer without XML.
func (m *Machine) fetchFlow(ctx context.Context, c *command, r FetchRequest) (*Document, error) {
	r.Limit = maxBytes + 1
	a, err := m.fetch(ctx, c, r)
	if err != nil {
		return nil, err
	}
	if a.Status < 200 || a.Status > 299 {
		return nil, failure(fmt.Sprintf("HTTP %d", a.Status))
	}
	return m.document(c, a)
}

// document reads an answer; its warnings go into the report.
func (m *Machine) document(c *command, a FetchAnswer) (*Document, error) {
	if !IsXML(a.ContentType, a.Body) {
		return nil, nil
	}
	doc, err := m.parse(a.Body)
	if err != nil {
		if f := fault.Of(err); f != nil {
			return nil, failure(f.Public())
		}
		return nil, failure(err.Error())
	}
	c.warnings = append(c.warnings, doc.Warnings...)
	return doc, nil
}

// IsXML tells whether an answer carries call XML: by its type, or because it begins with < (webhooks.md §4). An empty
// body never does.
func IsXML(contentType string, body []byte) bool {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xEF\xBB\xBF")))
	if len(body) == 0 {
		return false
	}
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return kind == "application/xml" || kind == "text/xml" || body[0] == '<'
}
