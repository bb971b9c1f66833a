package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

const (
	someID = "0194f1c2-7a10-7c3e-9b41-2f6d0c8e5a11"
)

// people is an Authenticator with a handful of credentials.
type people map[string]Identity

func (p people) Authenticate(_ context.Context, c Credentials, actFor string) (Identity, error) {
	key := c.Value
	if c.Kind == Basic {
		key = c.User + ":" + c.Password
	}
	id, ok := p[c.Kind.String()+" "+key]
	if !ok {
		return Identity{}, fault.New(fault.Unauthorized)
	}
	if id.Account == "disabled" {
		return Identity{}, fault.New(fault.AccessDenied)
	}
	if actFor != "" && id.Role == RoleAdmin {
		id.Account = actFor
	}
	return id, nil
}

func folk() people {
	return people{
		"api_token good":                        {Account: "acc", User: "u1", Role: RoleUser},
		"api_token owner":                       {Account: "acc", User: "u2", Role: RoleUser, AccountAdmin: true},
		"api_token admin":                       {Account: "ops", User: "u3", Role: RoleAdmin},
		"api_token provider":                    {Account: "ops", User: "u4", Role: RoleProvider},
		"api_token free":                        {Account: "free", User: "u5", Role: RoleUser, Unlimited: true},
		"api_token off":                         {Account: "disabled", User: "u6", Role: RoleUser},
		"api_token reader":                      {Account: "acc", User: "u7", Role: RoleUser, Scopes: []string{"messaging:read"}},
		"api_token writer":                      {Account: "acc", User: "u8", Role: RoleUser, Scopes: []string{"messaging"}},
		"jwt a.b.c":                             {Account: "acc", User: "u1", Role: RoleUser},
		"basic ann@example.org:s:w":             {Account: "acc", User: "u1", Role: RoleUser},
		"google g-token":                        {Account: "acc", User: "u1", Role: RoleUser},
		"facebook f-token":                      {Account: "acc", User: "u1", Role: RoleUser},
		"ha1b 0123456789abcdef0123456789abcdef": {Account: "acc", SIPUser: "s1", Role: RoleSIPUser},
	}
}

// bench is an API on a loopback server, with its clock and its log.
type bench struct {
	*API
	url   string
	log   *safeBuffer
	clock *clock
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newBench(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	b := &bench{log: &safeBuffer{}, clock: &clock{t: time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)}}
	opt := Options{
		Version: "1.2.3", Commit: "abc", BuiltOn: "2026-03-04", APIURL: "https://api.example.org",
		Logger: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Auth:   folk(), Now: b.clock.now,
	}
	if change != nil {
		change(&opt)
	}
	b.API = New(opt)
	srv := httptest.NewServer(b.Handler())
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

// reply is an answer with its decoded body.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// do sends a request; headers come as "Name: value".
func (b *bench) do(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Add(k, v)
	}
	if req.Header.Get("Accept-Encoding") == "" {
		req.Header.Set("Accept-Encoding", "identity")
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: res.StatusCode, header: res.Header, text: string(raw)}
	_ = json.Unmarshal(raw, &r.body)
	return r
}

const good = "Authorization: Bearer good"

func (r reply) want(t testing.TB, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.text)
	}
	return r
}

func (r reply) payload() map[string]any {
	p, _ := r.body["payload"].(map[string]any)
	return p
}

func (r reply) field(path string) string {
	f, _ := r.body["fields"].(map[string]any)
	one, _ := f["params."+path].(map[string]any)
	s, _ := one["message"].(string)
	return s
}

// recipients is a union as SmsNew.to.
type recipients []e164.Number

func (r *recipients) Decode(raw json.RawMessage) error {
	v := value{raw: raw}
	if v.kind() != kindArray {
		s, _ := v.scalar()
		n, err := e164.Parse(s)
		if err != nil {
			return fault.Invalid("", textInteger, v.show())
		}
		*r = recipients{n}
		return nil
	}
	var f fault.Fields
	eachItem(raw, func(i int, item []byte) bool {
		s, _ := value{raw: item}.scalar()
		n, err := e164.Parse(s)
		if err != nil {
			f.Add(string(rune('0'+i)), textInteger, s)
		}
		*r = append(*r, n)
		return true
	})
	return f.Err()
}

// messageIn is an input with one member of each sort.
type messageIn struct {
	To       recipients     `json:"to" required:"true"`
	From     e164.Number    `json:"from" alias:"tn"`
	Message  string         `json:"message" alias:"text,body_text" required:"true" minLength:"1" maxLength:"10"`
	Validity int            `json:"validity" min:"60" max:"172800" default:"14400"`
	Smart    bool           `json:"smart_encoding"`
	Price    money.Amount   `json:"max_price" min:"0"`
	Rate     float64        `json:"rate" above:"0" default:"1"`
	Kind     string         `json:"kind" enum:"sms,mms" default:"sms"`
	Method   string         `json:"method" enum:"GET,POST" fold:"true"`
	URL      string         `json:"custom_callback_url" format:"url"`
	Profile  string         `json:"messaging_profile" format:"uuid"`
	Country  string         `json:"country" format:"a2"`
	Mail     string         `json:"email" format:"email"`
	Start    *Time          `json:"start_on"`
	Meta     map[string]any `json:"meta"`
	Tags     []string       `json:"tags" maxItems:"3" maxLength:"4"`
	Items    []itemIn       `json:"items"`
	Password string         `json:"password" minLength:"3"`
	Count    uint8          `json:"count"`
}

type itemIn struct {
	TN       e164.Number `json:"tn" required:"true"`
	Features []string    `json:"features" enum:"voice,sms"`
	From     int         `json:"time_from"`
	To       int         `json:"time_to"`
}

func (i *itemIn) Validate(f *fault.Fields) {
	if i.From > i.To {
		f.Add("time_from", "must be before time_to", i.From)
	}
}

// echo registers an operation that answers its input's members.
func echo[In any](b *bench, op Op) {
	if op.Method == "" {
		op.Method = http.MethodPost
	}
	if op.Path == "" {
		op.Path = "/rest/sms"
	}
	Handle(b.API, op, func(_ context.Context, in *In) (*In, error) { return in, nil })
}
