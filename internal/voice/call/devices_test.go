package call

import (
	"bytes"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// What real devices send that other systems stumbled over.

// humming is a world that answers each call with a tone of 700 Hz.
func humming(t *testing.T) *world {
	return newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, "")
		}
	})
}

func TestCallOverTCPWithALongOfferHasSound(t *testing.T) {
	w := humming(t)
	l := newPhone(t).dial(w, "100", func(r *sip.InviteRequest) {
		r.Transport = "TCP"
		r.Body = append(r.Body, strings.Repeat("a=candidate:1 1 UDP 2130706431 127.0.0.1 9 typ host\r\n", 100)...) // more than one segment, and than UDP carries
	})
	l.accepted(expect[sip.Answered](l).Body)
	l.tone(700)
	if leg := w.engine.Live("")[0]; leg.State != Live || leg.Codec != "PCMU" {
		t.Errorf("leg %+v", leg)
	}
	l.bye()
}

func TestOfferWithoutItsLastLineEndHasSound(t *testing.T) {
	w := humming(t)
	l := newPhone(t).dial(w, "100", func(r *sip.InviteRequest) { r.Body = bytes.TrimRight(r.Body, "\r\n") })
	l.accepted(expect[sip.Answered](l).Body)
	l.tone(700)
	l.bye()
}

func TestCodecsInAnyOrderAmongUnknownOnes(t *testing.T) {
	for first, want := range map[string]string{"18 96 8 0": "PCMA", "96 0 8 18": "PCMU"} {
		w := humming(t)
		l := newPhone(t).dial(w, "100", func(r *sip.InviteRequest) {
			head, rest, _ := strings.Cut(string(r.Body), " RTP/AVP 0 8")
			r.Body = []byte(head + " RTP/AVP " + first + rest + "a=rtpmap:96 SILK/8000\r\n")
		})
		answer := expect[sip.Answered](l).Body
		l.accepted(answer)
		l.tone(700)
		l.bye()
		if leg := w.facts.leg(t, "hangup", func(l Leg) bool { return l.State == Hangup }); leg.Codec != want || bytes.Contains(answer, []byte("SILK")) {
			t.Errorf("offer %s: codec %s, answer\n%s", first, leg.Codec, answer)
		}
	}
}

// RFC 2543 §B.5: an offer with the address 0.0.0.0 holds the call, whatever its direction says.
func TestOldHoldIsAnsweredWithOurAddress(t *testing.T) {
	w := humming(t)
	l := newPhone(t).call(w, "100")
	l.tone(700)
	for version, held := range []bool{false, true, false, true} {
		offer := l.sdp(sdp.SendRecv, uint64(version+2))
		want := sdp.SendRecv
		if held {
			offer = bytes.Replace(offer, []byte("c=IN IP4 127.0.0.1"), []byte("c=IN IP4 0.0.0.0"), 1)
			want = sdp.RecvOnly
		}
		body, err := l.d.ReInvite(bg, offer)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sdp.Parse(body)
		if err != nil || s.DirectionOf(&s.Media[0]) != want || s.Conn.Addr != loopback {
			t.Errorf("held %v: answered with\n%s", held, body)
		}
	}
	if _, err := l.d.ReInvite(bg, l.sdp(sdp.SendRecv, 9)); err != nil {
		t.Fatal(err)
	}
	l.tone(700)
	l.bye()
}
