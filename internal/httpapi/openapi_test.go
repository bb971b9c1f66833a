package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

type smsWire struct {
	UUID    string          `json:"uuid"`
	To      e164.Number     `json:"to"`
	Price   *money.Amount   `json:"price"`
	SentOn  *Time           `json:"sent_on"`
	Meta    json.RawMessage `json:"meta"`
	Account *accountWire    `json:"account"`
	Smso    *smsWire        `json:"smso"`
}

type accountWire struct {
	UUID string   `json:"uuid"`
	Tags []string `json:"tags"`
}

func described(t *testing.T) *bench {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "SendSMS", Method: "POST", Path: "/rest/sms", Tag: "SMS", Auth: User, Status: 201, Summary: "Send"},
		func(context.Context, *messageIn) (*smsWire, error) { return nil, nil })
	Handle(b.API, Op{ID: "SearchOutboundSMS", Method: "POST", Path: "/rest/sms/search/outbound", Tag: "SMS", Auth: User},
		func(context.Context, *struct {
			Search `orderable:"to"`
			Thread string `json:"thread"`
		},
		) (Page[smsWire], error) {
			return Page[smsWire]{}, nil
		})
	Handle(b.API, Op{ID: "AdminCarriers", Method: "GET", Path: "/rest/admin/carrier", Tag: "Admin", Auth: Admin},
		func(context.Context, *List) ([]accountWire, error) { return nil, nil })
	Handle(b.API, Op{ID: "AdminCarriers", Method: "POST", Path: "/rest/admin/carrier", Tag: "Admin", Auth: Admin},
		func(context.Context, *targetIn) (Empty, error) { return Empty{}, nil })
	HandleRaw(b.API, Op{ID: "GetRecordAudio", Method: "GET", Path: "/rest/record/{uuid}.wav", Tag: "Record", Produces: "audio/wav"},
		func(http.ResponseWriter, *http.Request, *struct{}) error { return nil })
	Handle(b.API, Op{ID: "PushCallXml", Method: "POST", Path: "/rest/call/sca/{uuid}", Tag: "Call", Multipart: true},
		func(context.Context, *XMLUpload) (Empty, error) { return Empty{}, nil })
	b.Webhook(WebhookDoc{Name: "event", Summary: "An event", Body: smsWire{}})
	return b
}

// dig walks a decoded document.
func dig(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok || m[p] == nil {
			t.Fatalf("no %q of %v", p, path)
		}
		v = m[p]
	}
	return v
}

func TestDocumentDescribesOperations(t *testing.T) {
	b := described(t)
	doc := b.do(t, "GET", "/openapi.json", "").want(t, 200).body
	if dig(t, doc, "openapi") != "3.1.0" || dig(t, doc, "info", "version") != "1.2.3" {
		t.Error("head of the document")
	}
	send := dig(t, doc, "paths", "/rest/sms", "post")
	if dig(t, send, "operationId") != "SendSMS" || dig(t, send, "tags").([]any)[0] != "SMS" {
		t.Errorf("operation %v", send)
	}
	in := dig(t, send, "requestBody", "content", "application/json", "schema")
	if len(dig(t, in, "required").([]any)) != 2 || dig(t, in, "properties", "message", "maxLength") != 10.0 || dig(t, in, "properties", "validity", "default") != 14400.0 {
		t.Errorf("input %v", in)
	}
	if ref := dig(t, send, "responses", "201", "content", "application/json", "schema", "properties", "payload", "$ref"); ref != "#/components/schemas/Sms" {
		t.Errorf("output %v", ref)
	}
	sms := dig(t, doc, "components", "schemas", "Sms", "properties")
	if dig(t, sms, "to", "type").([]any)[0] != "integer" || dig(t, sms, "price", "type") != "number" || dig(t, sms, "sent_on", "format") != "date-time" {
		t.Errorf("schema %v", sms)
	}
	page := dig(t, doc, "components", "schemas", "SmsPage", "properties", "data", "items", "$ref")
	if page != "#/components/schemas/Sms" {
		t.Errorf("page of %v", page)
	}
	order := dig(t, doc, "paths", "/rest/sms/search/outbound", "post", "requestBody", "content", "application/json", "schema", "properties", "order")
	dig(t, order, "properties", "to", "enum")
	dig(t, doc, "components", "schemas", "Error", "properties", "meta", "enum")
	dig(t, doc, "components", "securitySchemes", "ha1b")
	dig(t, doc, "webhooks", "event", "post")
	dig(t, doc, "paths", "/rest/record/{uuid}.wav", "get", "responses", "200", "content", "audio/wav")
	xml := dig(t, doc, "paths", "/rest/call/sca/{uuid}", "post", "requestBody", "content")
	for _, kind := range []string{"multipart/form-data", "application/xml", "application/json"} {
		dig(t, xml, kind, "schema")
	}
	carriers := dig(t, doc, "paths", "/rest/admin/carrier")
	if dig(t, carriers, "get", "operationId") != "AdminCarriers" || dig(t, carriers, "post", "operationId") != "AdminCarriers_post" {
		t.Errorf("ids are unique: %v", carriers)
	}
	if _, ok := dig(t, doc, "paths").(map[string]any)["/version"]; ok {
		t.Error("pages are not in the document")
	}
}

func TestEveryReferenceOfTheDocumentLeadsSomewhere(t *testing.T) {
	b := described(t)
	for _, path := range []string{"/openapi.json", "/openapi.json?tag=SMS", "/openapi.json?tag=Admin"} {
		doc := b.do(t, "GET", path, "").want(t, 200).body
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				if ref, ok := v["$ref"].(string); ok {
					dig(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
				}
				for _, x := range v {
					walk(x)
				}
			case []any:
				for _, x := range v {
					walk(x)
				}
			}
		}
		walk(doc)
	}
}

func TestDocumentOfOneTagAndInYAML(t *testing.T) {
	b := described(t)
	paths := dig(t, b.do(t, "GET", "/openapi.json?tag=SMS", "").want(t, 200).body, "paths").(map[string]any)
	if len(paths) != 2 || paths["/rest/sms"] == nil {
		t.Errorf("paths %v", paths)
	}
	b.do(t, "GET", "/openapi.json?tag=None", "").want(t, 404)
	r := b.do(t, "GET", "/openapi.yaml", "").want(t, 200)
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(r.text), &doc); err != nil || dig(t, doc, "paths", "/rest/sms", "post", "operationId") != "SendSMS" {
		t.Errorf("yaml: %v", err)
	}
}

func TestSwaggerLinksByTag(t *testing.T) {
	b := described(t)
	for _, path := range []string{"/swagger/", "/swagger"} {
		r := b.do(t, "GET", path, "").want(t, 200)
		if !strings.Contains(r.text, "/swagger/swagger-ui-bundle.js") || !strings.Contains(r.header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("page %s", r.text)
		}
	}
	start := b.do(t, "GET", "/swagger/start.js", "").want(t, 200)
	if !strings.Contains(start.text, `{"url":"/openapi.json?tag=SMS","name":"TAG: SMS"}`) || !strings.Contains(start.text, "deepLinking: true") {
		t.Errorf("script %s", start.text)
	}
	plain := b.do(t, "GET", "/swagger/swagger-ui.css", "").want(t, 200)
	zipped := b.do(t, "GET", "/swagger/swagger-ui.css", "", "Accept-Encoding: gzip").want(t, 200)
	if zipped.header.Get("Content-Encoding") != "gzip" || unzip(t, zipped.text) != plain.text || !strings.HasPrefix(plain.header.Get("Content-Type"), "text/css") {
		t.Error("the embedded files are served in both forms")
	}
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-32x32.png", "LICENSE", "NOTICE"} {
		b.do(t, "GET", "/swagger/"+name, "").want(t, 200)
	}
	for _, name := range []string{"none.js", "x", "..%2Fdoc.go", "swagger-ui.css.gz"} {
		b.do(t, "GET", "/swagger/"+name, "").want(t, 404)
	}
}

func TestErrorPages(t *testing.T) {
	b := newBench(t, nil)
	for _, e := range fault.Table() {
		r := b.do(t, "GET", "/errors/"+e.Wire, "").want(t, 200)
		if r.body["code"] != e.Wire || r.body["help"] == "" {
			t.Errorf("%s: %s", e.Wire, r.text)
		}
	}
	r := b.do(t, "GET", "/errors/insufficient_balance", "", "Accept: text/html").want(t, 200)
	if !strings.Contains(r.text, "402") || !strings.Contains(r.text, "405") || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/errors", "").want(t, 200)
	b.do(t, "GET", "/errors/none", "").want(t, 404)
}

func TestHealthAndVersion(t *testing.T) {
	waiting := []string{}
	b := newBench(t, func(o *Options) { o.Ready = func() []string { return waiting } })
	if r := b.do(t, "GET", "/health/live", "").want(t, 200); r.text != `{"status":"ok"}` {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/health/ready", "").want(t, 200)
	waiting = []string{"database"}
	if r := b.do(t, "GET", "/health/ready", "").want(t, 503); !strings.Contains(r.text, `["database"]`) {
		t.Errorf("got %s", r.text)
	}
	if r := b.do(t, "GET", "/version", "").want(t, 200); r.text != `{"version":"1.2.3","commit":"abc","built_on":"2026-03-04"}` {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "POST", "/version", "").want(t, 405)
}
