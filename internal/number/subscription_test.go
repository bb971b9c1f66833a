package number_test

import (
	"context"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/number"
)

// kinds lists the subscriptions of a lease.
func (h *house) kinds(account, tn string) (out string) {
	h.t.Helper()
	status, list := h.do(account, "GET", "/rest/lease/tn/"+tn+"/subscription", "")
	if status != 200 {
		h.t.Fatal(status, list)
	}
	for _, s := range list.([]any) {
		out += get(s, "type").(string) + " "
	}
	return out
}

func TestFeaturesAndSubscriptionsGoTogether(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tn := h.pick(a, `{"npa":"206"}`, 1)[0]
		profile := `{"messaging_profile":"` + ident.New() + `"}`
		if status, o := h.do(a, "POST", "/rest/order", `{"items":[{"tn":`+tn+`,"features":["voice"]}]}`); status != 201 {
			t.Fatal(status, o)
		}
		base := "/rest/lease/tn/" + tn
		for i, step := range []struct {
			method, path, body string
			kinds              string
			voice, sms         bool
		}{
			{"GET", "", "", "voice ", true, false},
			{"POST", "/subscription/sms", profile, "sms voice ", true, true},
			{"PATCH", "", `{"sms":false}`, "voice ", true, false},
			{"PATCH", "", profile, "sms voice ", true, true},
			{"PATCH", "", `{"messaging_profile":null}`, "voice ", true, false},
			{"PATCH", "", `{"sms":true,"messaging_profile":null}`, "voice ", true, true},
			{"PATCH", "", `{"messaging_profile":null}`, "voice ", true, true},
			{"POST", "/subscription/sms", profile, "sms voice ", true, true},
			{"DELETE", "/subscription/sms", "", "voice ", true, false},
			{"PATCH", "", `{"voice":false}`, "", false, false},
			{"POST", "/subscription/voice", "", "voice ", true, false},
			{"DELETE", "/subscription/voice", "", "", false, false},
			{"PATCH", "", `{"voice":true}`, "voice ", true, false},
		} {
			if status, out := h.do(a, step.method, base+step.path, step.body); status != 200 {
				t.Fatal(i, status, out)
			}
			_, l := h.do(a, "GET", base, "")
			if kinds := h.kinds(a, tn); kinds != step.kinds || get(l, "tn", "voice") != step.voice || get(l, "tn", "sms") != step.sms || (get(l, "messaging_profile") != nil) != (kinds == "sms voice ") {
				t.Errorf("%d %+v: %s, %v", i, step, kinds, l)
			}
		}
		if n := h.charges(a, "sms_nrc"); n != 3 {
			t.Errorf("%d fees for 3 new subscriptions", n)
		}
		if status, out := h.do(a, "PATCH", base, `{"sms":false,"messaging_profile":"`+ident.New()+`"}`); status != 400 {
			t.Error(status, out)
		}
		if status, out := h.do(a, "DELETE", base+"/subscription/sms", ""); status != 404 {
			t.Error(status, out)
		}
	})
}

func TestAnUnofferedFeatureIsRefusedEverywhere(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		if status, out := h.do(a, "POST", "/rest/admin/tn", `{"profile":"US","tns":[{"tn":12015550188,"features":["fax"]}]}`); status != 200 {
			t.Fatal(status, out)
		}
		if status, o := h.do(a, "POST", "/rest/order", `{"items":[{"tn":12015550188,"features":["fax"]}]}`); status != 201 {
			t.Fatal(status, o)
		}
		const base = "/rest/lease/tn/12015550188"
		profile := `{"messaging_profile":"` + ident.New() + `"}`
		for _, step := range [][3]string{{"POST", "/subscription/sms", profile}, {"PATCH", "", profile}, {"PATCH", "", `{"sms":true}`}, {"POST", "/subscription/voice", ""}} {
			if status, out := h.do(a, step[0], base+step[1], step[2]); status != 400 {
				t.Error(step, status, out)
			}
		}
	})
}

func TestAVoiceSubscriptionIsTheLeasesState(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tn := h.buy(a, 1)[0]
		base := "/rest/lease/tn/" + tn
		_, list := h.do(a, "GET", base+"/subscription", "")
		id, app := get(list, 0, "uuid"), ident.New()
		if _, s := h.do(a, "POST", base+"/subscription/voice", `{"sip_control_app":"`+app+`"}`); get(s, "uuid") != id || get(s, "sip_control_app", "uuid") != app {
			t.Error(s)
		}
		if _, s := h.do(a, "POST", base+"/subscription/voice", ""); get(s, "uuid") != id || get(s, "sip_control_app", "uuid") != app {
			t.Error("without an app the one that is there stays", s)
		}
		if status, s := h.do(a, "DELETE", base+"/subscription/voice", ""); status != 200 || get(s, "uuid") != id || get(s, "sip_control_app", "uuid") != app {
			t.Error("the removed one as it was", status, s)
		}
		if _, l := h.do(a, "GET", base, ""); get(l, "sip_control_app") != nil || get(l, "modified_by", "uuid") != a {
			t.Error(l)
		}
	})
}

func TestAReleasedLeaseIsShownAsItWas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tns := h.buy(a, 2)
		app, profile := ident.New(), ident.New()
		for _, tn := range tns {
			if status, l := h.do(a, "PATCH", "/rest/lease/tn/"+tn, `{"sip_control_app":"`+app+`","messaging_profile":"`+profile+`"}`); status != 200 {
				t.Fatal(status, l)
			}
		}
		_, one := h.do(a, "DELETE", "/rest/lease/tn/"+tns[0], "")
		_, many := h.do(a, "DELETE", "/rest/lease/tn", `{"item":["`+tns[1]+`"]}`)
		last := h.events(a, "tn_lease")
		for _, l := range []any{one, get(many, 0), last[len(last)-1]} {
			if get(l, "state") != "released" || get(l, "sip_control_app", "uuid") != app || get(l, "messaging_profile", "uuid") != profile || len(get(l, "subscriptions").([]any)) != 2 {
				t.Error(l)
			}
		}
		if h.post.count("tnleases_released "+tns[1]) != 1 || h.post.count("tnorder_success ") != 1 {
			t.Error(h.post.letters)
		}
	})
}

func TestTyingLeasesToAnAppIsTold(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tns := h.buy(a, 2)
		app := number.Target{App: ident.New()}
		assign := func(add, remove []string) (n int) {
			before := len(h.events(a, "tn_lease"))
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				list, err := h.numbers.Assign(ctx, tx, number.By{Account: a, User: a}, app, add, remove)
				n = len(list)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range h.events(a, "tn_lease")[before:] {
				if get(e, "action") != "changed" || get(e, "modified_by", "uuid") != a {
					t.Error(e)
				}
			}
			return n*10 + len(h.events(a, "tn_lease")) - before
		}
		for i, step := range []struct {
			add, remove []string
			want        int // leases tied, events
		}{{tns, nil, 22}, {tns, nil, 20}, {nil, tns[:1], 11}, {nil, tns[:1], 10}} {
			if got := assign(step.add, step.remove); got != step.want {
				t.Errorf("%d: %d, want %d", i, got, step.want)
			}
		}
	})
}
