package voice

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

// patience bounds every wait of the tests.
const patience = 20 * time.Second

// tokens signs in "<account>|<user>" as an API token; "<account>|<user>|<scope>" is one that may not do everything.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
	acc, user, ok := strings.Cut(c.Value, "|")
	if !ok {
		return httpapi.Identity{}, fault.New(fault.Unauthorized)
	}
	id := httpapi.Identity{Account: acc, Role: httpapi.RoleUser, Unlimited: true}
	var scope string
	if id.User, scope, ok = strings.Cut(user, "|"); ok {
		id.Scopes = []string{scope}
	}
	return id, nil
}

// carriers trusts one network.
type carriers struct{ net netip.Prefix }

func (c carriers) Match(a netip.AddrPort) (id, name string, ok bool) {
	return "carrier", "carrier", c.net.Contains(a.Addr())
}

// hooks keeps the notices whose transaction was committed.
type hooks struct {
	mu  sync.Mutex
	all []Notice
}

func (h *hooks) Notify(_ context.Context, tx *db.Tx, n Notice) error {
	tx.After(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all = append(h.all, n)
	})
	return nil
}

func (h *hooks) sent() []Notice {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Notice(nil), h.all...)
}

// testLog shows what the service logs with the test that made it.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// noViews stands for the products that leases show and that are not under test.
type noViews struct{ *Service }

func (noViews) ProfileView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return null, nil
}

func (noViews) CampaignView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return null, nil
}

// house is a whole server but for calls, which are made up.
type house struct {
	t       *testing.T
	d       *db.DB
	acc     *account.Service
	billing *billing.Service
	numbers *number.Service
	log     *event.Log
	s       *Service
	fake    *fakeEngine
	hooks   *hooks
	srv     *httptest.Server
	events  chan event.Row
	ann     account.User
	token   string
	bob     string // token of another account
	stop    func() // ends the service
}

func build(t *testing.T, d *db.DB, change func(*Config)) *house {
	t.Helper()
	h := &house{t: t, d: d, hooks: &hooks{}, events: make(chan event.Row, 10000)}
	var err error
	h.acc, err = account.New(account.Config{DB: d, Domain: "sip.example.org", Sandbox: true})
	h.must(err)
	h.log = event.NewLog(event.Config{DB: d, Logger: slog.New(slog.DiscardHandler)})
	runner := jobs.NewRunner(jobs.Config{DB: d, Node: "one"})
	h.billing = billing.New(billing.Config{DB: d, Events: h.log, Jobs: runner, Accounts: h.acc, OpeningCredit: money.MustParse("100")})
	h.acc.OnAccount(func(ctx context.Context, tx *db.Tx, id string, _ account.Level) error {
		return h.billing.Open(ctx, tx, id)
	})
	h.acc.Attach(account.Parts{Balances: h.billing, Credit: h.billing})
	h.numbers = number.New(number.Config{DB: d, Events: h.log, Jobs: runner, Billing: h.billing, Accounts: h.acc})
	store, err := blob.Open("file:" + t.TempDir())
	h.must(err)
	signer, err := blob.NewSigner([]byte("a secret of the tests"))
	h.must(err)
	cfg := Config{
		DB: d, Events: h.log, Jobs: runner, Accounts: h.acc, Billing: h.billing, Numbers: h.numbers, Fetch: fetch.New(fetch.Options{AllowPrivate: true}), Blob: store, Signer: signer,
		Carriers: carriers{netip.MustParsePrefix("192.0.2.0/24")}, Webhooks: h.hooks, Node: "one", APIURL: "https://api.example.org",
		Logger:  slog.New(slog.NewTextHandler(testLog{t}, nil)),
		SIPAddr: func() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:5060") },
	}
	if change != nil {
		change(&cfg)
	}
	h.s = New(cfg)
	h.fake = &fakeEngine{s: h.s, calls: map[string]*fakeCall{}}
	h.s.engine = h.fake
	h.numbers.Bind(noViews{h.s}, nil)
	h.must(d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		if err := h.billing.SeedPlans(ctx, tx); err != nil {
			return err
		}
		plan, err := h.billing.Plan(ctx, tx, billing.DefaultPlan)
		if err != nil {
			return err
		}
		for n := range 3 {
			if _, err := tx.Exec(ctx, `INSERT INTO tn (tn, kind, plan, state, voice, sms, mms, fax, emergency, country, source, created_on, modified_on)
				VALUES ($1, 'long_code', $2, 'available', TRUE, TRUE, FALSE, FALSE, FALSE, 'US', 'sandbox', $3, $3)`, 12022403264+n, plan.UUID, db.At(time.Now())); err != nil {
				return err
			}
		}
		return nil
	}))
	api := httpapi.New(httpapi.Options{Auth: tokens{}, Logger: slog.New(slog.DiscardHandler), Answers: httpapi.NewAnswers(d, "node", nil)})
	h.s.Routes(api)
	h.srv = httptest.NewServer(api.Handler())
	t.Cleanup(func() {
		h.srv.Close()
		http.DefaultClient.CloseIdleConnections()
		cfg.Fetch.Close()
	})
	h.ann = h.signUp("ann@example.org")
	b := h.signUp("bob@example.org")
	h.token, h.bob = h.ann.Account+"|"+h.ann.ID, b.Account+"|"+b.ID
	h.run()
	return h
}

// run starts the service and the event log.
func (h *house) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	ready := make(chan struct{}, 2)
	unsubscribe := h.log.Subscribe(func(r event.Row) { h.events <- r })
	wait.Go(func() {
		if err := h.log.Run(ctx, func() { ready <- struct{}{} }); err != nil {
			h.t.Error(err)
		}
	})
	wait.Go(func() {
		if err := h.s.Run(ctx, func() { ready <- struct{}{} }); err != nil {
			h.t.Error(err)
		}
	})
	<-ready
	<-ready
	h.stop = sync.OnceFunc(func() { cancel(); wait.Wait(); unsubscribe() })
	h.t.Cleanup(h.stop)
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

// lease gives Ann the n-th number of the inventory.
func (h *house) lease(n int) number.Lease {
	h.t.Helper()
	found, _, err := h.numbers.Find(h.t.Context(), number.Search{Account: h.ann.Account, Kind: "long_code", Take: 1, Skip: n})
	h.must(err)
	o, err := h.numbers.Buy(h.t.Context(), number.Request{Account: h.ann.Account, User: h.ann.ID, Items: []number.Item{{TN: found[0].Number, On: number.Features{Voice: true}, AutoRenew: true}}})
	h.must(err)
	l, ok, err := h.numbers.ByTN(h.t.Context(), h.d.Read(), found[0].Number)
	h.must(err)
	if o.State != number.OrderSuccess || !ok {
		h.t.Fatalf("order %+v", o)
	}
	return l
}

// app makes an app with one number tied to it.
func (h *house) app(change func(*App)) (App, number.Lease) {
	h.t.Helper()
	a, err := h.s.CreateApp(h.t.Context(), h.ann.Account, h.ann.ID, func(a *App) { a.Name = "desk"; change(a) })
	h.must(err)
	l := h.lease(0)
	_, err = h.s.AssignLeases(h.t.Context(), number.By{Account: h.ann.Account}, a.ID, []string{l.ID}, nil)
	h.must(err)
	return a, l
}

// envelope is an event as clients read it.
type envelope struct {
	Type, Message string
	Success       *bool
	Command       any
	Payload, Call map[string]any
	CallFlow      map[string]any `json:"call_flow"`
	Account       map[string]any
	RefID         string `json:"ref_id"`
}

// next waits for the next event of one of the types about an object; "" is any.
func (h *house) next(ref string, types ...event.Type) envelope {
	h.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case r := <-h.events:
			for _, typ := range types {
				if r.Type == string(typ) && (ref == "" || r.RefID == ref) {
					var e envelope
					h.must(json.Unmarshal(r.Body, &e))
					return e
				}
			}
		case <-limit:
			h.t.Fatalf("no event of %v came", types)
		}
	}
}

// states waits for the call_state events of a leg in this order.
func (h *house) states(ref string, want ...string) (last envelope) {
	h.t.Helper()
	for _, state := range want {
		last = h.next(ref, CallStateEvent)
		if got := last.Payload["state"]; got != state {
			h.t.Fatalf("state %v, want %s", got, state)
		}
	}
	return last
}

type answer struct {
	t      *testing.T
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (h *house) send(token, method, path, kind string, body io.Reader, headers ...string) answer {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.srv.URL+path, body)
	h.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	h.must(err)
	defer res.Body.Close()
	a := answer{t: h.t, status: res.StatusCode, header: res.Header}
	a.raw, err = io.ReadAll(res.Body)
	h.must(err)
	_ = json.Unmarshal(a.raw, &a.body) // sounds and documents are no JSON
	return a
}

func (h *house) do(method, path, body string) answer {
	h.t.Helper()
	return h.send(h.token, method, path, "application/json", strings.NewReader(body))
}

func (h *house) upload(path, text string) answer {
	h.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	w, err := m.CreateFormFile("file", "flow.xml")
	h.must(err)
	_, err = w.Write([]byte(text))
	h.must(err)
	h.must(m.Close())
	return h.send(h.token, "POST", path, m.FormDataContentType(), &b)
}

func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

func (a answer) object() map[string]any {
	a.t.Helper()
	o, ok := a.body["payload"].(map[string]any)
	if !ok {
		a.t.Fatalf("payload is no object: %s", a.raw)
	}
	return o
}

func (a answer) list() []any {
	a.t.Helper()
	payload := a.body["payload"]
	if page, ok := payload.(map[string]any); ok {
		payload = page["data"]
	}
	l, ok := payload.([]any)
	if !ok {
		a.t.Fatalf("payload is no list: %s", a.raw)
	}
	return l
}

// has checks members of an object, written as JSON.
func has(t *testing.T, o map[string]any, members map[string]string) {
	t.Helper()
	for name, want := range members {
		v, there := o[name]
		got, err := json.Marshal(v)
		if err != nil || !there || string(got) != want {
			t.Errorf("%s is %s (there: %v), want %s", name, got, there, want)
		}
	}
}
