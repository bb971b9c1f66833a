package messaging_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/messaging"
)

func TestConsentWordsAndAutoReplies(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{})
		from := r.lease(1, "")[0]
		r.do("PATCH", "/rest/profile/messaging/"+r.profile(), map[string]any{"opt_out_message": "bye", "help_message": "help!", "auto_replies": []any{map[string]any{"pattern": "*opening*", "message": "9 to 5"}}}, 200)
		say := func(text string) {
			t.Helper()
			if _, err := r.sms.Simulate(t.Context(), "13125550144", from.Digits(), text); err != nil {
				t.Fatal(err)
			}
		}
		say("Opening hours?")
		say("opening")
		say(" help. ")
		say("Opt  out!")
		say("stop")
		say("help")
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "13125550144", "message": "x"}, 403)
		say("yes")
		say("yes")
		list := r.awaitTotal(messaging.Filter{}, 4)
		var texts []string
		for _, m := range list {
			if !m.Automated {
				t.Errorf("%+v", m)
			}
			texts = append(texts, strings.Fields(m.Text)[0])
		}
		slices.Reverse(texts)
		if !slices.Equal(texts, []string{"9", "help!", "bye", "You"}) {
			t.Errorf("answers %v", texts)
		}
		r.do("POST", "/rest/sms", map[string]any{"from": from, "to": "13125550144", "message": "x"}, 200)
		if _, err := r.sms.Simulate(t.Context(), "13125550144", "12125559999", "hi"); err == nil {
			t.Error("a number of nobody took a message")
		}
	})
}
