package httpapi

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/fault"
)

// guarded registers one GET for each auth rule.
func guarded(b *bench) {
	for name, auth := range map[string]Auth{
		"none": NoAuth, "user": User, "aa": AccountAdmin, "sip": SIPUser, "both": UserOrSIPUser, "admin": Admin,
		"provider": Provider, "up": UserOrProvider, "optional": Optional,
	} {
		Handle(b.API, Op{ID: name, Method: "GET", Path: "/rest/" + name, Auth: auth}, func(ctx context.Context, _ *struct{}) (Identity, error) {
			return Who(ctx), nil
		})
	}
}

func TestCredentialsAreFoundInTheirOrder(t *testing.T) {
	b := newBench(t, nil)
	guarded(b)
	const ha1b = "0123456789abcdef0123456789abcdef"
	for _, tc := range []struct {
		name, path string
		headers    []string
		status     int
	}{
		{"nothing", "/rest/both", nil, 401},
		{"basic", "/rest/both", []string{"Authorization: Basic YW5uQGV4YW1wbGUub3JnOnM6dw=="}, 200},
		{"basic without padding", "/rest/both", []string{"Authorization: basic YW5uQGV4YW1wbGUub3JnOnM6dw"}, 200},
		{"broken basic", "/rest/both", []string{"Authorization: Basic !!"}, 401},
		{"bearer token", "/rest/both", []string{"Authorization: Bearer good"}, 200},
		{"bearer jwt", "/rest/both", []string{"Authorization: bearer a.b.c"}, 200},
		{"bare token", "/rest/both", []string{"Authorization: good"}, 200},
		{"unknown scheme", "/rest/both", []string{"Authorization: Digest good"}, 401},
		{"x-auth-token jwt", "/rest/both", []string{"X-Auth-Token: a.b.c"}, 200},
		{"x-auth-token token", "/rest/both", []string{"X-Auth-Token: good"}, 200},
		{"google", "/rest/both", []string{"X-Auth-Google-Token: g-token"}, 200},
		{"facebook", "/rest/both", []string{"X-Auth-Facebook-Token: f-token"}, 200},
		{"ha1b", "/rest/both", []string{"X-Auth-HA1B-Token: " + ha1b}, 200},
		{"query jwt", "/rest/both?jwt=a.b.c", nil, 200},
		{"query bearer", "/rest/both?bearer=good", nil, 200},
		{"query token as jwt", "/rest/both?jwt=good", nil, 200},
		{"query google", "/rest/both?google_token=g-token", nil, 200},
		{"query facebook", "/rest/both?facebook_token=f-token", nil, 200},
		{"query ha1b", "/rest/both?ha1b=" + ha1b, nil, 200},
		{"the first one decides", "/rest/both?jwt=a.b.c", []string{"Authorization: Bearer wrong", "X-Auth-Token: good"}, 401},
		{"header before query", "/rest/both?jwt=wrong", []string{"X-Auth-Token: good"}, 200},
		{"authorization before x-auth-token", "/rest/both", []string{"Authorization: good", "X-Auth-Token: wrong"}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := b.do(t, "GET", tc.path, "", tc.headers...).want(t, tc.status)
			if tc.status == 401 && (r.body["message"] != "Forbidden" || r.body["meta"] != "unauthorized" || r.header.Get("WWW-Authenticate") == "") {
				t.Errorf("got %s", r.text)
			}
		})
	}
}

func TestCredentialsInForms(t *testing.T) {
	b := newBench(t, nil)
	Handle(b.API, Op{ID: "AuthForm", Method: "POST", Path: "/rest/auth", Auth: UserOrSIPUser, SignIn: true}, func(ctx context.Context, in *struct {
		Note string `json:"note"`
	},
	) (string, error) {
		return Who(ctx).Account + in.Note, nil
	})
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, body := range []string{
		"jwt=a.b.c&note=n", "jwt=good&note=n", "google_token=g-token&note=n", "facebook_token=f-token&note=n", "ha1b=0123456789abcdef0123456789abcdef&note=n",
	} {
		if r := b.do(t, "POST", "/rest/auth", body, form).want(t, 200); r.body["payload"] != "accn" {
			t.Errorf("%s: %s", body, r.text)
		}
	}
	label, body := multi("jwt", "", "good")
	b.do(t, "POST", "/rest/auth", body, label).want(t, 200)
	b.do(t, "POST", "/rest/auth", "bearer=good", form).want(t, 401)
	b.do(t, "POST", "/rest/auth", `{"jwt":"good"}`).want(t, 401)
	b.do(t, "POST", "/rest/auth", "jwt=off", form).want(t, 401)
}

func TestRolesOpenTheirOperationsOnly(t *testing.T) {
	b := newBench(t, nil)
	guarded(b)
	open := map[string]string{
		"good":     "none user both up optional",
		"owner":    "none user aa both up optional",
		"admin":    "none user aa both admin up optional",
		"provider": "none both provider up optional",
		"sip":      "none sip both optional",
	}
	for who, paths := range open {
		header := "Authorization: Bearer " + who
		if who == "sip" {
			header = "X-Auth-HA1B-Token: 0123456789abcdef0123456789abcdef"
		}
		for _, path := range []string{"none", "user", "aa", "sip", "both", "admin", "provider", "up", "optional"} {
			want := 403
			if strings.Contains(" "+paths+" ", " "+path+" ") {
				want = 200
			}
			r := b.do(t, "GET", "/rest/"+path, "", header)
			if r.status != want || want == 403 && r.body["message"] != "Access denied" {
				t.Errorf("%s at %s: %d, want %d", who, path, r.status, want)
			}
		}
	}
}

func TestOptionalSignInAndActingForOthers(t *testing.T) {
	b := newBench(t, nil)
	guarded(b)
	if p := b.do(t, "GET", "/rest/optional", "").want(t, 200).payload(); p["User"] != "" {
		t.Errorf("anonymous is %v", p)
	}
	b.do(t, "GET", "/rest/optional", "", "Authorization: wrong").want(t, 401)
	if p := b.do(t, "GET", "/rest/none", "", "Authorization: wrong").want(t, 200).payload(); p["User"] != "" {
		t.Errorf("an open operation looks at no credential: %v", p)
	}
	p := b.do(t, "GET", "/rest/user", "", "Authorization: admin", "X-Account: "+strings.ToUpper(someID)).want(t, 200).payload()
	if p["Account"] != someID {
		t.Errorf("acting for %v", p["Account"])
	}
	b.do(t, "GET", "/rest/user", "", "Authorization: off").want(t, 403)
}

func TestScopesOfTokens(t *testing.T) {
	b := newBench(t, nil)
	nothing := func(context.Context, *struct{}) (Empty, error) { return Empty{}, nil }
	Handle(b.API, Op{ID: "r", Method: "GET", Path: "/rest/sms/{uuid}", Auth: User, Tag: "SMS"}, nothing)
	Handle(b.API, Op{ID: "s", Method: "POST", Path: "/rest/sms/search/outbound", Auth: User, Tag: "SMS"}, nothing)
	Handle(b.API, Op{ID: "p", Method: "POST", Path: "/rest/sms/preview", Auth: User, Tag: "SMS", Scope: "messaging:read"}, nothing)
	Handle(b.API, Op{ID: "w", Method: "POST", Path: "/rest/sms", Auth: User, Tag: "SMS"}, nothing)
	Handle(b.API, Op{ID: "o", Method: "GET", Path: "/rest/call/{uuid}", Auth: User, Tag: "Call"}, nothing)
	Handle(b.API, Op{ID: "a", Method: "GET", Path: "/rest/auth", Auth: UserOrSIPUser, Tag: "Auth", SignIn: true}, nothing)
	for _, tc := range []struct {
		token, method, path string
		status              int
	}{
		{"reader", "GET", "/rest/sms/1", 200},
		{"reader", "HEAD", "/rest/sms/1", 200},
		{"reader", "POST", "/rest/sms/search/outbound", 200},
		{"reader", "POST", "/rest/sms/preview", 200},
		{"reader", "POST", "/rest/sms", 403},
		{"reader", "GET", "/rest/call/1", 403},
		{"reader", "GET", "/rest/auth", 200},
		{"writer", "GET", "/rest/sms/1", 200},
		{"writer", "POST", "/rest/sms", 200},
		{"writer", "GET", "/rest/call/1", 403},
		{"good", "POST", "/rest/sms", 200},
	} {
		if r := b.do(t, tc.method, tc.path, "", "Authorization: "+tc.token); r.status != tc.status {
			t.Errorf("%s %s %s: %d, want %d", tc.token, tc.method, tc.path, r.status, tc.status)
		}
	}
	for _, tag := range tagOrder() {
		if g := groupOf(tag); !knowsGroup(g) {
			t.Errorf("tag %s has group %s", tag, g)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("an operation that no token can be given was registered")
		}
	}()
	Handle(b.API, Op{ID: "n", Method: "GET", Path: "/rest/nowhere", Auth: User, Tag: "Call", Scope: "call:read"}, nothing)
}

func TestTenBadTriesThrottleTheAddress(t *testing.T) {
	b := newBench(t, nil)
	guarded(b)
	b.do(t, "GET", "/rest/user", "", good).want(t, 200)
	for range 10 {
		b.do(t, "GET", "/rest/user", "", "Authorization: wrong").want(t, 401)
	}
	if r := b.do(t, "GET", "/rest/user", "", "Authorization: wrong").want(t, 429); r.header.Get("Retry-After") != "60" || r.body["meta"] != "rate_limited" {
		t.Errorf("got %s", r.text)
	}
	b.do(t, "GET", "/rest/user", "", "Authorization: owner").want(t, 429)
	b.do(t, "GET", "/rest/user", "", good).want(t, 200)
	b.do(t, "GET", "/rest/user", "").want(t, 401)
	b.clock.pass(61 * time.Second)
	b.do(t, "GET", "/rest/user", "", "Authorization: owner").want(t, 200)
}

func TestTenBadTriesThrottleTheEmailFromAnywhere(t *testing.T) {
	a := New(Options{Auth: folk()})
	spellings, n := []string{"Ann@example.org", " ann@example.org", "ANN@example.org\t"}, 0
	try := func(ip, password string) error {
		n++
		user := spellings[n%len(spellings)]
		_, err := a.Authenticate(t.Context(), Credentials{Kind: Basic, User: user, Password: password, RemoteIP: ip}, "", Rule{Auth: User})
		return err
	}
	for i := range 10 {
		if err := try("192.0.2."+string(rune('0'+i)), "x"); !fault.Is(err, fault.Unauthorized) {
			t.Fatal(err)
		}
	}
	if err := try("198.51.100.1", "x"); !fault.Is(err, fault.RateLimited) {
		t.Errorf("got %v", err)
	}
	if addressKey("2001:db8:1:2::1") != addressKey("2001:db8:1:2:ffff::9") || addressKey("2001:db8:1:3::1") == addressKey("2001:db8:1:2::1") {
		t.Error("IPv6 clients are counted by /64")
	}
}

type brokenAuth struct{}

func (brokenAuth) Authenticate(context.Context, Credentials, string) (Identity, error) {
	return Identity{}, errors.New("database is away")
}

func TestFailureOfTheCheckIsNoBadTry(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Auth = brokenAuth{} })
	guarded(b)
	for range 12 {
		b.do(t, "GET", "/rest/user", "", good).want(t, 500)
	}
}

func TestRateLimitPerAccount(t *testing.T) {
	b := newBench(t, nil)
	guarded(b)
	for i := range 100 {
		r := b.do(t, "GET", "/rest/user", "", good).want(t, 200)
		if i == 0 && (r.header.Get("RateLimit-Limit") != "100" || r.header.Get("RateLimit-Remaining") != "99" || r.header.Get("RateLimit-Reset") != "1") {
			t.Errorf("headers %v", r.header)
		}
	}
	r := b.do(t, "GET", "/rest/user", "", "Authorization: owner").want(t, 429)
	if r.header.Get("Retry-After") != "1" || r.header.Get("RateLimit-Remaining") != "0" || r.body["meta"] != "rate_limited" {
		t.Errorf("got %s %v", r.text, r.header)
	}
	b.do(t, "GET", "/rest/user", "", "Authorization: admin").want(t, 200)
	b.clock.pass(100 * time.Millisecond)
	for range 5 {
		b.do(t, "GET", "/rest/user", "", good).want(t, 200)
	}
	b.do(t, "GET", "/rest/user", "", good).want(t, 429)
}

func TestUnlimitedAccountsAndOwnLimits(t *testing.T) {
	b := newBench(t, func(o *Options) {
		o.Limit = Limit{PerSecond: 1, Burst: 2}
		o.LimitOf = func(id Identity) Limit {
			if id.User == "u2" {
				return Limit{PerSecond: 1, Burst: 4}
			}
			return Limit{}
		}
	})
	guarded(b)
	for range 5 {
		if r := b.do(t, "GET", "/rest/user", "", "Authorization: free").want(t, 200); r.header.Get("RateLimit-Remaining") != "2" {
			t.Errorf("headers %v", r.header)
		}
	}
	for range 2 {
		b.do(t, "GET", "/rest/none", "").want(t, 200)
	}
	b.do(t, "GET", "/rest/none", "").want(t, 429)
	for range 4 {
		b.do(t, "GET", "/rest/user", "", "Authorization: owner").want(t, 200)
	}
	b.do(t, "GET", "/rest/user", "", "Authorization: owner").want(t, 429)
}

func TestBoundedMapForgetsTheOldest(t *testing.T) {
	l := newLRU[int, string](2)
	l.put(1, "a")
	l.put(2, "b")
	l.get(1)
	l.put(3, "c")
	if _, ok := l.get(2); ok || l.order.Len() != 2 || len(l.at) != 2 {
		t.Error("the least recently used entry stays")
	}
	if v, ok := l.get(1); !ok || v != "a" {
		t.Error("a used entry is gone")
	}
}

func TestWhoOutsideOfARequest(t *testing.T) {
	ctx := t.Context()
	if !Who(ctx).Anonymous() || RequestID(ctx) != "" || RemoteIP(ctx) != "" || !BodyEmpty(ctx) {
		t.Error("nobody asks outside of a request")
	}
	SetStatus(ctx, 201)
	SetTotal(ctx, 1)
	if Who(WithIdentity(ctx, Identity{User: "u"})).User != "u" {
		t.Error("WithIdentity")
	}
}
