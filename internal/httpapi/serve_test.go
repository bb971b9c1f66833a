package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// say registers a GET that answers a word.
func say(b *bench, path, word string, auth Auth, aliases ...string) {
	type in struct {
		UUID string `path:"uuid"`
	}
	Handle(b.API, Op{ID: word, Method: "GET", Path: path, Auth: auth, Aliases: aliases}, func(_ context.Context, in *in) (string, error) {
		return word + in.UUID, nil
	})
}

func TestRoutesThatOverlap(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/sip/app/call/{uuid}", "call ", NoAuth)
	say(b, "/rest/sip/app/call/online", "online", NoAuth)
	say(b, "/rest/sip/app/{uuid}/tnlease", "leases ", NoAuth)
	say(b, "/rest/record/{uuid}", "record ", NoAuth, "/rest/rec/{uuid}")
	say(b, "/rest/record/{uuid}.wav", "audio ", NoAuth, "/rest/record/{uuid}.mp3")
	upper := strings.ToUpper(someID)
	for path, want := range map[string]string{
		"/rest/sip/app/call/online":             "online",
		"/rest/sip/app/call/" + upper:           "call " + someID,
		"/rest/sip/app/call/tnlease":            "call tnlease",
		"/rest/sip/app/call/online/tnlease":     "",
		"/rest/sip/app/" + someID + "/tnlease/": "leases " + someID,
		"/rest/record/" + someID:                "record " + someID,
		"/rest/rec/" + someID:                   "record " + someID,
		"/rest/record/" + upper + ".wav":        "audio " + someID,
		"/rest/record/" + someID + ".mp3":       "audio " + someID,
		"/rest/record/a%2Fb":                    "record a/b",
		"/sip/app/call/online":                  "online",
		"/REST/sip/app/call/online":             "",
		"/rest/sip//app/call/online":            "",
		"/rest":                                 "",
		"/":                                     "",
		strings.Repeat("/a", 20):                "",
	} {
		r := b.do(t, "GET", path, "")
		if want == "" {
			if r.want(t, 404); r.body["meta"] != "not_found" || r.body["message"] != "Not found" {
				t.Errorf("%s: %s", path, r.text)
			}
			continue
		}
		if r.want(t, 200); r.body["payload"] != want {
			t.Errorf("%s: %v, want %s", path, r.body["payload"], want)
		}
	}
}

func TestPathsWithoutRestAreServedInPlace(t *testing.T) {
	b := newBench(t, nil)
	echo[messageIn](b, Op{ID: "SendSMS"})
	r := b.do(t, "POST", "/sms?jwt=secret", `{"to":12125550123,"message":"x"}`).want(t, 200)
	if r.header.Get("Deprecation") != "true" || r.header.Get("Link") != `</rest/sms>; rel="successor-version"` {
		t.Errorf("headers %v", r.header)
	}
	if r := b.do(t, "POST", "/rest/sms", `{"to":12125550123,"message":"x"}`); r.header.Get("Deprecation") != "" {
		t.Error("the proper path is not deprecated")
	}
	if r := b.do(t, "DELETE", "/sms", "").want(t, 405); r.header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("Allow %q", r.header.Get("Allow"))
	}
}

func TestWrongMethodNamesTheRightOnes(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/sms/{uuid}", "x", NoAuth)
	echo[messageIn](b, Op{ID: "P", Path: "/rest/sms/search", Method: "POST"})
	r := b.do(t, "PUT", "/rest/sms/search", "").want(t, 405)
	if r.header.Get("Allow") != "GET, HEAD, OPTIONS, POST" || r.body["meta"] != "method_not_allowed" {
		t.Errorf("%q %s", r.header.Get("Allow"), r.text)
	}
}

func TestHeadIsGetWithoutBody(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/user", "word", NoAuth)
	get, head := b.do(t, "GET", "/rest/user", ""), b.do(t, "HEAD", "/rest/user", "")
	if head.status != 200 || head.text != "" || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
		t.Errorf("got %d %q %v", head.status, head.text, head.header)
	}
}

func TestOptionsAnswersCORS(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/user", "word", User)
	r := b.do(t, "OPTIONS", "/rest/user", "", "Origin: https://x.example", "Access-Control-Request-Headers: x-auth-new, evil").want(t, 204)
	h := r.header
	if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" ||
		!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Idempotency-Key") || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-auth-new") ||
		strings.Contains(h.Get("Access-Control-Allow-Headers"), "evil") || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("headers %v", h)
	}
	b.do(t, "OPTIONS", "/rest/nothing", "").want(t, 404)
	if b.do(t, "GET", "/rest/user", "", "Origin: https://x.example").want(t, 401).header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("errors carry CORS too")
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/user", "word", NoAuth)
	b.Mount("/raw", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "raw") }))
	for _, path := range []string{"/rest/user", "/rest/none", "/raw", "/version", "/none"} {
		h := b.do(t, "GET", path, "").header
		for _, name := range []string{"X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"} {
			if h.Get(name) == "" {
				t.Errorf("%s: no %s", path, name)
			}
		}
		if h.Get("X-Opentact-Version") != "1.2.3" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestRequestIDIsKeptOrMade(t *testing.T) {
	b := newBench(t, nil)
	if got := b.do(t, "GET", "/version", "", "X-Request-Id: abc.D_1-2").header.Get("X-Request-Id"); got != "abc.D_1-2" {
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"", "a b", "a/b", strings.Repeat("a", 129)} {
		if got := b.do(t, "GET", "/version", "", "X-Request-Id: "+bad).header.Get("X-Request-Id"); !ident.Valid(got) {
			t.Errorf("%q gave %q", bad, got)
		}
	}
}

func TestGzipAboveOneKiB(t *testing.T) {
	b := newBench(t, nil)
	long := strings.Repeat("ab", 1000)
	say(b, "/rest/user", long, NoAuth)
	say(b, "/rest/event", "short", NoAuth)
	HandleRaw(b.API, Op{ID: "csv", Method: "GET", Path: "/rest/report/call"}, func(w http.ResponseWriter, _ *http.Request, _ *struct{}) error {
		w.Header().Set("Content-Type", "text/csv")
		for range 100 {
			fmt.Fprintln(w, "1,2,3,4,5,6,7,8,9,10")
		}
		return nil
	})
	HandleRaw(b.API, Op{ID: "wav", Method: "GET", Path: "/rest/record/{uuid}.wav"}, func(w http.ResponseWriter, r *http.Request, _ *struct{}) error {
		http.ServeContent(w, r, "x.wav", time.Time{}, bytes.NewReader(make([]byte, 4000)))
		return nil
	})
	r := b.do(t, "GET", "/rest/user", "", "Accept-Encoding: br, gzip;q=0.5").want(t, 200)
	if r.header.Get("Content-Encoding") != "gzip" || len(r.text) > 200 || !strings.Contains(unzip(t, r.text), long) {
		t.Errorf("not compressed: %d bytes, %v", len(r.text), r.header)
	}
	if r := b.do(t, "GET", "/rest/report/call", "", "Accept-Encoding: gzip").want(t, 200); len(unzip(t, r.text)) != 2100 {
		t.Errorf("raw answers are compressed too: %v", r.header)
	}
	for path, enc := range map[string]string{"/rest/event": "gzip", "/rest/user": "gzip;q=0", "/rest/record/" + someID + ".wav": "gzip"} {
		if r := b.do(t, "GET", path, "", "Accept-Encoding: "+enc).want(t, 200); r.header.Get("Content-Encoding") != "" {
			t.Errorf("%s with %s was compressed", path, enc)
		}
	}
	if r := b.do(t, "GET", "/rest/record/"+someID+".wav", "", "Range: bytes=10-19", "Accept-Encoding: gzip").want(t, 206); len(r.text) != 10 {
		t.Errorf("range gave %d bytes", len(r.text))
	}
}

func unzip(t *testing.T, s string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// failing registers a GET that fails in a chosen way.
func failing(b *bench, err error) {
	Handle(b.API, Op{ID: "F", Method: "GET", Path: "/rest/call"}, func(context.Context, *struct{}) (Empty, error) { return Empty{}, err })
}

func TestFaultBecomesTheEnvelope(t *testing.T) {
	for _, tc := range []struct {
		err           error
		status        int
		meta, message string
		retry         string
	}{
		{fault.Missing("SIP connection"), 404, "not_found", "SIP connection not found", ""},
		{fmt.Errorf("send: %w", fault.New(fault.SMSBalance)), 405, "insufficient_balance", "Insufficient Balance", ""},
		{fault.New(fault.Balance), 402, "insufficient_balance", "Not enough account balance", ""},
		{&fault.Error{Code: fault.RateLimited, Retry: 1500 * time.Millisecond}, 429, "rate_limited", "Too many requests", "2"},
		{fault.New(fault.Unavailable), 503, "unavailable", "Service unavailable", "5"},
		{fault.Wrap(fault.Upstream, errors.New("dial tcp 10.0.0.1")), 502, "upstream_failed", "Upstream failed", ""},
		{errors.New("pq: password of db"), 500, "internal", "Internal error", ""},
		{fault.Wrap(fault.Internal, errors.New("disk")), 500, "internal", "Internal error", ""},
		{context.DeadlineExceeded, 503, "unavailable", "Service unavailable", "5"},
		{&http.MaxBytesError{}, 413, "too_large", "Request too large", ""},
	} {
		b := newBench(t, nil)
		failing(b, tc.err)
		r := b.do(t, "GET", "/rest/call", "", "X-Request-Id: rid-1").want(t, tc.status)
		want := fmt.Sprintf(`{"success":false,"message":%q,"status":%d,"meta":%q,"fields":{},"request_id":"rid-1"}`, tc.message, tc.status, tc.meta)
		if r.text != want || r.header.Get("Retry-After") != tc.retry || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%v: %s %v", tc.err, r.text, r.header)
		}
		if tc.meta == "internal" && strings.Count(b.log.String(), tc.err.Error()) != 1 {
			t.Errorf("an unknown error is logged once: %s", b.log)
		}
	}
}

func TestProblemDetailsWhenAskedFor(t *testing.T) {
	b := newBench(t, nil)
	echo[messageIn](b, Op{ID: "SendSMS"})
	r := b.do(t, "POST", "/rest/sms", `{"to":"12x","message":"x","items":[{}]}`, "Accept: application/json;q=0.5, application/problem+json", "X-Request-Id: rid").want(t, 400)
	want := `{"type":"https://api.example.org/errors/validation_failed","title":"Validation failed","status":400,"detail":"invalid integer number",` +
		`"instance":"/rest/sms","code":"validation_failed","request_id":"rid","errors":[{"pointer":"/items/0/tn","detail":"required"},{"pointer":"/to","detail":"invalid integer number"}]}`
	if r.text != want || r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %s", r.text)
	}
	if r := b.do(t, "POST", "/rest/sms", `{`, "Accept: application/problem+json;q=0").want(t, 400); r.body["success"] != false {
		t.Errorf("q=0 is a refusal: %s", r.text)
	}
	if r := b.do(t, "GET", "/rest/none", "", "Accept: application/problem+json").want(t, 404); strings.Contains(r.text, "errors\":[") || r.body["code"] != "not_found" {
		t.Errorf("got %s", r.text)
	}
}

func TestPanicIsAnInternalErrorWithAStackInTheLog(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "boom", Method: "GET", Path: "/rest/call"}, func(context.Context, *struct{}) (Empty, error) {
		panic("nil map")
	})
	if r := b.do(t, "GET", "/rest/call", "").want(t, 500); r.body["meta"] != "internal" || strings.Contains(r.text, "nil map") {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/version", "").want(t, 200)
	if log := b.log.String(); !strings.Contains(log, "nil map") || !strings.Contains(log, "serve_test.go") {
		t.Errorf("log %s", log)
	}
}

func TestErrorAfterTheFirstBytes(t *testing.T) {
	b := newBench(t, withKeys(t))
	for name, n := range map[string]int{"little": 10, "lot": 100_000} {
		HandleRaw(b.API, Op{ID: name, Method: "POST", Path: "/rest/report/" + name}, func(w http.ResponseWriter, _ *http.Request, _ *struct{}) error {
			w.Header().Set("Content-Type", "text/csv")
			fmt.Fprint(w, strings.Repeat("x", n))
			return fault.Missing("Call")
		})
	}
	for _, headers := range [][]string{{"Accept-Encoding: gzip"}, {"Idempotency-Key: k"}} {
		if r := b.do(t, "POST", "/rest/report/little", "", headers...).want(t, 404); r.body["message"] != "Call not found" {
			t.Errorf("nothing had gone out: %q", r.text)
		}
	}
	res, err := http.Post(b.url+"/rest/report/lot", "", nil)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looks like a whole one")
	}
}

func TestClientThatLeavesIsLoggedQuietly(t *testing.T) {
	seen := make(chan int, 1)
	b := newBench(t, func(o *Options) { o.Observe = func(_ string, status int, _ time.Duration) { seen <- status } })
	started := make(chan struct{})
	Handle(b.API, Op{ID: "slow", Method: "GET", Path: "/rest/call"}, func(ctx context.Context, _ *struct{}) (Empty, error) {
		close(started)
		<-ctx.Done()
		return Empty{}, fmt.Errorf("query: %w", ctx.Err())
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", b.url+"/rest/call", nil)
	go func() {
		<-started
		cancel()
	}()
	if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
		res.Body.Close()
		t.Fatal("the request was answered")
	}
	if status := <-seen; status != statusGone {
		t.Errorf("status %d", status)
	}
	if log := b.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("log %s", log)
	}
}

func TestAnswersBesidePayload(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "E", Method: "GET", Path: "/rest/call"}, func(ctx context.Context, _ *struct{}) (Envelope, error) {
		SetHeader(ctx, "X-Own", RequestID(ctx))
		return Envelope{Payload: "<a>&", Extra: map[string]any{"url": "https://x"}}, nil
	})
	r := b.do(t, "GET", "/rest/call", "", "X-Request-Id: r1").want(t, 200)
	if r.text != `{"success":true,"payload":"<a>&","url":"https://x"}` || r.header.Get("X-Own") != "r1" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %s %v", r.text, r.header)
	}
}

func TestEmptyResultsAreNotNull(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "a", Method: "GET", Path: "/a"}, func(context.Context, *struct{}) ([]int, error) { return nil, nil })
	Handle(b.API, Op{ID: "b", Method: "GET", Path: "/b"}, func(context.Context, *struct{}) (map[string]int, error) { return nil, nil })
	Handle(b.API, Op{ID: "c", Method: "GET", Path: "/c"}, func(context.Context, *struct{}) (Empty, error) { return Empty{}, nil })
	Handle(b.API, Op{ID: "d", Method: "GET", Path: "/d"}, func(context.Context, *struct{}) (any, error) { return nil, nil })
	for path, want := range map[string]string{"/a": "[]", "/b": "{}", "/c": "{}", "/d": "{}"} {
		if r := b.do(t, "GET", path, ""); r.text != `{"success":true,"payload":`+want+`}` {
			t.Errorf("%s: %s", path, r.text)
		}
	}
}

func TestOutputThatCannotBeWrittenIsInternal(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "a", Method: "GET", Path: "/a"}, func(context.Context, *struct{}) (any, error) { return func() {}, nil })
	b.do(t, "GET", "/a", "").want(t, 500)
}

func TestMountsAndAbsentOperations(t *testing.T) {
	b := newBench(t, nil)
	b.Mount("/console/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "console "+RequestID(r.Context())) }))
	b.Mount("/metrics", b.LoopbackOr(Rule{Auth: Admin, Scope: "admin:read"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") })))
	b.Mount("/ops", b.Guard(Rule{Auth: Admin, Scope: "admin:read"}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, Who(r.Context()).User) })))
	b.Absent("POST", "/rest/janus/conn")
	b.Absent("GET", "/v1/accounts/{sid}.json")
	b.Absent("GET", "/v1/accounts/{sid}")
	for _, p := range []string{"/rest/janus/conn", "/janus/conn"} {
		if r := b.do(t, "POST", p, "").want(t, 404); r.body["meta"] != "not_implemented" {
			t.Errorf("%s: %s", p, r.text)
		}
	}
	b.do(t, "GET", "/v1/accounts/1.json", "").want(t, 404)
	if r := b.do(t, "GET", "/console/x", "", "X-Request-Id: r9").want(t, 200); r.text != "console r9" {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/metrics", "").want(t, 200)
	b.do(t, "GET", "/ops", "").want(t, 401)
	b.do(t, "GET", "/ops", "", good).want(t, 403)
	b.Mount("/audit", b.Guard(Rule{Auth: User, Scope: "messaging"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	b.do(t, "GET", "/audit", "", "Authorization: reader").want(t, 403)
	b.do(t, "GET", "/audit", "", "Authorization: writer").want(t, 200)
	if r := b.do(t, "GET", "/ops", "", "Authorization: Bearer admin").want(t, 200); r.text != "u3" {
		t.Errorf("got %s", r.text)
	}
}

func TestMountCanTakeOverTheConnection(t *testing.T) {
	b := newBench(t, nil)
	b.Mount("/ws", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nws")
		rw.Flush()
	}))
	if r := b.do(t, "GET", "/ws", "", "Upgrade: websocket", "Connection: Upgrade").want(t, 200); r.text != "ws" {
		t.Errorf("got %q", r.text)
	}
}

func TestDrainingRefusesOperationsOnly(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/user", "x", NoAuth)
	b.Drain(true)
	if r := b.do(t, "GET", "/rest/user", "").want(t, 503); r.header.Get("Retry-After") == "" || r.body["meta"] != "unavailable" {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/health/live", "").want(t, 200)
	b.do(t, "GET", "/health/ready", "").want(t, 503)
	b.Drain(false)
	b.do(t, "GET", "/rest/user", "").want(t, 200)
}

func TestLogHidesCredentialsAndWarnsOfFailures(t *testing.T) {
	b := newBench(t, nil)
	say(b, "/rest/user", "x", NoAuth)
	type in struct {
		Token string `path:"token"`
	}
	Handle(b.API, Op{ID: "RemoveByTokenString", Method: "DELETE", Path: "/rest/token/{token}"}, func(context.Context, *in) (Empty, error) { return Empty{}, nil })
	Handle(b.API, Op{ID: "broken", Method: "GET", Path: "/rest/call"}, func(context.Context, *struct{}) (Empty, error) {
		return Empty{}, fault.New(fault.Upstream)
	})
	b.do(t, "GET", "/rest/user?jwt=s3cret1&a=1&Bearer=s3cret2&password=s3cret3&email=s3cret@x&ha1%62=s3cret4", "").want(t, 200)
	b.do(t, "DELETE", "/rest/token/s3cret5", "").want(t, 200)
	b.do(t, "GET", "/rest/call", "").want(t, 502)
	log := b.log.String()
	if strings.Contains(log, "s3cret") || !strings.Contains(log, "a=1") || !strings.Contains(log, "path=/rest/token/{token}") {
		t.Errorf("log %s", log)
	}
	if !strings.Contains(log, `level=WARN msg=request `) || strings.Count(log, "msg=request ") != 3 {
		t.Errorf("one line a request, warnings for 5xx: %s", log)
	}
}

func TestObserveGetsOperationAndStatus(t *testing.T) {
	seen := make(chan string, 3)
	b := newBench(t, func(o *Options) {
		o.Observe = func(op string, status int, _ time.Duration) { seen <- fmt.Sprint(op, " ", status) }
	})
	say(b, "/rest/user", "GetCurrentUser", NoAuth)
	b.do(t, "GET", "/rest/user", "")
	b.do(t, "GET", "/rest/none", "")
	if a, c := <-seen, <-seen; a != "GetCurrentUser 200" || c != "none 404" {
		t.Errorf("got %q %q", a, c)
	}
}

func TestForwardedAddressIsBelievedFromProxiesOnly(t *testing.T) {
	a := New(Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, tc := range [][3]string{
		{"10.0.0.1:5", "1.1.1.1, 203.0.113.9, 10.0.0.7", "203.0.113.9"},
		{"192.0.2.1:5", "203.0.113.9", "192.0.2.1"},
		{"10.0.0.1:5", "", "10.0.0.1"},
		{"10.0.0.1:5", "junk", "10.0.0.1"},
		{"[2001:db8::1]:5", "", "2001:db8::1"},
	} {
		r := &http.Request{RemoteAddr: tc[0], Header: http.Header{}}
		r.Header.Set("X-Forwarded-For", tc[1])
		if got := a.remoteIP(r); got != tc[2] {
			t.Errorf("%v: %s", tc, got)
		}
	}
}

func TestPlainListenerLeadsToTLS(t *testing.T) {
	b := newBench(t, nil)
	b.Mount("/go/", b.RedirectToTLS())
	if r := b.do(t, "POST", "/go/rest/sms?a=1", "").want(t, 302); r.header.Get("Location") != strings.Replace(b.url, "http", "https", 1)+"/go/rest/sms?a=1" {
		t.Errorf("Location %q", r.header.Get("Location"))
	}
}

func BenchmarkSmallPost(b *testing.B) {
	h := newBench(b, func(o *Options) { o.Logger = nil })
	Handle(h.API, Op{ID: "SendSMS", Method: "POST", Path: "/rest/sms", Auth: User}, func(_ context.Context, in *messageIn) (*messageIn, error) { return in, nil })
	body := `{"to":12125550123,"from":"12125550100","message":"hello","validity":600,"smart_encoding":false}`
	b.ReportAllocs()
	for b.Loop() {
		r, _ := http.NewRequest("POST", "/rest/sms", strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:1000"
		r.Header["Authorization"] = []string{"Bearer free"}
		r.Header["Content-Type"] = []string{"application/json"}
		w := &discard{h: http.Header{}}
		h.ServeHTTP(w, r)
		if w.status != 200 {
			b.Fatal(w.status)
		}
	}
}

type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(s int)           { d.status = s }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

func TestStorageThatIsAwayIsA503(t *testing.T) {
	away := errors.New("connection refused")
	b := newBench(t, nil)
	b.API.opt.Down = func(err error) bool { return errors.Is(err, away) }
	Handle(b.API, Op{ID: "gone", Method: "GET", Path: "/rest/call"}, func(context.Context, *struct{}) (Empty, error) {
		return Empty{}, fmt.Errorf("read call: %w", away)
	})
	if r := b.do(t, "GET", "/rest/call", "").want(t, 503); r.body["meta"] != "unavailable" || r.header.Get("Retry-After") == "" {
		t.Errorf("got %s", r.text)
	}
}

func TestMountHasItsMethodsToo(t *testing.T) {
	b := newBench(t, nil)
	b.Mount("GET /object/{file}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "file") }))
	b.do(t, "GET", "/object/a", "").want(t, 200)
	b.do(t, "HEAD", "/object/a", "").want(t, 200)
	if r := b.do(t, "DELETE", "/object/a", "").want(t, 405); r.header.Get("Allow") != "GET, HEAD, OPTIONS" || r.body["meta"] != "method_not_allowed" {
		t.Errorf("%s, Allow %q", r.text, r.header.Get("Allow"))
	}
	if r := b.do(t, "OPTIONS", "/object/a", "").want(t, 204); r.header.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" {
		t.Errorf("preflight %v", r.header)
	}
	b.do(t, "GET", "/object/a/b", "").want(t, 404)
}

func TestDeepDocumentIsInvalidJSONInOneText(t *testing.T) {
	b := messages(t)
	r := b.do(t, "POST", "/rest/sms", `{"meta":`+strings.Repeat("[", maxDepth+1)+strings.Repeat("]", maxDepth+1)+`}`).want(t, 400)
	fields, _ := r.body["fields"].(map[string]any)
	if r.body["message"] != "Invalid JSON" || r.body["meta"] != "invalid_json" || fields["params"] == nil {
		t.Errorf("got %s", r.text)
	}
}
