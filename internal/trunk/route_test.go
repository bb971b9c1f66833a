package trunk_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/trunk"
)

// routed is a house with a carrier and a profile that shows a leased number.
type routed struct {
	*house
	lease   number.Lease
	profile trunk.Profile
}

func buildRouted(t *testing.T, d *db.DB) *routed {
	t.Helper()
	h := &routed{house: build(t, d)}
	h.lease = h.house.lease()
	h.carrier("north", func(*trunk.Carrier) {})
	p := trunk.NewProfile(h.account, h.user)
	p.Name, p.Lease = "out", h.lease.ID
	var err error
	h.profile, err = h.s.AddProfile(t.Context(), p)
	h.must(err)
	return h
}

func (h *routed) carrier(name string, change func(*trunk.Carrier)) trunk.Carrier {
	h.t.Helper()
	c := trunk.Carrier{
		Name: name, Kind: trunk.Voice, Active: true, Priority: 10, Weight: 10, Prefixes: []string{},
		Voice: trunk.VoiceLink{Hosts: []trunk.Host{{Host: name + ".example.net", Port: 5060, Transport: "udp"}}, Codecs: []string{"PCMU"}, NumberFormat: "digits"},
	}
	change(&c)
	c, err := h.s.AddCarrier(h.t.Context(), c)
	h.must(err)
	return c
}

func (h *routed) set(change func(*trunk.Profile)) {
	h.t.Helper()
	var err error
	h.profile, err = h.s.ChangeProfile(h.t.Context(), h.account, h.profile.ID, change)
	h.must(err)
}

const somebody = "+1 212 555 0199"

func amount(s string) *money.Amount {
	a := money.MustParse(s)
	return &a
}

func TestRouteOfAnAllowedCall(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		r, err := h.route(trunk.RouteRequest{To: somebody}) // the oldest active profile
		h.must(err)
		if r.Profile.ID != h.profile.ID || r.To != "12125550199" || r.Country != "US" || r.From != h.lease.TN || r.Lease != h.lease.ID {
			t.Errorf("%+v", r)
		}
		if r.Rate.PerMin != money.MustParse("0.0085") || r.Rate.MinTime != 6 || r.Rate.Interval != 6 {
			t.Errorf("rate %+v", r.Rate)
		}
		if len(r.Attempts) != 1 || r.Attempts[0].Host != "north.example.net" || r.Attempts[0].User != "12125550199" || r.Attempts[0].From != h.lease.TN.Digits() {
			t.Errorf("attempts %+v", r.Attempts)
		}
	})
}

func TestChecksOfACallInTheirOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		call := trunk.RouteRequest{Profile: h.profile.ID, To: somebody}
		to := func(n string) trunk.RouteRequest { return trunk.RouteRequest{Profile: h.profile.ID, To: n} }
		h.refused(trunk.RouteRequest{Profile: ident.New(), To: somebody}, trunk.ReasonNoRoute, 403, fault.NotFound)
		for _, n := range []string{"911", "112", "933", "abc", "12", "+1 900 555 0100", "+1 212 976 1234"} {
			h.refused(to(n), trunk.ReasonNoRoute, 484, fault.Validation)
		}
		h.refused(to("+44 20 7946 0000"), trunk.ReasonCountry, 403, fault.Country)
		foreign := call
		foreign.From = numberOf("+1 212 555 0100")
		h.refused(foreign, trunk.ReasonCallerID, 403, fault.CallerID)
		h.set(func(p *trunk.Profile) { p.Countries = []string{"GB"} })
		h.refused(call, trunk.ReasonCountry, 403, fault.Country)
		if _, err := h.route(to("+44 20 7946 0000")); err != nil {
			t.Errorf("a country of the profile: %v", err)
		}
		h.set(func(p *trunk.Profile) { p.Countries, p.MaxRate = nil, amount("0.008499") })
		h.refused(call, trunk.ReasonRate, 403, fault.AccessDenied)
		h.set(func(p *trunk.Profile) { p.MaxRate, p.DailyLimit = amount("0.0085"), amount("1") })
		if _, err := h.route(call); err != nil {
			t.Errorf("a rate at the limit: %v", err)
		}
		h.spend(h.profile.ID, "0.999999")
		if _, err := h.route(call); err != nil {
			t.Errorf("below the daily limit: %v", err)
		}
		h.spend(h.profile.ID, "0.000001")
		h.refused(call, trunk.ReasonDaily, 403, fault.Balance)
		h.pass(2 * time.Hour) // past midnight UTC
		if _, err := h.route(call); err != nil {
			t.Errorf("the next day: %v", err)
		}
		h.set(func(p *trunk.Profile) { p.Active = false })
		h.refused(call, trunk.ReasonNoRoute, 403, fault.NotFound)
		h.refused(trunk.RouteRequest{To: somebody}, trunk.ReasonNoRoute, 403, fault.NotFound)
	})
}

func (h *routed) spend(profile, sum string) {
	h.t.Helper()
	h.must(h.d.Update(h.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return h.s.Spent(ctx, tx, h.account, profile, money.MustParse(sum), h.now())
	}))
}

func TestDailySpendingOfTheAccountCountsAllProfiles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		limit := money.MustParse("2")
		_, err := h.acc.Administer(t.Context(), h.account, account.AdminPatch{Limits: &account.LimitsPatch{DailySpend: &limit}})
		h.must(err)
		h.spend(h.profile.ID, "1.5")
		a := h.call(h.token, "GET", "/rest/profile/outbound_voice/"+h.profile.ID, "").is(200)
		a.has(map[string]string{"spent_today": "1.5"})
		h.spend(ident.New(), "0.5")
		h.refused(trunk.RouteRequest{To: somebody}, trunk.ReasonDaily, 403, fault.Balance)
	})
}

func TestCallerID(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		second := h.house.lease()
		stranger := numberOf("+1 646 555 0123")
		ask := func(change func(*trunk.RouteRequest)) trunk.Route {
			t.Helper()
			req := trunk.RouteRequest{Profile: h.profile.ID, To: somebody}
			change(&req)
			r, err := h.route(req)
			h.must(err)
			return r
		}
		if own, err := h.s.Identity(t.Context(), d.Read(), h.account, ""); err != nil || own != h.lease.TN {
			t.Errorf("the profile's own number: %s %v", own, err)
		}
		if r := ask(func(q *trunk.RouteRequest) { q.From = second.TN }); r.From != second.TN || r.Lease != second.ID {
			t.Errorf("a leased number: %+v", r)
		}
		if r := ask(func(q *trunk.RouteRequest) { q.From, q.Asserted = stranger, true }); r.From != h.lease.TN {
			t.Errorf("what a switch says gives way: %s", r.From)
		}
		if r := ask(func(q *trunk.RouteRequest) { q.From, q.Forwarded, q.Called = stranger, stranger, second.TN }); r.From != stranger || r.Own != second.TN {
			t.Errorf("a forwarded caller: %s by %s", r.From, r.Own)
		}
		if r := ask(func(q *trunk.RouteRequest) { q.Called = second.TN }); r.From != h.lease.TN {
			t.Errorf("the profile's number comes first: %s", r.From)
		}
		h.set(func(p *trunk.Profile) { p.Lease = "" })
		if own, err := h.s.Identity(t.Context(), d.Read(), h.account, h.profile.ID); err != nil || own != "" {
			t.Errorf("a profile without a number: %s %v", own, err)
		}
		if r := ask(func(q *trunk.RouteRequest) { q.Called = second.TN }); r.From != second.TN {
			t.Errorf("the called number is the last resort: %s", r.From)
		}
		h.refused(trunk.RouteRequest{Profile: h.profile.ID, To: somebody, From: stranger, Asserted: true}, trunk.ReasonCallerID, 403, fault.CallerID)
		h.refused(trunk.RouteRequest{Profile: h.profile.ID, To: somebody}, trunk.ReasonCallerID, 403, fault.CallerID)
		h.set(func(p *trunk.Profile) { p.Lease = second.ID })
		_, err := h.numbers.Release(t.Context(), number.By{Account: h.account}, []string{second.ID})
		h.must(err)
		h.refused(trunk.RouteRequest{Profile: h.profile.ID, To: somebody}, trunk.ReasonCallerID, 403, fault.CallerID)
		h.call(h.token, "GET", "/rest/profile/outbound_voice/"+h.profile.ID, "").is(200).has(map[string]string{"tn_lease": "null"})
	})
}

func TestRateTableComesBeforePricePlans(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		rate := func(to string) trunk.Rate {
			t.Helper()
			r, err := h.route(trunk.RouteRequest{To: to})
			h.must(err)
			return r.Rate
		}
		h.upload("/rest/admin/rate/1", "prefix,country,rate,setup,min_time,interval,grace,effective_on\n1212,US,0.02,0.1,30,6,2,\n12125,US,9,0,6,6,0,2026-03-05\n1416,CA,0.03\n").is(200).has(map[string]string{"accepted": "3"})
		if r := rate(somebody); r.Prefix != "1212" || r.PerMin != money.MustParse("0.02") || r.Setup != money.MustParse("0.1") || r.MinTime != 30 || r.Interval != 6 || r.Grace != 2 {
			t.Errorf("%+v", r)
		}
		if first, err := rate(somebody).First(); err != nil || first != money.MustParse("0.11") {
			t.Errorf("first increment %s %v", first, err)
		}
		h.pass(2 * time.Hour)
		if r := rate(somebody); r.Prefix != "12125" || r.PerMin != 9*money.Unit {
			t.Errorf("the row of the new day: %+v", r)
		}
		h.refused(trunk.RouteRequest{To: "+1 646 555 0123"}, trunk.ReasonRate, 403, fault.AccessDenied)
	})
}

func TestOrderOfCarriers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		names := func(to string) []string {
			t.Helper()
			r, err := h.route(trunk.RouteRequest{To: to})
			h.must(err)
			var out []string
			for _, a := range r.Attempts {
				out = append(out, a.Name)
			}
			return out
		}
		box, err := h.s.EnsureSandbox(t.Context(), "127.0.0.1", 40404)
		h.must(err)
		if got := names(somebody); !equal(got, "north") {
			t.Errorf("the sandbox serves beside a real carrier: %v", got)
		}
		if got := names("+1 500 555 0001"); !equal(got, "sandbox", "sandbox") {
			t.Errorf("a magic number: %v", got)
		}
		canada := h.carrier("canada", func(c *trunk.Carrier) {
			c.Priority, c.Prefixes, c.Voice.NumberFormat = 5, []string{"1416", "1"}, "national"
		})
		h.carrier("backup", func(c *trunk.Carrier) {
			c.Priority, c.Voice.NumberFormat = 20, "e164"
			c.Voice.Hosts = append(c.Voice.Hosts, trunk.Host{Host: "b2.example.net", Port: 5060, Transport: "tcp"})
		})
		h.carrier("british", func(c *trunk.Carrier) { c.Priority, c.Prefixes = 1, []string{"44"} })
		h.carrier("costly", func(c *trunk.Carrier) { c.Priority, c.Voice.RateTable = 1, 9 })
		h.upload("/rest/admin/rate/9", "44,GB,0.01").is(200)
		r, err := h.route(trunk.RouteRequest{To: somebody})
		h.must(err)
		if got := names(somebody); !equal(got, "canada", "north", "backup") || r.Attempts[0].User != "2125550199" || r.Attempts[2].User != "+12125550199" {
			t.Errorf("by priority: %v %+v", got, r.Attempts)
		}
		h.s.SetState(canada.ID, false)
		if got := names(somebody); !equal(got, "north", "backup", "canada") {
			t.Errorf("healthy ones first: %v", got)
		}
		if _, err := h.s.RemoveCarrier(t.Context(), canada.ID); err != nil {
			t.Fatal(err)
		}
		if got := names(somebody); !equal(got, "north", "backup", "backup") {
			t.Errorf("second addresses after the first ones: %v", got)
		}
		h.call(h.admin, "PATCH", "/rest/admin/carrier/"+box.ID, `{"name":"mine"}`).refuses(409, "conflict")
	})
}

func equal(got []string, want ...string) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if got[i] != want[i] {
			return false
		}
	}
	return true
}

func TestSandboxIsWhereThisNodeHasIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		h.carrier("local", func(c *trunk.Carrier) { c.Voice.InboundIPs = []string{"127.0.0.2"} })
		for port := range 2 {
			c, err := h.s.EnsureSandbox(t.Context(), "127.0.0.1", 40000+port)
			h.must(err)
			r, err := h.route(trunk.RouteRequest{To: "+15005550001"})
			h.must(err)
			if !r.Attempts[0].Sandbox || r.Attempts[0].Carrier != c.ID || r.Attempts[0].Port != 40000+port {
				t.Errorf("%+v", r.Attempts)
			}
		}
		if h.match("127.0.0.1:9") != "sandbox" || h.match("[::1]:9") != "sandbox" || h.match("127.0.0.2:9") != "local" {
			t.Error("sources of the sandbox")
		}
		without := trunk.New(trunk.Config{DB: d, Accounts: h.acc, Numbers: h.numbers})
		h.must(without.Load(t.Context()))
		if _, _, ok := without.Match(netip.MustParseAddrPort("127.0.0.1:9")); ok {
			t.Error("a node without a sandbox trusts loopback addresses")
		}
	})
}

func TestNoCarrierIsARefusal(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := buildRouted(t, d)
		h.refused(trunk.RouteRequest{To: "+1 500 555 0001"}, trunk.ReasonNoRoute, 503, fault.Unavailable)
	})
}
