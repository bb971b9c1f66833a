package number_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

// world is accounts, and products that show themselves inside leases.
type world struct{}

func (world) EventView(_ context.Context, _ db.Querier, id string) (json.RawMessage, error) {
	return json.RawMessage(fmt.Sprintf(`{"uuid":%q}`, id)), nil
}

func (w world) RefView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	return w.EventView(ctx, q, id)
}

func (w world) UserView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	return w.EventView(ctx, q, id)
}

func (world) CountryView(a2 string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"a2":%q}`, a2))
}

func (world) BalanceNotices(context.Context, db.Querier, string) (bool, error) { return true, nil }

const absent = "00000000-0000-7000-8000-00000000dead"

func view(id, entity string) (json.RawMessage, error) {
	switch id {
	case "":
		return json.RawMessage("null"), nil
	case absent:
		return nil, fault.Missing(entity)
	}
	return json.RawMessage(fmt.Sprintf(`{"uuid":%q}`, id)), nil
}

func (world) AppView(_ context.Context, _ db.Querier, _, id string) (json.RawMessage, error) {
	return view(id, "SIP control app")
}

func (world) ProfileView(_ context.Context, _ db.Querier, _, id string) (json.RawMessage, error) {
	return view(id, "Messaging profile")
}

func (world) CampaignView(_ context.Context, _ db.Querier, _, id string) (json.RawMessage, error) {
	return view(id, "Campaign")
}

func (world) Resolve(_ context.Context, _ db.Querier, _, key string) (string, bool, error) {
	return key, true, nil
}

func (world) Ready(context.Context, db.Querier, string) (string, error) { return readyCampaign, nil }

func (world) NumberEnds(context.Context, *db.Tx, e164.Number) error { return nil }

const readyCampaign = "00000000-0000-7000-8000-00000000cafe"

type house struct {
	t       *testing.T
	d       *db.DB
	billing *billing.Service
	numbers *number.Service
	log     *event.Log
	api     *httpapi.API
	now     atomic.Int64
	post    postbox
}

// postbox collects letters.
type postbox struct {
	mu      sync.Mutex // guards letters
	letters []string
}

func (p *postbox) Send(_ context.Context, _ *db.Tx, _, template string, vars map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.letters = append(p.letters, template+" "+vars["tn"])
	return nil
}

func (p *postbox) count(letter string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		if l == letter {
			n++
		}
	}
	return n
}

func build(t *testing.T, d *db.DB, credit string) *house {
	t.Helper()
	h := &house{t: t, d: d, log: event.NewLog(event.Config{DB: d})}
	h.now.Store(time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC).UnixMicro())
	clock := func() time.Time { return time.UnixMicro(h.now.Load()).UTC() }
	h.billing = billing.New(billing.Config{DB: d, Events: h.log, Accounts: world{}, OpeningCredit: money.MustParse(credit), Now: clock})
	h.numbers = number.New(number.Config{DB: d, Events: h.log, Billing: h.billing, Accounts: world{}, Views: world{}, Messages: world{}, Letters: &h.post, Now: clock})
	err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		if err := h.billing.SeedPlans(ctx, tx); err != nil {
			return err
		}
		return h.numbers.Seed(ctx, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.billing.CountLeases(h.numbers)
	h.api = httpapi.New(httpapi.Options{Auth: httpapi.AuthFunc(func(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
		return httpapi.Identity{Account: c.Value, User: c.Value, Role: httpapi.RoleAdmin, Unlimited: true}, nil
	})})
	h.numbers.Routes(h.api)
	h.billing.Routes(h.api)
	return h
}

func (h *house) account() string {
	h.t.Helper()
	id := ident.New()
	if err := h.d.Update(h.t.Context(), func(ctx context.Context, tx *db.Tx) error { return h.billing.Open(ctx, tx, id) }); err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *house) do(account, method, path, body string) (int, any) {
	h.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+account)
	w := httptest.NewRecorder()
	h.api.ServeHTTP(w, r)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		h.t.Fatalf("%s %s: %s", method, path, w.Body)
	}
	if w.Code >= 400 {
		return w.Code, out
	}
	return w.Code, out["payload"]
}

// events gives the payloads of an account's events of a type, oldest first.
func (h *house) events(account, kind string) (out []any) {
	h.t.Helper()
	rows, err := h.log.Read(h.t.Context(), event.Query{Account: account, Types: []string{kind}})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range rows {
		var body struct {
			Payload any `json:"payload"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, body.Payload)
	}
	return out
}

func get(v any, path ...any) any {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return v
}

func (h *house) pick(account, body string, n int) []string {
	h.t.Helper()
	status, page := h.do(account, "POST", "/rest/tn/search?size=100", body)
	if status != 200 {
		h.t.Fatal(status, page)
	}
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%.0f", get(page, "data", i, "tn")))
	}
	return out
}

func TestSearchUnderstandsBothGenerations(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		total := func(body string) int {
			status, page := h.do(a, "POST", "/rest/tn/search", body)
			if status != 200 {
				t.Fatal(body, status, page)
			}
			return int(get(page, "total").(float64))
		}
		first := h.pick(a, `{"npa":"212"}`, 1)[0]
		for body, want := range map[string]int{
			`{"pattern":"212*"}`: 80, `{"npa":212}`: 80, `{"province":"NY"}`: 160, `{"state":"NY","city":"brook*"}`: 80, `{"type":"toll_free"}`: 140,
			`{"toll_free":true}`: 140, `{"country":"CA"}`: 480, `{"rateCenter":"boston"}`: 80, `{"rate_center":"BOS*"}`: 80, `{"postalCode":10001}`: 80, `{"features":["sms","voice"]}`: 18*80 + 140,
			`{"features":["emergency"]}`: 0, `{"pattern":"JAX*","abcSearch":true}`: 0, `{"profile":"US Toll Free"}`: 140, `{"npa":"212","nxx":"` + first[4:7] + `","line":"` + first[7:] + `"}`: 1,
			`{"line":"xx` + first[9:] + `","npa":"212"}`: -1, `{}`: 18*80 + 140, `{"profile":"US"}`: 24 * 80, `{"npa":"416"}`: 0, `{"npa":"416","country":"CA"}`: 80, `{"npa":"416","profile":"US"}`: 80,
		} {
			got := total(body)
			if want == -1 && got >= 1 {
				continue
			}
			if got != want {
				t.Errorf("%s: %d, want %d", body, got, want)
			}
		}
		if status, out := h.do(a, "POST", "/rest/tn/search", `{"profile":"nope"}`); status != 404 {
			t.Error(status, out)
		}
		if status, out := h.do(a, "POST", "/rest/tn/search?size=500", `{"pattern":"21#","npa":"1","features":["x"]}`); status != 400 || len(get(out, "fields").(map[string]any)) < 3 {
			t.Error(status, out)
		}
	})
}

func TestOrderFormsChargesAndEvents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tns := h.pick(a, `{"npa":"312"}`, 5)
		profile := ident.New()
		for i, body := range []string{
			`{"items":[{"tn":` + tns[0] + `,"features":["voice","sms"]},{"tn":"+` + tns[0] + `","features":["voice"]},{"tn":12015550000,"features":["voice"]}]}`,
			`{"items":[{"tn":"` + tns[1] + `","voice":true,"sms":false,"autorenew":false}]}`,
			`{"tns":[` + tns[2] + `],"sms":true,"messaging_profile":"` + profile + `"}`,
		} {
			status, o := h.do(a, "POST", "/rest/order/tn", body)
			if status != 201 || get(o, "state") != "success" || get(o, "success").(float64) != 1 {
				t.Fatal(i, status, o)
			}
			if i == 0 && (get(o, "failed").(float64) != 1 || get(o, "errors", 0, "reason") != "Number not found" || get(o, "total").(float64) != 2 || get(o, "price").(float64) != 1.1) {
				t.Error(o)
			}
			if i == 2 && (get(o, "sms") != true || get(o, "tnleases", 0, "subscriptions", 0, "sms_campaign", "uuid") != readyCampaign) {
				t.Error(o)
			}
		}
		if drift, err := h.billing.Drift(t.Context(), a); err != nil || drift != 0 {
			t.Error(drift, err)
		}
		rows, err := h.log.Read(t.Context(), event.Query{Account: a, Types: []string{"tn_order"}})
		if err != nil || len(rows) != 12 {
			t.Fatal(len(rows), err)
		}
		for i, want := range []string{"created", "verify", "processing", "success"} {
			if !strings.Contains(string(rows[i].Body), `- `+want+`"`) {
				t.Errorf("event %d: %s", i, rows[i].Body)
			}
		}
		if status, list := h.do(a, "POST", "/rest/order", ""); status != 200 || len(list.([]any)) != 3 {
			t.Error(status, list)
		}
		if status, page := h.do(a, "POST", "/rest/order/search", `{"state":"success"}`); status != 200 || get(page, "total").(float64) != 3 {
			t.Error(status, page)
		}
		if status, q := h.do(a, "POST", "/rest/order/price", `{"items":[{"tn":`+tns[3]+`,"features":["voice"]}]}`); status != 200 || get(q, "mrc").(float64) != 1 || get(q, "items", 0, "id") != tns[3] {
			t.Error(status, q)
		}
		for _, bad := range []string{`{"items":[]}`, `{"items":[{"features":["voice"]}]}`, `{"items":[{"tn":"12x","features":["fly"]}]}`} {
			if status, out := h.do(a, "POST", "/rest/order", bad); status != 400 || len(get(out, "fields").(map[string]any)) == 0 {
				t.Error(bad, status, out)
			}
		}
		other := h.account()
		poor := build(t, d, "0.5")
		p := poor.account()
		if status, out := poor.do(p, "POST", "/rest/order", `{"items":[{"tn":`+tns[4]+`,"features":["voice"]}]}`); status != 402 || get(out, "message") != "Not enough account balance" {
			t.Error(status, out)
		}
		if status, list := poor.do(p, "GET", "/rest/order", ""); status != 200 || len(list.([]any)) != 0 {
			t.Error("a refused order was kept", list)
		}
		if status, _ := h.do(other, "GET", "/rest/lease/tn/"+tns[0], ""); status != 404 {
			t.Error("another account's lease is visible", status)
		}
	})
}

func TestOneOfManyBuyersGetsTheNumber(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		buyers := make([]string, 20)
		for i := range buyers {
			buyers[i] = h.account()
		}
		tns := h.pick(buyers[0], `{"npa":"415"}`, 2)
		var won atomic.Int64
		var wg sync.WaitGroup
		for i, b := range buyers {
			wg.Go(func() {
				body := fmt.Sprintf(`{"items":[{"tn":%s,"features":["voice"]},{"tn":%s,"features":["voice"]}]}`, tns[i%2], tns[(i+1)%2])
				status, o := h.do(b, "POST", "/rest/order", body)
				if status != 201 {
					t.Error(status, o)
					return
				}
				won.Add(int64(get(o, "success").(float64)))
			})
		}
		wg.Wait()
		if won.Load() != 2 {
			t.Fatalf("%d leases of 2 numbers", won.Load())
		}
	})
}

func TestLifeOfALease(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a, b := h.account(), h.account()
		tns := h.pick(a, `{"npa":"206"}`, 3)
		if status, o := h.do(a, "POST", "/rest/order", `{"tns":[`+strings.Join(tns, ",")+`]}`); status != 201 {
			t.Fatal(status, o)
		}
		status, l := h.do(a, "GET", "/rest/lease/tn/"+tns[0], "")
		if status != 200 || get(l, "expired_on") != "2026-02-28T10:00:00.000Z" {
			t.Fatal(status, l)
		}
		app, profile := ident.New(), ident.New()
		if status, l = h.do(a, "PATCH", "/rest/lease/tn/"+get(l, "uuid").(string), `{"sip_control_app":"`+app+`","name":"front desk","autorenew":false}`); status != 200 || get(l, "sip_control_app", "uuid") != app || get(l, "name") != "front desk" {
			t.Fatal(status, l)
		}
		if status, out := h.do(a, "PATCH", "/rest/lease/tn/"+tns[0], `{"sip_control_app":"`+absent+`"}`); status != 404 || get(out, "message") != "SIP control app not found" {
			t.Error(status, out)
		}
		if status, out := h.do(a, "PATCH", "/rest/lease/tn/"+tns[0], `{"emergency":true}`); status != 400 {
			t.Error(status, out)
		}
		if status, s := h.do(a, "POST", "/rest/lease/tn/"+tns[1]+"/subscription/sms", `{"messaging_profile":"`+profile+`"}`); status != 200 || get(s, "state") != "active" {
			t.Fatal(status, s)
		}
		if status, out := h.do(a, "POST", "/rest/lease/tn/"+tns[2]+"/subscription/sms", `{"messaging_profile":"`+absent+`"}`); status != 404 {
			t.Error(status, out)
		}
		if status, page := h.do(a, "POST", "/rest/lease/tn/search", `{"sip_control_app":null,"order":{"tn":"ASC"}}`); status != 200 || get(page, "total").(float64) != 2 {
			t.Error(status, page)
		}
		if status, page := h.do(a, "POST", "/rest/lease/tn/search", `{"messaging_profile":"`+profile+`"}`); status != 200 || get(page, "total").(float64) != 1 {
			t.Error(status, page)
		}
		if status, page := h.do(a, "POST", "/rest/lease/tn/search", `{"tn":"1206*","sip_connections_skip":["`+ident.New()+`"]}`); status != 200 || get(page, "total").(float64) != 3 {
			t.Error(status, page)
		}
		// autorenew off: released at the end; the others get another month, on the last day again.
		h.now.Store(time.Date(2026, 2, 28, 10, 0, 1, 0, time.UTC).UnixMicro())
		if _, err := h.numbers.Renew(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if status, _ = h.do(a, "GET", "/rest/lease/tn/"+tns[0], ""); status != 404 {
			t.Error("not released", status)
		}
		if _, l = h.do(a, "GET", "/rest/lease/tn/"+tns[1], ""); get(l, "expired_on") != "2026-03-28T10:00:00.000Z" {
			t.Error(l)
		}
		// quarantine: only the last owner may order it again
		order := `{"items":[{"tn":` + tns[0] + `,"features":["voice"]}]}`
		if status, o := h.do(b, "POST", "/rest/order", order); status != 201 || get(o, "state") != "failed" {
			t.Error(status, o)
		}
		if status, o := h.do(a, "POST", "/rest/order", order); status != 201 || get(o, "state") != "success" {
			t.Error(status, o)
		}
		if status, out := h.do(a, "DELETE", "/rest/lease/tn", `{"item":["`+tns[1]+`","19999999999"]}`); status != 404 {
			t.Error(status, out)
		}
		if status, out := h.do(a, "DELETE", "/rest/lease/tn", `{"item":["`+tns[1]+`",`+tns[2]+`,"+`+tns[1]+`"]}`); status != 200 || len(out.([]any)) != 2 {
			t.Error(status, out)
		}
		if drift, err := h.billing.Drift(t.Context(), a); err != nil || drift != 0 {
			t.Error(drift, err)
		}
	})
}

func TestAddMonth(t *testing.T) {
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	for in, want := range map[string]string{"2026-01-31": "2026-02-28", "2028-01-31": "2028-02-29", "2026-02-28": "2026-03-28", "2026-12-31": "2027-01-31", "2026-10-31": "2026-11-30"} {
		if got := number.AddMonth(day(in)); !got.Equal(day(want)) {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestInventoryOfTheAdministrator(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		body := `{"profile":"US","tns":[{"tn":"+1 201 555 0188","city":"Jersey City","province":"NJ"},{"tn":12015550188},{"tn":18005550199}]}`
		if status, out := h.do(a, "POST", "/rest/admin/tn", body); status != 200 || get(out, "added").(float64) != 2 || get(out, "skipped").(float64) != 1 {
			t.Fatal(status, out)
		}
		if status, out := h.do(a, "GET", "/rest/tn/12015550188/features", ""); status != 200 || len(get(out, "features").([]any)) != 2 {
			t.Error(status, out)
		}
		if status, out := h.do(a, "DELETE", "/rest/admin/tn/12015550188", ""); status != 200 {
			t.Error(status, out)
		}
		if status, out := h.do(a, "POST", "/rest/order", `{"items":[{"tn":12015550188,"features":["voice"]}]}`); status != 201 || get(out, "state") != "failed" {
			t.Error(status, out)
		}
		if status, list := h.do(a, "GET", "/rest/profile/tn", ""); status != 200 || len(list.([]any)) != 2 {
			t.Error(status, list)
		}
		if status, tx := h.do(a, "POST", "/rest/admin/account/"+a+"/credit", `{"amount":-3.5,"description":"test"}`); status != 201 || get(tx, "account_balance_after").(float64) != 96.5 {
			t.Error(status, tx)
		}
		if status, rep := h.do(a, "GET", "/rest/transaction/report/dashboard/adjustment", ""); status != 200 || len(get(rep, "report").([]any)) != 31 {
			t.Error(status, rep)
		}
		if status, rep := h.do(a, "GET", "/rest/transaction/report/invoice", ""); status != 200 || get(rep, "report", 0, "amount").(float64) != 96.5 {
			t.Error(status, rep)
		}
	})
}
