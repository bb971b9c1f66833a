package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// TestMain lets no goroutine of the service stay behind; the database server of the tests may.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2"), goleak.IgnoreAnyFunction("github.com/opentact/opentact/internal/db/dbtest.startLocked.func1"))
}

// names is a resolver of a few names.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	list, known := n[host]
	if !known {
		return nil, fmt.Errorf("no such host %s", host)
	}
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

// letters are what administrators were told.
type letters struct {
	mu   sync.Mutex // guards list
	list []string
}

func (l *letters) all() []string { l.mu.Lock(); defer l.mu.Unlock(); return slices.Clone(l.list) }

func (l *letters) EndpointDisabled(_ context.Context, tx *db.Tx, _, url, reason string) error {
	tx.After(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.list = append(l.list, url+" "+reason)
	})
	return nil
}

// who signs in with the account's uuid as token.
type who struct{}

func (who) Authenticate(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
	return httpapi.Identity{Account: c.Value, User: c.Value, Role: "User", Scopes: []string{"*"}, Unlimited: true}, nil
}

// house is a service with a log and its REST side.
type house struct {
	*rig
	log     *event.Log
	api     *httpapi.API
	account string
	mail    *letters
}

func open(t *testing.T, d *db.DB, change func(*webhook.Config)) *house {
	t.Helper()
	c := &clock{at: time.Now().Truncate(time.Millisecond)}
	f := fetch.New(fetch.Options{AllowPrivate: true})
	t.Cleanup(f.Close)
	h := &house{log: event.NewLog(event.Config{DB: d, Now: c.now}), account: ident.New(), mail: &letters{}}
	cfg := webhook.Config{DB: d, Fetch: f, Events: h.log, Alerts: h.mail, Resolver: names{}, Now: c.now, Node: ident.New(), PollEvery: 10 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	h.rig = &rig{t: t, d: d, c: c, s: webhook.New(cfg)}
	h.api = httpapi.New(httpapi.Options{Auth: who{}, Now: c.now, Answers: httpapi.NewAnswers(d, cfg.Node, c.now)})
	h.s.Routes(h.api)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- h.log.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() { cancel(); <-done })
	return h
}

// do makes a request of the account; header are pairs of name and value.
func (h *house) do(method, path, body string, header ...string) (int, map[string]any) {
	h.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+h.account)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.api.ServeHTTP(w, r)
	var out map[string]any
	if err := json.NewDecoder(w.Body).Decode(&out); err != nil {
		h.t.Fatalf("%s %s: %d %v", method, path, w.Code, err)
	}
	return w.Code, out
}

// payload is do for what must succeed with an object.
func (h *house) payload(method, path, body string, want int) map[string]any {
	h.t.Helper()
	status, out := h.do(method, path, body)
	if status != want {
		h.t.Fatalf("%s %s: %d %v, want %d", method, path, status, out, want)
	}
	p, _ := out["payload"].(map[string]any)
	return p
}

// endpoint makes one for the URL.
func (h *house) endpoint(url, more string) (id, secret string) {
	h.t.Helper()
	p := h.payload("POST", "/rest/webhook", fmt.Sprintf(`{"url":%q%s}`, url, more), 201)
	return p["uuid"].(string), p["secret"].(string)
}

// emit appends an event and gives its uuid.
func (h *house) emit(typ, ref string, payload any) string {
	h.t.Helper()
	id := ident.New()
	err := h.d.Update(h.t.Context(), func(_ context.Context, tx *db.Tx) error {
		return h.log.Append(tx, event.Event{UUID: id, Account: h.account, Type: event.Type(typ), RefID: ref, Payload: payload, At: h.c.now()})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// until waits for something.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for over := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(over) {
			h.t.Fatalf("still not: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// delivery waits until the newest delivery of an endpoint is in a state with so many attempts.
func (h *house) delivery(endpoint, state string, attempts int) map[string]any {
	h.t.Helper()
	var last map[string]any
	h.until(fmt.Sprintf("delivery %s with %d attempts", state, attempts), func() bool {
		list := h.payload("GET", "/rest/webhook/"+endpoint+"/delivery", "", 200)["data"].([]any)
		if len(list) == 0 {
			return false
		}
		again := h.payload("GET", "/rest/webhook/"+endpoint+"/delivery", "", 200)["data"].([]any) // the first answer may have come between two commits
		if last = again[0].(map[string]any); last["state"] != list[0].(map[string]any)["state"] || len(last["attempts"].([]any)) != len(list[0].(map[string]any)["attempts"].([]any)) {
			return false
		}
		tries := list[0].(map[string]any)["attempts"].([]any)
		if last["state"] != state || len(tries) != attempts {
			return false
		}
		if attempts == 0 {
			return true
		}
		a := tries[attempts-1].(map[string]any)
		return a["status"] != nil || a["error"] != nil
	})
	return last
}

func ok(int, request) int { return 200 }

func TestAnEndpointGetsTheEventsAfterItsCreationAsTheLogHasThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		h.emit("sms", ident.New(), 1)
		id, secret := h.endpoint(c.URL+"/hook", "")
		ref := ident.New()
		uuid := h.emit("sms", ref, map[string]any{"state": "success"})
		got := c.await(t, 1)[0]
		row, err := h.log.Get(t.Context(), h.account, uuid)
		if err != nil || got.body != string(row.Body) {
			t.Fatalf("%v\n%s\n%s", err, got.body, row.Body)
		}
		at, _ := time.Parse(time.RFC3339, "1970-01-01T00:00:00Z")
		var seconds int64
		_, _ = fmt.Sscan(got.header.Get("Webhook-Timestamp"), &seconds)
		want := webhook.Signature(secret, "msg_"+uuid, at.Add(time.Duration(seconds)*time.Second), row.Body)
		if got.header.Get("Webhook-Id") != "msg_"+uuid || got.header.Get("Webhook-Signature") != want || got.header.Get("X-Opentact-Event") != "sms" ||
			got.header.Get("X-Opentact-Attempt") != "1" || got.header.Get("Content-Type") != "application/json" || got.header.Get("User-Agent") != "Opentact" {
			t.Fatal(got.header)
		}
		one := h.delivery(id, "success", 1)
		full := h.payload("GET", "/rest/webhook/"+id+"/delivery/"+one["uuid"].(string), "", 200)
		attempt := full["attempts"].([]any)[0].(map[string]any)
		sent := attempt["request"].(map[string]any)
		if sent["body"] != got.body || sent["headers"].(map[string]any)["webhook-signature"] != "v1,***" || attempt["response"].(map[string]any)["headers"] == nil {
			t.Fatal(full)
		}
		if len(c.await(t, 1)) != 1 {
			t.Fatal("the event before the endpoint was sent")
		}
		report, err := h.s.Report(t.Context(), h.account, uuid)
		if err != nil || !strings.Contains(string(report), `"state":"success","status":200,"attempt":1`) {
			t.Fatal(string(report), err)
		}
	})
}

func TestTypesAndFilterDecideWhatAnEndpointGets(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		user := ident.New()
		h.endpoint(c.URL+"/typed", `,"types":["sms"]`)
		id, _ := h.endpoint(c.URL+"/filtered", `,"filter":{"sip_user":["`+user+`"]}`)
		h.emit("call_state", ident.New(), map[string]any{"user": user})
		h.emit("call_state", ident.New(), "another")
		h.emit("sms", ident.New(), 1)
		h.emit("balance", ident.New(), user)
		paths := map[string]int{}
		for _, r := range c.await(t, 3) {
			paths[r.path]++
		}
		if paths["/typed"] != 1 || paths["/filtered"] != 2 {
			t.Fatal(paths)
		}
		h.payload("PATCH", "/rest/webhook/"+id, `{"filter":null,"types":["batch"]}`, 200)
		h.emit("batch", ident.New(), 1)
		if got := c.await(t, 4)[3]; got.path != "/filtered" {
			t.Fatal(got)
		}
	})
}

func TestBothSecretsSignForADayAfterRotation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		id, old := h.endpoint(c.URL, "")
		fresh := h.payload("POST", "/rest/webhook/"+id+"/secret", `{}`, 200)["secret"].(string)
		if fresh == old || h.payload("GET", "/rest/webhook/"+id, "", 200)["secret"] != nil {
			t.Fatal("the secret did not change, or is shown again")
		}
		h.emit("sms", ident.New(), 1)
		signs := func(n int) int { return len(strings.Fields(c.await(t, n)[n-1].header.Get("Webhook-Signature"))) }
		if signs(1) != 2 {
			t.Fatal("one signature while the old secret counts")
		}
		h.c.move(24*time.Hour + time.Second)
		h.emit("sms", ident.New(), 1)
		if signs(2) != 1 {
			t.Fatal("two signatures after the old secret's time")
		}
		if status, _ := h.do("POST", "/rest/webhook/"+id+"/secret", `{"secret":"whsec_c2hvcnQ="}`); status != 400 {
			t.Fatal(status)
		}
	})
}

func TestEachAnswerHasItsEffect(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		for _, row := range []struct {
			status       int
			header, want string
			next         time.Duration // at least, zero: no next try
		}{
			{204, "", "success", 0},
			{302, "", "pending", 4 * time.Second},
			{404, "", "pending", 4 * time.Second},
			{500, "3600", "pending", 4 * time.Second}, // only answers that ask for less are heard
			{503, "3600", "pending", time.Hour},
			{429, h.c.now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), "pending", 2*time.Hour - 2*time.Second},
			{502, "999999", "pending", 24 * time.Hour},
			{410, "", "failed", 0},
		} {
			hits := make(chan struct{}, 100)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if row.header != "" {
					w.Header().Set("Retry-After", row.header)
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(row.status)
				hits <- struct{}{}
			}))
			id, _ := h.endpoint(s.URL, "")
			h.emit("sms", ident.New(), row.status)
			got := h.delivery(id, row.want, 1)
			switch {
			case row.next == 0 && got["next_attempt_on"] != nil, row.next > 0 && got["next_attempt_on"] == nil:
				t.Errorf("%d: next try %v", row.status, got["next_attempt_on"])
			case row.next > 0:
				at, _ := time.Parse(time.RFC3339, got["next_attempt_on"].(string))
				if wait := at.Sub(h.c.now()); wait < row.next-time.Millisecond || wait > row.next*3/2+time.Millisecond {
					t.Errorf("%d: next try in %s, want %s", row.status, wait, row.next)
				}
			}
			if len(hits) != 1 {
				t.Errorf("%d: %d requests", row.status, len(hits))
			}
			if row.status == 410 {
				e := h.payload("GET", "/rest/webhook/"+id, "", 200)
				if e["state"] != "disabled" || e["disabled_reason"] != "gone" || e["is_active"] != false || len(h.mail.all()) != 0 {
					t.Error(e, h.mail.all())
				}
			}
			h.payload("DELETE", "/rest/webhook/"+id, "", 200)
			s.Close()
		}
	})
}

func TestTestSendsOneSignedSampleNow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		answer := 200
		c := serve(t, func(int, request) int { return answer })
		id, secret := h.endpoint(c.URL, "")
		for _, want := range []string{"success", "failed"} {
			got := h.payload("POST", "/rest/webhook/"+id+"/test", `{"type":"sms"}`, 200)
			attempts := got["attempts"].([]any)
			if got["state"] != want || len(attempts) != 1 || got["type"] != "sms" || got["next_attempt_on"] != nil {
				t.Fatal(got)
			}
			answer = 500
		}
		r := c.await(t, 2)[0]
		var body map[string]any
		if err := json.Unmarshal([]byte(r.body), &body); err != nil || body["test"] != true || body["type"] != "sms" {
			t.Fatal(r.body, err)
		}
		v := webhook.Diagnose(webhook.Received{Headers: map[string]string{
			"webhook-id": r.header.Get("Webhook-Id"), "webhook-timestamp": r.header.Get("Webhook-Timestamp"), "webhook-signature": r.header.Get("Webhook-Signature"),
		}, Body: []byte(r.body)}, []webhook.NamedSecret{{Name: "secret", Secret: secret}}, h.c.now())
		if !v.Valid {
			t.Fatal(v)
		}
		if e := h.payload("GET", "/rest/webhook/"+id, "", 200); e["state"] != "ok" {
			t.Fatal("a test changed the endpoint's health", e)
		}
	})
}

// TestATestIsSentOnce (rest-conventions: one attempt): no replay takes it.
func TestATestIsSentOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, func(int, request) int { return 500 })
		id, _ := h.endpoint(c.URL, "")
		got := h.payload("POST", "/rest/webhook/"+id+"/test", `{"type":"sms"}`, 200)
		h.payload("POST", "/rest/webhook/"+id+"/delivery/"+got["uuid"].(string)+"/replay", "", 409)
		span := fmt.Sprintf(`{"created_on_from":%q,"created_on_to":%q}`, h.c.now().Add(-time.Minute).Format(time.RFC3339Nano), h.c.now().Add(time.Hour).Format(time.RFC3339Nano))
		if got := h.payload("POST", "/rest/webhook/"+id+"/replay", span, 200); got["queued"] != 0.0 {
			t.Fatal(got)
		}
	})
}

// TestWhatWaitsIsCanceledWithItsEndpoint: with one that answers 410, and with one that is removed (webhooks.md §7.3).
func TestWhatWaitsIsCanceledWithItsEndpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for _, gone := range []bool{true, false} {
			h := open(t, d, nil)
			stop := h.run()
			var status atomic.Int64
			status.Store(500)
			c := serve(t, func(int, request) int { return int(status.Load()) })
			id, _ := h.endpoint(c.URL, "")
			for n := range 3 {
				h.emit("sms", ident.New(), n)
			}
			count := func(state string) (n int) {
				_ = d.Read().QueryRow(t.Context(), "SELECT count(*) FROM webhook_delivery WHERE endpoint = $1 AND state = $2 AND owner IS NULL AND tries > 0", id, state).Scan(&n)
				return n
			}
			h.until("three failures", func() bool { return count("pending") == 3 })
			if gone {
				status.Store(410)
				h.c.move(3 * time.Second)
				h.emit("sms", ident.New(), 3)
			} else {
				h.payload("DELETE", "/rest/webhook/"+id, "", 200)
			}
			h.until("all canceled", func() bool { return count("canceled") == 3 && count("pending") == 0 })
			before := len(c.await(t, 3))
			h.c.move(24 * time.Hour)
			h.emit("sms", ident.New(), 4)
			stop()
			if n := len(c.await(t, 3)); n != before {
				t.Fatalf("%d requests after the end", n-before)
			}
		}
	})
}

func TestReplaySendsTheSameMessageAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		id, _ := h.endpoint(c.URL, "")
		from := h.c.now()
		for i := range 3 {
			h.emit("sms", ident.New(), i)
		}
		c.await(t, 3)
		one := h.delivery(id, "success", 1)
		h.payload("POST", "/rest/webhook/"+id+"/delivery/"+one["uuid"].(string)+"/replay", "", 200)
		again := c.await(t, 4)[3]
		if again.header.Get("Webhook-Id") != one["message_id"] || again.header.Get("X-Opentact-Attempt") != "2" {
			t.Fatal(again.header)
		}
		h.delivery(id, "success", 2)
		span := fmt.Sprintf(`{"created_on_from":%q,"created_on_to":%q`, from.Add(-time.Minute).Format(time.RFC3339Nano), h.c.now().Add(time.Hour).Format(time.RFC3339Nano))
		if got := h.payload("POST", "/rest/webhook/"+id+"/replay", span+"}", 200); got["queued"] != 0.0 {
			t.Fatal("delivered ones were replayed as failed", got)
		}
		h.until("all delivered", func() bool {
			return h.payload("GET", "/rest/webhook/"+id+"/delivery?state=success", "", 200)["total"] == 3.0
		})
		if got := h.payload("POST", "/rest/webhook/"+id+"/replay", span+`,"state":"success"}`, 200); got["queued"] != 3.0 {
			t.Fatal(got)
		}
		bodies := map[string]int{}
		for _, r := range c.await(t, 7) {
			bodies[r.header.Get("Webhook-Id")+r.body]++
		}
		if len(bodies) != 3 {
			t.Fatal("a replay has another body")
		}
	})
}

func TestBodiesAreKeptWhenTheLogForgetsThem(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		id, _ := h.endpoint(c.URL, "")
		h.emit("sms", ident.New(), "kept")
		c.await(t, 1)
		one := h.delivery(id, "success", 1)
		h.c.move(8 * 24 * time.Hour)
		before := h.c.now().Add(-7 * 24 * time.Hour)
		if err := h.s.Keep(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		if n, err := h.log.Trim(t.Context(), before, 100); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		other := webhook.New(webhook.Config{DB: d, Fetch: fetch.New(fetch.Options{AllowPrivate: true}), Events: h.log, Now: h.c.now}) // it remembers nothing
		kept, err := other.Delivery(t.Context(), h.account, id, one["uuid"].(string))
		if err != nil || string(kept.Body) != c.await(t, 1)[0].body {
			t.Fatal(kept, err)
		}
		if n, err := h.s.Trim(t.Context(), h.c.now(), 100); err != nil || n != 1 {
			t.Fatal(n, err)
		}
	})
}

func TestEndpointsAreUniqueAndFifty(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		for i := range 50 {
			h.endpoint(fmt.Sprintf("http://127.0.0.1:2000/%d", i), "")
		}
		if status, out := h.do("POST", "/rest/webhook", `{"url":"http://127.0.0.1:2000/7"}`); status != 409 || out["meta"] != "already_exists" {
			t.Fatal(status, out)
		}
		if status, out := h.do("POST", "/rest/webhook", `{"url":"http://127.0.0.1:2000/50"}`); status != 409 {
			t.Fatal(status, out)
		}
		if status, out := h.do("POST", "/rest/webhook", `{"url":"http://127.0.0.1:2000/51","types":["nope"],"secret":"x"}`); status != 400 || len(out["fields"].(map[string]any)) != 2 {
			t.Fatal(status, out)
		}
		h.account = ident.New()
		h.endpoint("http://127.0.0.1:2000/7", "")
	})
}

func TestAddressesInsideAreRefusedByName(t *testing.T) {
	d := dbtest.SQLite(t)
	h := open(t, d, func(cfg *webhook.Config) {
		cfg.Fetch = fetch.New(fetch.Options{})
		cfg.Resolver = names{"inside.example": {"93.184.216.34", "10.0.0.7"}, "six.example": {"fd00::1"}, "outside.example": {"93.184.216.34"}}
	})
	for _, url := range []string{
		"http://127.0.0.1/", "http://localhost:8080/", "http://10.1.2.3/", "http://192.168.1.1/", "http://172.16.0.1/", "http://169.254.169.254/latest", "http://100.64.0.1/",
		"http://[::1]/", "http://[fe80::1]/", "http://[fc00::1]/", "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a00:1]/", "http://224.0.0.1/", "http://[ff02::1]/",
		"http://0.0.0.0/", "http://inside.example/", "https://six.example/", "ftp://outside.example/", "outside.example", "http://outside.example:22/",
	} {
		for _, key := range []string{"", ident.New()} { // with an Idempotency-Key there is a transaction around
			status, out := h.do("POST", "/rest/webhook", fmt.Sprintf(`{"url":%q}`, url), "Idempotency-Key", key)
			fields, _ := out["fields"].(map[string]any)
			if status != 400 || fields["params.url"] == nil {
				t.Errorf("%s: %d %v", url, status, out)
			}
		}
	}
	id, _ := h.endpoint("https://outside.example/hook", "")
	if status, _ := h.do("PATCH", "/rest/webhook/"+id, `{"url":"http://inside.example/"}`); status != 400 {
		t.Error(status)
	}
	h.endpoint("https://unknown.example/hook", "")
}
