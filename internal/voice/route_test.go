package voice

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// network is a trunk with one carrier.
type network struct {
	asked  RouteRequest
	own    e164.Number
	lease  string
	refuse *Refusal
	spent  money.Amount
	freed  int
}

func (n *network) Route(_ context.Context, _ db.Querier, r RouteRequest) (RouteSet, error) {
	n.asked = r
	if n.refuse != nil {
		return RouteSet{}, n.refuse
	}
	to, err := e164.Parse(r.To)
	from := r.From
	if from == "" {
		from = n.own
	}
	return RouteSet{
		Profile: "11111111-1111-7111-8111-111111111111", From: from, Own: n.own, Lease: n.lease, To: to, Rate: Rate{PerMin: money.MustParse("0.0085"), MinTime: 6, Interval: 6},
		Ways: []Way{{Host: "192.0.2.7", Port: 5080, User: to.Plus(), From: from.Plus()}, {Host: "192.0.2.8"}}, Release: func() { n.freed++ },
	}, err
}

func (n *network) Identity(context.Context, db.Querier, string, string) (e164.Number, error) {
	return n.own, nil
}

func (n *network) Spent(_ context.Context, _ *db.Tx, _, _ string, amount money.Amount, _ time.Time) error {
	n.spent += amount
	return nil
}

func TestWhereADialGoes(t *testing.T) {
	n := &network{}
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Routes = n })
	_, l := h.app(func(*App) {})
	other := h.lease(0)
	n.own, n.lease = l.TN, l.ID
	leg := call.Leg{ID: ident.New(), Account: h.ann.Account, Direction: call.In, From: "+13125550144", To: string(l.TN), Tag: &tag{tn: l.TN, lease: l.ID}}
	dial := func(to, callerID string) ([]call.Attempt, *call.Cause) {
		return h.s.Route(t.Context(), call.RouteRequest{Account: h.ann.Account, Type: kindApp, CallerFrom: leg.From, CalledTN: string(l.TN), To: to, CallerID: callerID, Leg: leg})
	}
	ways, cause := dial("+13125550190", "")
	if cause != nil || len(ways) != 2 || ways[0].Dest != "192.0.2.7:5080" || ways[1].Dest != "192.0.2.8:5060" || ways[0].To != "13125550190" || ways[0].Asserted != l.TN.Plus() {
		t.Fatalf("network: %+v %v", ways, cause)
	}
	if tg := ways[0].Tag.(*tag); tg.charge != chargeOut || tg.tn != l.TN || tg.profile == "" || n.asked.Forwarded != "13125550144" || n.asked.Called != l.TN || n.asked.From != "" {
		t.Errorf("tag %+v asked %+v", tg, n.asked)
	}
	ways, _ = dial("13125550190", "+13125550144")
	if n.asked.From != "13125550144" || ways[0].Headers["Diversion"] != "<sip:"+l.TN.Plus()+"@192.0.2.7>;reason=unconditional" || ways[0].Headers["History-Info"] == "" {
		t.Errorf("forwarded: %+v", ways[0])
	}
	ways, cause = dial(string(other.TN), "")
	if cause != nil || len(ways) != 1 || !ways[0].OnNet || ways[0].Dest != "127.0.0.1:5060" || ways[0].Headers[loopHeader] != h.s.secret || ways[0].FromUser != l.TN.Plus() {
		t.Errorf("on-net: %+v %v", ways, cause)
	}
	if _, cause = dial(string(other.TN), "+14155550100"); cause == nil || cause.Reason != "caller_id" || cause.SIP != 403 {
		t.Errorf("foreign caller: %v", cause)
	}
	ways, cause = dial("sip:amy@127.0.0.9:5070;transport=tcp", "")
	if cause != nil || ways[0].Dest != "127.0.0.9:5070" || ways[0].Transport != "TCP" || ways[0].RequestURI != "sip:amy@127.0.0.9:5070" || ways[0].FromUser != "+13125550144" || ways[0].To != "amy" {
		t.Errorf("address: %+v %v", ways, cause)
	}
	for to, want := range map[string]string{
		"sips:amy@127.0.0.9": "TLS 127.0.0.9:5061", "sip:amy@127.0.0.9;transport=tls": "TLS 127.0.0.9:5061", "sips:amy@127.0.0.9:7000;transport=tcp": "TLS 127.0.0.9:7000",
		"sip:amy@127.0.0.9;transport=udp": "UDP 127.0.0.9:5060",
	} {
		if ways, cause = dial(to, ""); cause != nil || ways[0].Transport+" "+ways[0].Dest != want {
			t.Errorf("%s: %+v %v", to, ways, cause)
		}
	}
	if _, cause = dial("911", ""); cause == nil || cause.SIP != 484 || cause.Q850 != 28 {
		t.Errorf("emergency: %+v", cause)
	}
	ways, cause = dial("sip:amy@[2606:4700::1]", "")
	if cause != nil || ways[0].Dest != "[2606:4700::1]:5060" || ways[0].RequestURI != "sip:amy@[2606:4700::1]:5060" {
		t.Errorf("IPv6 address: %+v %v", ways, cause)
	}
	for _, to := range []string{"911", "12", "hello"} {
		if _, cause := dial(to, ""); cause == nil || cause.Reason != "no_route" {
			t.Errorf("%s: %v", to, cause)
		}
	}
	h.leave("0.0001")
	if _, cause := dial("13125550190", ""); cause == nil || cause.Reason != "no_balance" || n.freed != 1 {
		t.Errorf("without money: %v, %d channels freed", cause, n.freed)
	}
}

func TestDialOfACallMadeByRESTShowsTheNumberOfTheCall(t *testing.T) {
	n := &network{}
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Routes = n })
	profile, asked, other := h.lease(0), h.lease(0), h.lease(0)
	n.own, n.lease = profile.TN, profile.ID
	leg := call.Leg{ID: ident.New(), Account: h.ann.Account, Direction: call.Out, From: string(asked.TN), To: "13125550144", Tag: &tag{tn: asked.TN, lease: asked.ID}}
	dial := func(to, callerID string) []call.Attempt {
		ways, cause := h.s.Route(t.Context(), call.RouteRequest{Account: h.ann.Account, Type: kindXML, To: to, CallerID: callerID, Leg: leg})
		if cause != nil {
			t.Fatalf("%s: %+v", to, cause)
		}
		return ways
	}
	if ways := dial("+13125550190", ""); n.asked.From != asked.TN || ways[0].Asserted != asked.TN.Plus() {
		t.Errorf("network: asked for %s, %+v", n.asked.From, ways[0])
	}
	if ways := dial(string(other.TN), ""); ways[0].FromUser != asked.TN.Plus() {
		t.Errorf("on-net: %+v", ways[0])
	}
	if ways := dial("sip:amy@127.0.0.9", ""); ways[0].FromUser != string(asked.TN) {
		t.Errorf("address: %+v", ways[0])
	}
	if dial("+13125550190", profile.TN.Plus()); n.asked.From != profile.TN {
		t.Errorf("callerId of the Dial: asked for %s", n.asked.From)
	}
}

func TestChannelsAreHeldFromCarrierToCarrier(t *testing.T) {
	n := &network{}
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Routes = n })
	n.own = h.lease(0).TN
	ways, err := h.s.routeTo(t.Context(), target{account: h.ann.Account, to: "+13125550190"})
	if err != nil || len(ways) != 2 {
		t.Fatal(ways, err)
	}
	if ways[0].Release(); n.freed != 0 {
		t.Error("freed while the second carrier is still to be tried")
	}
	if ways[1].Release(); n.freed != 1 {
		t.Errorf("freed %d times", n.freed)
	}
}

func TestPrivateAddressesAreRefusedUnlessAllowed(t *testing.T) {
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Fetch = fetch.New(fetch.Options{}) })
	for _, to := range []string{"sip:a@127.0.0.1", "sip:a@10.0.0.1:5060", "a@[::1]"} {
		_, err := h.s.routeTo(t.Context(), target{account: h.ann.Account, to: to})
		var r *Refusal
		if !errors.As(err, &r) || !fault.Is(r.Err, fault.Validation) {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestLoopReachesTheCalledNumberForFree(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(a *App) { a.StaticFlow = greeting })
	inv := inviteTo(l)
	inv.source, inv.headers = "127.0.0.1:5060", map[string]string{loopHeader: h.s.secret}
	h.s.invite(inv)
	id := h.next("", CallStateEvent).RefID
	last := h.states(id, "ringing", "live", "hangup", "destroyed")
	has(t, last.Payload, map[string]string{"price": "null", "rate": "null"})
}

func TestCallsThatGoInCirclesEnd(t *testing.T) {
	h := build(t, dbtest.SQLite(t), nil)
	_, l := h.app(func(*App) {})
	inv := inviteTo(l)
	for hops := 1; ; hops++ {
		a := arrival{d: inv, lease: &l, called: l.TN}
		if !h.s.trusted(&a) {
			t.Fatal("not trusted")
		}
		ways, cause := h.s.Route(t.Context(), call.RouteRequest{Account: h.ann.Account, To: string(l.TN), CallerID: string(l.TN), Leg: call.Leg{Tag: a.tag(), Direction: call.In}})
		if hops > maxHops {
			if cause == nil || cause.Q850 != 25 || cause.SIP != 483 || cause.Reason != "no_route" {
				t.Errorf("hop %d: %v %v", hops, ways, cause)
			}
			return
		}
		if cause != nil {
			t.Fatalf("hop %d: %v", hops, cause)
		}
		inv = &fakeInvite{to: "+" + string(l.TN), from: ways[0].FromUser, source: "127.0.0.1:5060", headers: ways[0].Headers}
	}
}

func TestCallMadeByREST(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		n := &network{}
		h := build(t, d, func(c *Config) { c.Routes = n })
		_, l := h.app(func(*App) {})
		n.own, n.lease = l.TN, l.ID
		o := h.do("POST", "/rest/call", `{"to":13125550190,"tn_lease":"`+l.ID+`","xml":"<Response><Pause length=\"1\"/></Response>","meta":{"order":7},"record":true,"webhook_url":"https://hooks.example.org/?shop=2"}`).is(201).object()
		id := o["uuid"].(string)
		has(t, o, map[string]string{"type": `"CallXML"`, "state": `"init"`, "direction": `"out"`, "to": `"13125550190"`, "from": `"` + string(l.TN) + `"`, "meta": `{"order":7}`})
		h.states(id, "init")
		c, _ := h.fake.Find(id)
		h.must(c.(*fakeCall).Answer(t.Context()))
		last := h.states(id, "live", "hangup", "destroyed")
		has(t, last.Payload, map[string]string{"price": "0.00085", "billed_duration": "6", "rate": "0.0085"})
		if c.(*fakeCall).record == nil || n.spent != money.MustParse("0.00085") || len(h.hooks.sent()) != 4 {
			t.Errorf("record %v, spent %s, %d webhooks", c.(*fakeCall).record, n.spent, len(h.hooks.sent()))
		}
	})
}

// TestTheAnswerShowsACallAsItWasPlaced, even one that is picked up before the answer is written.
func TestTheAnswerShowsACallAsItWasPlaced(t *testing.T) {
	n := &network{}
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Routes = n })
	h.fake.quick = true
	_, l := h.app(func(*App) {})
	n.own, n.lease = l.TN, l.ID
	o := h.do("POST", "/rest/call", `{"to":13125550190,"tn_lease":"`+l.ID+`","xml":"<Response><Pause length=\"1\"/></Response>"}`).is(201).object()
	has(t, o, map[string]string{"state": `"init"`, "answer_on": "null", "ring_on": "null"})
	h.states(o["uuid"].(string), "init", "live", "hangup", "destroyed")
}

func TestCallMadeByRESTIsCheckedFirst(t *testing.T) {
	n := &network{}
	h := build(t, dbtest.SQLite(t), func(c *Config) { c.Routes = n })
	_, l := h.app(func(*App) {})
	n.own = l.TN
	for body, status := range map[string]int{
		`{}`: 400, `{"to":"12"}`: 400, `{"to":"13125550190","xml":"<Response/>","url":"https://x.example.org/"}`: 400, `{"to":"13125550190","xml":"<Foo/>"}`: 400,
		`{"to":"13125550190","meta":{"a":{}}}`: 400, `{"to":"13125550190","timeout":1}`: 400, `{"to":"13125550190","from":"12x"}`: 400, `{"to":"13125550190","sip_control_app":"` + ident.New() + `"}`: 404,
		`{"to":"13125550190","tn_lease":"` + ident.New() + `"}`: 404,
	} {
		if a := h.do("POST", "/rest/call", body); a.status != status {
			t.Errorf("%s: %d, want %d: %s", body, a.status, status, a.raw)
		}
	}
	n.refuse = &Refusal{Reason: "country", SIP: 403, Q850: 21, Err: fault.New(fault.Country)}
	if a := h.do("POST", "/rest/call", `{"to":"13125550190"}`).is(403); a.body["meta"] != "country_not_allowed" {
		t.Errorf("%s", a.raw)
	}
	n.refuse = nil
	h.leave("0")
	h.do("POST", "/rest/call", `{"to":"13125550190"}`).is(402)
	if len(h.fake.calls) != 0 {
		t.Errorf("%d calls were placed", len(h.fake.calls))
	}
}
