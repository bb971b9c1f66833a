package messaging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier/sandbox"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

// rig is the domains that messages need, on one database, with the sandbox as carrier.
type rig struct {
	t       testing.TB
	d       *db.DB
	log     *event.Log
	jobs    *jobs.Runner
	acc     *account.Service
	billing *billing.Service
	numbers *number.Service
	sms     *messaging.Service
	calls   *recorder
	api     *httpapi.API
	account string
	user    string
	stops   []func()
}

// recorder keeps what would be sent to customers.
type recorder struct {
	mu   sync.Mutex // guards list
	list []messaging.Callback
}

func (r *recorder) Notify(_ context.Context, tx *db.Tx, c messaging.Callback) error {
	tx.After(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, c)
	})
	return nil
}

func (r *recorder) triggers() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.list {
		out = append(out, c.Trigger)
	}
	return out
}

// views shows leases' foreign objects; this test has no apps.
type views struct{ *messaging.Service }

func (views) AppView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return json.RawMessage("null"), nil
}

type options struct {
	credit string
	quiet  bool // nothing runs
	real   bool // without the sandbox's campaign
	links  func(s *messaging.Service, box *sandbox.Carrier) []messaging.Link
	now    func() time.Time
	keep   *rig // the database and account of another rig
	node   string
	fence  func(context.Context, *db.Tx) error
	holds  func() bool
}

func build(t testing.TB, d *db.DB, o options) *rig {
	t.Helper()
	if o.credit == "" {
		o.credit = "1000"
	}
	if o.node == "" {
		o.node = "n"
	}
	r := &rig{t: t, d: d, calls: &recorder{}}
	logger := slog.New(slog.DiscardHandler)
	r.log = event.NewLog(event.Config{DB: d, Now: o.now})
	r.jobs = jobs.NewRunner(jobs.Config{DB: d, Node: o.node, Now: o.now})
	var err error
	if r.acc, err = account.New(account.Config{DB: d, Logger: logger, Domain: "sip.example.org", Sandbox: true, Now: o.now}); err != nil {
		t.Fatal(err)
	}
	r.billing = billing.New(billing.Config{DB: d, Events: r.log, Jobs: r.jobs, Accounts: r.acc, OpeningCredit: money.MustParse(o.credit), Now: o.now})
	r.numbers = number.New(number.Config{DB: d, Events: r.log, Jobs: r.jobs, Billing: r.billing, Accounts: r.acc, Now: o.now})
	r.sms = messaging.New(messaging.Config{DB: d, Events: r.log, Jobs: r.jobs, Accounts: r.acc, Billing: r.billing, Numbers: r.numbers, Callbacks: r.calls, Node: o.node, Fence: o.fence, Holds: o.holds, Sandbox: !o.real, Now: o.now})
	box := sandbox.New(sandbox.Config{DB: d, Jobs: r.jobs, Sink: r.sms, Host: r.sms, Now: o.now})
	if o.links != nil {
		r.sms.Attach(o.links(r.sms, box)...)
	} else {
		r.sms.Attach(messaging.Link{Name: "sandbox", Driver: box, Sandbox: true})
	}
	r.numbers.Bind(views{r.sms}, r.sms)
	r.acc.Attach(account.Parts{Balances: r.billing, Credit: r.billing, Profiles: r.sms})
	r.acc.OnAccount(func(ctx context.Context, tx *db.Tx, id string, _ account.Level) error {
		return r.billing.Open(ctx, tx, id)
	})
	r.acc.OnAccount(r.sms.OnAccount)
	r.api = httpapi.New(httpapi.Options{Logger: logger, Auth: httpapi.AuthFunc(func(context.Context, httpapi.Credentials, string) (httpapi.Identity, error) {
		return httpapi.Identity{Account: r.account, User: r.user, Role: httpapi.RoleAdmin, Unlimited: true}, nil
	})})
	r.sms.Routes(r.api)
	r.numbers.Routes(r.api)
	if o.keep != nil {
		r.account, r.user = o.keep.account, o.keep.user
	} else {
		r.seed()
	}
	if !o.quiet {
		r.start()
	}
	return r
}

func (r *rig) seed() {
	r.t.Helper()
	ctx := context.Background()
	if err := r.d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		return r.billing.SeedPlans(ctx, tx)
	}); err != nil {
		r.t.Fatal(err)
	}
	var tns []any
	for i := range 60 {
		tns = append(tns, map[string]any{"tn": fmt.Sprintf("1212233%04d", i), "province": "NY"}, map[string]any{"tn": fmt.Sprintf("1512233%04d", i), "province": "TX"})
	}
	r.do("POST", "/rest/admin/tn", map[string]any{"tns": tns, "profile": billing.DefaultPlan}, 200)
	r.account, r.user = r.newAccount()
}

// newAccount makes an account without limits.
func (r *rig) newAccount() (acc, user string) {
	r.t.Helper()
	u, err := r.acc.SignUp(context.Background(), account.Asker{Admin: true}, account.NewUser{Email: ident.New() + "@example.org", Password: "secret word", AccountName: "Harbor Books"})
	if err != nil {
		r.t.Fatal(err)
	}
	zero := 0.0
	if _, err := r.acc.Administer(context.Background(), u.Account, account.AdminPatch{Limits: &account.LimitsPatch{SMSPerSecond: &zero}}); err != nil {
		r.t.Fatal(err)
	}
	return u.Account, u.ID
}

// start runs the parts until stop.
func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	for _, run := range []func(context.Context, func()) error{r.jobs.Run, r.sms.Run, r.log.Run} {
		ready := make(chan struct{})
		go func() { done <- run(ctx, func() { close(ready) }) }()
		<-ready
	}
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			for range 3 {
				if err := <-done; err != nil {
					r.t.Error(err)
				}
			}
		})
	}
	r.stops = append(r.stops, stop)
	r.t.Cleanup(stop)
}

func (r *rig) stop() {
	for _, fn := range r.stops {
		fn()
	}
}

// lease buys n local numbers and switches messages on, under a profile ("" is the default one).
func (r *rig) lease(n int, profile string) []e164.Number {
	r.t.Helper()
	return r.leaseOf(r.account, n, profile, "NY")
}

func (r *rig) leaseOf(acc string, n int, profile, province string) []e164.Number {
	r.t.Helper()
	ctx := context.Background()
	found, _, err := r.numbers.Find(ctx, number.Search{Account: acc, Province: province, Country: "US", Take: n})
	if err != nil || len(found) < n {
		r.t.Fatalf("%d numbers, %v", len(found), err)
	}
	if profile == "" {
		list, err := r.sms.Profiles(ctx, acc)
		if err != nil {
			r.t.Fatal(err)
		}
		profile = list[0].ID
	}
	var items []number.Item
	var out []e164.Number
	for _, f := range found {
		items = append(items, number.Item{TN: f.Number, On: number.Features{SMS: true}})
		out = append(out, f.Number)
	}
	if _, err := r.numbers.Buy(ctx, number.Request{Account: acc, Items: items}); err != nil {
		r.t.Fatal(err)
	}
	for _, tn := range out {
		if _, err := r.numbers.EnableSMS(ctx, number.By{Account: acc}, tn.Digits(), profile, ""); err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

// do makes a request and decodes the payload.
func (r *rig) do(method, path string, body any, status int) map[string]any {
	r.t.Helper()
	var b bytes.Buffer
	if s, ok := body.(string); ok {
		b.WriteString(s)
	} else if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			r.t.Fatal(err)
		}
	}
	req := httptest.NewRequest(method, path, &b)
	req.Header.Set("Authorization", "Bearer any")
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.api.Handler().ServeHTTP(w, req)
	if w.Code != status {
		r.t.Fatalf("%s %s %v: %d, want %d: %s", method, path, body, w.Code, status, w.Body.String())
	}
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		r.t.Fatalf("%v: %s", err, w.Body.String())
	}
	if p, ok := out["payload"].(map[string]any); ok {
		return p
	}
	return out
}

// await waits for an event of the account whose payload fits.
func (r *rig) await(what string, fit func(payload map[string]any) bool) map[string]any {
	r.t.Helper()
	over := time.Now().Add(20 * time.Second)
	news := make(chan struct{}, 1)
	cancel := r.log.Subscribe(func(event.Row) {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	defer cancel()
	for {
		for _, p := range r.events() {
			if fit(p) {
				return p
			}
		}
		select {
		case <-news:
		case <-time.After(time.Until(over)):
			r.t.Fatalf("no event: %s", what)
		}
	}
}

// events gives the payloads of the account's sms events in order.
func (r *rig) events() (out []map[string]any) {
	r.t.Helper()
	after := int64(0)
	for {
		rows, err := r.log.Read(context.Background(), event.Query{Account: r.account, Types: []string{"sms"}, After: after})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, row := range rows {
			var e struct {
				Payload map[string]any `json:"payload"`
			}
			if err := json.Unmarshal(row.Body, &e); err != nil {
				r.t.Fatal(err)
			}
			out = append(out, e.Payload)
			after = row.Seq
		}
		if len(rows) < event.MaxRead {
			return out
		}
	}
}

func (r *rig) awaitState(id, state string, delivered bool) map[string]any {
	r.t.Helper()
	return r.await(fmt.Sprint(id, " ", state, " ", delivered), func(p map[string]any) bool {
		return p["uuid"] == id && p["state"] == state && p["delivered"] == delivered
	})
}
