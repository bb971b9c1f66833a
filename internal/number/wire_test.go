package number_test

import (
	"slices"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
)

func TestSubscriptionsOfALeaseOnTheWire(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tn := h.pick(a, `{"npa":"206"}`, 1)[0]
		if status, o := h.do(a, "POST", "/rest/order", `{"items":[{"tn":`+tn+`,"features":["voice"]}]}`); status != 201 {
			t.Fatal(status, o)
		}
		base := "/rest/lease/tn/" + tn
		status, sms := h.do(a, "POST", base+"/subscription/sms", `{"messaging_profile":"`+ident.New()+`"}`)
		if status != 200 {
			t.Fatal("sms", status, sms)
		}
		if reason, ok := sms.(map[string]any)["reason"]; !ok || reason != nil {
			t.Error("the reason of an sms subscription is null when there is none", sms)
		}
		status, voice := h.do(a, "POST", base+"/subscription/voice", `{"sip_control_app":"`+ident.New()+`"}`)
		if status != 200 {
			t.Fatal("voice", status, voice)
		}
		for _, name := range []string{"reason", "state"} {
			if v, ok := voice.(map[string]any)[name]; ok {
				t.Error("a voice subscription has no", name, v)
			}
		}
		if status, out := h.do(a, "PATCH", base, `{"sip_user":"`+ident.New()+`"}`); status != 404 || get(out, "message") != "SIP user not found" {
			t.Error(status, out)
		}
		if status, out := h.do(a, "PATCH", base, `{"sip_user":null}`); status != 200 {
			t.Error(status, out)
		}
		_, l := h.do(a, "GET", base, "")
		for name, want := range map[string]any{"total": 1.0, "success": 1.0, "processing": 0.0, "failed": 0.0, "price": 1.1} {
			if got := get(l, "tnorder", name); got != want {
				t.Errorf("tnorder.%s is %v, want %v", name, got, want)
			}
		}
	})
}

func TestAWithdrawnNumberIsGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		if status, out := h.do(a, "POST", "/rest/admin/tn", `{"profile":"US","tns":[{"tn":12015550188}]}`); status != 200 {
			t.Fatal(status, out)
		}
		if status, out := h.do(a, "DELETE", "/rest/admin/tn/12015550188", ""); status != 200 || get(out, "deleted_on") == nil {
			t.Error(status, out)
		}
		for _, op := range [][2]string{{"DELETE", "/rest/admin/tn/12015550188"}, {"GET", "/rest/tn/12015550188/features"}} {
			if status, out := h.do(a, op[0], op[1], ""); status != 404 || get(out, "message") != "TN not found" {
				t.Error(op, status, out)
			}
		}
		if status, out := h.do(a, "POST", "/rest/admin/tn", `{"profile":"US","tns":[{"tn":12015550188}]}`); status != 200 || get(out, "added") != 0.0 {
			t.Error(status, out)
		}
	})
}

func TestPricesOfAPlanChangeAtTheTopLevel(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		status, plan := h.do(a, "POST", "/rest/admin/profile/tn", `{"name":"Wide","nrc":1,"mrc":2,"sms_nrc":0.5}`)
		if status != 201 {
			t.Fatal(status, plan)
		}
		path := "/rest/admin/profile/tn/" + get(plan, "uuid").(string)
		if status, plan = h.do(a, "PATCH", path, `{"mrc":3.25,"sms_nrc":0,"prices":{"voice_mrc":0.75}}`); status != 200 {
			t.Fatal(status, plan)
		}
		for name, want := range map[string]any{"nrc": 1.0, "mrc": 3.25, "sms_nrc": 0.0, "voice_mrc": 0.75} {
			if got := get(plan, name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if status, out := h.do(a, "PATCH", path, `{"mrc":-1}`); status != 400 {
			t.Error(status, out)
		}
	})
}

func TestAPlanTellsItsCountryAndTheAskersLeases(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a, b := h.account(), h.account()
		tn := h.buy(a, 3)[0]
		h.do(a, "DELETE", "/rest/lease/tn/"+tn, "")
		for who, want := range map[string]float64{a: 2, b: 0} {
			_, list := h.do(who, "GET", "/rest/profile/tn", "")
			plans := list.([]any)
			plan := plans[slices.IndexFunc(plans, func(p any) bool { return get(p, "name") == "US" })]
			_, one := h.do(who, "GET", "/rest/profile/tn/"+get(plan, "uuid").(string), "")
			_, page := h.do(who, "POST", "/rest/tn/search", `{"npa":"212"}`)
			for _, p := range []any{plan, one, get(page, "data", 0, "profile")} {
				if get(p, "name") != "US" || get(p, "tn_leases_total") != want || get(p, "country", "a2") != "US" {
					t.Error(p)
				}
			}
		}
	})
}

func TestTransactionsAreFoundAtThePathOfPayments(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		if status, out := h.do(a, "POST", "/rest/payment", `{"take":1,"ref_type":"adjustment"}`); status != 200 || get(out, "total") != 1.0 {
			t.Error(status, out)
		}
		if status, out := h.do(a, "POST", "/rest/payment", `{"provider":"stripe","amount":5}`); status != 404 || get(out, "meta") != "not_implemented" {
			t.Error(status, out)
		}
	})
}
