package flow

import (
	"encoding/json"
	"testing"
)

func TestOlderGatherBodyNamesTheAppByThreeMembers(t *testing.T) {
	for name, tc := range map[string]struct {
		info CallInfo
		want string
	}{
		"with a domain":    {CallInfo{AppUUID: "app-1", AppName: "desk", AppSubdomain: "harbor"}, `{"name":"desk","subdomain":"harbor","uuid":"app-1"}`},
		"without a domain": {CallInfo{AppUUID: "app-1", AppName: "desk"}, `{"name":"desk","subdomain":null,"uuid":"app-1"}`},
		"without an app":   {CallInfo{}, `null`},
	} {
		m, w, _ := answeredCall(t)
		w.info = tc.info
		m.cfg.App = func() map[string]any { return map[string]any{"uuid": "app-1", "name": "desk", "is_active": true} }
		got, err := json.Marshal(m.olderBody(executed{name: "Gather"})["call"].(map[string]any)["sip_control_app"])
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
