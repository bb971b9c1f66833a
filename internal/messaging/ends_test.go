package messaging_test

import (
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestMessagesOfANumberThatEndsFail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		tns := r.lease(4, "")
		send := func(i, status int, to any) string {
			return r.do("POST", "/rest/sms", map[string]any{"from": tns[i], "to": to, "message": "x"}, status)["uuid"].(string)
		}
		state := func(id string) string { return r.do("GET", "/rest/sms/"+id, nil, 200)["state"].(string) }
		var ended []string
		for i := range 3 {
			ended = append(ended, send(i, 200, "15005550101"), send(i, 201, []string{"15005550102", "15005550103"}))
		}
		kept := send(3, 200, "15005550101")

		base := "/rest/lease/tn/"
		r.do("DELETE", base+tns[0].Digits()+"/subscription/sms", nil, 200)
		r.do("PATCH", base+tns[1].Digits(), map[string]any{"sms": false}, 200)
		r.do("DELETE", base+tns[2].Digits(), nil, 200)

		for _, id := range ended {
			if s := state(id); s != "failed" {
				t.Errorf("%s: %s", id, s)
			}
		}
		if m := r.do("GET", "/rest/sms/"+ended[0], nil, 200); m["error"].(map[string]any)["code"] != "no_sender" {
			t.Error(m)
		}
		if s := state(kept); s != "created" {
			t.Error("the message of another number is gone:", s)
		}
		failed := 0
		for _, e := range r.events() {
			if e["type"] == "smso" && e["state"] == "failed" {
				failed++
			}
		}
		if failed != 9 {
			t.Errorf("%d of 9 failures were told", failed)
		}
		if balance, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved <= 0 || reserved*100 > balance {
			t.Error("only the money of one message is held:", reserved, err)
		}
		r.do("DELETE", "/rest/sms/outbound/"+kept, nil, 200)
		if _, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved != 0 {
			t.Error(reserved, err)
		}
	})
}
