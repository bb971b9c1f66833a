package webhook_test

import (
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

func TestSubscriptionsMakeAndExtendAndEndAnEndpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, ok)
		user := ident.New()
		save := func(sub webhook.Subscription, secret string) (webhook.Subscription, bool, string) {
			t.Helper()
			sub.Account, sub.User = h.account, user
			out, made, fresh, err := h.s.SaveSubscription(t.Context(), sub, secret)
			if err != nil {
				t.Fatal(err)
			}
			return out, made, fresh
		}
		first, made, secret := save(webhook.Subscription{URL: c.URL, Type: "sms", Active: true}, "")
		if !made || secret == "" {
			t.Fatal(made, secret)
		}
		second, made, again := save(webhook.Subscription{URL: c.URL, Type: "batch", Active: true, Expires: h.c.now().Add(time.Hour)}, "")
		if !made || again != "" || second.Endpoint != first.Endpoint {
			t.Fatal("the second subscription did not extend the endpoint", second, again)
		}
		if same, made, _ := save(webhook.Subscription{URL: c.URL, Type: "sms", Active: true}, ""); made || same.ID != first.ID {
			t.Fatal("account, url and type are unique", same)
		}
		if e := h.payload("GET", "/rest/webhook/"+first.Endpoint, "", 200); len(e["types"].([]any)) != 2 {
			t.Fatal(e)
		}
		h.emit("sms", ident.New(), 1)
		h.emit("batch", ident.New(), 2)
		h.emit("balance", ident.New(), 3)
		c.await(t, 2)
		h.c.move(2 * time.Hour) // the second one is over
		h.emit("batch", ident.New(), 4)
		first.Active = false
		save(first, "")
		h.emit("sms", ident.New(), 5)
		first.Active = true
		save(first, "")
		last := h.emit("sms", ident.New(), 6)
		if all := c.await(t, 3); all[2].header.Get("Webhook-Id") != "msg_"+last {
			t.Fatal("an event came that nobody was subscribed to", all)
		}
		moved := first
		moved.URL = c.URL + "/moved"
		out, _, fresh := save(moved, "")
		if out.ID != first.ID || out.Endpoint == first.Endpoint || fresh == "" {
			t.Fatal(out, fresh)
		}
		h.emit("sms", ident.New(), 7)
		if got := c.await(t, 4)[3]; got.path != "/moved" {
			t.Fatal(got.path)
		}
		for _, sub := range []webhook.Subscription{out, second} {
			if err := h.s.RemoveSubscription(t.Context(), h.account, sub.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.s.RemoveSubscription(t.Context(), h.account, out.ID); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		if list, err := h.s.Endpoints(t.Context(), h.account); err != nil || len(list) != 0 {
			t.Fatal("endpoints without a subscription are left", list, err)
		}
	})
}

func TestAnEndpointsOwnTypesOutliveItsSubscriptions(t *testing.T) {
	d := dbtest.SQLite(t)
	h := open(t, d, nil)
	sub, _, _, err := h.s.SaveSubscription(t.Context(), webhook.Subscription{Account: h.account, User: ident.New(), URL: "http://127.0.0.1:2000/", Type: "sms", Active: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	id, _ := h.endpoint("http://127.0.0.1:2000/", `,"types":["batch"]`)
	if id != sub.Endpoint {
		t.Fatal("another endpoint with the same URL")
	}
	if err := h.s.RemoveSubscription(t.Context(), h.account, sub.ID); err != nil {
		t.Fatal(err)
	}
	if e := h.payload("GET", "/rest/webhook/"+id, "", 200); len(e["types"].([]any)) != 1 {
		t.Fatal(e)
	}
	if _, _, _, err := h.s.SaveSubscription(t.Context(), webhook.Subscription{Account: h.account, URL: "nowhere", Type: "sms"}, "short"); fault.Of(err) == nil || len(fault.Of(err).Fields) != 2 {
		t.Fatal(err)
	}
}
