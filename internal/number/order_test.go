package number_test

import (
	"slices"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
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
