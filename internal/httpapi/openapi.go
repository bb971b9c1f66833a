package httpapi

import (
	"net/http"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opentact/opentact/internal/fault"
)

// maxSchemaDepth ends the description of recursive inputs.
const maxSchemaDepth = 4

// WebhookDoc describes a request that the platform sends to customers, for the `webhooks` section.
type WebhookDoc struct {
	Name, Summary, Description string
	Body                       any // a value of the type that is sent
}

// documents keeps the rendered OpenAPI documents; registration is over when the first one is asked for.
type documents struct {
	mu       sync.Mutex
	rendered map[string][]byte
}

// Webhook adds a line to the `webhooks` section of the document.
func (a *API) Webhook(w WebhookDoc) { a.webhooks = append(a.webhooks, w) }

// tagOrder is the order of the tags in the document.
func tagOrder() []string {
	return []string{
		"Auth", "User", "Account", "Address", "Payment", "Transaction", "Invoice", "Report", "Dictionary", "TN",
		"TN_Order", "TN_Lease", "TN_Profile", "SIP_Product", "SIP_Connection", "SIP_Control_App", "SIP_Domain", "SIP_User",
		"SIP_User_Invite", "SIP_Switch", "App", "Outbound_Voice_Profile", "Messaging_Profile", "SMS", "TCR", "Call", "Record",
		"Batch", "Event", "Webhook", "Admin", "Settings",
	}
}

// tags are those that operations use, in their order.
func (a *API) tags() []string {
	used := map[string]bool{}
	for _, o := range a.ops {
		if !o.op.Hidden && o.op.Tag != "" {
			used[o.op.Tag] = true
		}
	}
	var list []string
	for _, t := range tagOrder() {
		if used[t] {
			list = append(list, t)
			delete(used, t)
		}
	}
	var rest []string
	for t := range used {
		rest = append(rest, t)
	}
	sort.Strings(rest)
	return append(list, rest...)
}

// OpenAPI builds the OpenAPI 3.1 document of all operations, or of those with one tag.
func (a *API) OpenAPI(tag string) *huma.OpenAPI {
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Opentact", Version: a.opt.Version,
			Description: "Voice, messages, numbers and trunks over one API. Errors are explained at /errors.",
		},
		Servers: []*huma.Server{{URL: a.serverURL()}},
		Paths:   map[string]*huma.PathItem{},
		Components: &huma.Components{
			Schemas: newRegistry(), SecuritySchemes: securitySchemes(), Responses: errorResponses(),
		},
	}
	for _, t := range a.tags() {
		if tag == "" || t == tag {
			doc.Tags = append(doc.Tags, &huma.Tag{Name: t})
		}
	}
	ids := map[string]bool{}
	for _, o := range a.ops {
		if !o.op.Hidden && (tag == "" || o.op.Tag == tag) {
			place(doc, o.op, o.describe(doc, ids))
		}
	}
	if tag == "" {
		a.describeWebhooks(doc)
	}
	settle(doc.Components.Schemas.Map())
	return doc
}

func (a *API) serverURL() string {
	if a.opt.APIURL == "" {
		return "/"
	}
	return a.opt.APIURL
}

// settle adds the schema of errors and removes what our answers never do: arrays are not null.
func settle(schemas map[string]*huma.Schema) {
	for _, s := range schemas {
		for _, p := range s.Properties {
			if p.Type == huma.TypeArray {
				p.Nullable = false
			}
		}
	}
	text, number := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeInteger}
	schemas["Error"] = &huma.Schema{
		Type: huma.TypeObject, Required: []string{"success", "message", "status", "meta", "fields", "request_id"},
		Properties: map[string]*huma.Schema{
			"success": {Type: huma.TypeBoolean, Enum: []any{false}}, "message": text, "status": number,
			"meta":       {Type: huma.TypeString, Enum: wireCodes(), Description: "stable code, see /errors"},
			"request_id": text,
			"fields": {Type: huma.TypeObject, Description: "bad members by params.<path>", AdditionalProperties: &huma.Schema{
				Type: huma.TypeObject, Properties: map[string]*huma.Schema{"message": text, "value": {}},
			}},
		},
	}
	schemas["Problem"] = &huma.Schema{
		Type: huma.TypeObject, Description: "RFC 9457",
		Properties: map[string]*huma.Schema{
			"type": text, "title": text, "status": number, "detail": text, "instance": text, "code": text, "request_id": text,
			"errors": {Type: huma.TypeArray, Items: &huma.Schema{
				Type: huma.TypeObject, Properties: map[string]*huma.Schema{"pointer": text, "detail": text},
			}},
		},
	}
}

func wireCodes() []any {
	var codes []any
	seen := map[string]bool{}
	for _, e := range fault.Table() {
		if !seen[e.Wire] {
			seen[e.Wire] = true
			codes = append(codes, e.Wire)
		}
	}
	return codes
}

func securitySchemes() map[string]*huma.SecurityScheme {
	header := func(name string) *huma.SecurityScheme {
		return &huma.SecurityScheme{Type: "apiKey", In: "header", Name: name}
	}
	return map[string]*huma.SecurityScheme{
		"basic":    {Type: "http", Scheme: "basic", Description: "e-mail and password"},
		"bearer":   {Type: "http", Scheme: "bearer", Description: "JWT of GET /rest/auth, or an API token"},
		"token":    header("X-Auth-Token"),
		"google":   header("X-Auth-Google-Token"),
		"facebook": header("X-Auth-Facebook-Token"),
		"ha1b":     header("X-Auth-HA1B-Token"),
		"query":    {Type: "apiKey", In: "query", Name: "jwt"},
	}
}

func errorResponses() map[string]*huma.Response {
	return map[string]*huma.Response{"Error": {
		Description: "An error; application/problem+json when asked for",
		Content: map[string]*huma.MediaType{
			"application/json":         {Schema: &huma.Schema{Ref: "#/components/schemas/Error"}},
			"application/problem+json": {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}},
		},
	}}
}

// place puts an operation at its path and method.
func place(doc *huma.OpenAPI, op Op, d *huma.Operation) {
	item := doc.Paths[op.Path]
	if item == nil {
		item = &huma.PathItem{}
		doc.Paths[op.Path] = item
	}
	switch op.Method {
	case http.MethodGet:
		item.Get = d
	case http.MethodPost:
		item.Post = d
	case http.MethodPut:
		item.Put = d
	case http.MethodPatch:
		item.Patch = d
	case http.MethodDelete:
		item.Delete = d
	}
}

// describe is the entry of one operation. Where the contract gives one id to several operations, the further ones
// get their method behind it, since ids of a document are unique.
func (o *operation) describe(doc *huma.OpenAPI, ids map[string]bool) *huma.Operation {
	op := o.op
	id := op.ID
	if ids[id] {
		id = op.ID + "_" + strings.ToLower(op.Method)
	}
	for n := 2; ids[id]; n++ {
		id = op.ID + "_" + strconv.Itoa(n)
	}
	ids[id] = true
	d := &huma.Operation{
		OperationID: id, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description,
		Parameters: o.parameters(), RequestBody: o.requestBody(), Security: securityOf(op.Auth),
		Responses: map[string]*huma.Response{
			strconv.Itoa(op.Status): o.success(doc.Components.Schemas),
			"default":               {Ref: "#/components/responses/Error"},
		},
	}
	if op.Tag != "" {
		d.Tags = []string{op.Tag}
	}
	return d
}

func securityOf(auth Auth) []map[string][]string {
	var names []string
	switch auth {
	case NoAuth:
		return []map[string][]string{}
	case SIPUser:
		names = []string{"ha1b", "bearer", "token", "query"}
	case UserOrSIPUser:
		names = []string{"basic", "bearer", "token", "google", "facebook", "ha1b", "query"}
	default:
		names = []string{"basic", "bearer", "token", "google", "facebook", "query"}
	}
	var list []map[string][]string
	for _, n := range names {
		list = append(list, map[string][]string{n: {}})
	}
	if auth == Optional {
		list = append(list, map[string][]string{})
	}
	return list
}

// parameters are those of path, query and header.
func (o *operation) parameters() []*huma.Param {
	var list []*huma.Param
	described := map[string]bool{}
	add := func(name, in string, f *field, required bool) {
		s := f.schema(0)
		list = append(list, &huma.Param{Name: name, In: in, Required: required, Schema: s, Description: s.Description})
	}
	for _, f := range o.plan.fields {
		switch {
		case f.path != "":
			described[f.path] = true
			add(f.path, "path", f, true)
		case f.query != "":
			add(f.query, "query", f, f.required && f.json == "")
		case f.header != "":
			add(f.header, "header", f, f.required)
		case f.json != "" && o.op.Method == http.MethodGet:
			add(f.json, "query", f, f.required)
		}
	}
	for _, name := range pathParams(o.op.Path) {
		if !described[name] {
			list = append(list, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	if keyModeOf(o) != keyNone {
		list = append(list, &huma.Param{
			Name: headerIdempotency, In: "header", Description: "makes a retry safe for 24 h",
			Schema: &huma.Schema{Type: huma.TypeString, MaxLength: bound(maxIdempotency)},
		})
	}
	return list
}

func pathParams(path string) []string {
	var names []string
	for _, seg := range splitPath(path) {
		if _, rest, ok := strings.Cut(seg, "{"); ok {
			name, _, _ := strings.Cut(rest, "}")
			names = append(names, name)
		}
	}
	return names
}

func (o *operation) requestBody() *huma.RequestBody {
	if o.op.Method == http.MethodGet {
		return nil
	}
	content := map[string]*huma.MediaType{}
	if s := o.plan.inputSchema(maxSchemaDepth); s != nil {
		if o.op.Multipart {
			content["multipart/form-data"] = &huma.MediaType{Schema: s}
		} else {
			content["application/json"] = &huma.MediaType{Schema: s}
		}
		if x, ok := s.Properties["xml"]; ok && o.op.Multipart {
			content["application/json"] = &huma.MediaType{Schema: &huma.Schema{
				Type: huma.TypeObject, Properties: map[string]*huma.Schema{"xml": x},
			}}
		}
	}
	if o.plan.raw != nil && !o.plan.raw.rules.copied {
		kind := "application/xml"
		if o.plan.raw.rules.any {
			kind = "*/*"
		}
		content[kind] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	if len(content) == 0 {
		return nil
	}
	return &huma.RequestBody{Content: content}
}

// success describes the envelope around the output type.
func (o *operation) success(r huma.Registry) *huma.Response {
	if o.out == nil {
		kind := o.op.Produces
		if kind == "" {
			kind = "application/octet-stream"
		}
		return &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
			kind: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}
	}
	payload := &huma.Schema{Type: huma.TypeObject}
	if o.out != reflect.TypeFor[Empty]() && o.out.Kind() != reflect.Interface {
		payload = r.Schema(o.out, true, o.op.ID)
		if payload.Type == huma.TypeArray {
			payload.Nullable = false
		}
	}
	return &huma.Response{Description: http.StatusText(o.op.Status), Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"success", "payload"},
			Properties: map[string]*huma.Schema{"success": {Type: huma.TypeBoolean, Enum: []any{true}}, "payload": payload},
		}},
	}}
}

func (a *API) describeWebhooks(doc *huma.OpenAPI) {
	for _, w := range a.webhooks {
		if doc.Webhooks == nil {
			doc.Webhooks = map[string]*huma.PathItem{}
		}
		body := &huma.Schema{Type: huma.TypeObject}
		if w.Body != nil {
			body = doc.Components.Schemas.Schema(reflect.TypeOf(w.Body), true, w.Name)
		}
		doc.Webhooks[w.Name] = &huma.PathItem{Post: &huma.Operation{
			Summary: w.Summary, Description: w.Description,
			RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: body}}},
			Responses:   map[string]*huma.Response{"200": {Description: "taken"}},
		}}
	}
}
