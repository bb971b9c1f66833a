package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
)

func TestCredentialIsFoundInEveryPlace(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		key := b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "places"}).want(201).str("token")
		good := map[string]credential{
			"basic":                         c.basic(),
			"basic with e-mail in capitals": basic("ADA@Example.org", c.password),
		}
		for kind, v := range map[string]string{"jwt": c.jwt, "api token": key} {
			good[kind+" bearer"] = bearer(v)
			good[kind+" bare"] = header("Authorization", v)
			good[kind+" x-auth-token"] = header("X-Auth-Token", v)
			good[kind+" query jwt"] = query("jwt", v)
			good[kind+" query bearer"] = query("bearer", v)
		}
		for name, cred := range good {
			if got := b.do(cred, "GET", "/rest/auth", nil).want(200).str("uuid"); got != c.id {
				t.Errorf("%s: user %s", name, got)
			}
			b.do(cred, "GET", "/rest/user", nil).want(200)
		}
		for _, v := range []string{c.jwt, key} {
			if got := form(b, "/rest/auth", url.Values{"jwt": {v}}).want(200).str("uuid"); got != c.id {
				t.Errorf("form: user %s", got)
			}
		}
	})
}

func TestBadCredentialsAreForbidden(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		bad := map[string]credential{
			"none": nobody, "wrong password": basic(c.email, "wrong"), "unknown e-mail": basic("eve@example.org", c.password),
			"unknown token": bearer(ident.Secret(48)), "google not configured": header("X-Auth-Google-Token", "x"),
			"facebook not configured": query("facebook_token", "x"), "ha1b not configured": header("X-Auth-HA1B-Token", strings.Repeat("a", 32)),
			"too long": bearer(strings.Repeat("x", 5000)), "NUL in the e-mail": basic("ada\x00@example.org", "x"), "no UTF-8": basic("ada\xff@example.org", "x"),
			"no UTF-8 in a token": bearer("abc\xff"),
		}
		for name, cred := range bad {
			b.pass(time.Minute) // out of the throttle of bad tries
			for _, path := range []string{"/rest/auth", "/rest/user"} {
				if a := b.do(cred, "GET", path, nil); a.Status != 401 || a.Message != "Forbidden" || a.Meta != "unauthorized" {
					t.Errorf("%s at %s: %d %s", name, path, a.Status, a.Message)
				}
			}
		}
		b.pass(time.Minute)
		req := func() credential {
			first, second := bearer("nonsense-token-of-nobody"), query("jwt", c.jwt)
			return credential(func(r *http.Request) { first(r); second(r) })
		}()
		b.do(req, "GET", "/rest/user", nil).want(401) // the first one found decides
	})
}

func TestJWTIsExactlyAsWritten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		parts := strings.Split(c.jwt, ".")
		var head, body map[string]any
		for i, to := range []*map[string]any{&head, &body} {
			raw, err := base64.RawURLEncoding.DecodeString(parts[i])
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, to); err != nil {
				t.Fatal(err)
			}
		}
		if len(head) != 2 || head["alg"] != "HS256" || head["typ"] != "JWT" {
			t.Errorf("header %v", head)
		}
		if len(body) != 6 || body["uuid"] != c.id || body["role"] != "User" || body["domain"] != "example.org" || body["jti"] == "" {
			t.Errorf("claims %v", body)
		}
		if life := body["exp"].(float64) - body["iat"].(float64); life != 86400 {
			t.Errorf("life %v", life)
		}
	})
}

func TestForgedAndOutdatedJWTsAreRefused(t *testing.T) {
	b := newBench(t, dbtest.SQLite(t), nil)
	c := b.signUp("ada@example.org")
	key, err := b.s.key(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	now := b.clock()
	base := func() jwt.MapClaims {
		return jwt.MapClaims{"uuid": c.id, "role": "User", "domain": "example.org", "iat": now.Unix(), "exp": now.Add(jwtLife).Unix(), "jti": "0-" + ident.New()}
	}
	signed := func(m jwt.SigningMethod, k any, change func(jwt.MapClaims)) string {
		claims := base()
		if change != nil {
			change(claims)
		}
		text, err := jwt.NewWithClaims(m, claims).SignedString(k)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	hs := jwt.SigningMethodHS256
	at := func(name string, d time.Duration) func(jwt.MapClaims) {
		return func(m jwt.MapClaims) { m[name] = now.Add(d).Unix() }
	}
	for name, tc := range map[string]struct {
		token string
		ok    bool
	}{
		"own":                   {signed(hs, key, nil), true},
		"none":                  {signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil), false},
		"HS384":                 {signed(jwt.SigningMethodHS384, key, nil), false},
		"HS512":                 {signed(jwt.SigningMethodHS512, key, nil), false},
		"other secret":          {signed(hs, []byte(strings.Repeat("x", 32)), nil), false},
		"expired within skew":   {signed(hs, key, at("exp", -59*time.Second)), true},
		"expired":               {signed(hs, key, at("exp", -61*time.Second)), false},
		"issued within skew":    {signed(hs, key, at("iat", 59*time.Second)), true},
		"issued in the future":  {signed(hs, key, at("iat", 61*time.Second)), false},
		"without expiry":        {signed(hs, key, func(m jwt.MapClaims) { delete(m, "exp") }), false},
		"without jti":           {signed(hs, key, func(m jwt.MapClaims) { delete(m, "jti") }), false},
		"jti of another kind":   {signed(hs, key, func(m jwt.MapClaims) { m["jti"] = "x" }), false},
		"another session":       {signed(hs, key, func(m jwt.MapClaims) { m["jti"] = "1-" + ident.New() }), false},
		"unknown user":          {signed(hs, key, func(m jwt.MapClaims) { m["uuid"] = ident.New() }), false},
		"user as SIP user":      {signed(hs, key, func(m jwt.MapClaims) { m["role"] = "SIPUser" }), false},
		"header changed":        {"e30." + strings.SplitN(c.jwt, ".", 2)[1], false},
		"empty parts":           {"..", false},
		"claimed Admin is User": {signed(hs, key, func(m jwt.MapClaims) { m["role"] = "Admin" }), true},
	} {
		id, err := b.s.Authenticate(context.Background(), httpapi.Credentials{Kind: httpapi.JWT, Value: tc.token}, "")
		if ok := err == nil; ok != tc.ok || !ok && !fault.Is(err, fault.Unauthorized) {
			t.Errorf("%s: %v", name, err)
		}
		if tc.ok && id.Role != "User" {
			t.Errorf("%s: role %s", name, id.Role)
		}
	}
}

func TestSignOutEndsOnlyThatJWT(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		other := b.do(c.basic(), "GET", "/rest/auth", nil).want(200).str("token")
		b.do(c.token(), "GET", "/rest/user", nil).want(200)
		b.do(c.token(), "DELETE", "/rest/auth", nil).want(200)
		b.do(c.token(), "GET", "/rest/user", nil).want(401)
		b.do(c.token(), "GET", "/rest/auth", nil).want(401)
		b.do(bearer(other), "GET", "/rest/user", nil).want(200)
		b.do(c.basic(), "DELETE", "/rest/auth", nil).want(400) // nothing to revoke
	})
}

func TestPasswordChangeEndsJWTsAndTheOldPassword(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		key := b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "stays"}).want(201).str("token")
		b.do(c.basic(), "GET", "/rest/user", nil).want(200)
		b.do(c.token(), "PATCH", "/rest/user/"+c.id, map[string]any{"password": "another one"}).want(200)
		b.do(c.token(), "GET", "/rest/user", nil).want(401)
		b.do(c.basic(), "GET", "/rest/user", nil).want(401)
		b.do(bearer(key), "GET", "/rest/user", nil).want(200)
		fresh := b.do(basic(c.email, "another one"), "GET", "/rest/auth", nil).want(200).str("token") // in the same second
		b.do(bearer(fresh), "GET", "/rest/user", nil).want(200)
		if m := b.mail.last(t, MailPasswordChanged); m.To != c.email {
			t.Errorf("letter to %s", m.To)
		}
	})
}

func TestPasswordChangeIsSeenByOtherNodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		far, err := New(Config{DB: d, Now: b.clock})
		if err != nil {
			t.Fatal(err)
		}
		cred := httpapi.Credentials{Kind: httpapi.Basic, User: c.email, Password: c.password}
		ctx := context.Background()
		if _, err := far.Authenticate(ctx, cred, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Authenticate(ctx, httpapi.Credentials{Kind: httpapi.JWT, Value: c.jwt}, ""); err != nil {
			t.Fatalf("the nodes do not share the secret: %v", err)
		}
		if err := b.s.SetPassword(ctx, "ADA@example.org", "another one"); err != nil {
			t.Fatal(err)
		}
		signIn := cred
		signIn.SignIn = true
		if _, err := far.Authenticate(ctx, signIn, ""); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("signed in with the old password: %v", err)
		}
		b.pass(lookupLife + time.Millisecond)
		if _, err := far.Authenticate(ctx, cred, ""); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("old password is good after the look-up's life: %v", err)
		}
	})
}

func TestDeactivatedUserIsOutEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		boss := b.signUp("ada@example.org")
		c := b.colleague(boss, "bob@example.org")
		key := b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "t"}).want(201).str("token")
		for _, cred := range []credential{c.basic(), c.token(), bearer(key)} {
			b.do(cred, "GET", "/rest/user", nil).want(200)
		}
		gone := b.do(boss.token(), "DELETE", "/rest/account/user/"+c.id, nil).want(200).list()
		if len(gone) != 1 || gone[0]["uuid"] != c.id || gone[0]["deleted_on"] == nil {
			t.Errorf("answer %v", gone)
		}
		for _, cred := range []credential{c.basic(), c.token(), bearer(key)} {
			b.do(cred, "GET", "/rest/user", nil).want(401)
		}
		back := b.do(boss.token(), "PUT", "/rest/account/user/"+c.id, nil).want(200).list()
		if len(back) != 1 || back[0]["deleted_on"] != nil {
			t.Errorf("answer %v", back)
		}
		b.do(c.basic(), "GET", "/rest/user", nil).want(200)
		b.do(c.token(), "GET", "/rest/user", nil).want(401)
		b.do(bearer(key), "GET", "/rest/user", nil).want(401)
		b.do(boss.token(), "DELETE", "/rest/account/user/"+boss.id, nil).want(409)
		b.do(boss.token(), "DELETE", "/rest/user/"+boss.id, nil).want(409)
		b.do(c.basic(), "DELETE", "/rest/user/"+c.id, nil).want(200)
		b.do(c.basic(), "GET", "/rest/user", nil).want(401)
	})
}

func TestDisabledAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		_, admin := b.operator()
		c := b.signUp("ada@example.org")
		b.do(admin, "PATCH", "/rest/admin/account/"+c.account, map[string]any{"disabled": true}).want(200)
		b.do(c.basic(), "GET", "/rest/auth", nil).want(401)
		b.do(c.token(), "GET", "/rest/auth", nil).want(401)
		if a := b.do(c.token(), "GET", "/rest/account", nil).want(403); a.Message != "Access denied" {
			t.Errorf("message %q", a.Message)
		}
		b.do(c.basic(), "GET", "/rest/account", nil).want(403)
		b.do(credential(func(r *http.Request) { admin(r); r.Header.Set("X-Account", c.account) }), "GET", "/rest/account", nil).want(200)
		b.do(admin, "PATCH", "/rest/admin/account/"+c.account, map[string]any{"disabled": false}).want(200)
		b.do(c.token(), "GET", "/rest/account", nil).want(200)
	})
}

func TestActingForAnotherAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		_, admin := b.operator()
		c, o := b.signUp("ada@example.org"), b.signUp("eve@example.org")
		as := func(cred credential, account string) credential {
			return func(r *http.Request) { cred(r); r.Header.Set("X-Account", account) }
		}
		if got := b.do(as(admin, strings.ToUpper(c.account)), "GET", "/rest/account", nil).want(200).str("uuid"); got != c.account {
			t.Errorf("acted for %s", got)
		}
		b.do(as(admin, c.account), "PATCH", "/rest/account", map[string]any{"city": "Riga"}).want(200)
		b.do(as(admin, ident.New()), "GET", "/rest/account", nil).want(404)
		b.do(as(admin, "nonsense"), "GET", "/rest/account", nil).want(404)
		b.do(as(admin, "nonsense\xff"), "GET", "/rest/account", nil).want(404)
		b.do(as(o.token(), c.account), "GET", "/rest/account", nil).want(403)
		b.do(as(o.token(), o.account), "GET", "/rest/account", nil).want(200)
	})
}

func TestOthersObjectsAreNotFound(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		made, admin := b.operator()
		c, o := b.signUp("ada@example.org"), b.signUp("eve@example.org")
		address := b.do(c.token(), "POST", "/rest/address", anAddress()).want(201).str("uuid")
		hours := b.do(c.token(), "POST", "/rest/account/office_hours", someHours()).want(201).str("uuid")
		cart := b.do(c.token(), "POST", "/rest/user/cart", map[string]any{"payload": 1}).want(201).str("uuid")
		token := b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "t"}).want(201)
		for _, r := range [][2]string{
			{"GET", "/rest/user/" + c.id},
			{"PATCH", "/rest/user/" + c.id},
			{"DELETE", "/rest/user/" + c.id},
			{"GET", "/rest/account/" + c.account},
			{"DELETE", "/rest/account/user/" + c.id},
			{"PUT", "/rest/account/user/" + c.id},
			{"DELETE", "/rest/user/" + c.id + "/avatar"},
			{"GET", "/rest/address/" + address},
			{"PATCH", "/rest/address/" + address},
			{"DELETE", "/rest/address/" + address},
			{"GET", "/rest/account/office_hours/" + hours},
			{"PATCH", "/rest/account/office_hours/" + hours},
			{"DELETE", "/rest/account/office_hours/" + hours},
			{"PATCH", "/rest/user/cart/" + cart},
			{"DELETE", "/rest/user/cart/" + cart},
			{"PATCH", "/rest/token/" + token.str("uuid")},
			{"DELETE", "/rest/token/" + token.str("uuid")},
			{"DELETE", "/rest/token/" + token.str("token")},
		} {
			if a := b.do(o.token(), r[0], r[1], map[string]any{}); a.Status != 404 || a.Meta != "not_found" {
				t.Errorf("%s %s: %d %s", r[0], r[1], a.Status, a.Meta)
			}
		}
		b.do(admin, "GET", "/rest/user/"+c.id, nil).want(200)
		b.do(admin, "GET", "/rest/account/"+c.account, nil).want(200)
		b.do(c.token(), "GET", "/rest/user/"+made.User, nil).want(404)
		b.do(c.token(), "GET", "/rest/address/"+address, nil).want(200)
	})
}

func TestRolesAndAdministrators(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		made, admin := b.operator()
		boss := b.signUp("ada@example.org")
		c := b.colleague(boss, "bob@example.org")
		b.do(c.token(), "POST", "/rest/account/user", map[string]any{"email": "x@example.org", "password": "123"}).want(403)
		b.do(c.token(), "DELETE", "/rest/account/user/"+boss.id, nil).want(403)
		b.do(c.token(), "PATCH", "/rest/account", map[string]any{"name": "mine"}).want(403)
		b.do(c.token(), "PATCH", "/rest/user/"+boss.id, map[string]any{"first_name": "x"}).want(403)
		b.do(boss.token(), "PATCH", "/rest/user/"+c.id, map[string]any{"first_name": "Bob"}).want(200)
		b.do(c.token(), "PATCH", "/rest/user/"+c.id, map[string]any{"role": "Admin"}).want(403)
		b.do(boss.token(), "PATCH", "/rest/user/"+boss.id, map[string]any{"role": "Provider"}).want(403)
		b.do(boss.token(), "POST", "/rest/account/user", map[string]any{"email": "x@example.org", "password": "123", "role": "Admin"}).want(403)
		b.do(nobody, "POST", "/rest/user", map[string]any{"email": "x@example.org", "password": "123", "role": "Provider"}).want(403)
		b.do(boss.token(), "POST", "/rest/admin/account/search", map[string]any{}).want(403)
		b.do(boss.token(), "PATCH", "/rest/admin/account/"+boss.account, map[string]any{"level": "Level2"}).want(403)
		p := b.do(admin, "POST", "/rest/user", map[string]any{"email": "carrier@example.org", "password": "123", "role": "Provider"}).want(201)
		if p.str("role") != "Provider" {
			t.Errorf("role %s", p.str("role"))
		}
		b.do(basic("carrier@example.org", "123"), "GET", "/rest/auth", nil).want(200)
		b.do(basic("carrier@example.org", "123"), "GET", "/rest/account", nil).want(403)
		b.do(admin, "PATCH", "/rest/user/"+c.id, map[string]any{"role": "Admin"}).want(200)
		b.do(admin, "PATCH", "/rest/user/"+c.id, map[string]any{"role": "User"}).want(200)
		b.do(admin, "PATCH", "/rest/user/"+made.User, map[string]any{"role": "User"}).want(409) // nobody could take it back
		b.do(admin, "PATCH", "/rest/user/"+c.id, map[string]any{"role": "Admin"}).want(200)
		b.do(c.token(), "POST", "/rest/admin/account/search", map[string]any{}).want(200) // the role is read at each request
	})
}

type sipUsers map[string]SIPUser

func (m sipUsers) ByHA1B(_ context.Context, ha1b string) (SIPUser, error) {
	if u, ok := m[ha1b]; ok {
		return u, nil
	}
	return SIPUser{}, fault.Missing("SIP user")
}

func (m sipUsers) ByID(_ context.Context, id string) (SIPUser, error) {
	for _, u := range m {
		if u.ID == id {
			return u, nil
		}
	}
	return SIPUser{}, fault.Missing("SIP user")
}

func (m sipUsers) View(_ context.Context, _ db.Querier, id string) (json.RawMessage, error) {
	return json.RawMessage(fmt.Sprintf(`{"uuid":%q,"login":"desk"}`, id)), nil
}

func TestSIPUserSignsInWithHA1B(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		users := sipUsers{}
		b := newBench(t, d, func(_ *Config, p *Parts) { p.SIPUsers = users })
		c := b.signUp("ada@example.org")
		ha1b := strings.Repeat("0a", 16)
		sip := SIPUser{ID: ident.New(), Account: c.account, Domain: "shop.sip.example.org", Session: 3}
		users[ha1b] = sip
		in := b.do(header("X-Auth-HA1B-Token", strings.ToUpper(ha1b)), "GET", "/rest/auth", nil).want(200)
		if in.str("uuid") != sip.ID || in.str("login") != "desk" {
			t.Errorf("payload %s", in.Payload)
		}
		body, err := base64.RawURLEncoding.DecodeString(strings.Split(in.str("token"), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		if m := members(t, body); m["uuid"] != sip.ID || m["role"] != "SIPUser" || m["domain"] != sip.Domain {
			t.Errorf("claims %s", body)
		}
		for _, cred := range []credential{header("X-Auth-HA1B-Token", ha1b), query("ha1b", ha1b), bearer(in.str("token"))} {
			if got := b.do(cred, "GET", "/rest/app", nil).want(200).str("sip_user"); got != sip.ID {
				t.Errorf("sip user %s", got)
			}
			b.do(cred, "GET", "/rest/account", nil).want(403)
			b.do(cred, "POST", "/rest/token", map[string]any{"name": "x"}).want(403)
		}
		b.do(c.token(), "GET", "/rest/app", nil).want(403)
		sip.Session++ // the password of the SIP user changed
		users[ha1b] = sip
		b.pass(lookupLife + time.Millisecond)
		b.do(bearer(in.str("token")), "GET", "/rest/app", nil).want(401)
	})
}

type social map[string]Person

func (m social) Verify(_ context.Context, token string) (Person, error) {
	if p, ok := m[token]; ok {
		return p, nil
	}
	return Person{}, fault.New(fault.Unauthorized)
}

func TestSocialSignIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		google := social{
			"new":        {ID: "g1", Email: "new@example.org", EmailVerified: true, FirstName: "Nia"},
			"known":      {ID: "g2", Email: "ada@example.org", EmailVerified: true},
			"unverified": {ID: "g3", Email: "ada@example.org"},
			"impostor":   {ID: "g4", Email: "ada@example.org", EmailVerified: true},
		}
		b := newBench(t, d, func(_ *Config, p *Parts) { p.Google = google })
		c := b.signUp("ada@example.org")
		cred := func(name string) credential { return header("X-Auth-Google-Token", name) }
		first := b.do(cred("new"), "GET", "/rest/auth", nil).want(200)
		if first.str("email") != "new@example.org" || first.str("gmail_user_id") != "g1" {
			t.Errorf("payload %s", first.Payload)
		}
		password := b.mail.last(t, MailWelcome).Secrets["password"]
		if !ident.Valid(password) {
			t.Errorf("password %q", password)
		}
		b.do(basic("new@example.org", password), "GET", "/rest/user", nil).want(200)
		if again := b.do(query("google_token", "new"), "GET", "/rest/auth", nil).want(200); again.str("uuid") != first.str("uuid") {
			t.Error("a second user was made")
		}
		b.do(cred("unverified"), "GET", "/rest/auth", nil).want(401)
		if got := b.do(cred("known"), "GET", "/rest/auth", nil).want(200).str("uuid"); got != c.id {
			t.Errorf("user %s", got)
		}
		b.do(cred("impostor"), "GET", "/rest/auth", nil).want(401)
		b.do(cred("stranger"), "GET", "/rest/auth", nil).want(401)
	})
}

func TestBasicOnEveryRequestCostsOneHash(t *testing.T) {
	b := newBench(t, dbtest.SQLite(t), nil)
	c := b.signUp("ada@example.org")
	ctx := context.Background()
	cred := httpapi.Credentials{Kind: httpapi.Basic, User: c.email, Password: c.password}
	b.s.hasher.slots <- struct{}{} // no hash can be made any more
	b.s.hasher.slots <- struct{}{}
	b.s.hasher.waiting.Store(hashWaiting)
	if _, err := b.s.Authenticate(ctx, cred, ""); err != nil { // known since signUp
		t.Fatal(err)
	}
	b.pass(lookupLife + time.Second)
	if _, err := b.s.Authenticate(ctx, cred, ""); err != nil {
		t.Fatalf("the pair of a moment ago is hashed again: %v", err)
	}
	b.pass(basicLife)
	if _, err := b.s.Authenticate(ctx, cred, ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after a minute: %v", err)
	}
}

func TestManyRequestsWithOnePairShareAHash(t *testing.T) {
	b := newBench(t, dbtest.SQLite(t), nil)
	c := b.signUp("ada@example.org")
	fresh, err := New(Config{DB: b.d})
	if err != nil {
		t.Fatal(err)
	}
	fresh.hasher.slots <- struct{}{} // one hash at a time
	const n = 4 * hashWaiting
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, errs[i] = fresh.Authenticate(context.Background(), httpapi.Credentials{Kind: httpapi.Basic, User: c.email, Password: c.password}, "")
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestHashIsBoundedAndEndsWithItsContext(t *testing.T) {
	h := newHasher()
	stored, err := h.hash(context.Background(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		stored, password string
		want             bool
	}{
		{stored, "secret", true},
		{stored, "Secret", false},
		{"", "secret", false},
		{"$argon2id$v=19$m=99999999,t=2,p=1$AAAA$AAAA", "secret", false},
		{strings.Replace(stored, "argon2id", "argon2i", 1), "secret", false},
		{h.dummy, "secret", false},
	} {
		if got, err := h.match(context.Background(), tc.stored, tc.password); err != nil || got != tc.want {
			t.Errorf("%q: %v %v", tc.stored, got, err)
		}
	}
	for range hashAtOnce {
		h.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.hash(ctx, "x"); err == nil {
		t.Error("waited under an ended context")
	}
	h.waiting.Store(hashWaiting)
	if _, err := h.hash(context.Background(), "x"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("more than the bound waits: %v", err)
	}
}

func FuzzReadJWT(f *testing.F) {
	s, err := New(Config{DB: dbtest.SQLite(f), JWTSecret: []byte(strings.Repeat("k", 32))})
	if err != nil {
		f.Fatal(err)
	}
	good, err := s.sign(context.Background(), ident.New(), RoleUser, "example.org", 0, nil)
	if err != nil {
		f.Fatal(err)
	}
	m := hmac.New(sha512.New, []byte(strings.Repeat("k", 32)))
	m.Write([]byte("eyJhbGciOiJIUzUxMiJ9.e30"))
	for _, seed := range []string{good, "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzUxMiJ9.e30." + base64.RawURLEncoding.EncodeToString(m.Sum(nil)), strings.Repeat(".", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := s.readJWT(context.Background(), text); err == nil && c.UUID == "" {
			t.Errorf("%q is good without a user", text)
		}
	})
}
