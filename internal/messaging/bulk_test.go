package messaging_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/money"
)

func TestBulkRequestCountsItsItems(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		r.do("POST", "/rest/sms/optout", map[string]any{"phone": "15005550102"}, 201)
		m := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": []any{15005550101, "+15005550104", "15005550102", "15005550103"}, "message": "bulk"}, 201)
		id := m["uuid"].(string)
		if m["type"] != "smsr" || m["counters"].(map[string]any)["total"] != float64(4) || len(m["to"].([]any)) != 4 {
			t.Fatalf("%v", m)
		}
		first := r.await("the request's first event", func(p map[string]any) bool { return p["uuid"] == id })
		if c := first["counters"].(map[string]any); first["state"] != "created" || c["total"] != float64(4) || c["failed"] != float64(1) {
			t.Fatalf("%v", first)
		}
		r.wantEvents("15005550102", "created", "failed")
		r.wantEvents("15005550103", "created", "failed")
		e := r.awaitState(id, "success", false)
		c := e["counters"].(map[string]any)
		if c["success"] != float64(2) || c["failed"] != float64(2) {
			t.Fatalf("%v", c)
		}
		page := r.do("GET", "/rest/sms/"+id+"/items?state=failed", nil, 200)
		codes := []string{}
		for _, item := range page["data"].([]any) {
			codes = append(codes, item.(map[string]any)["error"].(map[string]any)["code"].(string))
		}
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"carrier_rejected", "opted_out"}) {
			t.Fatalf("%v", codes)
		}
	})
}

// wantEvents waits for the events of the message to a recipient, and wants one callback about its failure.
func (r *rig) wantEvents(to string, states ...string) {
	r.t.Helper()
	r.await("the end of the message to "+to, func(p map[string]any) bool { return p["to"] == to && p["state"] == states[len(states)-1] })
	var got []string
	for _, p := range r.events() {
		if p["to"] == to {
			got = append(got, p["state"].(string))
		}
	}
	if !slices.Equal(got, states) {
		r.t.Errorf("events of the message to %s: %v", to, got)
	}
}

func TestItemsOfABulkRequestThatCannotBePaidFail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		r.do("PATCH", "/rest/profile/messaging/"+r.profile(), map[string]any{"callback_url": "https://hooks.example.org/sms"}, 200)
		price := money.MustParse(fmt.Sprint(r.do("POST", "/rest/sms/preview", map[string]any{"from": from, "to": "15005550101", "message": "x"}, 200)["price"]))
		left, err := r.billing.Available(t.Context(), d.Read(), r.account)
		if err != nil {
			t.Fatal(err)
		}
		two, _ := price.Times(2)
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := r.billing.Settle(ctx, tx, "", billing.Entry{Account: r.account, Amount: two - left, RefType: "adjustment", Action: "adjustment", At: time.Now()})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		bulk := map[string]any{"from": from, "to": []any{15005550101, 15005550107, 13125550144}, "message": "x"}
		m := r.do("POST", "/rest/sms", bulk, 201)
		e := r.awaitState(m["uuid"].(string), "success", false)
		if c := e["counters"].(map[string]any); c["success"] != float64(2) || c["failed"] != float64(1) {
			t.Fatalf("%v", c)
		}
		r.wantEvents("13125550144", "created", "failed")
		if n := len(filterTriggers(r.calls.triggers(), "sms_send_fails")); n != 1 {
			t.Errorf("%d callbacks about failures, want 1: %v", n, r.calls.triggers())
		}
		item := r.do("GET", "/rest/sms/"+m["uuid"].(string)+"/items?state=failed", nil, 200)["data"].([]any)[0].(map[string]any)
		if item["error"].(map[string]any)["code"] != "insufficient_balance" {
			t.Errorf("%v", item)
		}
		r.do("POST", "/rest/sms", bulk, 405)
	})
}

func filterTriggers(list []string, one string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s != one })
}

func TestAQueueHasRoomForAMinuteOfTheAccountsRate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		from := r.lease(1, "")[0]
		limit := func(perSecond float64) {
			t.Helper()
			if _, err := r.acc.Administer(t.Context(), r.account, account.AdminPatch{Limits: &account.LimitsPatch{SMSPerSecond: &perSecond}}); err != nil {
				t.Fatal(err)
			}
		}
		to := []any{}
		for i := range 61 {
			to = append(to, 13125550100+i)
		}
		limit(1)
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": to, "message": "x"}, 429)
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": to[:60], "message": "x"}, 201)
		limit(0.01)
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": to[0], "message": "x"}, 429)
	})
}
