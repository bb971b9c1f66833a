package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/opentact/opentact/internal/webhook"
)

const testSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

// program is a developer's program: it keeps what it got and answers with a status.
type program struct {
	*httptest.Server
	got chan delivered
}

type delivered struct {
	header http.Header
	body   string
}

// newProgram answers the first requests with statuses, then with 204.
func newProgram(t *testing.T, statuses ...int) *program {
	t.Helper()
	d := &program{got: make(chan delivered, 100)}
	var mu sync.Mutex // guards statuses
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d.got <- delivered{r.Header, string(body)}
		mu.Lock()
		defer mu.Unlock()
		if len(statuses) > 0 {
			w.WriteHeader(statuses[0])
			fmt.Fprint(w, "said\nmore")
			statuses = statuses[1:]
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(d.Close)
	return d
}

// request is what came, as a capture of it.
func (d delivered) request() string {
	var b bytes.Buffer
	b.WriteString("POST /hook?at=10:00 HTTP/1.1\r\n")
	_ = d.header.Write(&b)
	return b.String() + "\r\n" + d.body
}

var listenFrames = []string{
	`{"uuid":"0194f2a3-0000-7000-8000-000000000001","type":"sms","ref_id":"a","cursor":"c_0000000000000003","message":"first",  "payload":{"z":1,"a":2}}`,
	`{"uuid":"0194f2a3-0000-7000-8000-000000000002","type":"call_state","ref_id":"b","cursor":"c_0000000000000004","message":"second"}`,
	`{"uuid":"0194f2a3-0000-7000-8000-000000000003","type":"sms","ref_id":"a","cursor":"c_0000000000000005","message":"third"}`,
}

func TestListenPostsEventsInOrderWithTheirBytes(t *testing.T) {
	f, d := newFake(t, nil, listenFrames...), newProgram(t)
	f.placed <- struct{}{}
	r := run(t, nil, "", "listen", "--api", f.URL, "--token", "t", "--forward-to", d.URL, "--secret", testSecret, "--count", "3")
	if r.code != 0 || strings.Count(r.out, "  204  ") != 3 || !strings.Contains(r.err, "Ready: events of "+f.URL) || strings.Contains(r.out+r.err, testSecret) {
		t.Errorf("%+v", r)
	}
	for _, want := range listenFrames {
		got := <-d.got
		if got.body != want {
			t.Errorf("%s, want %s", got.body, want)
		}
		if v := run(t, nil, got.request(), "webhook", "verify", "--secret", testSecret); v.code != 0 || !strings.Contains(v.out, "verifies") {
			t.Errorf("%+v", v)
		}
	}
}

func TestListenTellsWhatTheProgramRefused(t *testing.T) {
	f, d := newFake(t, nil, listenFrames...), newProgram(t, 204, 500)
	f.placed <- struct{}{}
	r := run(t, nil, "", "listen", "--api", f.URL, "--token", "t", "--forward-to", d.URL, "--count", "3")
	if r.code != 1 || !strings.HasPrefix(r.text, "1 of 3 events were not taken by ") || !strings.Contains(r.out, "status 500: said\n") || !strings.Contains(r.err, "Your signing secret is whsec_") {
		t.Errorf("%+v", r)
	}
	f.placed <- struct{}{}
	d = newProgram(t, 500)
	r = run(t, nil, "", "listen", "--api", f.URL, "--token", "t", "--forward-to", d.URL, "--count", "2", "--json")
	var lines []forwarded
	for dec := json.NewDecoder(strings.NewReader(r.out)); dec.More(); {
		var l forwarded
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		l.Duration = 0
		lines = append(lines, l)
	}
	s500, s204, problem := 500, 204, "status 500"
	want := []forwarded{
		{UUID: "0194f2a3-0000-7000-8000-000000000001", Cursor: "c_0000000000000003", Type: "sms", RefID: "a", Attempts: 1, Status: &s500, Error: &problem},
		{UUID: "0194f2a3-0000-7000-8000-000000000002", Cursor: "c_0000000000000004", Type: "call_state", RefID: "b", Attempts: 1, Status: &s204},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestListenStoppedSaysWhereToGoOn(t *testing.T) {
	f := newFake(t, nil, listenFrames...)
	f.placed <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	d := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if seen++; seen == 2 {
			cancel() // while the program has the second event in hand
		}
	}))
	defer d.Close()
	r := runUntil(ctx, t, nil, "", "listen", "--api", f.URL, "--token", "t", "--forward-to", d.URL)
	cursor := "c_0000000000000003"
	if strings.Count(r.out, "\n") == 2 {
		cursor = "c_0000000000000004" // its answer was faster than the signal
	}
	if r.code != 0 || !strings.Contains(r.err, "Go on with --since "+cursor) {
		t.Errorf("%+v", r)
	}
}

func TestTriggerPostsASampleWithoutAServer(t *testing.T) {
	d := newProgram(t, 201)
	r := run(t, nil, "", "trigger", "sms", "--forward-to", d.URL, "--secret", testSecret)
	if r.code != 0 || !strings.Contains(r.out, "POST "+d.URL) || !strings.Contains(r.out, "webhook-signature: v1,") || !strings.Contains(r.out, `"test": true`) || !strings.Contains(r.out, "201 Created in ") {
		t.Errorf("%+v", r)
	}
	if v := run(t, nil, (<-d.got).request(), "webhook", "verify", "--secret", testSecret); v.code != 0 {
		t.Errorf("%+v", v)
	}
	r = run(t, nil, "", "trigger", "balance", "--forward-to", newProgram(t, 503).URL, "--json")
	var list []attempt
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || r.code != 1 || len(list) != 1 || *list[0].Status != 503 || !strings.Contains(r.err, "whsec_") {
		t.Errorf("%v %+v", err, r)
	}
}

func TestTriggerGoesToTheEndpointsThatAreOn(t *testing.T) {
	answer := `{"attempts":[{"n":1,"duration_ms":3,"status":200,"request":{"url":"https://a.example/","headers":{"webhook-id":"msg_1"},"body":"{}"},"response":{"headers":{},"body":"fine"}}]}`
	f := newFake(t, map[string]string{
		"GET /rest/webhook":           `[{"uuid":"off","is_active":false},{"uuid":"e","is_active":true,"url":"https://a.example/"}]`,
		"GET /rest/webhook/off":       `{"uuid":"off"}`,
		"POST /rest/webhook/e/test":   answer,
		"POST /rest/webhook/off/test": `{"attempts":[{"n":1,"duration_ms":3,"status":null,"error":"connection refused"}]}`,
	})
	if r := run(t, nil, "", "trigger", "sms", "--api", f.URL, "--token", "t"); r.code != 0 || !strings.Contains(r.out, "200 OK in 3 ms") || !strings.Contains(r.out, "webhook-id: msg_1") {
		t.Errorf("%+v", r)
	}
	if !strings.HasSuffix(f.requests(), `POST /rest/webhook/e/test Bearer t {"type":"sms"}`) {
		t.Error(f.requests())
	}
	if r := run(t, nil, "", "trigger", "sms", "--to-endpoint", "off", "--api", f.URL, "--token", "t"); r.code != 1 || !strings.Contains(r.out, "no answer after 3 ms: connection refused") {
		t.Errorf("%+v", r)
	}
	for answer, want := range map[string]string{`[]`: "make one with POST /rest/webhook", `[{"uuid":"x","is_active":true,"state":"disabled"}]`: "enable one"} {
		f.answers["GET /rest/webhook"] = answer
		if r := run(t, nil, "", "trigger", "sms", "--api", f.URL, "--token", "t"); r.code != 1 || !strings.Contains(r.text, want) {
			t.Errorf("%+v", r)
		}
	}
}

func TestTriggerMakesTheRealThing(t *testing.T) {
	f := newFake(t, map[string]string{
		"GET /rest/lease/tn":      `[{"tn":{"tn":12125550170,"voice":true,"sms":false}},{"tn":{"tn":12125550171,"sms":true}}]`,
		"POST /rest/sandbox/sms":  `{"uuid":"m"}`,
		"POST /rest/sandbox/call": `{"uuid":"c"}`,
	})
	for typ, want := range map[string]string{
		"sms":        `POST /rest/sandbox/sms Bearer t {"from":"13125550144","message":"Hello","to":"12125550171"}`,
		"call_state": `POST /rest/sandbox/call Bearer t {"from":"13125550144","script":[{"wait_ms":1000},{"hangup":true}],"to":"12125550170"}`,
	} {
		if r := run(t, nil, "", "trigger", typ, "--real", "--api", f.URL, "--token", "t"); r.code != 0 || !strings.Contains(r.out, "events tail --ref") || !strings.HasSuffix(f.requests(), want) {
			t.Errorf("%+v %s", r, f.requests())
		}
	}
}

func TestResendAndGetSpeakOfOneEvent(t *testing.T) {
	const id, cursor = "0194f2a3-0000-7000-8000-000000000001", "c_0000000000000003"
	body := listenFrames[0]
	f := newFake(t, map[string]string{
		"GET /rest/webhook":                      `[{"uuid":"e","is_active":true,"url":"https://a.example/"}]`,
		"GET /rest/event":                        `{"data":[` + body + `]}`,
		"GET /rest/event/" + id:                  body[:len(body)-1] + `,"delivery_report":[{"webhook":"e","state":"failed","status":500,"attempt":2,"attempted_on":"then"}]}`,
		"GET /rest/webhook/e/delivery":           `{"data":[{"uuid":"d"}]}`,
		"POST /rest/webhook/e/delivery/d/replay": `{"uuid":"d"}`,
		"POST /rest/webhook/e/replay":            `{"queued":4}`,
	})
	on := []string{"--api", f.URL, "--token", "t"}
	for _, name := range []string{id, cursor} {
		if r := run(t, nil, "", append([]string{"events", "resend", name}, on...)...); r.code != 0 || !strings.HasSuffix(r.out, "→ https://a.example/\n1 delivery queued\n") {
			t.Errorf("%+v", r)
		}
		if r := run(t, nil, "", append([]string{"events", "get", name}, on...)...); r.code != 0 || !strings.Contains(r.out, "webhook e  failed after 2 attempts, the last at then: status 500") {
			t.Errorf("%+v", r)
		}
	}
	if r := run(t, nil, "", append([]string{"events", "resend", "--since", "2h", "--state", "all", "--type", "sms,balance", "--json"}, on...)...); r.code != 0 || !strings.Contains(r.out, `"queued": 12`) {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(f.requests(), `"state":"canceled","types":["sms","balance"]`) {
		t.Error(f.requests())
	}
	d := newProgram(t)
	if r := run(t, nil, "", append([]string{"events", "resend", cursor, "--forward-to", d.URL, "--secret", testSecret}, on...)...); r.code != 0 || !strings.Contains(r.out, "  204  ") {
		t.Errorf("%+v", r)
	}
	if got := <-d.got; got.body != body || got.header.Get("Webhook-Id") != "msg_"+id {
		t.Errorf("%+v", got)
	}
	f.answers["GET /rest/webhook/e/delivery"] = `{"data":[]}`
	if r := run(t, nil, "", append([]string{"events", "resend", cursor}, on...)...); r.code != 1 || !strings.Contains(r.text, "was not for https://a.example/ when it happened") {
		t.Errorf("%+v", r)
	}
	if r := run(t, nil, "", append([]string{"events", "get", "c_0000000000000009"}, on...)...); r.code != 1 || !strings.Contains(r.text, "there is no event c_0000000000000009") {
		t.Errorf("%+v", r)
	}
}

func TestVerifySaysWhatDiffers(t *testing.T) {
	at := time.Now()
	head := func(at time.Time, body string) string {
		return fmt.Sprintf("Webhook-Id: msg_1\nWebhook-Timestamp: %d\nWebhook-Signature: %s\n\n", at.Unix(), webhook.Signature(testSecret, "msg_1", at, []byte(body)))
	}
	old := at.Add(-time.Hour)
	for _, c := range []struct {
		in   string
		args []string
		code int
		want string
	}{
		{in: head(at, `{"a":1}`) + `{"a":1}`, want: "The request verifies: msg_1"},
		{in: head(at, `{"a":1}`) + "{\"a\":1}\n", code: 1, want: "newline at the end of the body is removed"},
		{in: head(at, `{"a":1}`) + `{"a":2}`, code: 1, want: "expected  v1,"},
		{in: head(old, `{}`) + `{}`, code: 1, want: "The signature itself is right."},
		{in: head(old, `{}`) + `{}`, args: []string{"--any-age"}, want: "verifies"},
		{in: "Content-Type: application/json\n\n{}", code: 1, want: "the header webhook-id is missing"},
		{in: "{}", args: []string{"--header", "webhook-id: msg_1"}, code: 1, want: "webhook-signature is missing"},
	} {
		r := run(t, nil, c.in, append([]string{"webhook", "verify", "--secret", testSecret}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.out, c.want) {
			t.Errorf("%q: %+v", c.in, r)
		}
	}
	f := newFake(t, map[string]string{"POST /rest/webhook/debug-signature": `{"valid":true,"findings":[],"matches":"as it is","webhook_id":"msg_1"}`})
	r := run(t, nil, "Webhook-Id: msg_1\r\n\r\n{}", "webhook", "verify", "--endpoint", "e", "--api", f.URL, "--token", "t")
	if r.code != 0 || !strings.HasSuffix(f.requests(), `{"body_base64":"e30=","headers":{"webhook-id":"msg_1"},"webhook":"e"}`) {
		t.Errorf("%+v %s", r, f.requests())
	}
}

func TestMisuseOfTheEventCommandsSaysWhatIsWanted(t *testing.T) {
	if err := webhook.CheckSecret(testSecret); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"listen", "missing flags: --forward-to"},
		{"listen --forward-to localhost:3000 --token t", "is not a URL like http://localhost:3000/hook"},
		{"listen --forward-to http://localhost --token t --secret x", "a secret must be whsec_"},
		{"listen --forward-to http://localhost --token t --since yesterday", `--since: "yesterday" is not a cursor like c_000000000000002a`},
		{"trigger", "trigger needs a type of event: auth, call_state"},
		{"trigger sing", "there is no event type sing: want one of auth"},
		{"trigger balance --real --token t", "the sandbox can make sms and call_state"},
		{"trigger sms --real --forward-to http://x", "can't be used together"},
		{"events resend --token t", "needs the uuid or cursor of events, or --since"},
		{"events resend x --since 2h --token t", "takes either"},
		{"events resend x --token t", `"x" is neither the uuid nor the cursor of an event`},
		{"events resend --since 2h --forward-to http://x --token t", "opentact listen --forward-to http://x --since CURSOR"},
		{"events resend --since soon --token t", `--since: "soon" is neither a time`},
		{"events resend --since 1h --until 2h --token t", "--until is before --since"},
		{"webhook verify", "--secret"},
		{"webhook verify --secret x", "reads a request from standard input"},
	} {
		f := newFake(t, map[string]string{"GET /rest/webhook": `[{"uuid":"e","is_active":true}]`})
		args := strings.Fields(c.args)
		if strings.Contains(c.args, "--token") {
			args = append(args, "--api", f.URL)
		}
		if r := run(t, nil, "", args...); r.code != 2 || !strings.Contains(r.text, c.want) {
			t.Errorf("%s: code %d, %q does not hold %q", c.args, r.code, r.text, c.want)
		}
	}
	if r := run(t, nil, "", "trigger", "--list"); r.code != 0 || !strings.HasPrefix(r.out, "auth\ncall_state\n") || strings.Contains(r.out, "*") {
		t.Errorf("%+v", r)
	}
}
