package messaging_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier"
	"github.com/opentact/opentact/internal/messaging/carrier/sandbox"
	"github.com/opentact/opentact/internal/money"
)

const atlas = "Your atlas is ready for pickup."

func TestAMessageIsSentDeliveredAndCharged(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		r.do("PATCH", "/rest/profile/messaging/"+r.profile(), map[string]any{"callback_url": "https://hooks.example.org/sms"}, 200)
		before, _, _, err := r.billing.Balance(t.Context(), d.Read(), r.account)
		if err != nil {
			t.Fatal(err)
		}
		sent := r.do("POST", "/rest/sms", map[string]any{"tn": from.Plus(), "to": "+1 500 555 0101", "text": atlas, "meta": map[string]any{"order": 7}}, 200)
		if sent["type"] != "smso" || sent["state"] != "created" || sent["from"] != from.Digits() || sent["to"] != float64(15005550101) || sent["sms_campaign"] != messaging.ReadyCampaign {
			t.Fatalf("%v", sent)
		}
		id := sent["uuid"].(string)
		last := r.awaitState(id, "success", true)
		for _, member := range []string{"tn", "tn_lease", "subscription", "messaging_profile", "account", "sent_on", "delivered_on", "reference_id", "meta", "created_by"} {
			if last[member] == nil {
				t.Errorf("%s is missing in %v", member, last)
			}
		}
		if p := last["messaging_profile"].(map[string]any); p["call_back_url"] != "https://hooks.example.org/sms" || p["callback_url"] != p["call_back_url"] {
			t.Errorf("profile in the event: %v", p)
		}
		if last["to"] != "15005550101" || last["price"] != 0.0075 || !strings.HasPrefix(last["reason"].(string), "[SMSO]["+id+"]: tn: "+from.Digits()) {
			t.Errorf("%v", last)
		}
		var states []string
		for _, e := range r.events() {
			states = append(states, fmt.Sprint(e["state"], e["delivered"]))
		}
		if !slices.Equal(states, []string{"createdfalse", "successfalse", "successtrue"}) {
			t.Errorf("events %v", states)
		}
		if got := r.calls.triggers(); !slices.Equal(got, []string{"sms_sent", "sms_delivered"}) {
			t.Errorf("callbacks %v", got)
		}
		after, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account)
		if err != nil || before-after != money.MustParse("0.0075") || reserved != 0 {
			t.Errorf("balance %s to %s, reserved %s, %v", before, after, reserved, err)
		}
		got := r.do("GET", "/rest/sms/outbound/"+id, nil, 200)
		if got["delivered"] != true || got["to"] != float64(15005550101) || got["account_uuid"] != r.account {
			t.Errorf("%v", got)
		}
		r.do("GET", "/rest/sms/inbound/"+id, nil, 404)
		r.do("DELETE", "/rest/sms/outbound/"+id, nil, 409)
		page := r.do("POST", "/rest/sms/o/search", map[string]any{"message": "*ATLAS*", "state": "sent", "order": map[string]string{"created_on": "DESC"}}, 200)
		if page["total"] != float64(1) {
			t.Errorf("%v", page)
		}
	})
}

// profile gives the account's default profile.
func (r *rig) profile() string {
	r.t.Helper()
	list, err := r.sms.Profiles(context.Background(), r.account)
	if err != nil {
		r.t.Fatal(err)
	}
	return list[0].ID
}

func TestChecksAnswerInTheContractsOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true, credit: "20"})
		from := r.lease(1, "")[0]
		send := func(status int, extra map[string]any) {
			t.Helper()
			body := map[string]any{"from": from, "to": "15005550101", "message": atlas}
			for k, v := range extra {
				body[k] = v
			}
			r.do("POST", "/rest/sms", body, status)
		}
		send(400, map[string]any{"to": "12x"})
		send(400, map[string]any{"message": ""})
		send(400, map[string]any{"message": strings.Repeat("a", 919)})
		send(400, map[string]any{"message": strings.Repeat("a", 161), "max_segments": 1})
		all := r.do("POST", "/rest/sms", map[string]any{
			"from": from, "to": "12x", "message": strings.Repeat("ж", 140), "max_segments": 2, "validity": 1, "meta": map[string]any{"note": strings.Repeat("a", 4<<10)},
		}, 400)["fields"].(map[string]any)
		for _, name := range []string{"to", "message", "validity", "meta"} {
			if all["params."+name] == nil {
				t.Errorf("no fault of %s: %v", name, all)
			}
		}
		send(400, map[string]any{"max_price": 0.001})
		send(404, map[string]any{"from": "12125559999"})
		send(404, map[string]any{"from": nil, "messaging_profile": "0194f2a7-2b40-7a3d-8e4f-5061728394a5"})
		send(400, map[string]any{"from": nil, "messaging_profile": r.profile()}) // pool disabled
		if _, err := r.acc.Administer(t.Context(), r.account, account.AdminPatch{Countries: &account.Countries{SMS: []string{"CA"}}}); err != nil {
			t.Fatal(err)
		}
		send(406, nil)
		if _, err := r.acc.Administer(t.Context(), r.account, account.AdminPatch{Countries: &account.Countries{SMS: []string{"US"}}}); err != nil {
			t.Fatal(err)
		}
		out := r.do("POST", "/rest/sms/optout", map[string]any{"phone": "+15005550101", "reason": "asked by phone"}, 201)
		send(403, nil)
		send(200, map[string]any{"to": "15005550102"})
		r.do("DELETE", "/rest/sms/optout/"+out["uuid"].(string), nil, 200)
		send(200, nil)
		if page := r.do("POST", "/rest/sms/optout/search", map[string]any{"phone": "1500*", "is_active": false}, 200); page["total"] != float64(1) {
			t.Fatalf("%v", page)
		}
		rate := 0.05 // 3 may wait
		if _, err := r.acc.Administer(t.Context(), r.account, account.AdminPatch{Limits: &account.LimitsPatch{SMSPerSecond: &rate}}); err != nil {
			t.Fatal(err)
		}
		send(200, nil)
		send(429, nil)
		rate = 0
		if _, err := r.acc.Administer(t.Context(), r.account, account.AdminPatch{Limits: &account.LimitsPatch{SMSPerSecond: &rate}}); err != nil {
			t.Fatal(err)
		}
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			available, err := r.billing.Available(ctx, tx, r.account)
			if err != nil {
				return err
			}
			return holdAll(ctx, tx, r, available)
		}); err != nil {
			t.Fatal(err)
		}
		send(405, nil)
	})
}

func TestMagicNumbersBehaveAsTheTableSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		id := func(to string) string {
			return r.do("POST", "/rest/sms", map[string]any{"from": from, "to": to, "message": "hi " + to}, 200)["uuid"].(string)
		}
		undelivered, rejected, early, throttled, stops, echo := id("15005550102"), id("15005550103"), id("15005550104"), id("15005550105"), id("15005550106"), id("15005550107")
		if p := r.awaitState(undelivered, "failed", false); p["error"].(map[string]any)["code"] != "undeliverable" || p["sent_on"] == nil {
			t.Errorf("%v", p)
		}
		if p := r.awaitState(rejected, "failed", false); p["error"].(map[string]any)["code"] != "carrier_rejected" || p["price"] != nil {
			t.Errorf("%v", p)
		}
		r.awaitState(early, "success", true)
		r.awaitState(stops, "success", true)
		in := r.await("STOP", func(p map[string]any) bool { return p["type"] == "smsi" && p["message"] == "STOP" })
		if in["from"] != "15005550106" || in["to"] != from.Digits() || in["state"] != "success" || in["price"] != 0.003 && in["price"] == nil {
			t.Errorf("%v", in)
		}
		r.await("confirmation", func(p map[string]any) bool { return p["automated"] == true && p["to"] == "15005550106" })
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "15005550106", "message": "again"}, 403)
		back := r.await("echo", func(p map[string]any) bool { return p["type"] == "smsi" && p["message"] == "hi 15005550107" })
		r.awaitState(echo, "success", true)
		r.awaitState(throttled, "success", true)
		asked := 0
		for _, p := range r.events() {
			if p["type"] == "smsi" && p["message"] == "STOP" {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("%d STOPs: an automated message was answered", asked)
		}
		read := r.do("PATCH", "/rest/sms/i/"+back["uuid"].(string), map[string]any{"readed": true}, 200)
		if same := r.do("PATCH", "/rest/sms/i/"+back["uuid"].(string), map[string]any{}, 200); same["readed"] != true || same["modified_on"] != read["modified_on"] {
			t.Fatalf("a PATCH of nothing: %v", same)
		}
		if read["readed"] != true || read["tnlease"] == nil {
			t.Errorf("%v", read)
		}
		if _, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved != 0 {
			t.Errorf("reserved %s %v", reserved, err)
		}
		if drift, err := r.billing.Drift(t.Context(), r.account); err != nil || drift != 0 {
			t.Errorf("drift %s %v", drift, err)
		}
	})
}

func TestANumberOfThePlatformGetsTheMessageOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		other, _ := r.newAccount()
		to := r.leaseOf(other, 1, "", "TX")[0]
		sent := r.do("POST", "/rest/sms/o", map[string]any{"from": from, "to": to, "message": "hello there"}, 200)
		r.awaitState(sent["uuid"].(string), "success", true)
		r.account = other
		in := r.await("smsi", func(p map[string]any) bool { return p["type"] == "smsi" })
		if in["from"] != from.Digits() || in["to"] != to.Digits() || in["message"] != "hello there" || in["thread"] != sent["thread"] {
			t.Fatalf("%v", in)
		}
		if page := r.do("POST", "/rest/sms/search/inbound", map[string]any{"readed": false}, 200); page["total"] != float64(1) {
			t.Fatalf("%v", page)
		}
	})
}

// TestEarlyReceiptsLoseNothing: the receipt of each message comes before the answer to its submit.
func TestEarlyReceiptsLoseNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		senders := r.lease(10, "")
		const n = 1000
		var wg sync.WaitGroup
		for c := range 20 {
			wg.Go(func() {
				for i := range n / 20 {
					_, err := r.sms.Send(context.Background(), messaging.Request{Account: r.account, User: r.user, From: senders[c%10], To: []string{"15005550104"}, Text: fmt.Sprint(c, " ", i)})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		r.awaitTotal(messaging.Filter{State: "success", Delivered: yes()}, n)
		if got := r.sms.Counters().Parked.Load(); got < n {
			t.Errorf("%d receipts were early, want all", got)
		}
	})
}

func yes() *bool { v := true; return &v }

// awaitTotal waits until so many outbound messages fit.
func (r *rig) awaitTotal(f messaging.Filter, n int) []*messaging.Message {
	r.t.Helper()
	f.Account, f.Types, f.Take = r.account, []string{"smso"}, 100
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	over := time.After(40 * time.Second)
	for {
		list, total, err := r.sms.Search(context.Background(), f)
		if err != nil {
			r.t.Fatal(err)
		}
		if total == n {
			return list
		}
		select {
		case <-tick.C:
		case <-over:
			r.t.Fatalf("%d messages fit, want %d", total, n)
		}
	}
}

// TestRestartInTheMiddleLosesNothing stops every part while messages are accepted, submitted and receipted, and starts them anew.
func TestRestartInTheMiddleLosesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		senders := r.lease(5, "")
		const n = 300
		for i := range n {
			_, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: senders[i%5], To: []string{[]string{"15005550101", "15005550104", "13125550144"}[i%3]}, Text: fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			if i%100 == 99 {
				r.stop()
				r = build(t, d, options{keep: r})
			}
		}
		r.awaitTotal(messaging.Filter{State: "success", Delivered: yes()}, n)
		if drift, err := r.billing.Drift(t.Context(), r.account); err != nil || drift != 0 {
			t.Errorf("drift %s %v", drift, err)
		}
		if _, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved != 0 {
			t.Errorf("reserved %s %v", reserved, err)
		}
	})
}

func TestPoolChoosesByWeightAndStaysWithTheRecipient(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		p := r.do("POST", "/rest/profile/messaging", map[string]any{"name": "pickup", "number_pool_enable": true, "toll_free_weight": 3}, 201)
		profile := p["uuid"].(string)
		req := map[string]any{"messaging_profile": profile, "to": "15005550101", "message": "pool"}
		none := r.do("POST", "/rest/sms", req, 201)
		if e := r.awaitState(none["uuid"].(string), "failed", false); e["error"].(map[string]any)["code"] != "no_sender" {
			t.Fatalf("%v", e)
		}
		senders := r.lease(2, profile)
		used := map[any]int{}
		for range 6 {
			m := r.do("POST", "/rest/sms", req, 201)
			if m["type"] != "smsr" || m["state"] != "created" || m["from"] != nil {
				t.Fatalf("%v", m)
			}
			e := r.awaitState(m["uuid"].(string), "success", false)
			child := e["smso"].(map[string]any)
			used[child["from"]]++
			if got := r.do("GET", "/rest/sms/outbound/"+m["uuid"].(string), nil, 200); got["smso"].(map[string]any)["uuid"] != child["uuid"] || got["from"] != child["from"] {
				t.Fatalf("%v", got)
			}
		}
		if used[senders[0].Digits()] != 3 || used[senders[1].Digits()] != 3 {
			t.Fatalf("%v", used)
		}
		r.do("PATCH", "/rest/profile/messaging/"+profile, map[string]any{"sticky_sender": true}, 200)
		first := ""
		for range 3 {
			m := r.do("POST", "/rest/sms", req, 201)
			from := r.awaitState(m["uuid"].(string), "success", false)["from"].(string)
			if first != "" && from != first {
				t.Fatalf("%s, then %s", first, from)
			}
			first = from
		}
	})
}

func TestSegmentsOfAnInboundMessageAreJoined(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		to := r.lease(1, "")[0].Digits()
		for _, seq := range []byte{2, 1, 2} {
			in := carrier.Inbound{Link: "l", ID: fmt.Sprint("x", seq), From: "13125550144", To: to, Text: fmt.Sprint("part", seq), Concat: concat(9, 2, seq), At: time.Now()}
			if err := r.sms.Inbound(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		list, total, err := r.sms.Search(t.Context(), messaging.Filter{Account: r.account, Types: []string{"smsi"}, Take: 10})
		if err != nil || total != 1 || list[0].Text != "part1part2" || list[0].Segments != 2 {
			t.Fatalf("%d %+v %v", total, list, err)
		}
	})
}

func TestLongMessagesAreDeliveredWhenAllSegmentsAre(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		m := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "15005550101", "message": strings.Repeat("0123456789", 40)}, 200)
		if m["segments"] != float64(3) {
			t.Fatalf("%v", m)
		}
		if e := r.awaitState(m["uuid"].(string), "success", true); e["price"] != 0.0225 {
			t.Fatalf("%v", e["price"])
		}
	})
}

func TestPreviewChargesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		from := r.lease(1, "")[0]
		p := r.do("POST", "/rest/sms/preview", map[string]any{"from": from, "to": "15005550101", "message": "“hi”"}, 200)
		if p["encoding"] != "ucs2" || p["forced_by"].(map[string]any)["position"] != float64(0) || p["smart_encoding"].(map[string]any)["encoding"] != "gsm7" || p["price"] != 0.0075 {
			t.Fatalf("%v", p)
		}
		if _, total, err := r.sms.Search(t.Context(), messaging.Filter{Account: r.account, Take: 1}); err != nil || total != 0 {
			t.Fatal(total, err)
		}
	})
}

func TestCancelFreesTheMoney(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		from := r.lease(1, "")[0]
		m := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "15005550101", "message": "x"}, 200)
		c := r.do("DELETE", "/rest/sms/outbound/"+m["uuid"].(string), nil, 200)
		if c["state"] != "failed" || c["error"].(map[string]any)["code"] != "canceled" {
			t.Fatalf("%v", c)
		}
		if _, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved != 0 {
			t.Fatal(reserved, err)
		}
	})
}

// stubborn is a carrier that refuses for now, until it is told otherwise, and notes the order of what it took.
type stubborn struct {
	mu    sync.Mutex // guards what follows
	deaf  int
	taken []string
}

func (s *stubborn) Run(context.Context, func()) error { return nil }

func (s *stubborn) Submit(_ context.Context, m carrier.Message) (carrier.Submitted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deaf > 0 {
		s.deaf--
		return carrier.Submitted{}, &carrier.Refusal{Kind: carrier.Temporary, Reason: "busy", RetryAfter: 10 * time.Millisecond}
	}
	s.taken = append(s.taken, m.Text)
	return carrier.Submitted{ID: m.ID}, nil
}

func TestAThreadKeepsItsOrderThroughRefusals(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		s := &stubborn{deaf: 25}
		r := build(t, d, options{links: func(*messaging.Service, *sandbox.Carrier) []messaging.Link {
			return []messaging.Link{{Name: "stubborn", Driver: s, Sandbox: true}}
		}})
		from := r.lease(1, "")[0]
		const n = 60
		for i := range n {
			if _, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: from, To: []string{"13125550144"}, Text: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		r.awaitTotal(messaging.Filter{State: "success"}, n)
		for i, text := range s.taken {
			if text != fmt.Sprint(i) {
				t.Fatalf("place %d has %s: %v", i, text, s.taken)
			}
		}
	})
}

func TestQueueTimeoutFailsAndFreesTheMoney(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var mu sync.Mutex
		at := time.Now()
		clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
		s := &stubborn{deaf: 1 << 30}
		r := build(t, d, options{now: clock, links: func(*messaging.Service, *sandbox.Carrier) []messaging.Link {
			return []messaging.Link{{Name: "stubborn", Driver: s, Sandbox: true}}
		}})
		from := r.lease(1, "")[0]
		m := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "13125550144", "message": "x", "validity": 60}, 200)
		mu.Lock()
		at = at.Add(61 * time.Second)
		mu.Unlock()
		e := r.awaitState(m["uuid"].(string), "failed", false)
		if e["error"].(map[string]any)["code"] != "queue_timeout" || e["reason"] != "Queuing Timeout Event" {
			t.Fatalf("%v", e)
		}
		if _, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved != 0 {
			t.Fatal(reserved, err)
		}
	})
}

func TestDoubleAndLateReceiptsChangeNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		s := &stubborn{}
		r := build(t, d, options{links: func(*messaging.Service, *sandbox.Carrier) []messaging.Link {
			return []messaging.Link{{Name: "stubborn", Driver: s, Sandbox: true}}
		}})
		from := r.lease(1, "")[0]
		m := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "13125550144", "message": "x"}, 200)
		id := m["uuid"].(string)
		r.awaitState(id, "success", false)
		for _, state := range []carrier.State{carrier.EnRoute, carrier.Delivered, carrier.Delivered, carrier.Undeliverable, carrier.Accepted} {
			if err := r.sms.Receipt(t.Context(), carrier.Receipt{Link: "stubborn", ID: id, State: state, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.do("GET", "/rest/sms/"+id, nil, 200); got["delivered"] != true || got["state"] != "success" {
			t.Fatalf("%v", got)
		}
		if n := len(r.events()); n != 3 {
			t.Errorf("%d events", n)
		}
		raw, err := json.Marshal(r.sms.Counters().Doubles.Load())
		if err != nil || string(raw) != "3" {
			t.Errorf("%s doubles, %v", raw, err)
		}
	})
}
