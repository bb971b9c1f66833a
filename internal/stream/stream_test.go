package stream_test

import (
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

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/stream"
)

// tokens signs in "<account>-<user>" as an API token; "<account>-<user>-<role>" and "<account>-<user>-<role>-<scope>" say what it may, and "away" that nobody can tell.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
	if c.Value == "away" {
		return httpapi.Identity{}, fault.New(fault.Unavailable)
	}
	parts := strings.Split(c.Value, "-")
	if len(parts) < 2 || c.Kind != httpapi.APIToken {
		return httpapi.Identity{}, fault.New(fault.Unauthorized)
	}
	id := httpapi.Identity{Account: parts[0], User: parts[1], Email: parts[1] + "@example.org", Role: httpapi.RoleUser, Unlimited: true}
	if len(parts) > 2 {
		id.Role = parts[2]
	}
	if len(parts) > 3 {
		id.Scopes = parts[3:]
	}
	return id, nil
}

type sessions struct {
	mu   sync.Mutex
	dead bool
}

func (s *sessions) Alive(context.Context, stream.Session) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.dead, nil
}

func (*sessions) AuthViews(_ context.Context, _ db.Querier, s stream.Session) (user, account json.RawMessage, err error) {
	return json.RawMessage(fmt.Sprintf(`{"uuid":%q}`, s.User)), json.RawMessage(fmt.Sprintf(`{"uuid":%q}`, s.Account)), nil
}

type house struct {
	t    testing.TB
	d    *db.DB
	log  *event.Log
	srv  *httptest.Server
	ses  *sessions
	gate *stream.Gate
}

func build(t testing.TB, d *db.DB) *house {
	t.Helper()
	h := serve(t, d, event.NewLog(event.Config{DB: d}), nil)
	t.Cleanup(h.stop)
	return h.house
}

func newServer(api *httpapi.API) *httptest.Server { return httptest.NewServer(api.Handler()) }

func (h *house) emit(account, typ string, n int) {
	h.t.Helper()
	err := h.d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
		return h.log.Append(tx, event.Event{Account: account, Type: event.Type(typ), RefID: "r", Payload: n})
	})
	if err != nil {
		h.t.Error(err)
	}
}

func (h *house) rest(method, path, token, body string) (int, map[string]any) {
	h.t.Helper()
	req, _ := http.NewRequestWithContext(context.Background(), method, h.srv.URL+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		h.t.Fatalf("%s: %s", err, b)
	}
	return res.StatusCode, out
}

type client struct {
	t testing.TB
	c *websocket.Conn
}

func (h *house) dial(path string, header http.Header) *client {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, strings.Replace(h.srv.URL, "http", "ws", 1)+path, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		h.t.Fatal(err)
	}
	c.SetReadLimit(-1)
	h.t.Cleanup(func() { _ = c.CloseNow() })
	return &client{h.t, c}
}

func (c *client) send(s string) {
	c.t.Helper()
	if err := c.c.Write(context.Background(), websocket.MessageText, []byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() map[string]any {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, b, err := c.c.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *client) closed(code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if _, _, err := c.c.Read(ctx); err != nil {
			if got := websocket.CloseStatus(err); int(got) != code {
				c.t.Fatalf("closed with %d (%v), want %d", got, err, code)
			}
			return
		}
	}
}

func (h *house) signIn(token string) *client {
	h.t.Helper()
	c := h.dial("/", nil)
	c.send(fmt.Sprintf(`{"type":"auth","payload":%q}`, token))
	m := c.next()
	if m["type"] != "auth" || m["success"] != true || m["payload"].(map[string]any)["user"].(map[string]any)["uuid"] == nil || m["cursor"] == nil {
		h.t.Fatalf("auth answer %v", m)
	}
	return c
}

func TestEveryWayToSignIn(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
	h := build(t, dbtest.SQLite(t))
	h.signIn("a-u")
	for path, header := range map[string]http.Header{
		"/ws":          {"Authorization": {"Bearer a-u"}},
		"/?jwt=a-u":    nil,
		"/?bearer=a-u": nil,
		"/":            {"X-Auth-Token": {"a-u"}},
	} {
		if m := h.dial(path, header).next(); m["type"] != "auth" || m["success"] != true {
			t.Errorf("%s: %v", path, m)
		}
	}
	bad := h.dial("/", nil)
	bad.send(`{"type":"auth","payload":"nobody"}`)
	if m := bad.next(); m["success"] != false || m["message"] != "Forbidden" || m["status"] != 401.0 {
		t.Errorf("refusal %v", m)
	}
	bad.closed(4401)
}

// TestASocketNeedsTheRightToReadTheLog: a token that GET /rest/event refuses opens no websocket either, in the first frame or in the handshake.
func TestASocketNeedsTheRightToReadTheLog(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	for token, may := range map[string]bool{
		"a-u-User-billing:read": false, "a-u-User-messaging": false, "a-u-Provider": false,
		"a-u-User-events:read": true, "a-u-User-events": true, "a-u-User-*": true, "a-u-User-billing:read-events:read": true, "a-u-Admin": true,
	} {
		status, _ := h.rest("GET", "/rest/event", token, "")
		if (status == 200) != may {
			t.Errorf("%s reads the log: %d", token, status)
		}
		first := h.dial("/", nil)
		first.send(fmt.Sprintf(`{"type":"auth","payload":%q}`, token))
		for _, c := range []*client{first, h.dial("/?bearer="+token, nil)} {
			m := c.next()
			if m["success"] != may || !may && (m["type"] != "auth" || m["message"] != "Forbidden" || m["status"] != 401.0) {
				t.Errorf("%s: %v", token, m)
			}
			if !may {
				c.closed(4401)
			}
		}
	}
}

// TestASignInThatCannotBeCheckedNowIsToComeBack: neither a database that is away nor too many bad tries of others say anything of this credential.
func TestASignInThatCannotBeCheckedNowIsToComeBack(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	h.dial("/?jwt=away", nil).closed(1001)
	c := h.dial("/", nil)
	c.send(`{"type":"auth","payload":"away"}`)
	c.closed(1001)
	for range 10 {
		h.dial("/?jwt=nobody", nil).closed(4401)
	}
	h.dial("/?jwt=a-u", nil).closed(1001)
}

func TestBadFramesCloseOnlyTheirOwnSocket(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	good := h.signIn("a-u")
	good.send(`{"type":"subscribe","payload":{"types":["*"]}}`)
	good.next()
	for frame, code := range map[string]int{`[1]`: 4400, `nonsense`: 4400, `{"type":"` + strings.Repeat("x", 70000) + `"}`: 4400, "{\"type\":\"\xff\"}": 1007} {
		c := h.signIn("b-u")
		c.send(frame)
		c.closed(code)
	}
	c := h.signIn("b-u")
	if err := c.c.Write(context.Background(), websocket.MessageBinary, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	c.closed(4400)
	good.send(`{"type":"what"}`)
	if m := good.next(); m["message"] != "Unknown frame" {
		t.Fatal(m)
	}
	good.send(`{"type":"ping"}`)
	if m := good.next(); m["type"] != "pong" || m["timestamp"] == nil {
		t.Fatal(m)
	}
	good.send(`{"type":"subscribe","payload":{"types":["nope"]}}`)
	if m := good.next(); m["success"] != false {
		t.Fatal(m)
	}
}

func TestSubscriptionsDecideWhatComes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		status, made := h.rest("POST", "/rest/event/subscription", "a-u", `{"channel":"wss","type":"sms"}`)
		if status != 201 {
			t.Fatal(status, made)
		}
		if owner := made["payload"].(map[string]any)["user"].(map[string]any); owner["uuid"] != "u" || owner["account"].(map[string]any)["uuid"] != "a" {
			t.Error("the create answer carries the user with the account", owner)
		}
		id := made["payload"].(map[string]any)["uuid"].(string)
		if status, again := h.rest("POST", "/rest/event/subscription", "a-u", `{"channel":"wss","type":"sms","is_active":true}`); status != 200 || again["payload"].(map[string]any)["uuid"] != id {
			t.Fatal(status, again)
		}
		if status, out := h.rest("POST", "/rest/event/subscription", "a-u", `{"channel":"webhook"}`); status != 400 || len(out["fields"].(map[string]any)) < 1 {
			t.Fatal(status, out)
		}
		c := h.signIn("a-u")
		h.emit("a", "call_state", 1)
		h.emit("b", "sms", 2)
		h.emit("a", "sms", 3)
		if m := c.next(); m["payload"] != 3.0 {
			t.Fatal(m)
		}
		if status, out := h.rest("PATCH", "/rest/event/subscription/"+id, "a-u", `{"is_active":false}`); status != 200 {
			t.Fatal(out)
		}
		h.emit("a", "sms", 4)
		c.send(`{"type":"subscribe","payload":{"types":["call_state"]}}`)
		if m := c.next(); m["type"] != "subscribe" || m["success"] != true {
			t.Fatal(m)
		}
		h.emit("a", "call_state", 5)
		if m := c.next(); m["payload"] != 5.0 {
			t.Fatal(m)
		}
		if status, out := h.rest("DELETE", "/rest/event/subscription/"+id, "b-x", ""); status != 404 {
			t.Fatal(status, out)
		}
		if status, out := h.rest("DELETE", "/rest/event/subscription/"+id, "a-u", ""); status != 200 {
			t.Fatal(status, out)
		}
	})
}

func TestResumeHasNoGapAndNoDouble(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		const total = 500
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range total {
				h.emit("a", "sms", i)
			}
		}()
		want, cursor := 0, "c_0000000000000000"
		for want < total {
			c := h.signIn("a-u")
			c.send(fmt.Sprintf(`{"type":"subscribe","payload":{"types":["sms"],"since":%q}}`, cursor))
			if m := c.next(); m["success"] != true {
				t.Fatal(m)
			}
			for range 60 {
				m := c.next()
				if int(m["payload"].(float64)) != want {
					t.Fatalf("got %v, want %d", m["payload"], want)
				}
				cursor = m["cursor"].(string)
				if want++; want == total {
					break
				}
			}
			_ = c.c.CloseNow()
		}
		<-done
		status, page := h.rest("GET", "/rest/event?take=2&type=sms&since="+cursor, "a-u", "")
		if status != 200 || len(page["payload"].(map[string]any)["data"].([]any)) != 0 {
			t.Fatal(status, page)
		}
		if status, _ := h.rest("GET", "/rest/event?since=c_0fffffffffffffff", "a-u", ""); status != 400 {
			t.Fatal(status)
		}
		if status, out := h.rest("GET", "/rest/event?since=zzz&type=bogus", "a-u", ""); status != 400 || len(out["fields"].(map[string]any)) != 2 {
			t.Fatal(status, out)
		}
		_, first := h.rest("GET", "/rest/event?take=1&type=sms", "a-u", "")
		row := first["payload"].(map[string]any)["data"].([]any)[0].(map[string]any)
		if status, _ := h.rest("GET", "/rest/event/"+row["uuid"].(string), "a-u", ""); status != 200 {
			t.Fatal(status)
		}
		if status, _ := h.rest("GET", "/rest/event/"+row["uuid"].(string), "b-u", ""); status != 404 {
			t.Fatal(status)
		}
	})
}

func TestTooManySocketsAndStop(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	for range 20 {
		h.signIn("a-u")
	}
	c := h.dial("/?jwt=a-u", nil)
	c.closed(4429)
	h.signIn("a-v")
}

func TestSlowReaderIsClosedWithItsCursorAndOthersGoOn(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	slow := h.signIn("a-slow")
	slow.send(`{"type":"subscribe","payload":{"types":["*"]}}`)
	slow.next()
	fast := h.signIn("a-fast")
	fast.send(`{"type":"subscribe","payload":{"types":["sms"]}}`)
	fast.next()
	big := strings.Repeat("x", 64<<10)
	// In waves that the reading client keeps up with; the other one never reads, so its queue fills behind the kernel's buffers.
	for range 40 {
		for range 10 {
			if err := h.d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error {
				return h.log.Append(tx, event.Event{Account: "a", Type: "sms", RefID: "r", Payload: big})
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			if m := fast.next(); m["type"] != "sms" {
				t.Fatal(m)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	last := ""
	for {
		_, b, err := slow.c.Read(ctx)
		if err != nil {
			var ce websocket.CloseError
			if !asClose(err, &ce) || ce.Code != 4408 || ce.Reason != last {
				t.Fatalf("%v, last cursor %s", err, last)
			}
			return
		}
		var m struct {
			Cursor string `json:"cursor"`
		}
		_ = json.Unmarshal(b, &m)
		if m.Cursor != "" {
			last = m.Cursor
		}
	}
}

func asClose(err error, into *websocket.CloseError) bool {
	for e := err; e != nil; {
		if ce, ok := e.(websocket.CloseError); ok {
			*into = ce
			return true
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		e = u.Unwrap()
	}
	return false
}

// BenchmarkFanOut sends each event to 200 sockets.
func BenchmarkFanOut(b *testing.B) {
	h := build(b, dbtest.SQLite(b))
	const sockets = 200
	var wg sync.WaitGroup
	for i := range sockets {
		c := h.signIn(fmt.Sprintf("a-u%d", i/10))
		c.send(`{"type":"subscribe","payload":{"types":["sms"]}}`)
		c.next()
		wg.Go(func() {
			for range b.N {
				if _, _, err := c.c.Read(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		h.emit("a", "sms", i)
	}
	wg.Wait()
	b.ReportMetric(float64(b.N*sockets)/b.Elapsed().Seconds(), "events/s")
}
