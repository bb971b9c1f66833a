package number_test

import (
	"math"
	"slices"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
)

func TestAnOrderNamesAllItsFaults(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		for body, want := range map[string][]string{
			`{"items":[],"sip_control_app":"x"}`:  {"params.items", "params.sip_control_app"},
			`{"messaging_profile":"x"}`:           {"params.items", "params.messaging_profile"},
			`{}`:                                  {"params.items"},
			`{"items":[{"features":["voice"]}]}`:  {"params.items.0.tn"},
			`{"tns":["12x"],"tn_profile":"x"}`:    {"params.tn_profile", "params.tns.0"},
			`{"items":"x","sip_connection":"x"}`:  {"params.items", "params.sip_connection"},
			`{"items":[{"tn":1,"features":"x"}]}`: {"params.items.0.features", "params.items.0.tn"},
		} {
			status, out := h.do(a, "POST", "/rest/order", body)
			var got []string
			if status == 400 {
				for name := range get(out, "fields").(map[string]any) {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d %v, want %v", body, status, got, want)
			}
		}
	})
}

func TestAnOrderKeepsItsRequestAsItCame(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tn := h.pick(a, `{"npa":"312"}`, 1)[0]
		status, o := h.do(a, "POST", "/rest/order", `{"items":[{"tn":"+`+tn+`","features":["voice"],"mine":7}],"note":"x"}`)
		if status != 201 || get(o, "request", "note") != "x" || get(o, "request", "items", 0, "mine") != 7.0 || get(o, "request", "items", 0, "tn") != "+"+tn {
			t.Error(status, o)
		}
	})
}

func TestAFullOrderHasItsLists(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		lists := func(o any) (tns, leases []any) {
			m := o.(map[string]any)
			tns, _ = m["tns"].([]any)
			leases, _ = m["tnleases"].([]any)
			if tns == nil || leases == nil {
				t.Fatal("no list", o)
			}
			return tns, leases
		}
		_, none := h.do(a, "POST", "/rest/order", `{"items":[{"tn":12015550000,"features":["voice"]}]}`)
		if tns, leases := lists(none); len(tns)+len(leases) != 0 || get(none, "items", 0, "profile") != "US" {
			t.Error(none)
		}
		free := h.pick(a, `{"type":"toll_free"}`, 1)[0]
		_, o := h.do(a, "POST", "/rest/order", `{"items":[{"tn":`+free+`,"features":["voice"]}]}`)
		if get(o, "items", 0, "profile") != "US Toll Free" {
			t.Error("the plan of the number is the one that it is charged by", o)
		}
		h.do(a, "DELETE", "/rest/lease/tn/"+free, "")
		_, o = h.do(a, "GET", "/rest/order/"+get(o, "uuid").(string), "")
		if tns, leases := lists(o); len(tns) != 1 || len(leases) != 1 || get(leases, 0, "state") != "released" {
			t.Error(o)
		}
		_, page := h.do(a, "POST", "/rest/order/search", `{}`)
		if _, ok := get(page, "data", 0).(map[string]any)["tns"]; ok {
			t.Error("lists of orders are short", page)
		}
	})
}

func TestAnOrderCostsWhatItsPriceSays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tn := h.pick(a, `{"npa":"312"}`, 1)[0]
		body := `{"items":[{"tn":` + tn + `,"features":["sms"]},{"tn":` + tn + `,"features":["voice"]}],"messaging_profile":"` + ident.New() + `"}`
		status, q := h.do(a, "POST", "/rest/order/price", body)
		if status != 200 || get(q, "nrc") != 0.11 || get(q, "mrc") != 1.0 || len(get(q, "items").([]any)) != 1 {
			t.Error(status, q)
		}
		if status, o := h.do(a, "POST", "/rest/order", body); status != 201 || get(o, "price") != 1.11 || get(o, "items", 0, "sms") != true {
			t.Error(status, o)
		}
		if _, report := h.do(a, "GET", "/rest/transaction/report/invoice", ""); report != nil {
			sum := 0.0
			for _, line := range get(report, "report").([]any) {
				if get(line, "ref_type") != "adjustment" {
					sum += get(line, "amount").(float64)
				}
			}
			if math.Abs(sum+1.11) > 1e-9 {
				t.Error(report)
			}
		}
		poor := build(t, d, "1.1")
		p := poor.account()
		other := h.pick(p, `{"npa":"312"}`, 1)[0]
		body = `{"items":[{"tn":` + other + `,"features":["sms"]}],"messaging_profile":"` + ident.New() + `"}`
		if status, out := poor.do(p, "POST", "/rest/order", body); status != 402 {
			t.Error(status, out)
		}
	})
}
