package account

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
)

// bench is a service behind a real HTTP layer, with a clock and a letter box of its own.
type bench struct {
	t    *testing.T
	s    *Service
	d    *db.DB
	api  *httpapi.API
	srv  *httptest.Server
	mail *letterBox

	mu  sync.Mutex
	now time.Time
}

type letterBox struct {
	mu      sync.Mutex
	letters []Mail
}

func (b *letterBox) Mail(_ context.Context, tx *db.Tx, m Mail) error {
	tx.After(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.letters = append(b.letters, m)
	})
	return nil
}

// last takes the newest letter of a template.
func (b *letterBox) last(t *testing.T, template string) Mail {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.letters) - 1; i >= 0; i-- {
		if b.letters[i].Template == template {
			return b.letters[i]
		}
	}
	t.Fatalf("no letter %s", template)
	return Mail{}
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func newBench(t *testing.T, d *db.DB, change func(*Config, *Parts)) *bench {
	t.Helper()
	b := &bench{t: t, d: d, mail: &letterBox{}, now: time.Now().UTC().Truncate(time.Second)}
	cfg := Config{DB: d, Now: b.clock, Domain: "sip.example.org", ObjectURL: "http://objects.example/object"}
	parts := Parts{Mailer: b.mail}
	if change != nil {
		change(&cfg, &parts)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Attach(parts)
	b.s = s
	b.api = httpapi.New(httpapi.Options{Auth: s, Now: b.clock, Answers: httpapi.NewAnswers(d, "node", b.clock), Limit: httpapi.Limit{PerSecond: 1e6, Burst: 1e6}})
	s.Routes(b.api)
	httpapi.Handle(b.api, httpapi.Op{ID: "probeSIP", Method: "GET", Path: "/rest/app", Tag: "App", Auth: httpapi.SIPUser},
		func(ctx context.Context, _ *struct{}) (map[string]string, error) {
			return map[string]string{"sip_user": httpapi.Who(ctx).SIPUser}, nil
		})
	httpapi.Handle(b.api, httpapi.Op{ID: "probeVoice", Method: "POST", Path: "/rest/call", Tag: "Call", Auth: httpapi.User},
		func(ctx context.Context, _ *struct{}) (map[string]string, error) {
			return map[string]string{"account": httpapi.Who(ctx).Account}, nil
		})
	b.srv = httptest.NewServer(b.api.Handler())
	t.Cleanup(b.srv.Close)
	return b
}

// credential puts itself into a request.
type credential func(r *http.Request)

func basic(email, password string) credential {
	return func(r *http.Request) {
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(email+":"+password)))
	}
}

func bearer(token string) credential { return header("Authorization", "Bearer "+token) }

func header(k, v string) credential { return func(r *http.Request) { r.Header.Set(k, v) } }

func query(k, v string) credential {
	return func(r *http.Request) {
		q := r.URL.Query()
		q.Set(k, v)
		r.URL.RawQuery = q.Encode()
	}
}

func nobody(*http.Request) {}

// answer is what came back.
type answer struct {
	t       *testing.T
	Status  int
	Header  http.Header
	Success bool            `json:"success"`
	Message string          `json:"message"`
	Meta    string          `json:"meta"`
	Payload json.RawMessage `json:"payload"`
	Fields  map[string]struct {
		Message string `json:"message"`
		Value   any    `json:"value"`
	} `json:"fields"`
}

func (b *bench) do(c credential, method, path string, body any) answer {
	b.t.Helper()
	var r io.Reader
	if body != nil {
		text, ok := body.(string)
		if !ok {
			j, err := json.Marshal(body)
			if err != nil {
				b.t.Fatal(err)
			}
			text = string(j)
		}
		r = strings.NewReader(text)
	}
	req, err := http.NewRequest(method, b.srv.URL+path, r)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c(req)
	return b.send(req)
}

func (b *bench) send(req *http.Request) answer {
	b.t.Helper()
	res, err := b.srv.Client().Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{t: b.t, Status: res.StatusCode, Header: res.Header}
	if err := json.Unmarshal(raw, &a); err != nil {
		b.t.Fatalf("%s %s: %d %s", req.Method, req.URL.Path, res.StatusCode, raw)
	}
	return a
}

// want fails unless the status is as said.
func (a answer) want(status int) answer {
	a.t.Helper()
	if a.Status != status {
		a.t.Fatalf("status %d, want %d: %s %s %v %s", a.Status, status, a.Meta, a.Message, a.Fields, a.Payload)
	}
	return a
}

func (a answer) object() map[string]any {
	a.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.Payload, &m); err != nil {
		a.t.Fatalf("%s: %v", a.Payload, err)
	}
	return m
}

func (a answer) list() []map[string]any {
	a.t.Helper()
	var m []map[string]any
	if err := json.Unmarshal(a.Payload, &m); err != nil {
		a.t.Fatalf("%s: %v", a.Payload, err)
	}
	return m
}

// str walks to a text member by dotted path.
func (a answer) str(path string) string {
	a.t.Helper()
	v := any(a.object())
	for _, p := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			a.t.Fatalf("no %s in %s", path, a.Payload)
		}
		v = m[p]
	}
	s, ok := v.(string)
	if !ok {
		a.t.Fatalf("%s is %v in %s", path, v, a.Payload)
	}
	return s
}

// customer is a signed-up user.
type customer struct {
	id, account, email, password, jwt string
}

func (c customer) basic() credential { return basic(c.email, c.password) }
func (c customer) token() credential { return bearer(c.jwt) }

// signUp makes a customer over HTTP and signs in.
func (b *bench) signUp(email string) customer {
	b.t.Helper()
	c := customer{email: email, password: "pass word " + email}
	u := b.do(nobody, "POST", "/rest/user", map[string]any{"email": email, "password": c.password, "first_name": "Ada"}).want(201)
	c.id, c.account = u.str("uuid"), u.str("account.uuid")
	c.jwt = b.do(c.basic(), "GET", "/rest/auth", nil).want(200).str("token")
	return c
}

// colleague adds a user to the customer's account.
func (b *bench) colleague(c customer, email string) customer {
	b.t.Helper()
	o := customer{email: email, password: "pass word " + email, account: c.account}
	o.id = b.do(c.token(), "POST", "/rest/account/user", map[string]any{"email": email, "password": o.password}).want(201).str("uuid")
	o.jwt = b.do(o.basic(), "GET", "/rest/auth", nil).want(200).str("token")
	return o
}

// operator makes the first administrator.
func (b *bench) operator() (Created, credential) {
	b.t.Helper()
	made, err := b.s.Bootstrap(context.Background(), Options{})
	if err != nil || !made.New {
		b.t.Fatalf("bootstrap: %+v %v", made, err)
	}
	return made, bearer(made.Token)
}

func form(b *bench, path string, v url.Values) answer {
	b.t.Helper()
	req, err := http.NewRequest("POST", b.srv.URL+path, strings.NewReader(v.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(req)
}

func members(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&m); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return m
}
