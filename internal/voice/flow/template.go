package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// escaping says what happens to a value that goes into a text, xml.md §3.4.
type escaping uint8

const (
	asIs   escaping = iota
	inURL           // percent-encoded, unless the whole value is one template
	inJSON          // as the inside of a JSON string
)

// memory is what a flow remembers for templates and requests.
type memory struct {
	dtmf      string
	gathered  map[string]string
	meta      map[string]any
	metaOrder []string
	answers   map[string]curlAnswer
	answered  []string // tags in the order of their answers, oldest first
	records   map[string]RecordInfo
	dialed    DialResult
	warnings  []string // for the next report
}

// curlAnswer is a stored answer.
type curlAnswer struct {
	status  int
	headers map[string]string
	body    []byte
	decoded any // nil when the body is no JSON
}

func (r *memory) start(meta map[string]any) {
	r.gathered, r.meta = map[string]string{}, map[string]any{}
	r.answers, r.records = map[string]curlAnswer{}, map[string]RecordInfo{}
	for name, v := range meta {
		r.meta[name] = v
		r.metaOrder = append(r.metaOrder, name)
	}
	slices.Sort(r.metaOrder)
}

func (r *memory) takeWarnings() []string {
	w := r.warnings
	r.warnings = nil
	return w
}

// keep stores an answer of Curl under its tag; the oldest goes when there are too many.
func (r *memory) keep(tag string, a FetchAnswer) {
	body := a.Body[:min(len(a.Body), maxAnswerSize)]
	kept := curlAnswer{status: a.Status, headers: a.Header, body: body}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&kept.decoded) != nil {
		kept.decoded = nil
	}
	if i := slices.Index(r.answered, tag); i >= 0 {
		r.answered = slices.Delete(r.answered, i, i+1)
	}
	if len(r.answered) == maxAnswers {
		delete(r.answers, r.answered[0])
		r.answered = r.answered[1:]
	}
	r.answered = append(r.answered, tag)
	r.answers[tag] = kept
}

// hasTemplate tells whether a text holds a template that is not escaped.
func hasTemplate(s string) bool {
	for at := 0; ; {
		i := strings.Index(s[at:], "{{")
		if i < 0 {
			return false
		}
		i += at
		if (i == 0 || s[i-1] != '\\') && strings.Contains(s[i:], "}}") {
			return true
		}
		at = i + 2
	}
}

// expand fills in the templates of a text. Unknown names give nothing and, with a command, a warning.
func (m *Machine) expand(s string, how escaping, c *command) string {
	if !strings.Contains(s, "{{") {
		return s
	}
	if how == inURL && strings.HasPrefix(s, "{{") && strings.Index(s, "}}") == len(s)-2 {
		how = asIs
	}
	var b strings.Builder
	for {
		i := strings.Index(s, "{{")
		if i < 0 {
			break
		}
		if i > 0 && s[i-1] == '\\' {
			b.WriteString(s[:i-1])
			b.WriteString("{{")
			s = s[i+2:]
			continue
		}
		end := strings.Index(s[i:], "}}")
		if end < 0 {
			break
		}
		b.WriteString(s[:i])
		name := strings.TrimSpace(s[i+2 : i+end])
		s = s[i+end+2:]
		v, known := m.value(name)
		if !known && c != nil {
			c.warn("unknown name {{%s}}", name)
		}
		b.WriteString(how.escape(cut(v, maxValue)))
	}
	b.WriteString(s)
	return b.String()
}

func (e escaping) escape(v string) string {
	switch e {
	case inURL:
		return percent(v)
	case inJSON:
		return jsonInside(v)
	}
	return v
}

func jsonInside(v string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return ""
	}
	return string(b.Bytes()[1 : b.Len()-2]) // without the quotes and the line feed
}

// percent encodes all but the unreserved characters, RFC 3986 §2.3.
func percent(v string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		ch := v[i]
		if ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || strings.IndexByte("-._~", ch) >= 0 {
			b.WriteByte(ch)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[ch>>4])
		b.WriteByte(hex[ch&15])
	}
	return b.String()
}

// cut shortens to so many bytes without breaking a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// value is the table of names.
func (m *Machine) value(name string) (string, bool) {
	head, rest, _ := strings.Cut(name, ".")
	switch head {
	case "call":
		return callValue(m.cfg.Phone.Info(), rest)
	case "dtmf":
		return m.memory.dtmf, rest == ""
	case "gather":
		v, ok := m.memory.gathered[rest]
		return v, ok
	case "meta":
		v, ok := m.memory.meta[rest]
		return text(v), ok
	case "curl":
		return m.curlValue(rest)
	case "record":
		return m.recordValue(rest)
	case "dial":
		return m.dialValue(rest)
	}
	info := m.cfg.Phone.Info()
	switch name {
	case "account.uuid":
		return info.AccountUUID, true
	case "sca.uuid":
		return info.AppUUID, true
	case "sca.name":
		return info.AppName, true
	case "now":
		return m.cfg.Now().UTC().Format("2006-01-02T15:04:05.000Z"), true
	}
	return "", false
}

func callValue(info CallInfo, name string) (string, bool) {
	switch name {
	case "uuid":
		return info.UUID, true
	case "from":
		return info.From, true
	case "to":
		return info.To, true
	case "tn":
		return info.TN, true
	case "direction":
		return info.Direction, true
	case "state":
		return info.State, true
	case "type":
		return info.Type, true
	case "machine":
		return info.Machine, true
	case "stir_shaken_attest_level":
		return info.Attest, true
	}
	return "", false
}

func (m *Machine) dialValue(name string) (string, bool) {
	d := m.memory.dialed
	switch name {
	case "status":
		return string(d.Status), d.Status != ""
	case "to":
		return d.To, d.Status != ""
	}
	return "", false
}

func (m *Machine) recordValue(name string) (string, bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return "", false
	}
	tag, member := name[:i], name[i+1:]
	info, ok := m.memory.records[tag]
	if m.cfg.Recordings != nil {
		if found, there := m.cfg.Recordings.Find(tag); there {
			info, ok = found, true
		}
	}
	if !ok {
		return "", false
	}
	switch member {
	case "url":
		return info.URL, true
	case "duration":
		return strconv.FormatFloat(seconds(info.Duration), 'f', -1, 64), true
	case "text":
		return info.Text, true
	}
	return "", false
}

// curlValue finds the stored answer by the longest tag that the name begins with: tags may hold dots.
func (m *Machine) curlValue(name string) (string, bool) {
	best, member := -1, ""
	var a curlAnswer
	for tag, stored := range m.memory.answers {
		rest, ok := strings.CutPrefix(name, tag+".")
		if ok && len(tag) > best {
			best, member, a = len(tag), rest, stored
		}
	}
	if best < 0 {
		return "", false
	}
	head, rest, deeper := strings.Cut(member, ".")
	switch {
	case head == "status" && !deeper:
		return strconv.Itoa(a.status), true
	case head == "body" && !deeper:
		return string(a.body), true
	case head == "body":
		v, ok := walk(a.decoded, rest)
		return text(v), ok
	case head == "headers" && deeper:
		for k, v := range a.headers {
			if strings.EqualFold(k, rest) {
				return v, true
			}
		}
	}
	return "", false
}

// walk follows a path of member names and array indexes.
func walk(v any, path string) (any, bool) {
	for path != "" {
		var part string
		part, path, _ = strings.Cut(path, ".")
		switch at := v.(type) {
		case map[string]any:
			inner, ok := at[part]
			if !ok {
				return nil, false
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return nil, false
			}
			v = at[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// text writes a JSON value into a text: strings bare, null as nothing, the rest as JSON.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatInt(int64(v), 10)
		}
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case fmt.Stringer:
		return v.String()
	}
	return string(encoded(v))
}
