package flow

import (
	"context"
	"fmt"
	"strings"
)

var (
	curlSpec = spec{
		name: "Curl", is: isCommand, holds: isHeader | isBody | side, inside: true,
		attrs: []attr{
			{name: "url", kind: anyURL, must: true},
			{name: "method", def: "GET", kind: enum("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")},
			{name: "timeout", def: "5000", kind: duration},
			{name: "body", kind: anyText},
			{name: "content_type", kind: anyText},
			{name: "response", def: "store", kind: enum("store", "flow", "ignore")},
		},
		run: runCurl,
	}
	headerSpec = spec{
		name: "Header", bare: true, is: isHeader, text: oneValue,
		attrs: []attr{{name: "name", kind: &kind{check: checkHeaderName}, must: true}, {name: "value", kind: anyText}},
	}
	bodySpec = spec{name: "Body", bare: true, is: isBody, text: oneValue}
)

// callHeader names the call in every request of Curl.
const callHeader = "X-Opentact-Call"

func runCurl(ctx context.Context, m *Machine, c *command) (string, error) {
	r := m.curlRequest(c)
	c.result["url"] = r.URL
	switch c.str("response") {
	case "ignore":
		return "Request sent", m.send(ctx, r)
	case "flow":
		doc, err := m.fetchFlow(ctx, c, r)
		if err != nil {
			return "", err
		}
		if doc == nil {
			return "", failure(reasonEmpty)
		}
		c.jump = doc
		return "Flow fetched", nil
	}
	r.Limit = maxAnswerSize
	a, err := m.cfg.Fetcher.Fetch(ctx, r)
	if err != nil {
		return "", fetchFailure(c, err)
	}
	c.noteAnswer(a)
	m.memory.keep(c.tag(), a)
	answer := fmt.Sprintf("HTTP %d", a.Status)
	if a.Status >= 400 {
		return "", failure(answer)
	}
	return answer, nil
}

// send makes a request that nobody waits for. It outlives the call, since its flow may hang up next, but not Wait.
func (m *Machine) send(ctx context.Context, r FetchRequest) error {
	select {
	case m.unawaitedSlot <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.Limit = 1
	alone := context.WithoutCancel(ctx)
	m.unawaited.Go(func() {
		defer func() { <-m.unawaitedSlot }()
		within, cancel := context.WithTimeout(alone, r.Timeout)
		defer cancel()
		_, _ = m.cfg.Fetcher.Fetch(within, r) // "ignore always succeeds"
	})
	return nil
}

// curlRequest is exactly what the element says, and the header that names the call (webhooks.md §5.5).
func (m *Machine) curlRequest(c *command) FetchRequest {
	r := FetchRequest{
		Method: c.str("method"), URL: c.str("url"), Timeout: fetchTime(c.ms("timeout")),
		Headers: map[string]string{callHeader: m.cfg.Phone.Info().UUID},
	}
	body, given := c.attrs["body"]
	raw := body
	if a := c.node.attr("body"); a != nil {
		raw = a.Value
	}
	if n := c.node.child("Body"); n != nil && !given {
		given, raw = true, n.Text
		how := asIs
		if jsonBody(raw, c.node.attr("content_type")) {
			how = inJSON
		}
		body = m.expand(raw, how, c)
	}
	if given {
		r.Body = []byte(body)
		r.ContentType = c.str("content_type")
		if r.ContentType == "" {
			r.ContentType = "text/plain"
			if startsJSON(raw) {
				r.ContentType = "application/json"
			}
		}
	}
	for _, n := range c.node.Children {
		if n.Name == "Header" {
			m.header(c, n, r.Headers)
		}
	}
	return r
}

func (m *Machine) header(c *command, n *Node, headers map[string]string) {
	name := strings.TrimSpace(m.expand(n.attr("name").Value, asIs, c))
	if _, wrong := checkHeaderName(name); wrong != "" {
		c.warn("header name is not valid: %s", cut(name, 80))
		return
	}
	if strings.EqualFold(name, callHeader) {
		c.warn("header %s is always sent with the call's uuid", callHeader)
		return
	}
	value := n.Text
	if a := n.attr("value"); a != nil {
		value = a.Value
	}
	headers[name] = oneLine(m.expand(value, asIs, c))
}

// oneLine keeps a value that came from elsewhere from adding headers of its own.
func oneLine(v string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7F {
			return -1
		}
		return r
	}, v)
}

// jsonBody tells whether a body is of a JSON type, told or guessed.
func jsonBody(raw string, contentType *Attr) bool {
	if contentType == nil || contentType.Value == "" {
		return startsJSON(raw)
	}
	kind, _, _ := strings.Cut(strings.ToLower(contentType.Value), ";")
	kind = strings.TrimSpace(kind)
	return strings.HasSuffix(kind, "/json") || strings.HasSuffix(kind, "+json")
}

// startsJSON looks at the body as written: a template in front is no object.
func startsJSON(raw string) bool {
	raw = strings.TrimSpace(raw)
	return strings.HasPrefix(raw, "[") || strings.HasPrefix(raw, "{") && !strings.HasPrefix(raw, "{{")
}

// checkHeaderName takes a token, RFC 9110 §5.6.2.
func checkHeaderName(v string) (string, string) {
	ok := v != "" && len(v) <= 128
	for i := 0; ok && i < len(v); i++ {
		ch := v[i]
		ok = ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", ch) >= 0
	}
	if !ok {
		return "", "must be a header name"
	}
	return v, ""
}
