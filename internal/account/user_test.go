package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// purse is the ledger of tests: each account has 100.25, may go to -5, and 1.5 of it is set aside.
type purse struct{ limits sync.Map }

func (p *purse) Balance(context.Context, db.Querier, string) (balance, credit, reserved money.Amount, err error) {
	return money.MustParse("100.25"), 5 * money.Unit, money.MustParse("1.5"), nil
}

func (p *purse) SetCreditLimit(_ context.Context, _ *db.Tx, account string, limit money.Amount) error {
	p.limits.Store(account, limit)
	return nil
}

func TestFirstAdministratorIsMadeOnceByManyNodes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx := context.Background()
		const nodes = 2
		made := make([]Created, nodes)
		errs := make([]error, nodes)
		var wg sync.WaitGroup
		for i := range nodes {
			s, err := New(Config{DB: d})
			if err != nil {
				t.Fatal(err)
			}
			s.OnAccount(func(ctx context.Context, tx *db.Tx, account string, level Level) error {
				if level != ServiceAccount {
					return errors.New("level " + string(level))
				}
				_, err := tx.Exec(ctx, `INSERT INTO setting (name, value, modified_on) VALUES ($1, $2, 0)`, "hook."+account, "ran")
				return err
			})
			wg.Go(func() {
				made[i], errs[i] = s.Bootstrap(ctx, Options{Email: "root@localhost", Token: "operators-own-token"})
			})
		}
		wg.Wait()
		var first Created
		news := 0
		for i := range nodes {
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
			if made[i].New {
				news++
				first = made[i]
			}
		}
		if news != 1 {
			t.Fatalf("%d nodes made the first administrator", news)
		}
		var users, hooks int
		if err := d.Read().QueryRow(ctx, `SELECT COUNT(*) FROM account_user`).Scan(&users); err != nil {
			t.Fatal(err)
		}
		if err := d.Read().QueryRow(ctx, `SELECT COUNT(*) FROM setting WHERE name LIKE 'hook.%'`).Scan(&hooks); err != nil {
			t.Fatal(err)
		}
		if users != 1 || hooks != 1 {
			t.Errorf("%d users, %d hooks", users, hooks)
		}
		b := newBench(t, d, nil)
		for _, cred := range []credential{basic("root@localhost", first.Password), bearer("operators-own-token")} {
			u := b.do(cred, "GET", "/rest/auth", nil).want(200)
			if u.str("role") != "Admin" || u.str("account.level") != "ServiceAccount" {
				t.Errorf("payload %s", u.Payload)
			}
		}
		if again, err := b.s.Bootstrap(ctx, Options{}); err != nil || again.New || again.Email != "root@localhost" || again.Password != "" {
			t.Errorf("again: %+v %v", again, err)
		}
		if _, _, err := b.s.CreateTokenFor(ctx, "ROOT@localhost", NewToken{Name: "by command"}); err != nil {
			t.Errorf("token by e-mail: %v", err)
		}
	})
}

func TestOperatorsTokenHasAForm(t *testing.T) {
	s, err := New(Config{DB: dbtest.SQLite(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"short", "has.a.dot.inside.it", "with a blank inside", strings.Repeat("x", 129)} {
		if _, err := s.Bootstrap(context.Background(), Options{Token: token}); !fault.Is(err, fault.Validation) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestSignUpMakesAnAccount(t *testing.T) {
	for _, tc := range []struct {
		sandbox bool
		level   Level
	}{{false, Level0}, {true, Level1}} {
		dbtest.Each(t, func(t *testing.T, d *db.DB) {
			b := newBench(t, d, func(c *Config, _ *Parts) { c.Sandbox = tc.sandbox })
			var got []Level
			b.s.OnAccount(func(ctx context.Context, tx *db.Tx, account string, level Level) error {
				if _, err := b.s.Load(ctx, tx, account); err != nil {
					return err
				}
				tx.After(func() { got = append(got, level) })
				return b.s.SetDefaultProfile(ctx, tx, account, "0194f1c2-7a10-7c3e-9b41-2f6d0c8e5a11")
			})
			u := b.do(nobody, "POST", "/rest/user", map[string]any{
				"email": "Ada@Example.org", "password": "abc", "first_name": "Ada", "last_name": "Byron", "gender": "Female", "dob": "1815-12-10T00:00:00Z",
				"phone_number": 12125550171, "account": map[string]any{"name": "Engines", "email": "office@example.org"},
			}).want(201)
			if u.str("account.level") != string(tc.level) || u.str("account.name") != "Engines" || u.str("account.email") != "office@example.org" || u.str("dob") != "1815-12-10T00:00:00.000Z" {
				t.Errorf("payload %s", u.Payload)
			}
			if _, has := u.object()["token"]; has || strings.Contains(string(u.Payload), "argon") || u.object()["password"] != nil {
				t.Errorf("secrets in %s", u.Payload)
			}
			if len(got) != 1 || got[0] != tc.level {
				t.Errorf("hooks saw %v", got)
			}
			a, err := b.s.Load(context.Background(), d.Read(), u.str("account.uuid"))
			if err != nil || a.Admin != u.str("uuid") || a.DefaultProfile == "" || a.Limits != LimitsOf(tc.level) || !a.VoiceTo("CA") || a.SMSTo("GB") {
				t.Errorf("account %+v %v", a, err)
			}
			if m := b.mail.last(t, MailWelcome); m.To != "Ada@Example.org" || len(m.Secrets) != 0 {
				t.Errorf("letter %+v", m)
			}
		})
	}
}

func TestFailedHookLeavesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		broken := true
		b.s.OnAccount(func(context.Context, *db.Tx, string, Level) error {
			if broken {
				return errors.New("no")
			}
			return nil
		})
		body := map[string]any{"email": "ada@example.org", "password": "abc"}
		b.do(nobody, "POST", "/rest/user", body).want(500)
		broken = false
		b.do(nobody, "POST", "/rest/user", body).want(201)
	})
}

func TestEmailIsUniqueWhateverItsCase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		o := b.signUp("bob@example.org")
		if a := b.do(nobody, "POST", "/rest/user", map[string]any{"email": "ADA@example.org", "password": "abc"}).want(409); a.Message != "User already exists" || a.Meta != "already_exists" {
			t.Errorf("%s %s", a.Message, a.Meta)
		}
		b.do(o.token(), "POST", "/rest/account/user", map[string]any{"email": "ada@example.org", "password": "abc"}).want(409)
		b.do(o.token(), "PATCH", "/rest/user/"+o.id, map[string]any{"email": "Ada@example.org"}).want(409)
		b.do(c.token(), "PATCH", "/rest/user/"+c.id, map[string]any{"email": "Ada@example.org"}).want(200)
		b.do(basic("ada@EXAMPLE.org", c.password), "GET", "/rest/user", nil).want(200)
	})
}

func TestAllFaultsOfASignUpAreNamedAtOnce(t *testing.T) {
	b := newBench(t, dbtest.SQLite(t), nil)
	long := strings.Repeat("ä", 300)
	a := b.do(nobody, "POST", "/rest/user", map[string]any{
		"email": "nobody", "password": "ab", "phone_number": "1", "first_name": long, "last_name": "", "gender": long, "dob": "yesterday", "avatar": "ftp://x.example/y",
		"role": "King", "account": map[string]any{"name": ""},
	}).want(400)
	for _, path := range []string{"email", "password", "phone_number", "first_name", "last_name", "gender", "dob", "avatar", "role", "account.name", "account.email"} {
		f, ok := a.Fields["params."+path]
		if !ok || f.Message == "" {
			t.Errorf("%s is not named in %v", path, a.Fields)
		}
		if path == "password" && f.Value != nil {
			t.Error("the password is sent back")
		}
	}
	empty := b.do(nobody, "POST", "/rest/user", map[string]any{}).want(400)
	if len(empty.Fields) != 2 {
		t.Errorf("fields %v", empty.Fields)
	}
	for _, ok := range []string{strings.Repeat("ä", 24)} {
		b.do(nobody, "POST", "/rest/user", map[string]any{"email": "ok@example.org", "password": strings.Repeat("ü", 255), "first_name": ok}).want(201)
	}
	if _, err := b.s.SignUp(context.Background(), Asker{}, NewUser{Email: "x", Password: "", FirstName: long, Role: RoleUser}); fault.Of(err) == nil || len(fault.Of(err).Fields) != 3 {
		t.Errorf("without HTTP: %v", err)
	}
}

func TestMinimumPasswordCanBeRaised(t *testing.T) {
	b := newBench(t, dbtest.SQLite(t), func(c *Config, _ *Parts) { c.MinPassword = 12 })
	b.do(nobody, "POST", "/rest/user", map[string]any{"email": "ada@example.org", "password": "elevenchars"}).want(400)
	b.do(nobody, "POST", "/rest/user", map[string]any{"email": "ada@example.org", "password": "twelve chars"}).want(201)
}

func TestUserIsChangedMemberByMember(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		u := b.do(c.token(), "PATCH", "/rest/user/"+c.id, map[string]any{"last_name": "Byron", "gender": "Female", "dob": "1990-01-02T03:04:05+01:00"}).want(200)
		if u.str("first_name") != "Ada" || u.str("last_name") != "Byron" || u.str("dob") != "1990-01-02T02:04:05.000Z" {
			t.Errorf("payload %s", u.Payload)
		}
		u = b.do(c.token(), "PATCH", "/rest/user/"+c.id, `{"first_name":null,"dob":null}`).want(200)
		if m := u.object(); m["first_name"] != nil || m["dob"] != nil || m["gender"] != "Female" {
			t.Errorf("payload %s", u.Payload)
		}
		b.do(c.token(), "PATCH", "/rest/user/"+c.id, `{"email":null}`).want(400)
		b.do(c.token(), "GET", "/rest/user", nil).want(200) // no password change: the JWT is good
	})
}

func TestTokenIsShownOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		made := b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "ci", "ttl": 3600}).want(201)
		secret := made.str("token")
		if len(secret) != 48 || strings.Trim(secret, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("token %q", secret)
		}
		masked := secret[:6] + "…" + secret[44:]
		if m := made.object(); m["prefix"] != secret[:6] || m["last4"] != secret[44:] || m["ttl"] != 3600.0 || m["last_used_on"] != nil || m["scopes"].([]any)[0] != "*" || made.str("user.uuid") != c.id {
			t.Errorf("payload %s", made.Payload)
		}
		b.pass(time.Second)
		b.do(bearer(secret), "GET", "/rest/user", nil).want(200)
		used := b.clock()
		list := b.do(c.token(), "GET", "/rest/token/list", nil).want(200)
		if l := list.list(); len(l) != 1 || l[0]["token"] != masked || l[0]["last_used_on"] != used.Format("2006-01-02T15:04:05.000Z") || l[0]["last_used_ip"] != "127.0.0.1" {
			t.Errorf("list %s", list.Payload)
		}
		if list.Header.Get("X-Total-Count") != "1" {
			t.Error("no total")
		}
		b.pass(30 * time.Second)
		b.do(bearer(secret), "GET", "/rest/user", nil).want(200)
		if l := b.do(c.token(), "GET", "/rest/token/list", nil).list(); l[0]["last_used_on"] != used.Format("2006-01-02T15:04:05.000Z") {
			t.Error("written more than once a minute")
		}
		rows, err := d.Read().Query(context.Background(), `SELECT hash FROM api_token`)
		if err != nil {
			t.Fatal(err)
		}
		hashes, err := collect(rows, func(r scanner) (h string, err error) { return h, r.Scan(&h) })
		if err != nil || len(hashes) != 1 || strings.Contains(hashes[0], secret) || len(hashes[0]) != 64 {
			t.Errorf("stored %v %v", hashes, err)
		}
		patched := b.do(c.token(), "PATCH", "/token/"+made.str("uuid"), map[string]any{"name": "ci 2", "ttl": 120}).want(200)
		if patched.str("token") != masked || patched.str("expired_on") != b.clock().Add(2*time.Minute).Format("2006-01-02T15:04:05.000Z") {
			t.Errorf("payload %s", patched.Payload)
		}
		b.pass(2*time.Minute + lookupLife)
		b.do(bearer(secret), "GET", "/rest/user", nil).want(401)
		if l := b.do(c.token(), "GET", "/rest/token/list", nil).list(); len(l) != 0 {
			t.Errorf("expired token is listed: %v", l)
		}
	})
}

func TestTokenEndsByItselfByUUIDAndAllTogether(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		fresh := func() (string, string) {
			a := b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "t"}).want(201)
			b.do(bearer(a.str("token")), "GET", "/rest/user", nil).want(200)
			return a.str("uuid"), a.str("token")
		}
		id1, t1 := fresh()
		id2, t2 := fresh()
		_, t3 := fresh()
		if got := b.do(c.token(), "DELETE", "/rest/token/"+t1, nil).want(200); got.str("uuid") != id1 || got.str("token") == t1 {
			t.Errorf("payload %s", got.Payload)
		}
		b.do(c.token(), "DELETE", "/rest/token/"+id2, nil).want(200)
		b.do(bearer(t1), "GET", "/rest/user", nil).want(401)
		b.do(bearer(t2), "GET", "/rest/user", nil).want(401)
		b.do(bearer(t3), "DELETE", "/rest/token/all", nil).want(200)
		b.do(bearer(t3), "GET", "/rest/user", nil).want(401)
		b.do(c.token(), "DELETE", "/rest/token/"+t3, nil).want(404)
		for _, bad := range []map[string]any{{}, {"name": ""}, {"name": "x", "ttl": 59}, {"name": "x", "ttl": 315360001}, {"name": "x", "scopes": []string{"everything"}}} {
			b.do(c.token(), "POST", "/rest/token", bad).want(400)
		}
	})
}

func TestScopedTokenCannotGrow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		mint := func(cred credential, scopes ...string) answer {
			return b.do(cred, "POST", "/rest/token", map[string]any{"name": "s", "scopes": scopes})
		}
		reader := mint(c.token(), "account:read").want(201).str("token")
		b.do(bearer(reader), "GET", "/rest/account", nil).want(200)
		b.do(bearer(reader), "PATCH", "/rest/account", map[string]any{"city": "Riga"}).want(403)
		b.do(bearer(reader), "POST", "/rest/call", map[string]any{}).want(403)
		mint(bearer(reader), "account:read").want(403)

		writer := mint(c.token(), "account", "voice:read").want(201).str("token")
		b.do(bearer(writer), "PATCH", "/rest/account", map[string]any{"city": "Riga"}).want(200)
		mint(bearer(writer), "*").want(403)
		mint(bearer(writer), "voice").want(403)
		mint(bearer(writer), "account:read", "voice:read").want(201)
		if got := mint(bearer(writer)).want(201); len(got.object()["scopes"].([]any)) != 2 {
			t.Errorf("scopes %s", got.Payload)
		}

		jwt := b.do(bearer(writer), "GET", "/rest/auth", nil).want(200).str("token")
		b.do(bearer(jwt), "GET", "/rest/account", nil).want(200)
		b.do(bearer(jwt), "POST", "/rest/call", map[string]any{}).want(403)
		mint(bearer(jwt), "*").want(403)
	})
}

func TestPasswordResetByMail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		ask := "/rest/user/password_reset?email=" + url.QueryEscape("ADA@example.org") + "&callback=" + url.QueryEscape("https://shop.example/new?lang=en")
		b.do(nobody, "GET", "/rest/user/password_reset?email=eve@example.org", nil).want(404)
		b.do(nobody, "GET", ask, nil).want(200)
		m := b.mail.last(t, MailPasswordReset)
		link, err := url.Parse(m.Secrets["link"])
		if err != nil || link.Host != "shop.example" || link.Query().Get("token") != m.Secrets["token"] || link.Query().Get("lang") != "en" {
			t.Errorf("link %q", m.Secrets["link"])
		}
		first := m.Secrets["token"]
		if a := b.do(nobody, "GET", ask, nil).want(429); a.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		for range resetPer - 1 {
			b.pass(resetEvery)
			b.do(nobody, "GET", ask, nil).want(200)
		}
		b.pass(resetEvery)
		left := resetWindow - resetPer*resetEvery
		if a := b.do(nobody, "GET", ask, nil).want(429); a.Header.Get("Retry-After") != strconv.Itoa(int(left/time.Second)) {
			t.Errorf("Retry-After %s, the oldest of five leaves the hour in %v", a.Header.Get("Retry-After"), left)
		}
		second := b.mail.last(t, MailPasswordReset).Secrets["token"]

		set := func(token, password string) answer {
			return b.do(nobody, "POST", "/rest/user/password_reset", map[string]any{"token": token, "password": password})
		}
		set("nonsense", "another").want(404)
		set(second, "ab").want(400)
		keyed := func() answer {
			return b.do(header("Idempotency-Key", "reset-1"), "POST", "/rest/user/password_reset", map[string]any{"token": second, "password": "another"})
		}
		keyed().want(200)
		if a := keyed().want(200); a.Header.Get("Idempotency-Replayed") != "true" {
			t.Error("the retry is not replayed")
		}
		set(second, "third").want(404) // once only
		set(first, "third").want(404)  // ended with it
		b.do(c.token(), "GET", "/rest/user", nil).want(401)
		b.do(c.basic(), "GET", "/rest/user", nil).want(401)
		b.do(basic(c.email, "another"), "GET", "/rest/user", nil).want(200)

		b.pass(resetWindow)
		b.do(nobody, "GET", ask, nil).want(200)
		b.pass(resetLife)
		set(b.mail.last(t, MailPasswordReset).Secrets["token"], "third").want(404)
	})
}

func TestExpiredRowsAreRemoved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "t", "ttl": 60}).want(201)
		b.do(c.token(), "POST", "/rest/token", map[string]any{"name": "stays"}).want(201)
		b.do(c.token(), "POST", "/rest/user/cart", map[string]any{"payload": true, "ttl": 60}).want(201)
		b.do(nobody, "GET", "/rest/user/password_reset?email=ada@example.org", nil).want(200)
		b.do(c.token(), "DELETE", "/rest/auth", nil).want(200)
		if n, err := b.s.RemoveExpired(context.Background()); err != nil || n != 0 {
			t.Errorf("removed %d, %v", n, err)
		}
		b.pass(48 * time.Hour)
		if n, err := b.s.RemoveExpired(context.Background()); err != nil || n != 4 {
			t.Errorf("removed %d, %v", n, err)
		}
	})
}

func TestCart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, nil)
		c := b.signUp("ada@example.org")
		e := b.do(c.token(), "POST", "/rest/user/cart", `{"payload":{"tns":[12125550100],"big":12345678901234567890}}`).want(201)
		if !bytes.Contains(e.Payload, []byte(`12345678901234567890`)) || e.object()["ttl"] != 2592000.0 {
			t.Errorf("payload %s", e.Payload)
		}
		b.do(c.token(), "POST", "/rest/user/cart", `{"payload":1,"ttl":59}`).want(400)
		b.do(c.token(), "POST", "/rest/user/cart", `{}`).want(400)
		b.do(c.token(), "POST", "/rest/user/cart", map[string]any{"payload": strings.Repeat("x", 64<<10)}).want(400)
		p := b.do(c.token(), "PATCH", "/rest/user/cart/"+e.str("uuid"), `{"payload":"new","ttl":60}`).want(200)
		if p.str("payload") != "new" || p.object()["ttl"] != 60.0 {
			t.Errorf("payload %s", p.Payload)
		}
		other := b.do(c.token(), "POST", "/rest/user/cart", `{"payload":null}`).want(201)
		if l := b.do(c.token(), "GET", "/rest/user/cart", nil).want(200).list(); len(l) != 2 || l[0]["uuid"] != other.str("uuid") {
			t.Errorf("list %v", l)
		}
		b.pass(61 * time.Second)
		b.do(c.token(), "DELETE", "/rest/user/cart/"+e.str("uuid"), nil).want(404)
		b.do(c.token(), "DELETE", "/rest/user/cart/"+other.str("uuid"), nil).want(200)
		b.do(c.token(), "POST", "/rest/user/cart", `{"payload":1}`).want(201)
		b.do(c.token(), "DELETE", "/rest/user/cart", nil).want(200)
		if l := b.do(c.token(), "GET", "/rest/user/cart", nil).list(); len(l) != 0 {
			t.Errorf("list %v", l)
		}
	})
}

func TestAvatar(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		objs, err := blob.Open("file:" + t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { objs.Close() })
		b := newBench(t, d, func(_ *Config, p *Parts) { p.Objects = objs })
		c := b.signUp("ada@example.org")
		o := b.colleague(c, "bob@example.org")
		upload := func(cred credential, name string, data []byte) answer {
			var body bytes.Buffer
			w := multipart.NewWriter(&body)
			f, err := w.CreateFormFile("file", name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequest("POST", b.srv.URL+"/rest/user/"+c.id+"/avatar", &body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", w.FormDataContentType())
			cred(req)
			return b.send(req)
		}
		png := append([]byte("\x89PNG\x0D\x0A\x1A\x0A"), make([]byte, 32)...)
		u := upload(c.token(), "me.gif", png).want(200)
		if want := "http://objects.example/object/avatar/" + c.id + ".png"; u.str("avatar") != want {
			t.Errorf("avatar %s", u.str("avatar"))
		}
		show := func(file string) (int, string, string) {
			if a := b.do(nobody, "POST", "/object/avatar/"+file, nil).want(405); a.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("Allow %q", a.Header.Get("Allow"))
			}
			res, err := b.srv.Client().Get(b.srv.URL + "/object/avatar/" + file)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			return res.StatusCode, res.Header.Get("Content-Type"), string(body)
		}
		if status, kind, body := show(c.id + ".png"); status != 200 || kind != "image/png" || body != string(png) {
			t.Errorf("%d %s %q", status, kind, body)
		}
		upload(c.token(), "me.jpg", append([]byte("\xFF\xD8\xFF"), make([]byte, 32)...)).want(200)
		for _, file := range []string{c.id + ".png", c.id + ".svg", c.id, "nobody.png", "..%2F..%2Fopentact.db"} {
			if status, _, _ := show(file); status != 404 {
				t.Errorf("%s: %d", file, status)
			}
		}
		upload(c.token(), "me.png", []byte("<svg onload=alert(1)>")).want(400)
		upload(o.token(), "me.png", png).want(403)
		upload(c.token(), "me.png", append(png, make([]byte, maxAvatar)...)).want(413)
		if u := b.do(c.token(), "DELETE", "/rest/user/"+c.id+"/avatar", nil).want(200); u.object()["avatar"] != nil {
			t.Errorf("payload %s", u.Payload)
		}
		if status, _, _ := show(c.id + ".jpg"); status != 404 {
			t.Errorf("kept after removal: %d", status)
		}
	})
}

func TestViewsOfUsersAndAccounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		b := newBench(t, d, func(_ *Config, p *Parts) { p.Balances = &purse{} })
		c := b.signUp("ada@example.org")
		ctx := context.Background()
		phone := func(view func(context.Context, db.Querier, string) (json.RawMessage, error)) map[string]any {
			raw, err := view(ctx, d.Read(), c.account)
			if err != nil {
				t.Fatal(err)
			}
			return members(t, raw)
		}
		if m := phone(b.s.CallView); m["phone"] != nil || m["balance"] != 100.25 {
			t.Errorf("call view %v", m)
		}
		b.do(c.token(), "PATCH", "/rest/account", map[string]any{"phone": "+1 (212) 555-0170", "time_zone": "America/New_York"}).want(200)
		if m := phone(b.s.CallView); m["phone"] != 12125550170.0 || m["time_zone"].(map[string]any)["name"] != "America/New_York" {
			t.Errorf("call view %v", m)
		}
		if m := phone(b.s.EventView); m["phone"] != "12125550170" || m["balance"] != 100.25 || m["level"] != "Level0" {
			t.Errorf("event view %v", m)
		}
		if m := phone(b.s.PlainView); m["phone"] != "12125550170" || m["balance"] != nil || m["available"] != nil {
			t.Errorf("plain view %v", m)
		}
		m := phone(b.s.RefView)
		if m["balance"] != 100.25 || m["credit_limit"] != 5.0 || m["reserved"] != 1.5 || m["available"] != 103.75 || m["currency"] != "USD" {
			t.Errorf("ref view %v", m)
		}
		for _, k := range []string{"uuid", "email", "name", "level", "phone", "address1", "address2", "zip_code", "city", "class4_id", "deleted_on", "disabled_on", "created_on", "modified_on"} {
			if _, has := m[k]; !has {
				t.Errorf("ref view has no %s", k)
			}
		}
		raw, err := b.s.UserView(ctx, d.Read(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		if u := members(t, raw); u["email"] != c.email || u["wss_online"] != false || len(u) != 17 {
			t.Errorf("user view %s", raw)
		}
		if _, err := b.s.EventView(ctx, d.Read(), ident.New()); !fault.Is(err, fault.NotFound) {
			t.Errorf("unknown account: %v", err)
		}
	})
}

func TestLoggedLettersKeepTheirSecrets(t *testing.T) {
	var out bytes.Buffer
	b := newBench(t, dbtest.SQLite(t), func(_ *Config, p *Parts) { p.Mailer = LogMailer{slog.New(slog.NewTextHandler(&out, nil))} })
	err := b.d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		return b.s.parts.Mailer.Mail(ctx, tx, Mail{Template: MailPasswordReset, To: "ada@example.org", Secrets: map[string]string{"token": "hush-hush"}})
	})
	if err != nil || !strings.Contains(out.String(), MailPasswordReset) || strings.Contains(out.String(), "hush") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func FuzzWithMember(f *testing.F) {
	for _, seed := range []string{`{}`, `{ }`, `{"a":1}`, "{\"a\":{}}\n", `[]`, ``, `}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, object string) {
		out, err := withMember(json.RawMessage(object), "token", "x")
		var was map[string]any
		if json.Unmarshal([]byte(object), &was) != nil || was == nil {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if m := members(t, out); m["token"] != "x" {
			t.Errorf("%s became %s", object, out)
		}
	})
}
