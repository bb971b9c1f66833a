package messaging_test

import (
	"testing"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/messaging"
)

func TestProfilesAndTheirNumbers(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		if list := r.do("GET", "/rest/profile/messaging", nil, 200)["payload"].([]any); len(list) != 1 || list[0].(map[string]any)["name"] != messaging.DefaultName {
			t.Fatalf("%v", list)
		}
		r.do("DELETE", "/rest/profile/messaging/"+r.profile(), nil, 409)
		r.do("POST", "/rest/profile/messaging", map[string]any{"name": ""}, 400)
		p := r.do("POST", "/rest/profile/messaging", map[string]any{"name": "p", "callback_url": "https://a.example.org/", "callback_secret": "s"}, 201)
		if _, shown := p["callback_secret"]; shown || p["long_code_weight"] != float64(1) || p["queue_timeout"] != float64(14400) {
			t.Fatalf("%v", p)
		}
		id := p["uuid"].(string)
		r.lease(1, id)
		if list := r.do("GET", "/rest/profile/messaging/"+id+"/tnleases", nil, 200)["payload"].([]any); len(list) != 1 {
			t.Fatalf("%v", list)
		}
		q := r.do("PATCH", "/rest/profile/messaging/"+id, map[string]any{"callback_url": nil, "long_code_weight": 9}, 200)
		if q["callback_url"] != nil || q["long_code_weight"] != float64(9) || q["name"] != "p" || len(q["leases"].([]any)) != 1 {
			t.Fatalf("%v", q)
		}
		lease := r.do("GET", "/rest/profile/messaging/"+id+"/tnleases", nil, 200)["payload"].([]any)[0].(map[string]any)
		nested := lease["subscriptions"].([]any)[0].(map[string]any)["messaging_profile"].(map[string]any)
		campaign := lease["subscriptions"].([]any)[0].(map[string]any)["sms_campaign"].(map[string]any)
		for name, v := range r.do("GET", "/rest/tcr/campaign/"+messaging.ReadyCampaign, nil, 200) {
			_, list := v.([]any)
			if got, there := campaign[name]; name != "brand" && !list && (!there || got != v) {
				t.Errorf("%s of a nested campaign is %v, want %v", name, got, v)
			}
		}
		if campaign["tn_leases_total"] != float64(1) {
			t.Errorf("%v", campaign["tn_leases_total"])
		}
		if list, ok := nested["operators"].([]any); !ok || len(list) != 0 {
			t.Fatalf("a subscription's profile: %v", nested)
		}
		r.do("DELETE", "/rest/profile/messaging/"+id, nil, 200)
		r.do("GET", "/rest/profile/messaging/"+id, nil, 404)
		if list := r.do("GET", "/rest/profile/messaging/"+r.profile()+"/tnleases", nil, 200)["payload"].([]any); len(list) != 1 {
			t.Fatalf("its number is lost: %v", list)
		}
		c := r.do("GET", "/rest/tcr/campaign/"+messaging.ReadyCampaign, nil, 200)
		if c["is_active"] != true || c["usecase"] != "MIXED" || c["brand"].(map[string]any)["status"] != "verified" {
			t.Fatalf("%v", c)
		}
		r.do("GET", "/rest/tcr/campaign/CXXXXXX", nil, 404)
	})
}

func TestTheAccountKnowsItsDefaultProfile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		first := r.profile()
		r.lease(1, first)
		second := r.do("POST", "/rest/profile/messaging", map[string]any{"name": "second"}, 201)["uuid"].(string)
		choose := func(id string) {
			t.Helper()
			if _, err := r.acc.Update(t.Context(), r.account, account.Patch{DefaultProfile: &id}); err != nil {
				t.Fatal(err)
			}
			for _, v := range r.do("GET", "/rest/profile/messaging", nil, 200)["payload"].([]any) {
				p := v.(map[string]any)
				if p["is_default"] != (p["uuid"] == id) {
					t.Errorf("default is %q: %v", id, p)
				}
			}
		}
		choose("")
		r.do("DELETE", "/rest/profile/messaging/"+first, nil, 409) // its number has nowhere to go
		choose(second)
		r.do("DELETE", "/rest/profile/messaging/"+second, nil, 409)
		r.do("DELETE", "/rest/profile/messaging/"+first, nil, 200)
		if list := r.do("GET", "/rest/profile/messaging/"+second+"/tnleases", nil, 200)["payload"].([]any); len(list) != 1 {
			t.Fatalf("the number did not fall back to the default profile: %v", list)
		}
	})
}

func TestAccountsHaveTheReadyMadeCampaignWhileTheSandboxIsOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		before := build(t, d, options{quiet: true, real: true})
		tn := before.lease(1, "")[0]
		if list := before.do("GET", "/rest/tcr/campaign", nil, 200)["payload"].([]any); len(list) != 0 {
			t.Fatalf("without the sandbox: %v", list)
		}
		enable := func(r *rig) any {
			t.Helper()
			return r.do("POST", "/rest/lease/tn/"+tn.Digits()+"/subscription/sms", map[string]any{"messaging_profile": r.profile()}, 200)["sms_campaign"]
		}
		if c := enable(before); c != nil {
			t.Fatalf("without the sandbox: %v", c)
		}
		with := build(t, d, options{keep: before, node: "m"})
		if list := with.do("GET", "/rest/tcr/campaign", nil, 200)["payload"].([]any); len(list) != 1 {
			t.Fatalf("with the sandbox: %v", list)
		}
		if c, ok := enable(with).(map[string]any); !ok || c["campaignId"] != messaging.ReadyCampaign {
			t.Fatalf("with the sandbox: %v", c)
		}
		with.stop()
		again := build(t, d, options{quiet: true, real: true, keep: before, node: "o"})
		other := again.lease(1, "")[0]
		l := again.do("GET", "/rest/lease/tn/"+other.Digits()+"/tn", nil, 200)
		if c := l["subscriptions"].([]any)[0].(map[string]any)["sms_campaign"]; c != nil {
			t.Fatalf("without the sandbox again: %v", c)
		}
	})
}
