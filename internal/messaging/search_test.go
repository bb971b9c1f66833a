package messaging_test

import (
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/messaging"
)

func TestMessagesAreFoundByMasksAndByWhatTheyAreTiedTo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		id := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "15005550101", "message": "one"}, 200)["uuid"].(string)
		m := r.awaitState(id, "success", false)
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": []any{15005550102}, "message": "many"}, 201)
		campaign := r.do("GET", "/rest/tcr/campaign/"+messaging.ReadyCampaign, nil, 200)["uuid"].(string)
		find := func(want float64, filter map[string]any) {
			t.Helper()
			if page := r.do("POST", "/rest/sms/search/outbound", filter, 200); page["total"] != want {
				t.Errorf("%v finds %v, want %v", filter, page["total"], want)
			}
		}
		reference, thread := m["reference_id"].(string), m["thread"].(string)
		find(1, map[string]any{"reference_id": strings.ToUpper(reference)})
		find(1, map[string]any{"reference_id": reference[:len(reference)-1] + "%"})
		find(1, map[string]any{"thread": strings.ToUpper(thread)})
		find(1, map[string]any{"thread": thread[:8] + "*"})
		find(2, map[string]any{"sms_campaign": "csndbx*"})
		find(2, map[string]any{"sms_campaign": campaign})
		find(0, map[string]any{"sms_campaign": "CXXXXXX"})
		find(1, map[string]any{"sms_campaign": nil}) // the request that stands for many
		find(3, map[string]any{"messaging_profile": r.profile()})
		find(0, map[string]any{"messaging_profile": nil})

		r.do("POST", "/rest/sms/optout", map[string]any{"phone": "13125550144"}, 201)
		r.do("POST", "/rest/sms/optout", map[string]any{"phone": "13125550144", "messaging_profile": r.profile()}, 201)
		for _, profile := range []any{nil, r.profile()} {
			page := r.do("POST", "/rest/sms/optout/search", map[string]any{"messaging_profile": profile}, 200)
			if got := page["data"].([]any)[0].(map[string]any)["messaging_profile"]; page["total"] != float64(1) || (got == nil) != (profile == nil) {
				t.Errorf("opt-outs of %v: %v", profile, page)
			}
		}
	})
}
