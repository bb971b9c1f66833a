package messaging_test

import (
	"slices"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestBulkRequestCountsItsItems(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		r.do("POST", "/rest/sms/optout", map[string]any{"phone": "15005550102"}, 201)
		m := r.do("POST", "/rest/sms", map[string]any{"from": from, "to": []any{15005550101, "+15005550104", "15005550102", "15005550103"}, "message": "bulk"}, 201)
		id := m["uuid"].(string)
		if m["type"] != "smsr" || m["counters"].(map[string]any)["total"] != float64(4) || len(m["to"].([]any)) != 4 {
			t.Fatalf("%v", m)
		}
		e := r.awaitState(id, "success", false)
		c := e["counters"].(map[string]any)
		if c["success"] != float64(2) || c["failed"] != float64(2) {
			t.Fatalf("%v", c)
		}
		page := r.do("GET", "/rest/sms/"+id+"/items?state=failed", nil, 200)
		codes := []string{}
		for _, item := range page["data"].([]any) {
			codes = append(codes, item.(map[string]any)["error"].(map[string]any)["code"].(string))
		}
		slices.Sort(codes)
		if !slices.Equal(codes, []string{"carrier_rejected", "opted_out"}) {
			t.Fatalf("%v", codes)
		}
	})
}
