package flow

import (
	"context"
	"strings"
)

var (
	callbackSpec = spec{
		name: "Callback", is: isCommand, holds: side, text: oneValue, value: "url", must: "a URL",
		attrs: []attr{
			{name: "url", kind: anyURL},
			{name: "method", def: "GET", kind: enum("POST", "GET", "PATCH", "DELETE")},
			{name: "body", def: "false", kind: boolean},
			{name: "timeout", def: "5000", kind: duration},
			{name: "mode", def: "replace", kind: enum("replace", "insert")},
		},
		run: runCallback,
	}
	redirectSpec = spec{
		name: "Redirect", is: isCommand, holds: side, text: oneValue, value: "url", must: "a URL",
		attrs: []attr{
			{name: "url", kind: anyURL},
			{name: "method", def: "GET", kind: enum("GET", "POST")},
			{name: "timeout", def: "5000", kind: duration},
		},
		run: runRedirect,
	}
)

const reasonEmpty = "Empty answer"

func runCallback(ctx context.Context, m *Machine, c *command) (string, error) {
	doc, err := m.askFlow(ctx, c, c.flag("body"))
	switch {
	case err != nil:
		return "", err
	case doc == nil:
		return "No flow in the answer", nil
	case c.str("mode") == "insert":
		c.insert = doc
	default:
		c.jump = doc
	}
	return "Flow fetched", nil
}

func runRedirect(ctx context.Context, m *Machine, c *command) (string, error) {
	doc, err := m.askFlow(ctx, c, false)
	if err != nil {
		return "", err
	}
	if doc == nil {
		return "", failure(reasonEmpty)
	}
	c.jump = doc
	return "Flow fetched", nil
}

// askFlow makes the request of webhooks.md §5.4.
func (m *Machine) askFlow(ctx context.Context, c *command, full bool) (*Document, error) {
	url, err := m.main(c)
	if err != nil {
		return nil, err
	}
	c.result["url"] = url
	r := FetchRequest{
		Method: strings.ToUpper(c.str("method")), Timeout: fetchTime(c.ms("timeout")),
		URL: withFields(url, m.flowFields(c, m.memory.dtmf, false)), Signed: true,
	}
	if r.Method == "POST" || r.Method == "PATCH" {
		r.ContentType, r.Body = "application/json", []byte("{}")
		if full {
			r.Body = encoded(m.callbackBody(c))
		}
	}
	return m.fetchFlow(ctx, c, r)
}

func (m *Machine) callbackBody(c *command) map[string]any {
	_, meta := m.metaNames(c)
	body := map[string]any{"call": m.callEntity(), "sip_control_app": nil, "meta": meta, "tag": orNull(c.tag()), "dtmf": orNull(m.memory.dtmf)}
	if app := m.appEntity(); app != nil {
		body["sip_control_app"] = app
	}
	return body
}
