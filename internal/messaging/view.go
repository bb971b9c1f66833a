package messaging

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/e164"
)

// timeForm is the wire's dt: UTC with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

// object writes one JSON object member by member: a message is rendered three times in its life, so this is done without reflection.
type object struct{ b []byte }

func (o *object) key(name string) {
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) text(name, v string) {
	o.key(name)
	o.b = appendQuoted(o.b, v)
}

// some writes null for an empty text.
func (o *object) some(name, v string) {
	o.key(name)
	if v == "" {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = appendQuoted(o.b, v)
}

func (o *object) flag(name string, v bool) {
	o.key(name)
	o.b = strconv.AppendBool(o.b, v)
}

func (o *object) number(name string, v int64) {
	o.key(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

func (o *object) raw(name string, v []byte) {
	o.key(name)
	if len(v) == 0 {
		v = []byte("null")
	}
	o.b = append(o.b, v...)
}

// time writes null for the zero time.
func (o *object) time(name string, t time.Time) {
	o.key(name)
	if t.IsZero() {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = append(o.b, '"')
	o.b = t.UTC().AppendFormat(o.b, timeForm)
	o.b = append(o.b, '"')
}

// inner splices the members of an object.
func (o *object) inner(v []byte) {
	v = bytes.TrimSpace(v)
	if len(v) < 3 {
		return
	}
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, v[1:len(v)-1]...)
}

func (o *object) end() json.RawMessage { return append(o.b, '}') }

func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(s); err != nil {
				return append(b, `""`...)
			}
			return append(b, bytes.TrimRight(buf.Bytes(), "\n")...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// surroundings is what a message is shown with.
type surroundings struct {
	account   json.RawMessage
	createdBy json.RawMessage
	profile   json.RawMessage
	child     json.RawMessage // of a request for one recipient
	counters  *Counters       // of a bulk request
	wire      bool            // REST writes plain numbers of `to` as integers, events and callbacks as text
}

// renderMessage writes the Sms entity.
func renderMessage(m *Message, s surroundings) json.RawMessage {
	size := 1536 + len(m.Text) + len(m.Context) + len(m.Meta) + len(s.account) + len(s.createdBy) + len(s.profile) + len(s.child)
	o := &object{b: make([]byte, 0, size)}
	o.text("uuid", m.ID)
	o.text("type", m.Type)
	o.text("state", m.State)
	if m.Type == Requests && m.State == Created {
		o.some("from", "")
	} else {
		o.some("from", m.From)
	}
	renderTo(o, m, s.wire)
	o.text("message", m.Text)
	o.some("thread", m.Thread)
	o.flag("delivered", m.Delivered)
	o.flag("automated", m.Automated)
	if m.Type == Inbound {
		o.flag("readed", m.Readed)
	} else {
		o.raw("readed", nil)
	}
	o.some("reason", m.Reason)
	o.some("reference_id", m.ReferenceID)
	o.some("custom_callback_url", m.CallbackURL)
	renderContext(o, m)
	o.raw("messaging_profile", s.profile)
	o.raw("provider_event", nil)
	o.raw("account", s.account)
	o.text("account_uuid", m.Account)
	o.raw("created_by", s.createdBy)
	o.time("created_on", m.Created)
	o.time("modified_on", m.Modified)
	o.time("sent_on", m.Sent)
	o.time("delivered_on", m.DeliveredOn)
	renderFacts(o, m)
	o.raw("smso", s.child)
	renderCounters(o, s.counters)
	return o.end()
}

func renderTo(o *object, m *Message, wire bool) {
	if !m.Bulk() {
		renderNumber(o, "to", m.To, wire)
		return
	}
	o.key("to")
	o.b = append(o.b, '[')
	for i, to := range m.Recipients {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		if wire && isNumber(to) {
			o.b = append(o.b, to...)
		} else {
			o.b = appendQuoted(o.b, to)
		}
	}
	o.b = append(o.b, ']')
}

// renderNumber writes a plain number as an integer in REST answers, else as text.
func renderNumber(o *object, name, v string, wire bool) {
	if wire && isNumber(v) {
		o.raw(name, []byte(v))
		return
	}
	o.some(name, v)
}

func isNumber(s string) bool {
	if s == "" || s[0] == '0' || len(s) > e164.MaxDigits {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func renderContext(o *object, m *Message) {
	if len(m.Context) == 0 || m.Type == Requests && m.State == Created {
		o.raw("tn", nil)
		o.raw("tn_lease", nil)
		if m.Type == Inbound {
			o.raw("tnlease", nil)
		}
		o.raw("subscription", nil)
		return
	}
	o.inner(m.Context)
	if m.Type == Inbound {
		var c struct {
			Lease json.RawMessage `json:"tn_lease"`
		}
		if json.Unmarshal(m.Context, &c) == nil {
			o.raw("tnlease", c.Lease)
		}
	}
}

func renderFacts(o *object, m *Message) {
	o.text("encoding", m.Encoding)
	o.number("segments", int64(m.Segments))
	if m.Sent.IsZero() && m.Type != Inbound {
		o.raw("price", nil)
	} else {
		o.raw("price", []byte(m.Price.String()))
	}
	o.some("country", m.Country)
	o.some("operator", m.Operator)
	o.some("sms_campaign", m.Campaign)
	renderError(o, m.Error)
	o.raw("meta", m.Meta)
}

func renderError(o *object, code string) {
	if code == "" {
		o.raw("error", nil)
		return
	}
	e := &object{}
	e.text("code", code)
	e.text("title", errorTitles[code])
	o.raw("error", e.end())
}

func renderCounters(o *object, c *Counters) {
	if c == nil {
		o.raw("counters", nil)
		return
	}
	n := &object{}
	n.number("total", int64(c.Total))
	n.number("created", int64(c.Created))
	n.number("sending", int64(c.Sending))
	n.number("success", int64(c.Success))
	n.number("failed", int64(c.Failed))
	n.number("delivered", int64(c.Delivered))
	o.raw("counters", n.end())
}

// profileScalars shows a profile inside other REST objects.
func profileScalars(p *Profile) json.RawMessage {
	o := &object{}
	writeProfile(o, p)
	return o.end()
}

// profileInSubscription shows a profile with the operators that its numbers are registered with: no registry names any yet.
func profileInSubscription(p *Profile) json.RawMessage {
	o := &object{}
	writeProfile(o, p)
	o.raw("operators", []byte("[]"))
	return o.end()
}

func writeProfile(o *object, p *Profile) {
	o.text("uuid", p.ID)
	o.text("name", p.Name)
	o.some("callback_url", p.CallbackURL)
	o.some("callback_url2", p.CallbackURL2)
	o.flag("number_pool_enable", p.Pool)
	o.flag("skip_unhealthy_tns", p.SkipUnhealthy)
	o.flag("sticky_sender", p.Sticky)
	o.number("long_code_weight", int64(p.LongCodeWeight))
	o.number("tollfree_weight", int64(p.TollFreeWeight))
	o.number("queue_timeout", int64(p.QueueTimeout/time.Second))
	o.flag("opt_out_enable", p.OptOutEnable)
	o.some("opt_out_message", p.OptOutMessage)
	o.some("opt_in_message", p.OptInMessage)
	o.some("help_message", p.HelpMessage)
	o.flag("is_default", p.Default)
	o.time("created_on", p.Created)
	o.time("modified_on", p.Modified)
}

// profileInEvent shows a profile in events and callbacks, with both spellings of its addresses.
func profileInEvent(p *Profile) json.RawMessage {
	if p == nil {
		return nil
	}
	o := &object{}
	o.text("uuid", p.ID)
	o.text("name", p.Name)
	o.some("call_back_url", p.CallbackURL)
	o.some("call_back_url2", p.CallbackURL2)
	o.some("callback_url", p.CallbackURL)
	o.some("callback_url2", p.CallbackURL2)
	o.time("created_on", p.Created)
	o.time("modified_on", p.Modified)
	return o.end()
}
