package voice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/voice/flow"
)

// field is one parameter of a request.
type field struct{ name, value string }

// withFields appends parameters to a URL; its own query is kept as it is, a fragment is dropped (webhooks.md §2).
func withFields(address string, fields []field) string {
	address, _, _ = strings.Cut(address, "#")
	var b strings.Builder
	b.WriteString(address)
	sep := byte('?')
	if i := strings.IndexByte(address, '?'); i >= 0 {
		sep = '&'
		if i == len(address)-1 {
			sep = 0
		}
	}
	for _, f := range fields {
		if sep != 0 {
			b.WriteByte(sep)
		}
		sep = '&'
		b.WriteString(strings.ReplaceAll(url.QueryEscape(f.name)+"="+url.QueryEscape(f.value), "+", "%20"))
	}
	return b.String()
}

// callFields tell a customer's server which call it is asked about.
func callFields(c *Call) []field {
	return []field{{"from", c.From}, {"to", c.To}, {"call", c.ID}, {"sca", c.App}, {"tn", string(c.TN)}, {"direction", c.Direction}}
}

// document is where the document of a call comes from.
type document struct {
	origin                string // what url was given as
	url, method, fallback string
	timeout               *int   // milliseconds; nil: default, 0: as long as possible
	static                string // reserve of the URLs, or all there is
	secret                string // signs the requests; "" does not
}

// empty tells that there is nothing to run: the call waits for a push.
func (d *document) empty() bool { return d.url == "" && d.static == "" }

func documentOf(a *App) document {
	return document{origin: originApp, url: a.FlowURL, method: a.FlowMethod, fallback: a.FallbackURL, timeout: a.FlowTimeout, static: a.StaticFlow, secret: a.WebhookSecret}
}

// flowFault is a document that could not be had.
type flowFault struct {
	reason string // flow_unavailable or flow_error
	text   string
}

// Error says why.
func (f *flowFault) Error() string { return f.text }

// Places where documents come from, as reports name them.
const (
	originApp      = "call_flow_url"
	originCall     = "url" // of POST /rest/call
	originFallback = "call_flow_fallback_url"
	originStatic   = "static"
)

// miss is a place that gave no document.
type miss struct {
	origin, instead string // instead is the place that was asked next; "" when there was none
	reason          string
	begun, ended    time.Time
}

// load gives the document of a call: from its URL, else from the fallback, else the static one (webhooks.md §4), and the places before it
// that gave none. The error is the first *flowFault when there is nothing left, or that of ctx.
func (s *Service) load(ctx context.Context, d document, c *Call, meta map[string]any) (doc *flow.Document, misses []miss, first error) {
	get := func(address string) func() (*flow.Document, error) {
		return func() (*flow.Document, error) { return s.fetchFlow(ctx, address, d, c, meta) }
	}
	for _, place := range []struct {
		origin string
		there  bool
		get    func() (*flow.Document, error)
	}{
		{d.origin, d.url != "", get(d.url)},
		{originFallback, d.fallback != "", get(d.fallback)},
		{originStatic, d.static != "", func() (*flow.Document, error) { return s.parsed.get(d.static) }},
	} {
		if !place.there {
			continue
		}
		if n := len(misses); n > 0 {
			misses[n-1].instead = place.origin
		}
		begun := s.now()
		doc, err := place.get()
		if err == nil {
			return doc, misses, nil
		}
		if ctx.Err() != nil {
			return nil, misses, context.Cause(ctx)
		}
		misses = append(misses, miss{origin: place.origin, reason: err.Error(), begun: begun, ended: s.now()})
		if first == nil {
			first = err
		}
	}
	return nil, misses, first
}

// maxParsed is how many static documents are remembered; then it starts anew.
const maxParsed = 256

// documents remembers static documents as they were parsed: a machine changes nothing in them.
type documents struct {
	mu     sync.Mutex
	byText map[string]*flow.Document
}

func (d *documents) get(text string) (*flow.Document, error) {
	d.mu.Lock()
	doc := d.byText[text]
	d.mu.Unlock()
	if doc != nil {
		return doc, nil
	}
	doc, err := parseFlow([]byte(text))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byText == nil || len(d.byText) >= maxParsed {
		d.byText = map[string]*flow.Document{}
	}
	d.byText[text] = doc
	return doc, nil
}

// parseFlow reads a document; nothing at all is an empty one, which parks the call.
func parseFlow(text []byte) (*flow.Document, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("<Response/>")
	}
	doc, err := flow.Parse(text)
	if err != nil {
		return nil, &flowFault{"flow_error", fault.Of(err).Public()}
	}
	return doc, nil
}

// fetchFlow asks a URL for a document; once more when the first try failed early.
func (s *Service) fetchFlow(ctx context.Context, address string, d document, c *Call, meta map[string]any) (*flow.Document, error) {
	timeout := defaultFlowTimeout
	if d.timeout != nil {
		if timeout = millis(*d.timeout); timeout == 0 {
			timeout = longestFlowTimeout
		}
	}
	fields := append(callFields(c), field{"state", string(c.State)})
	names := make([]string, 0, len(meta))
	for name := range meta {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fields = append(fields, field{"meta." + name, scalarText(meta[name])})
	}
	r := fetch.Request{Method: d.method, URL: withFields(address, fields), Timeout: timeout, RedirectLimit: fetch.MaxRedirects, MaxBody: fetch.XMLMaxBody + 1}
	if d.method == "POST" {
		body, err := s.callJSON(ctx, s.db.Read(), c)
		if err != nil { // the row may not be written yet, or storage is away: what is known of the call will do
			body = encode(scalarsOf(c, s.now()))
		}
		r.Body, r.Header = body, map[string][]string{"Content-Type": {"application/json"}}
	}
	if d.secret != "" {
		r.Header = signedHeader(r.Header, d.secret, ident.New(), s.now(), r.Body)
	}
	begun := s.now()
	a, err := s.cfg.Fetch.Do(ctx, r)
	if again(err, a.Status) && ctx.Err() == nil && s.now().Sub(begun) < timeout/2 {
		a, err = s.cfg.Fetch.Do(ctx, r)
	}
	return readFlow(a, err)
}

// signedHeader adds the three headers of Standard Webhooks (webhooks.md §7.2): HMAC-SHA256 over id, time and body.
func signedHeader(h map[string][]string, secret, id string, at time.Time, body []byte) map[string][]string {
	if h == nil {
		h = map[string][]string{}
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil { // a secret of the customer's own making
		key = []byte(secret)
	}
	id = "msg_" + id
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	h["Webhook-Id"], h["Webhook-Timestamp"] = []string{id}, []string{stamp}
	h["Webhook-Signature"] = []string{"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
	return h
}

// again tells whether a second try may do better: no connection, no answer in time, or a server's own failure.
func again(err error, status int) bool {
	switch fetch.KindOf(err) {
	case fetch.Connection, fetch.Timeout, fetch.TLS:
		return true
	}
	return err == nil && status >= 500
}

func readFlow(a fetch.Answer, err error) (*flow.Document, error) {
	if err != nil {
		var public *fetch.Error
		if errors.As(err, &public) {
			return nil, &flowFault{"flow_unavailable", public.Message}
		}
		return nil, &flowFault{"flow_unavailable", "Connection failed"}
	}
	if a.Status < 200 || a.Status > 299 {
		return nil, &flowFault{"flow_unavailable", fmt.Sprintf("HTTP %d", a.Status)}
	}
	kind, _, _ := strings.Cut(strings.ToLower(strings.Join(a.Header["Content-Type"], ",")), ";")
	body := bytes.TrimSpace(a.Body)
	if kind = strings.TrimSpace(kind); len(body) > 0 && kind != "application/xml" && kind != "text/xml" && body[0] != '<' {
		return nil, &flowFault{"flow_error", "answer is no XML: " + kind}
	}
	return parseFlow(body)
}

// scalarText writes a meta value into a query.
func scalarText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return string(encode(v))
}

// log is the report of a document that could not be had: a command named Response (events.md §4.3). It says where it was to come from and
// what took its place.
func (m *miss) log(callID string, now time.Time) *Log {
	element := encode(flow.View{Name: "Response", Attributes: map[string]string{}, Children: []flow.View{}})
	report := commandReport{Name: "Response", Reason: m.reason, Attributes: map[string]string{}, Children: []string{}, Error: []string{}}
	return &Log{
		Call: callID, Name: "Response", Reason: m.reason, Element: element,
		Command: withMembers(report, map[string]any{"source": m.origin, "instead": text(m.instead)}), Started: m.begun, Ended: m.ended, Created: now,
	}
}

// commandReport is the command object of a call_flow event; the results of the command follow its members.
type commandReport struct {
	Name       string            `json:"name"`
	Success    bool              `json:"success"`
	Reason     string            `json:"reason"`
	Path       string            `json:"path"`
	Attributes map[string]string `json:"attributes"`
	Children   []string          `json:"children"`
	Error      []string          `json:"error"`
}
