package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/fault"
)

func messages(t testing.TB) *bench {
	b := newBench(t, nil)
	echo[messageIn](b, Op{ID: "SendSMS", Tag: "SMS"})
	return b
}

func TestLenientScalarsAndNamesWithoutCase(t *testing.T) {
	b := messages(t)
	p := b.do(t, "POST", "/rest/sms", `{"TO":12125550123,"Text":"hi","VALIDITY":"60","smart_encoding":1,"max_price":"1.25",
		"method":"post","messaging_profile":"`+strings.ToUpper(someID)+`","country":"us","start_on":"2026-03-04T06:06:07.0891+01:00",
		"from":"+1 (212) 555-0100","meta":{"n":12345678901234567890},"unknown":{"x":[1]},"count":2.0}`).want(t, 200).payload()
	want := map[string]any{
		"message": "hi", "validity": 60.0, "smart_encoding": true, "max_price": 1.25, "method": "POST", "messaging_profile": someID,
		"country": "US", "start_on": "2026-03-04T05:06:07.089Z", "kind": "sms", "rate": 1.0, "count": 2.0,
	}
	for k, v := range want {
		if p[k] != v {
			t.Errorf("%s = %v, want %v", k, p[k], v)
		}
	}
	text := b.do(t, "POST", "/rest/sms", `{"to":["2125550123"],"message":"x","meta":{"n":12345678901234567890}}`).want(t, 200).text
	if !strings.Contains(text, `"n":12345678901234567890`) || !strings.Contains(text, `12125550123`) {
		t.Errorf("meta or number changed: %s", text)
	}
}

func TestAllFaultsComeTogether(t *testing.T) {
	b := messages(t)
	r := b.do(t, "POST", "/rest/sms", `{"to":"12x","message":"12345678901","validity":59,"smart_encoding":"maybe","max_price":-1,"rate":0,
		"kind":"fax","method":"PUT","custom_callback_url":"ftp://x","messaging_profile":"no","country":"USA","email":"no",
		"start_on":"soon","meta":[],"tags":["abcde"],"items":[{"features":["fly"],"time_from":2,"time_to":1},7],"count":256}`).want(t, 400)
	want := map[string]string{
		"to": "invalid integer number", "message": "must have at most 10 characters", "validity": "must be at least 60",
		"smart_encoding": "invalid boolean", "max_price": "must be at least 0", "rate": "must be greater than 0",
		"kind": "must be one of sms, mms", "method": "must be one of GET, POST", "custom_callback_url": "invalid URL",
		"messaging_profile": "invalid uuid", "country": "invalid country code", "email": "invalid e-mail address",
		"start_on": "invalid date", "meta": "must be an object", "tags.0": "must have at most 4 characters",
		"items.0.tn": "required", "items.0.features.0": "must be one of voice, sms", "items.0.time_from": "must be before time_to",
		"items.1": "must be an object", "count": "invalid integer number",
	}
	for path, msg := range want {
		if got := r.field(path); got != msg {
			t.Errorf("%s: %q, want %q", path, got, msg)
		}
	}
	if n := len(r.body["fields"].(map[string]any)); n != len(want) {
		t.Errorf("%d fields, want %d: %s", n, len(want), r.text)
	}
	if r.body["message"] != "invalid integer number" || r.body["meta"] != "validation_failed" || r.body["success"] != false ||
		r.body["status"] != 400.0 || r.body["request_id"] != r.header.Get("X-Request-Id") {
		t.Errorf("envelope: %s", r.text)
	}
	if !strings.Contains(r.text, `"params.to":{"message":"invalid integer number","value":"12x"}`) {
		t.Errorf("value is not sent back: %s", r.text)
	}
}

func TestMissingMembersAreNamed(t *testing.T) {
	b := messages(t)
	for _, body := range []string{"", "{}", "null", `{"to":null,"message":null}`} {
		r := b.do(t, "POST", "/rest/sms", body).want(t, 400)
		if r.field("to") != "required" || r.field("message") != "required" {
			t.Errorf("%q: %s", body, r.text)
		}
	}
}

func TestLengthCountsCodePoints(t *testing.T) {
	b := messages(t)
	b.do(t, "POST", "/rest/sms", `{"to":12125550123,"message":"😀😀😀😀😀😀😀😀😀😀"}`).want(t, 200)
	b.do(t, "POST", "/rest/sms", `{"to":12125550123,"message":"😀😀😀😀😀😀😀😀😀😀😀"}`).want(t, 400)
	b.do(t, "POST", "/rest/sms", `{"to":12125550123,"message":"a\u0000b"}`).want(t, 400)
}

func TestAliasYieldsToTheCanonicalName(t *testing.T) {
	b := messages(t)
	for _, body := range []string{
		`{"to":12125550123,"text":"alias","message":"own"}`, `{"to":12125550123,"message":"own","body_text":"alias"}`,
	} {
		if got := b.do(t, "POST", "/rest/sms", body).want(t, 200).payload()["message"]; got != "own" {
			t.Errorf("%s: message %v", body, got)
		}
	}
}

func TestSecretValuesAreNotSentBack(t *testing.T) {
	b := messages(t)
	r := b.do(t, "POST", "/rest/sms", `{"to":12125550123,"message":"x","password":"ab"}`).want(t, 400)
	if !strings.Contains(r.text, `"params.password":{"message":"must have at least 3 characters","value":null}`) {
		t.Errorf("got %s", r.text)
	}
}

func TestScalarsAreAlsoLookedUpInTheQuery(t *testing.T) {
	b := messages(t)
	p := b.do(t, "POST", "/rest/sms?message=q&to=12125550123&Validity=90&tags=a", `{"message":"body"}`).want(t, 200).payload()
	if p["message"] != "body" || p["validity"] != 90.0 || p["tags"] != nil {
		t.Errorf("got %v", p)
	}
	if f := b.do(t, "POST", "/rest/sms?to=12125550123&message=q&validity=x", "").want(t, 400).field("validity"); f != "invalid integer number" {
		t.Errorf("query fault %q", f)
	}
}

func TestBodyForms(t *testing.T) {
	b := messages(t)
	jsonBody := `{"to":12125550123,"message":"x"}`
	for _, tc := range []struct {
		name, kind, body string
		status           int
		meta             string
	}{
		{"json", "application/json", jsonBody, 200, ""},
		{"json labelled multipart", "multipart/form-data", jsonBody, 200, ""},
		{"json labelled multipart with boundary", "multipart/form-data; boundary=x", jsonBody, 200, ""},
		{"json labelled text", "text/plain", " \n" + jsonBody, 200, ""},
		{"json labelled form", "application/x-www-form-urlencoded", jsonBody, 200, ""},
		{"json with byte order mark", "application/json", "\ufeff" + jsonBody, 200, ""},
		{"json without label", "", jsonBody, 200, ""},
		{"form", "application/x-www-form-urlencoded", "to=12125550123&message=x&validity=60", 200, ""},
		{"broken json", "application/json", `{"to":`, 400, "invalid_json"},
		{"two documents", "application/json", `{}{}`, 400, "invalid_json"},
		{"not utf-8", "application/json", "{\"to\":\"\xff\"}", 400, "invalid_json"},
		{"words as json", "application/json", "hello", 400, "invalid_json"},
		{"array", "application/json", `[1]`, 400, "validation_failed"},
		{"string", "application/json", `"x"`, 400, "validation_failed"},
		{"words as text", "text/plain", "hello", 415, "unsupported_media_type"},
		{"xml where none is taken", "application/xml", "<Response/>", 415, "unsupported_media_type"},
		{"multipart without boundary", "multipart/form-data", "x", 400, "validation_failed"},
		{"too deep", "application/json", strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), 400, "invalid_json"},
		{"too many values", "application/json", `{"a":[` + strings.Repeat("1,", 200_001) + `1]}`, 400, "invalid_json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var h []string
			if tc.kind != "" {
				h = append(h, "Content-Type: "+tc.kind)
			}
			r := b.do(t, "POST", "/rest/sms", tc.body, h...).want(t, tc.status)
			if tc.meta != "" && r.body["meta"] != tc.meta {
				t.Errorf("meta %v, want %s", r.body["meta"], tc.meta)
			}
		})
	}
	b.do(t, "POST", "/rest/sms", jsonBody, "Content-Encoding: gzip").want(t, 415)
}

func TestBodySizes(t *testing.T) {
	b := newBench(t, nil)
	echo[messageIn](b, Op{ID: "A"})
	echo[messageIn](b, Op{ID: "B", Path: "/rest/order", MaxBody: 100})
	type upload struct {
		File File `form:"file" required:"true"`
	}
	Handle(b.API, Op{ID: "C", Method: "POST", Path: "/rest/dict/lerg", Multipart: true}, func(_ context.Context, in *upload) (int, error) { return len(in.File.Data), nil })
	b.do(t, "POST", "/rest/sms", `{"x":"`+strings.Repeat("a", 1<<20)+`"}`).want(t, 413)
	b.do(t, "POST", "/rest/order", `{"x":"`+strings.Repeat("a", 100)+`"}`).want(t, 413)
	label, body := multi("file", "big.csv", strings.Repeat("a", 2<<20))
	if got := b.do(t, "POST", "/rest/dict/lerg", body, label).want(t, 200).body["payload"]; got != float64(2<<20) {
		t.Errorf("payload %v", got)
	}
	label, body = multi("file", "big.csv", strings.Repeat("a", 10<<20))
	if r := b.do(t, "POST", "/rest/dict/lerg", body, label).want(t, 413); r.body["meta"] != "too_large" {
		t.Errorf("got %s", r.text)
	}
	label, body = multi("other", "", "x")
	if f := b.do(t, "POST", "/rest/dict/lerg", body, label).want(t, 400).field("file"); f != "required" {
		t.Errorf("missing file: %q", f)
	}
}

// multi makes a multipart body of one part.
func multi(name, file, data string) (contentType, body string) {
	disp := fmt.Sprintf("form-data; name=%q", name)
	if file != "" {
		disp += fmt.Sprintf("; filename=%q", file)
	}
	return "Content-Type: multipart/form-data; boundary=b0b",
		"--b0b\r\nContent-Disposition: " + disp + "\r\nContent-Type: text/csv\r\n\r\n" + data + "\r\n--b0b--\r\n"
}

func TestDocumentComesAsFileRawOrMember(t *testing.T) {
	b := newBench(t, nil)
	type in struct {
		Mode string `query:"mode" enum:"replace,append" default:"replace"`
		XMLUpload
	}
	Handle(b.API, Op{ID: "PushCallXml", Method: "POST", Path: "/rest/call/sca/{uuid}", Multipart: true}, func(_ context.Context, in *in) (string, error) {
		text, err := in.Text()
		return in.Mode + " " + text, err
	})
	const doc = "<Response/>"
	label, body := multi("file", "flow.xml", doc)
	for _, tc := range [][2]string{
		{label, body},
		{"Content-Type: application/xml", doc},
		{"Content-Type: text/xml; charset=utf-8", doc},
		{"Content-Type: text/plain", " " + doc},
		{"Content-Type: application/json", `{"xml":"<Response/>"}`},
		{"Content-Type: multipart/form-data", `{"XML":"<Response/>"}`},
	} {
		got := b.do(t, "POST", "/rest/call/sca/"+someID+"?mode=append", tc[1], tc[0]).want(t, 200).body["payload"]
		if strings.ReplaceAll(got.(string), "  ", " ") != "append "+doc {
			t.Errorf("%s: %q", tc[0], got)
		}
	}
	if f := b.do(t, "POST", "/rest/call/sca/"+someID, "").want(t, 400).field("xml"); f != "required" {
		t.Errorf("no document: %q", f)
	}
	big := strings.Repeat("x", MaxXML+1)
	b.do(t, "POST", "/rest/call/sca/"+someID, "<"+big, "Content-Type: application/xml").want(t, 413)
	b.do(t, "POST", "/rest/call/sca/"+someID, `{"xml":"`+big+`"}`).want(t, 413)
}

func TestRawBodyOfAnyKind(t *testing.T) {
	b := newBench(t, nil)
	type in struct {
		Provider  string `path:"provider"`
		Signature string `header:"Stripe-Signature"`
		Body      Raw    `raw:"any"`
	}
	Handle(b.API, Op{ID: "PaymentWebhook", Method: "POST", Path: "/rest/payment/webhook/{provider}"}, func(_ context.Context, in *in) (string, error) {
		return in.Provider + "|" + in.Signature + "|" + string(in.Body), nil
	})
	r := b.do(t, "POST", "/rest/payment/webhook/stripe", `{"broken`, "Stripe-Signature: t=1").want(t, 200)
	if r.body["payload"] != `stripe|t=1|{"broken` {
		t.Errorf("got %s", r.text)
	}
}

func TestJSONBodyIsKeptBesideItsMembers(t *testing.T) {
	b := newBench(t, nil)
	type in struct {
		Name string `json:"name"`
		Body Raw    `raw:"json"`
	}
	Handle(b.API, Op{ID: "Keep", Method: "POST", Path: "/rest/order"}, func(_ context.Context, in *in) (string, error) {
		if in.Body == nil {
			return "none", nil
		}
		return in.Name + string(in.Body), nil
	})
	for body, want := range map[string]string{`{"name":"a","odd":[1]}`: `a{"name":"a","odd":[1]}`, "": "none", "{}": "{}"} {
		if r := b.do(t, "POST", "/rest/order", body).want(t, 200); r.body["payload"] != want {
			t.Errorf("%s: got %s", body, r.text)
		}
	}
}

func TestPatchTellsAbsentNullAndValue(t *testing.T) {
	b := newBench(t, nil)
	type in struct {
		Name Opt[string] `json:"name" notnull:"true" maxLength:"5"`
		URL  Opt[string] `json:"url" format:"url"`
		Port Opt[int]    `json:"port" min:"1024"`
	}
	var got in
	Handle(b.API, Op{ID: "P", Method: "PATCH", Path: "/rest/sip/app/{uuid}"}, func(_ context.Context, in *in) (Empty, error) { got = *in; return Empty{}, nil })
	b.do(t, "PATCH", "/rest/sip/app/"+someID, `{"url":null,"port":"5060"}`).want(t, 200)
	if want := (in{URL: Opt[string]{Set: true, Null: true}, Port: Some(5060)}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	old, u := "old", "http://a"
	if got.Name.Or(old) != old || got.URL.Or(u) != "" || got.URL.Ptr(&u) != nil || *got.Name.Ptr(&old) != old || got.Port.Or(1) != 5060 {
		t.Error("Or and Ptr")
	}
	r := b.do(t, "PATCH", "/rest/sip/app/"+someID+"?port=80", `{"name":null,"url":"x"}`).want(t, 400)
	if r.field("name") != "must not be null" || r.field("url") != "invalid URL" || r.field("port") != "must be at least 1024" {
		t.Errorf("got %s", r.text)
	}
}

func TestSearchMembers(t *testing.T) {
	b := newBench(t, nil)
	type in struct {
		Search `orderable:"tn,created_on"`
		TN     string      `json:"tn"`
		Parent Opt[string] `json:"parent" format:"uuid"`
	}
	Handle(b.API, Op{ID: "SearchTNLeases", Method: "POST", Path: "/rest/lease/tn/search"}, func(_ context.Context, in *in) (Page[int], error) {
		if in.CreatedFrom != nil && in.CreatedFrom.Year() != 2026 {
			t.Errorf("created_on_from %v", in.CreatedFrom)
		}
		return PageOf[int](in.Search, 7, nil), nil
	})
	const path = "/rest/lease/tn/search"
	want := func(r reply, exp string) {
		t.Helper()
		if got := strings.TrimSpace(r.want(t, 200).text); got != `{"success":true,"payload":`+exp+`}` {
			t.Errorf("got  %s\nwant %s", got, exp)
		}
	}
	want(b.do(t, "POST", path, ""), `{"take":10,"skip":0,"total":7,"data":[],"mode":"AND","order":{"created_on":"DESC"}}`)
	want(b.do(t, "POST", path+"?take=5", `{"take":50,"skip":"3","mode":"or","order":{"TN":"asc","created_on":"DESC"},"created_on_from":"2026-01-01"}`),
		`{"take":5,"skip":3,"total":7,"data":[],"mode":"OR","order":{"tn":"ASC","created_on":"DESC"}}`)
	r := b.do(t, "POST", path, `{"take":101,"skip":-1,"mode":"XOR","order":{"price":"ASC","tn":"up"},"created_on_to":"x"}`).want(t, 400)
	for f, msg := range map[string]string{
		"take": "must be at most 100", "skip": "must be at least 0", "mode": "must be one of AND, OR",
		"order.price": "cannot be sorted by", "order.tn": "must be ASC or DESC", "created_on_to": "invalid date",
	} {
		if r.field(f) != msg {
			t.Errorf("%s: %q, want %q", f, r.field(f), msg)
		}
	}
	b.do(t, "POST", path, `{"order":"tn"}`).want(t, 400)
}

func TestPlainListHasAWindowAndATotal(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "L", Method: "GET", Path: "/rest/sip/app"}, func(ctx context.Context, in *List) ([]string, error) {
		SetTotal(ctx, 12)
		if in.Take == 1000 {
			return nil, nil
		}
		return []string{fmt.Sprint(in.Take, in.Skip)}, nil
	})
	r := b.do(t, "GET", "/rest/sip/app", "").want(t, 200)
	if r.text != `{"success":true,"payload":[]}` || r.header.Get("X-Total-Count") != "12" {
		t.Errorf("got %s %v", r.text, r.header)
	}
	if r := b.do(t, "GET", "/rest/sip/app?take=2&skip=4", "").want(t, 200); r.text != `{"success":true,"payload":["2 4"]}` {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/rest/sip/app?take=0", "").want(t, 400)
	b.do(t, "GET", "/rest/sip/app?take=", "").want(t, 200)
}

func TestTimesAreReadInEveryUsualForm(t *testing.T) {
	for _, s := range []string{
		"2026-03-04T05:06:07.089Z", "2026-03-04T05:06:07.089123456Z", "2026-03-04T06:06:07.089+01:00", "2026-03-04T06:06:07.089+0100",
		"2026-03-04T06:06:07.089+01", "2026-03-04T05:06:07.089", "2026-03-04 05:06:07.089",
	} {
		got, err := ParseTime(s)
		b, _ := json.Marshal(got)
		if err != nil || string(b) != `"2026-03-04T05:06:07.089Z"` {
			t.Errorf("%s: %s %v", s, b, err)
		}
	}
	for _, s := range []string{"", "x", "2026-13-01", "0000-01-01", "1772600767", "2026-03-04T25:00:00Z"} {
		if got, err := ParseTime(s); err == nil {
			t.Errorf("%q gave %v", s, got)
		}
	}
	var none *Time
	if b, _ := json.Marshal(struct{ A, B *Time }{none, TimePtr(nil)}); string(b) != `{"A":null,"B":null}` {
		t.Errorf("unset times: %s", b)
	}
	if b, _ := json.Marshal(Time{}); string(b) != "null" {
		t.Errorf("zero time: %s", b)
	}
}

func TestValidateHookSeesTheWholeInput(t *testing.T) {
	b := newBench(t, nil)
	echo[targetIn](b, Op{ID: "T"})
	if r := b.do(t, "POST", "/rest/sms", `{"app":"a","connection":"b"}`).want(t, 400); r.field("connection") != "only one target" {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "POST", "/rest/sms", `{"app":"a"}`).want(t, 200)
}

type targetIn struct {
	App        string `json:"app"`
	Connection string `json:"connection"`
}

func (in *targetIn) Validate(f *fault.Fields) {
	if in.App != "" && in.Connection != "" {
		f.Add("connection", "only one target", in.Connection)
	}
}

type reportIn struct {
	Search
	Types []string `json:"types" enum:"a,b"`
	Zip   string   `json:"zip" lenient:"true" alias:"postal_code"`
	Tries int      `json:"tries" enum:"603,486"`
}

func (*reportIn) OrderFields() []string { return []string{"created_on", "price"} }

func TestGetTakesFiltersFromTheQuery(t *testing.T) {
	b := newBench(t, nil)
	echo[reportIn](b, Op{ID: "R", Method: "GET", Path: "/rest/report/call"})
	p := b.do(t, "GET", "/rest/report/call?types=a,b&zip=10001&tries=486&take=3&created_on_from=2026-01-01", "").want(t, 200).payload()
	if fmt.Sprint(p["types"]) != "[a b]" || p["zip"] != "10001" || p["take"] != 3.0 || p["tries"] != 486.0 || p["created_on_from"] != "2026-01-01T00:00:00.000Z" {
		t.Errorf("got %v", p)
	}
	r := b.do(t, "GET", "/rest/report/call?types=a&types=c&tries=1", "").want(t, 400)
	if r.field("types.1") != "must be one of a, b" || r.field("tries") != "must be one of 603, 486" {
		t.Errorf("got %s", r.text)
	}
	echo[reportIn](b, Op{ID: "S", Path: "/rest/report/search"})
	if p := b.do(t, "POST", "/rest/report/search", `{"postal_code":10001,"order":{"price":"desc"}}`).want(t, 200).payload(); p["zip"] != "10001" {
		t.Errorf("got %v", p)
	}
	b.do(t, "POST", "/rest/report/search", `{"order":{"modified_on":"ASC"}}`).want(t, 400)
}

func TestNumberOfFaultsIsBounded(t *testing.T) {
	b := messages(t)
	r := b.do(t, "POST", "/rest/sms", `{"items":[`+strings.Repeat("1,", 500)+`1]}`).want(t, 400)
	if n := len(r.body["fields"].(map[string]any)); n != maxFaults {
		t.Errorf("%d fields", n)
	}
}

func TestPathParametersAreChecked(t *testing.T) {
	b := newBench(t, nil)
	type in struct {
		UUID string `path:"uuid" format:"uuid"`
		TN   string `path:"tn" format:"tn"`
	}
	echo[in](b, Op{ID: "R", Method: "GET", Path: "/rest/x/{uuid}/{tn}"})
	if r := b.do(t, "GET", "/rest/x/no/12x", "").want(t, 400); r.field("uuid") != "invalid uuid" || r.field("tn") != "invalid integer number" {
		t.Errorf("got %s", r.text)
	}
	if p := b.do(t, "GET", "/rest/x/"+strings.ToUpper(someID)+"/+1%20212-555-0123", "").want(t, 200).payload(); p["UUID"] != someID || p["TN"] != "12125550123" {
		t.Errorf("got %v", p)
	}
}

func TestEmptyBodyIsKnownToTheHandler(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "O", Method: "POST", Path: "/rest/order", Status: 201}, func(ctx context.Context, _ *struct{}) (bool, error) {
		if BodyEmpty(ctx) {
			SetStatus(ctx, http.StatusOK)
		}
		return BodyEmpty(ctx), nil
	})
	b.do(t, "POST", "/rest/order", "").want(t, 200)
	b.do(t, "POST", "/rest/order", "{}").want(t, 201)
}

func FuzzDecodeBody(f *testing.F) {
	for _, s := range []string{
		`{"to":12125550123,"message":"x"}`, `{"to":["1",2,null],"items":[{"tn":1,"features":[]}],"meta":{"a":{"b":1}}}`, `[]`, `{`, `{"a":"\u00e9\\"}`,
		`{"text":"a","message":null,"tags":[[[]]],"start_on":"2026-01-01","max_price":1e-7,"rate":1e400}`, `{"order":{"a":"ASC"}}`, "null", "\"", `{"":1,"":2}`,
	} {
		f.Add([]byte(s))
	}
	type in struct {
		messageIn
		Search
		Opt  Opt[int]        `json:"opt"`
		Raw  json.RawMessage `json:"raw"`
		Any  any             `json:"any"`
		Deep *itemIn         `json:"deep"`
	}
	pl := planOf(reflect.TypeFor[in]())
	f.Fuzz(func(t *testing.T, body []byte) {
		r, _ := http.NewRequest("POST", "/rest/sms", strings.NewReader(string(body)))
		q := &request{http: r, op: &operation{plan: pl}}
		err := q.read()
		if err == nil {
			err = pl.input(q, reflect.New(pl.typ).Elem())
		}
		if err == nil {
			if len(body) > 0 && !json.Valid([]byte(strings.TrimPrefix(string(body), "\ufeff"))) && strings.TrimSpace(string(body)) != "" {
				t.Fatalf("accepted %q", body)
			}
			return
		}
		e := fault.Of(err)
		if e == nil || fault.Lookup(e.Code).Status >= 500 {
			t.Fatalf("%q: %v", body, err)
		}
		if _, err := json.Marshal(envelopeOf(&state{}, e, fault.Lookup(e.Code))); err != nil {
			t.Fatalf("fault of %q cannot be written: %v", body, err)
		}
	})
}

func FuzzMembersAgreeWithTheStandardDecoder(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[1,{"c":"}"}],"d":"\"x"}`, `{ "a" : { } , "e":"\u0041" }`, `{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want map[string]json.RawMessage
		if checkJSON(body) != nil || json.Unmarshal(body, &want) != nil || want == nil {
			eachMember(body, func(string, []byte) {})
			return
		}
		got := map[string]json.RawMessage{}
		eachMember(body, func(k string, v []byte) { got[k] = v })
		if len(got) != len(want) {
			t.Fatalf("%q: %v, want %v", body, got, want)
		}
		for k, v := range want {
			if string(got[k]) != string(v) {
				t.Fatalf("%q: %s = %s, want %s", body, k, got[k], v)
			}
		}
	})
}

type maskIn struct {
	TN   string `json:"tn" lenient:"true" format:"tnmask"`
	From string `json:"from" lenient:"true" maxLength:"255" format:"party"`
}

func TestNumberFiltersAreComparedByDigits(t *testing.T) {
	b := newBench(t, nil)
	echo[maskIn](b, Op{ID: "Find", Tag: "SMS"})
	for body, want := range map[string][2]string{
		`{"tn":2125550123,"from":12125550123}`:          {"12125550123", "12125550123"},
		`{"tn":"+1 (212) 555-*","from":"212-555-0123"}`: {"1212555*", "12125550123"},
		`{"from":" sip:al*@example.org "}`:              {"", "sip:al*@example.org"},
		`{"from":"OFFERS"}`:                             {"", "OFFERS"},
		`{"tn":null,"from":"+1212555%%%%"}`:             {"", "1212555%%%%"},
	} {
		p := b.do(t, "POST", "/rest/sms", body).want(t, 200).payload()
		if p["tn"] != want[0] || p["from"] != want[1] {
			t.Errorf("%s: %v", body, p)
		}
	}
	r := b.do(t, "POST", "/rest/sms", `{"tn":"alice","from":"+ ()"}`).want(t, 400)
	if r.field("tn") == "" || r.field("from") == "" {
		t.Errorf("empty filters: %s", r.text)
	}
}

func TestPlainListIsCutToItsWindow(t *testing.T) {
	b := newBench(t, nil)
	all := []int{5, 4, 3, 2, 1}
	Handle(b.API, Op{ID: "All", Method: "GET", Path: "/rest/all"}, func(ctx context.Context, in *List) ([]string, error) {
		return Listed(ctx, *in, all, func(n *int) (string, error) { return fmt.Sprint(*n), nil })
	})
	for query, want := range map[string]string{
		"": `["5","4","3","2","1"]`, "?take=2": `["5","4"]`, "?skip=3&take=9": `["2","1"]`, "?skip=7": `[]`,
	} {
		r := b.do(t, "GET", "/rest/all"+query, "").want(t, 200)
		if r.text != `{"success":true,"payload":`+want+`}` || r.header.Get("X-Total-Count") != "5" {
			t.Errorf("%q: %s, %s in all", query, r.text, r.header.Get("X-Total-Count"))
		}
	}
}

func TestTextThatNoDatabaseTakesIsRefused(t *testing.T) {
	b := newBench(t, nil)
	echo[struct {
		Key     string          `path:"key"`
		Message string          `json:"message"`
		To      recipients      `json:"to"`
		List    []string        `json:"list"`
		Payload json.RawMessage `json:"payload"`
	}](b, Op{ID: "Put", Path: "/rest/sms/{key}"})
	for _, c := range []struct{ path, body, field string }{
		{"a%00", `{}`, "key"},
		{"a%ff", `{}`, "key"},
		{"a?message=%00", `{}`, "message"},
		{"a?message=%ff", `{}`, "message"},
		{"a?to=%ff", `{}`, "to"},
		{"a", `{"message":"a\u0000"}`, "message"},
		{"a", `{"to":["1\u0000"]}`, "to"},
		{"a", `{"list":["\u0000"]}`, "list.0"},
	} {
		if r := b.do(t, "POST", "/rest/sms/"+c.path, c.body).want(t, 400); r.field(c.field) == "" {
			t.Errorf("%s %s: %s", c.path, c.body, r.text)
		}
	}
	label, body := multi("message", "", "\xff")
	if r := b.do(t, "POST", "/rest/sms/a", body, label).want(t, 400); r.field("message") == "" {
		t.Errorf("form: %s", r.text)
	}
	b.do(t, "POST", "/rest/sms/%C3%A9", `{"to":"12125550123","message":"\\u0000"}`).want(t, 200)
}
