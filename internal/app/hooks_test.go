package app_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestASubscriptionOfTheChannelWebhookIsAnEndpoint(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		status, made := h.do("POST", "/rest/event/subscription", `{"channel":"webhook","type":"sms","url":"https://93.184.216.34/hook"}`)
		p, _ := made["payload"].(map[string]any)
		if status != 201 || p["secret"] == nil || p["user"] == nil {
			t.Fatal(status, made)
		}
		status, out := h.do("GET", "/rest/webhook", "")
		list, _ := out["payload"].([]any)
		if status != 200 || len(list) != 1 || list[0].(map[string]any)["uuid"] != p["webhook"] {
			t.Fatal(status, out)
		}
		if status, out := h.do("POST", "/rest/event/subscription", `{"channel":"webhook","type":"sms","url":"ftp://93.184.216.34/"}`); status != 400 || out["fields"].(map[string]any)["params.url"] == nil {
			t.Fatal(status, out)
		}
		if status, out := h.do("DELETE", "/rest/event/subscription/"+p["uuid"].(string), ""); status != 200 {
			t.Fatal(status, out)
		}
		if _, out := h.do("GET", "/rest/webhook", ""); len(out["payload"].([]any)) != 0 {
			t.Fatal(out)
		}
	})
}

func TestALowBalanceIsToldWhereTheSettingsAskForIt(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		h.payload("PATCH", "/rest/account/notification", `{"low_balance_threshold":99}`)
		told := func() int {
			return strings.Count(fmt.Sprint(h.payload("GET", "/rest/event?type=balance", "")), "source_action:low_balance")
		}
		if n := told(); n != 0 {
			t.Error("told before the fall:", n)
		}
		found := h.payload("POST", "/rest/tn/search", `{"npa":"212"}`).(map[string]any)["data"].([]any)
		for _, n := range found[:2] {
			h.payload("POST", "/rest/order", fmt.Sprintf(`{"tns":[%.0f]}`, n.(map[string]any)["tn"]))
		}
		if n := told(); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}
