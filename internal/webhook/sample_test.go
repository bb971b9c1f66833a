package webhook_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// TestSamplesHaveTheMembersOfTheirType (events.md §3 and §4); a dot leads into an object.
func TestSamplesHaveTheMembersOfTheirType(t *testing.T) {
	always := strings.Fields("uuid created_on modified_on timestamp type test message payload ref_id account.uuid account.name delivery_report")
	for typ, want := range map[string]string{
		"auth":       "success=true payload.uuid payload.ip payload.user.email payload.user.wss_online payload.account.uuid",
		"call_state": "payload.state=live payload.duration payload.duration_ms payload.hangup_on payload.state_end payload.tn.tn call.freeswitch_call_state=EARLY call.answer_on call.account.balance",
		"call_flow": "success=true command=Say payload.command.name=Say payload.command.children payload.command.error payload.call.uuid call.logs call.records " +
			"call_flow.state=success call_flow.element.name=Say call_flow.command.name=Say call_flow.path",
		"call_record":      "payload.event=available payload.uuid payload.transcript_state=none payload.duration call.records",
		"sms":              "payload.type=smsi payload.state=success payload.thread payload.delivered=true payload.automated payload.tn.tn payload.subscription.uuid",
		"tn_order":         "payload.state=success payload.total=1 payload.success=1 payload.failed=0 payload.items payload.errors",
		"balance":          "source_action=nrc payload=40.0847 account.balance",
		"tn_lease":         "payload.action=renewed payload.state=active payload.tn.tn payload.subscriptions payload.name",
		"campaign":         "payload.object=campaign payload.status=active payload.previous payload.brand.uuid payload.campaign.campaignId payload.tn_lease",
		"batch":            "payload.state=running payload.counters.total payload.cps payload.finished_on",
		"sip_registration": "payload.state=registered payload.sip_user.login payload.contact payload.remote_ip payload.expires=600",
	} {
		body, known := webhook.Sample(typ, ident.New(), "", time.Unix(1_800_000_000, 0))
		var e map[string]any
		if err := json.Unmarshal(body, &e); err != nil || !known {
			t.Fatal(typ, err)
		}
		for _, path := range append(slices.Clone(always), strings.Fields(want)...) {
			name, value, valued := strings.Cut(path, "=")
			got, there := memberAt(e, name)
			text, _ := json.Marshal(got)
			if !there || valued && strings.Trim(string(text), `"`) != value {
				t.Errorf("%s: %s is %s", typ, path, text)
			}
		}
		if typ != "auth" && typ != "call_flow" && e["success"] != nil {
			t.Errorf("%s has the member success", typ)
		}
		if call, _ := e["call"].(map[string]any); call != nil && slices.Contains(slices.Collect(maps.Keys(call)), "q850_cause") {
			t.Errorf("%s: a live call has a cause", typ)
		}
	}
}

func memberAt(e map[string]any, path string) (any, bool) {
	name, rest, deeper := strings.Cut(path, ".")
	v, there := e[name]
	if !deeper || !there {
		return v, there
	}
	inner, _ := v.(map[string]any)
	return memberAt(inner, rest)
}
