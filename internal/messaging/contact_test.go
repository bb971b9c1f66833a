package messaging_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestAStickySenderKnowsContactsFromBeforeItWasSwitchedOn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var ahead atomic.Int64
		r := build(t, d, options{now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
		profile := r.do("POST", "/rest/profile/messaging", map[string]any{"name": "pickup", "number_pool_enable": true}, 201)["uuid"].(string)
		senders := r.lease(2, profile)
		phones := map[string]string{"13125550144": senders[1].Digits(), "13125550145": senders[0].Digits()}
		for phone, near := range phones {
			for _, tn := range []string{senders[0].Digits(), senders[1].Digits(), near} {
				if _, err := r.sms.Simulate(t.Context(), phone, tn, "hello"); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.do("PATCH", "/rest/profile/messaging/"+profile, map[string]any{"sticky_sender": true}, 200)
		ahead.Store(int64(time.Minute))
		over := time.After(20 * time.Second)
		for phone, near := range phones {
			for row := 0; row < 4; { // an unknown phone gets the numbers in turn
				from := r.do("POST", "/rest/sms/preview", map[string]any{"messaging_profile": profile, "to": phone, "message": "x"}, 200)["from"]
				if row++; from != near {
					row = 0
				}
				select {
				case <-over:
					t.Fatalf("%s gets messages from %v, want %s", phone, from, near)
				default:
				}
			}
		}
	})
}
