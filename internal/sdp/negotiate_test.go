package sdp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func local() Local {
	return Local{
		Addr: netip.MustParseAddr("203.0.113.5"), Port: 20000, Codecs: []Codec{PCMU, PCMA}, DTMF: true,
		SessionID: 99, Version: 3,
	}
}

func answerTo(t *testing.T, l Local, lines ...string) (*Session, Negotiated) {
	t.Helper()
	offer := mustParse(t, crlf(lines...))
	answer, n, err := Answer(offer, l)
	if err != nil {
		t.Fatal(err)
	}
	checkAnswer(t, offer, answer, n)
	return answer, n
}

func TestAnswerIsWrittenInFull(t *testing.T) {
	answer, n := answerTo(t, local(), strings.Split(strings.TrimSpace(plainOffer), "\r\n")...)
	want := crlf("v=0", "o=- 99 3 IN IP4 203.0.113.5", "s=-", "c=IN IP4 203.0.113.5", "t=0 0",
		"m=audio 20000 RTP/AVP 0 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000",
		"a=fmtp:101 0-15", "a=ptime:20", "a=sendrecv")
	if answer.String() != want {
		t.Errorf("got\n%swant\n%s", answer, want)
	}
	if !n.Send || !n.Recv || n.Hold || n.Ptime != 20 || n.RTCP.String() != "192.0.2.7:4001" || !n.DTMFEvents.Has(16) {
		t.Errorf("got %+v", n)
	}
}

func TestStaticPayloadTypesNeedNoRtpmap(t *testing.T) {
	_, n := answerTo(t, local(), "c=IN IP4 192.0.2.7", "m=audio 4000 RTP/AVP 18 8")
	if n.Codec != PCMA || n.RecvPT != 8 || n.DTMFPT != 0 || n.DTMFRecvPT != 0 {
		t.Errorf("got %+v", n)
	}
}

func TestDynamicPayloadTypesOfTheOfferAreKept(t *testing.T) {
	l := local()
	l.Codecs = []Codec{Opus, PCMU}
	answer, n := answerTo(t, l, "c=IN IP4 192.0.2.7", "m=audio 4000 RTP/AVP 0 96 97 98",
		"a=rtpmap:96 OPUS/48000/2", "a=rtpmap:97 telephone-event/8000", "a=rtpmap:98 Telephone-Event/48000")
	if n.Codec.PT != 96 || n.DTMFPT != 98 || n.DTMFEvents != Keys {
		t.Errorf("got %+v", n)
	}
	if !strings.Contains(answer.String(), "RTP/AVP 96 98\r\n") {
		t.Errorf("answer\n%s", answer)
	}
}

func TestEventsOfAnotherClockAreNotTaken(t *testing.T) {
	_, n := answerTo(t, local(), "c=IN IP4 192.0.2.7", "m=audio 4000 RTP/AVP 0 98", "a=rtpmap:98 telephone-event/48000")
	if n.DTMFPT != 0 {
		t.Errorf("got %+v", n)
	}
}

func TestWidebandIsOnlyTakenWhenWanted(t *testing.T) {
	lines := []string{"c=IN IP4 192.0.2.7", "m=audio 4000 RTP/AVP 9 0", "a=rtpmap:9 G722/16000"}
	if _, n := answerTo(t, local(), lines...); n.Codec != PCMU {
		t.Errorf("got %+v", n.Codec)
	}
	l := local()
	l.Codecs = []Codec{G722, PCMU}
	if _, n := answerTo(t, l, lines...); !n.Codec.same(G722) {
		t.Errorf("got %+v", n.Codec)
	}
}

func TestOrderOfCodecs(t *testing.T) {
	l := local()
	l.Codecs = []Codec{PCMA, PCMU}
	lines := []string{"c=IN IP4 192.0.2.7", "m=audio 4000 RTP/AVP 0 8"}
	if _, n := answerTo(t, l, lines...); n.Codec != PCMA {
		t.Errorf("own order: got %+v", n.Codec)
	}
	l.FollowOffer = true
	if _, n := answerTo(t, l, lines...); n.Codec != PCMU {
		t.Errorf("offer's order: got %+v", n.Codec)
	}
}

func TestOtherMediaLinesAreRefusedInPlace(t *testing.T) {
	answer, n := answerTo(t, local(), "c=IN IP4 192.0.2.7", "m=image 4010 udptl t38", "m=audio 4002 RTP/SAVP 0",
		"m=audio 4000 RTP/AVP 0", "m=audio 4004 RTP/AVP 0", "m=video 4006 RTP/AVP 31")
	if n.Media != 2 {
		t.Fatalf("took line %d", n.Media)
	}
	for _, want := range []string{"m=image 0 udptl t38\r\n", "m=audio 0 RTP/SAVP 0\r\n", "m=video 0 RTP/AVP 31\r\n"} {
		if !strings.Contains(answer.String(), want) {
			t.Errorf("%q is missing in\n%s", want, answer)
		}
	}
}

func TestDirectionIsMirrored(t *testing.T) {
	cases := []struct {
		offered    string
		ours       Direction
		want       Direction
		send, recv bool
		hold       bool
	}{
		{"sendrecv", SendRecv, SendRecv, true, true, false},
		{"sendonly", SendRecv, RecvOnly, false, true, true},
		{"recvonly", SendRecv, SendOnly, true, false, false},
		{"inactive", SendRecv, Inactive, false, false, true},
		{"sendrecv", SendOnly, SendOnly, true, false, false},
		{"sendonly", SendOnly, Inactive, false, false, true},
		{"recvonly", RecvOnly, Inactive, false, false, false},
	}
	for _, c := range cases {
		l := local()
		l.Direction = c.ours
		for _, lines := range [][]string{
			{"c=IN IP4 192.0.2.7", "a=" + c.offered, "m=audio 4000 RTP/AVP 0"},
			{"c=IN IP4 192.0.2.7", "a=inactive", "m=audio 4000 RTP/AVP 0", "a=" + c.offered},
		} {
			answer, n := answerTo(t, l, lines...)
			if got := answer.DirectionOf(&answer.Media[0]); got != c.want || n.Send != c.send || n.Recv != c.recv || n.Hold != c.hold {
				t.Errorf("%s with %v: answered %v, %+v", c.offered, c.ours, got, n)
			}
		}
	}
}

func TestZeroAddressMeansHold(t *testing.T) {
	for _, conn := range []string{"c=IN IP4 0.0.0.0", "c=IN IP6 ::"} {
		answer, n := answerTo(t, local(), conn, "m=audio 4000 RTP/AVP 0")
		if !n.Hold || n.Send || n.Remote.IsValid() {
			t.Errorf("%s: got %+v", conn, n)
		}
		if answer.Conn.Addr.IsUnspecified() {
			t.Errorf("%s: answered with it", conn)
		}
	}
}

func TestHostNameLeavesTheRemoteToItsPackets(t *testing.T) {
	_, n := answerTo(t, local(), "c=IN IP4 media.example.net", "m=audio 4000 RTP/AVP 0")
	if n.Remote.IsValid() || !n.Send || n.Hold {
		t.Errorf("got %+v", n)
	}
}

func TestAddressForRTCP(t *testing.T) {
	cases := map[string]string{
		"":                               "192.0.2.7:4000+1",
		"a=rtcp:4009":                    "192.0.2.7:4009",
		"a=rtcp:4009 IN IP4 192.0.2.8":   "192.0.2.8:4009",
		"a=rtcp:nonsense":                "192.0.2.7:4000+1",
		"a=rtcp:4009\r\na=rtcp-mux":      "192.0.2.7:4000",
		"a=rtcp:4009 IN IP6 2001:db8::3": "[2001:db8::3]:4009",
	}
	for attribute, want := range cases {
		want = strings.Replace(want, "4000+1", "4001", 1)
		answer, n := answerTo(t, local(), "c=IN IP4 192.0.2.7", "m=audio 4000 RTP/AVP 0", attribute)
		if n.RTCP.String() != want {
			t.Errorf("%q: got %s", attribute, n.RTCP)
		}
		if mux := strings.Contains(attribute, "mux"); mux != strings.Contains(answer.String(), "a=rtcp-mux\r\n") {
			t.Errorf("%q: answered\n%s", attribute, answer)
		}
	}
}

func TestRefusals(t *testing.T) {
	cases := map[string]error{
		"c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 18 3":                       ErrNoCodec,
		"c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 96":                         ErrNoCodec,
		"c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 96\na=rtpmap:96 PCMU/16000": ErrNoCodec,
		"c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP":                            ErrNoCodec,
		"c=IN IP4 192.0.2.7\nm=audio 0 RTP/AVP 0":                             ErrNoMedia,
		"c=IN IP4 192.0.2.7\nm=audio 4000 RTP/SAVP 0":                         ErrNoMedia,
		"c=IN IP4 192.0.2.7\nm=image 4000 udptl t38":                          ErrNoMedia,
		"v=0": ErrNoMedia,
	}
	for body, want := range cases {
		if _, _, err := Answer(mustParse(t, body), local()); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", body, err, want)
		}
	}
}

func TestUnusableLocalSideIsRefused(t *testing.T) {
	offer := mustParse(t, plainOffer)
	for name, change := range map[string]func(*Local){
		"no address":  func(l *Local) { l.Addr = netip.Addr{} },
		"unspecified": func(l *Local) { l.Addr = netip.IPv4Unspecified() },
		"port 0":      func(l *Local) { l.Port = 0 },
	} {
		l := local()
		change(&l)
		if _, _, err := Answer(offer, l); !errors.Is(err, ErrLocal) {
			t.Errorf("%s: answer gave %v", name, err)
		}
		if _, err := Offer(l); !errors.Is(err, ErrLocal) {
			t.Errorf("%s: offer gave %v", name, err)
		}
	}
}

func TestOfferIsWrittenInFull(t *testing.T) {
	l := local()
	l.Addr = netip.MustParseAddr("2001:db8::5")
	l.Codecs = []Codec{Opus, PCMU, {Name: "X", PT: 101, Clock: 8000}}
	l.RTCPMux, l.Ptime, l.Direction = true, 30, SendOnly
	s, err := Offer(l)
	if err != nil {
		t.Fatal(err)
	}
	want := crlf("v=0", "o=- 99 3 IN IP6 2001:db8::5", "s=-", "c=IN IP6 2001:db8::5", "t=0 0",
		"m=audio 20000 RTP/AVP 111 0 101 102 103", "a=rtpmap:111 opus/48000/2", "a=rtpmap:0 PCMU/8000",
		"a=rtpmap:101 X/8000", "a=rtpmap:102 telephone-event/8000", "a=fmtp:102 0-15",
		"a=rtpmap:103 telephone-event/48000", "a=fmtp:103 0-15", "a=ptime:30", "a=rtcp-mux", "a=sendonly")
	if s.String() != want {
		t.Errorf("got\n%swant\n%s", s, want)
	}
}

func TestOfferAnsweredByOurselves(t *testing.T) {
	l := local()
	l.RTCPMux = true
	offer, err := Offer(l)
	if err != nil {
		t.Fatal(err)
	}
	far := Local{Addr: netip.MustParseAddr("192.0.2.44"), Port: 30000, Codecs: []Codec{PCMA}, DTMF: true, Direction: SendOnly}
	answer, theirs, err := Answer(mustParse(t, offer.String()), far)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := Accept(offer, mustParse(t, answer.String()))
	if err != nil {
		t.Fatal(err)
	}
	if ours.Codec != theirs.Codec || ours.DTMFPT != 101 || theirs.DTMFPT != 101 || !ours.RTCPMux {
		t.Errorf("ours %+v\ntheirs %+v", ours, theirs)
	}
	if ours.Send || !ours.Recv || !ours.Hold || !theirs.Send || theirs.Recv || theirs.Hold {
		t.Errorf("directions: ours %+v\ntheirs %+v", ours, theirs)
	}
	if ours.Remote.String() != "192.0.2.44:30000" || ours.RTCP != ours.Remote {
		t.Errorf("remote %v rtcp %v", ours.Remote, ours.RTCP)
	}
}

func TestAnswersOfDevicesAreAccepted(t *testing.T) {
	l := local()
	l.Codecs = []Codec{PCMU, PCMA, {Name: "opus", PT: 111, Clock: 48000}}
	offer, err := Offer(l)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, body     string
		want           error
		sendPT, recvPT uint8
		dtmf, dtmfRecv uint8
	}{
		{"plain", "c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 8 101\na=rtpmap:101 telephone-event/8000", nil, 8, 8, 101, 101},
		{"its first codec counts", "c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 13 18 8 0", nil, 8, 8, 0, 0},
		{"own numbers", "c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 96 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/48000", nil, 96, 111, 97, 102},
		{"another line first", "c=IN IP4 192.0.2.7\nm=image 0 udptl t38\nm=audio 4000 RTP/AVP 0", nil, 0, 0, 0, 0},
		{"refused", "c=IN IP4 192.0.2.7\nm=audio 0 RTP/AVP 0", ErrNoMedia, 0, 0, 0, 0},
		{"nothing common", "c=IN IP4 192.0.2.7\nm=audio 4000 RTP/AVP 18", ErrNoCodec, 0, 0, 0, 0},
		{"no media", "v=0", ErrNoMedia, 0, 0, 0, 0},
	}
	for _, c := range cases {
		n, err := Accept(offer, mustParse(t, c.body))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			continue
		}
		if err == nil && (n.Codec.PT != c.sendPT || n.RecvPT != c.recvPT || n.DTMFPT != c.dtmf || n.DTMFRecvPT != c.dtmfRecv) {
			t.Errorf("%s: got %+v", c.name, n)
		}
	}
}

func TestEventRanges(t *testing.T) {
	for text, want := range map[string]Events{
		"0-15":      Keys,
		"0-16":      Keys | 1<<16,
		"0-9,11":    1<<10 - 1 | 1<<11,
		"":          Keys,
		"x":         Keys,
		"16-0":      Keys,
		"0-11,70":   1<<12 - 1,
		"5, 6":      1<<5 | 1<<6,
		"0-15,1-x ": Keys,
	} {
		if got := parseEvents(text); got != want {
			t.Errorf("%q: got %x, want %x", text, got, want)
		}
	}
	if Keys.Has(64) || Keys.Has(255) {
		t.Error("events beyond 63 are never in a set")
	}
}
