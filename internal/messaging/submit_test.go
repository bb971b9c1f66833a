package messaging

import "testing"

func TestMessagesOfTheSandboxesCampaignStayInTheSandbox(t *testing.T) {
	real, box := Link{Name: "real"}, Link{Name: "box", Sandbox: true}
	for _, c := range []struct {
		links    []Link
		campaign string
		want     int
	}{
		{[]Link{real}, ReadyCampaign, -1},
		{[]Link{real}, "CQ7TE2M", 0},
		{[]Link{box}, "CQ7TE2M", 0}, // there is no other way
		{[]Link{real, box}, ReadyCampaign, 1},
		{[]Link{box, real}, "CQ7TE2M", 1},
		{[]Link{box, real}, "", 1},
	} {
		s := &Service{links: c.links}
		if got := s.linkFor(&Message{To: "15005550101", Campaign: c.campaign}); got != c.want {
			t.Errorf("campaign %q over %d links: %d, want %d", c.campaign, len(c.links), got, c.want)
		}
	}
}
