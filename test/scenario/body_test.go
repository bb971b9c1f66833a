package scenario

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// someID stands for every path parameter: an object that does not exist.
const someID = "00000000-0000-7000-8000-000000000000"

// badBody is a body that no operation may take, with the answers that are right. Operations whose object does not exist may say so (404).
type badBody struct {
	name string
	body []byte
	kind string
	want []int
}

func badBodies() []badBody {
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	return []badBody{
		{"not JSON", []byte(`{"name": `), "application/json", []int{400}},
		{"two documents", []byte(`{} {}`), "application/json", []int{400}},
		{"an array", []byte(`[1, 2]`), "application/json", []int{400}},
		{"a string", []byte(`"x"`), "application/json", []int{400}},
		{"2 MB", append(append([]byte(`{"name": "`), bytes.Repeat([]byte("x"), 2<<20)...), `"}`...), "application/json", []int{413}},
		{"deep nesting", []byte(deep), "application/json", []int{400}},
		{"not UTF-8", []byte("{\"name\": \"\xff\xfe\"}"), "application/json", []int{400}},
		{"a picture", []byte("\x89PNG\r\n\x1a\n"), "image/png", []int{400, 415}},
	}
}

// lenient lists operations for which a body is of no matter, with the reason.
var lenient = map[string]string{
	"POST /rest/payment/webhook/{provider}": "the provider's body is opaque",
	"POST /rest/dict/lerg":                  "a file of its own kind",
	"POST /rest/admin/rate/{rate_table_id}": "a file of its own kind",
	"POST /rest/call/sca/{uuid}":            "takes XML; app-static-flow.txt and push.txt break it",
	"POST /rest/sip/app/call/{uuid}":        "takes XML; app-static-flow.txt and push.txt break it",
	"POST /rest/sip/app/call/flow/{uuid}":   "takes XML; app-static-flow.txt and push.txt break it",
	"POST /rest/user/{uuid}/avatar":         "takes a picture",
	"POST /rest/app/avatar":                 "takes a picture",
}

// operation is one row of the OpenAPI document.
type operation struct {
	method, path string
	required     []string
	hasBody      bool
}

// operations reads what the server says it can do.
func operations(ctx context.Context, t *testing.T, c *house.Client) []operation {
	t.Helper()
	a, err := c.Request(ctx, "GET", "/openapi.json", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	api, _ := a.Doc.(map[string]any)
	paths, _ := api["paths"].(map[string]any)
	var out []operation
	for path, methods := range paths {
		for method, op := range methods.(map[string]any) {
			if method != "post" && method != "patch" || !strings.HasPrefix(path, "/rest/") {
				continue
			}
			body := house.Doc{Value: op}.At("requestBody.content").Value
			content, _ := body.(map[string]any)
			o := operation{method: strings.ToUpper(method), path: path, hasBody: content["application/json"] != nil}
			o.required = required(api, content["application/json"])
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(out) < 30 {
		t.Fatalf("only %d operations with a body in the OpenAPI document", len(out))
	}
	return out
}

// required gives the members that a body has to have.
func required(api map[string]any, content any) []string {
	schema, _ := house.Doc{Value: content}.Find("schema")
	for range 5 {
		m, _ := schema.(map[string]any)
		ref, ok := m["$ref"].(string)
		if !ok {
			break
		}
		var v any = api
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			in, _ := v.(map[string]any)
			v = in[part]
		}
		schema = v
	}
	var out []string
	for _, name := range (house.Doc{Value: schema}).List("required") {
		out = append(out, house.Text(name.Value))
	}
	return out
}

func TestEveryOperationRefusesBadBodies(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, c, _ := begin(t, "", "")
	before, err := c.Do(ctx, "GET", "/rest/account", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range operations(ctx, t, c) {
		name := op.method + " " + op.path
		if lenient[name] != "" || !op.hasBody {
			continue
		}
		path := parameters(op.path)
		for _, bad := range badBodies() {
			a, err := c.Request(ctx, op.method, path, bad.body, http.Header{"Content-Type": {bad.kind}})
			if err != nil {
				t.Errorf("%s with %s: %v", name, bad.name, err)
				continue
			}
			checkRefusal(t, name+" with "+bad.name, a, append(bad.want, missing(op.path)...))
		}
		if len(op.required) > 0 {
			checkRequired(ctx, t, c, op, path)
		}
	}
	after, err := c.Do(ctx, "GET", "/rest/account", nil)
	if err != nil {
		t.Fatal(err)
	}
	if before.Num("balance") != after.Num("balance") {
		t.Errorf("refused requests changed the balance from %v to %v", before.Num("balance"), after.Num("balance"))
	}
	if found := s.Grep("panic"); len(found) > 0 {
		t.Errorf("the log says %s", found[0])
	}
}

// parameters fills in an object that does not exist.
func parameters(path string) string {
	for {
		before, rest, ok := strings.Cut(path, "{")
		if !ok {
			return path
		}
		_, after, _ := strings.Cut(rest, "}")
		path = before + someID + after
	}
}

// missing is the answer for an object that is not there, which may come first.
func missing(path string) []int {
	if strings.Contains(path, "{") {
		return []int{404}
	}
	return nil
}

func checkRefusal(t *testing.T, what string, a *house.Answer, want []int) {
	t.Helper()
	if !slices.Contains(want, a.Status) {
		t.Errorf("%s: status %d instead of %v: %.200s", what, a.Status, want, a.Body)
		return
	}
	d := house.Doc{Value: a.Doc}
	if d.Str("success") != "false" || d.Str("meta") == "" || d.Str("message") == "" || d.Str("request_id") == "" || d.Num("status") != float64(a.Status) {
		t.Errorf("%s: not the error envelope: %.200s", what, a.Body)
	}
}

// checkRequired sends an empty object, and one whose required members are of a wrong kind: each has to be named.
func checkRequired(ctx context.Context, t *testing.T, c *house.Client, op operation, path string) {
	t.Helper()
	wrong := map[string]any{}
	for _, m := range op.required {
		wrong[m] = map[string]any{"no": []any{"such", "thing"}}
	}
	// An empty POST /rest/payment would be the older form of a search; it is told apart by its members.
	for what, body := range map[string]any{"an empty object": map[string]any{}, "wrong members": wrong} {
		if (op.path == "/rest/user/cart" || op.path == "/rest/webhook/debug-signature") && what == "wrong members" { // any object of texts is a list of headers
			continue // its payload may be anything
		}
		b := house.Text(body)
		a, err := c.Request(ctx, op.method, path, []byte(b), nil)
		if err != nil {
			t.Errorf("%s %s: %v", op.method, op.path, err)
			continue
		}
		checkRefusal(t, fmt.Sprintf("%s %s with %s", op.method, op.path, what), a, append([]int{400}, missing(op.path)...))
		if a.Status != 400 {
			continue
		}
		fields, _ := house.Doc{Value: a.Doc}.At("fields").Value.(map[string]any)
		for _, m := range op.required {
			if !named(fields, m) {
				t.Errorf("%s %s with %s: %s is not named: %.300s", op.method, op.path, what, m, a.Body)
			}
		}
	}
}

func named(fields map[string]any, member string) bool {
	for key := range fields {
		if rest, ok := strings.CutPrefix(key, "params."+member); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}
