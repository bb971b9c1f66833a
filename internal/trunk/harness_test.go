package trunk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/trunk"
)

// tokens signs in "<account>|<user>|<role>" as an API token.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
	part := strings.Split(c.Value, "|")
	if len(part) != 3 || c.Kind != httpapi.APIToken {
		return httpapi.Identity{}, fault.New(fault.Unauthorized)
	}
	return httpapi.Identity{Account: part[0], User: part[1], Role: part[2], Unlimited: true}, nil
}

// noViews stands for products that show themselves inside leases.
type noViews struct{}

func (noViews) AppView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return json.RawMessage("null"), nil
}

func (noViews) ProfileView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return json.RawMessage("null"), nil
}

func (noViews) CampaignView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return json.RawMessage("null"), nil
}

// house is the package on real neighbours, behind a real HTTP layer.
type house struct {
	t       *testing.T
	d       *db.DB
	s       *trunk.Service
	acc     *account.Service
	numbers *number.Service
	srv     *httptest.Server

	mu   sync.Mutex
	time time.Time

	account, user string // a customer
	other         string // token of another customer
	token, admin  string
	leased        int
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.time
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.time = h.time.Add(d)
}

func build(t *testing.T, d *db.DB) *house {
	t.Helper()
	h := &house{t: t, d: d, time: time.Date(2026, 3, 4, 23, 0, 0, 0, time.UTC)}
	var err error
	if h.acc, err = account.New(account.Config{DB: d, Now: h.now, Domain: "sip.example.org", Sandbox: true}); err != nil {
		t.Fatal(err)
	}
	log := event.NewLog(event.Config{DB: d, Now: h.now})
	runner := jobs.NewRunner(jobs.Config{DB: d, Node: "one", Now: h.now})
	bill := billing.New(billing.Config{DB: d, Events: log, Jobs: runner, Accounts: h.acc, Now: h.now, OpeningCredit: money.MustParse("100")})
	h.acc.OnAccount(func(ctx context.Context, tx *db.Tx, id string, _ account.Level) error { return bill.Open(ctx, tx, id) })
	h.acc.Attach(account.Parts{Balances: bill, Credit: bill})
	h.numbers = number.New(number.Config{DB: d, Events: log, Jobs: runner, Billing: bill, Accounts: h.acc, Views: noViews{}, Now: h.now})
	h.s = trunk.New(trunk.Config{DB: d, Accounts: h.acc, Numbers: h.numbers, Prices: bill, Now: h.now})
	h.must(d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return bill.SeedPlans(ctx, tx)
	}))
	api := httpapi.New(httpapi.Options{Auth: tokens{}})
	h.s.Routes(api)
	h.numbers.Routes(api)
	h.srv = httptest.NewServer(api.Handler())
	t.Cleanup(h.srv.Close)
	u, v := h.signUp("ann@example.org"), h.signUp("bob@example.org")
	h.account, h.user = u.Account, u.ID
	h.token, h.other = u.Account+"|"+u.ID+"|User", v.Account+"|"+v.ID+"|User"
	h.admin = v.Account + "|" + v.ID + "|Admin"
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) signUp(email string) account.User {
	h.t.Helper()
	u, err := h.acc.SignUp(h.t.Context(), account.Asker{Admin: true}, account.NewUser{Email: email, Password: "secret-1", FirstName: "Test"})
	h.must(err)
	return u
}

// lease gives the customer another number.
func (h *house) lease() number.Lease {
	h.t.Helper()
	h.leased++
	tn := numberOf(fmt.Sprintf("+1 646 222 %04d", h.leased))
	h.call(h.admin, "POST", "/rest/admin/tn", `{"profile":"US","tns":[{"tn":`+tn.Digits()+`,"features":["voice","sms"]}]}`).is(200)
	o, err := h.numbers.Buy(h.t.Context(), number.Request{Account: h.account, User: h.user, Items: []number.Item{{TN: tn, On: number.Features{Voice: true}, AutoRenew: true}}})
	h.must(err)
	if o.State != number.OrderSuccess {
		h.t.Fatalf("order %+v", o)
	}
	l, _, err := h.numbers.ByTN(h.t.Context(), h.d.Read(), tn)
	h.must(err)
	return l
}

// answer is a decoded response.
type answer struct {
	t      *testing.T
	status int
	body   map[string]any
}

func (h *house) call(token, method, path, body string) answer {
	h.t.Helper()
	return h.send(token, method, path, "application/json", strings.NewReader(body))
}

func (h *house) send(token, method, path, kind string, body io.Reader) answer {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.srv.URL+path, body)
	h.must(err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", kind)
	res, err := http.DefaultClient.Do(req)
	h.must(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	h.must(err)
	a := answer{t: h.t, status: res.StatusCode}
	if err := json.Unmarshal(b, &a.body); err != nil {
		h.t.Fatalf("%v: %s", err, b)
	}
	return a
}

func (h *house) upload(path, text string) answer {
	h.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	w, err := m.CreateFormFile("file", "rates.csv")
	h.must(err)
	_, err = w.Write([]byte(text))
	h.must(err)
	h.must(m.Close())
	return h.send(h.admin, "POST", path, m.FormDataContentType(), &b)
}

func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %v", a.status, status, a.body)
	}
	return a
}

// refuses checks a failure and the members that it names.
func (a answer) refuses(status int, code string, members ...string) {
	a.t.Helper()
	a.is(status)
	if a.body["meta"] != code {
		a.t.Errorf("meta %v, want %s", a.body["meta"], code)
	}
	params, _ := a.body["fields"].(map[string]any)
	for _, m := range members {
		if _, ok := params[m]; !ok {
			a.t.Errorf("member %s is not named: %v", m, a.body["message"])
		}
	}
}

func (a answer) object() map[string]any {
	a.t.Helper()
	o, ok := a.body["payload"].(map[string]any)
	if !ok {
		a.t.Fatalf("payload is no object: %v", a.body)
	}
	return o
}

func (a answer) list() []any {
	a.t.Helper()
	l, ok := a.body["payload"].([]any)
	if !ok {
		a.t.Fatalf("payload is no list: %v", a.body)
	}
	return l
}

func (a answer) uuid() string {
	a.t.Helper()
	id, _ := a.object()["uuid"].(string)
	if id == "" {
		a.t.Fatalf("no uuid: %v", a.body)
	}
	return id
}

// has checks members of the payload, written as JSON.
func (a answer) has(members map[string]string) answer {
	a.t.Helper()
	o := a.object()
	for name, want := range members {
		v, there := o[name]
		got, _ := json.Marshal(v)
		if !there || string(got) != want {
			a.t.Errorf("%s is %s (there: %v), want %s", name, got, there, want)
		}
	}
	return a
}

func (h *house) route(req trunk.RouteRequest) (trunk.Route, error) {
	if req.Account == "" {
		req.Account = h.account
	}
	return h.s.Route(h.t.Context(), h.d.Read(), req)
}

// refused checks a refusal of a route.
func (h *house) refused(req trunk.RouteRequest, reason string, status int, code fault.Code) {
	h.t.Helper()
	_, err := h.route(req)
	var r *trunk.Refusal
	if !asRefusal(err, &r) || r.Reason != reason || r.Status != status || !fault.Is(err, code) {
		h.t.Errorf("%+v: %v, want %s %d %s", req, err, reason, status, code)
	}
}

func numberOf(s string) e164.Number { return e164.MustParse(s) }

func jsonOf(v any) string { return fmt.Sprintf("%q", v) }
