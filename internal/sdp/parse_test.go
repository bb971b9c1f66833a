package sdp

import (
	"errors"
	"strings"
	"testing"
)

// crlf joins lines the way a correct device does.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

func mustParse(t *testing.T, body string) *Session {
	t.Helper()
	s, err := Parse([]byte(body))
	if err != nil {
		t.Fatalf("parse: %v\n%s", err, body)
	}
	return s
}

var plainOffer = crlf("v=0", "o=deskphone 17 2 IN IP4 192.0.2.7", "s=call", "c=IN IP4 192.0.2.7", "t=0 0",
	"m=audio 4000 RTP/AVP 0 8 101", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000",
	"a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=ptime:20", "a=sendrecv")

func TestDevicesBodiesAreUnderstood(t *testing.T) {
	cases := map[string]string{
		"correct":              plainOffer,
		"no last line end":     strings.TrimSuffix(plainOffer, "\r\n"),
		"line feeds only":      strings.ReplaceAll(plainOffer, "\r\n", "\n"),
		"carriage returns":     strings.ReplaceAll(plainOffer, "\r\n", "\r"),
		"trailing zero byte":   plainOffer + "\x00",
		"blank lines":          strings.ReplaceAll(plainOffer, "\r\n", "\r\n\r\n"),
		"indented":             strings.ReplaceAll(plainOffer, "\r\n", "\r\n  "),
		"no s and t":           strings.NewReplacer("s=call\r\n", "", "t=0 0\r\n", "").Replace(plainOffer),
		"no v":                 strings.TrimPrefix(plainOffer, "v=0\r\n"),
		"b and c after t":      strings.NewReplacer("c=IN IP4 192.0.2.7\r\n", "", "t=0 0\r\n", "t=0 0\r\nb=AS:64\r\nc=IN IP4 192.0.2.7\r\n").Replace(plainOffer),
		"c in the media":       strings.NewReplacer("c=IN IP4 192.0.2.7\r\n", "", "m=audio 4000 RTP/AVP 0 8 101\r\n", "m=audio 4000 RTP/AVP 0 8 101\r\nc=IN IP4 192.0.2.7\r\n").Replace(plainOffer),
		"media c wins":         strings.NewReplacer("c=IN IP4 192.0.2.7", "c=IN IP4 198.51.100.9", "RTP/AVP 0 8 101\r\n", "RTP/AVP 0 8 101\r\nc=IN IP4 192.0.2.7\r\n").Replace(plainOffer),
		"upper case types":     strings.NewReplacer("a=", "A=", "m=", "M=").Replace(plainOffer),
		"no rtpmap for events": strings.Replace(plainOffer, "a=rtpmap:101 telephone-event/8000\r\n", "", 1),
		"unknown lines":        plainOffer + "a=X-nat:3 Symmetric\r\nx=private\r\na=\r\n",
	}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, body)
			answer, n, err := Answer(s, local())
			if err != nil {
				t.Fatal(err)
			}
			if n.Remote.String() != "192.0.2.7:4000" || n.Codec != PCMU || n.DTMFPT != 101 {
				t.Errorf("got %+v", n)
			}
			mustParse(t, answer.String())
		})
	}
}

func TestUnknownAttributesAndLinesAreKept(t *testing.T) {
	s := mustParse(t, crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "b=CT:500", "t=0 0",
		"a=tool:own", "m=audio 4000/2 RTP/AVP 0", "i=mouth", "b=AS:80", "a=X-flag", "a=X-value:a:b"))
	m := s.Media[0]
	if v, ok := m.Attr("x-value"); !ok || v != "a:b" {
		t.Errorf("attribute value %q %v", v, ok)
	}
	if v, ok := s.Attr("tool"); !ok || v != "own" {
		t.Errorf("session attribute %q %v", v, ok)
	}
	text := s.String()
	for _, want := range []string{"b=CT:500\r\n", "i=mouth\r\n", "b=AS:80\r\n", "a=X-flag\r\n", "m=audio 4000/2 RTP/AVP 0\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	cases := []struct {
		body string
		line int
	}{
		{"v=0\r\nhello\r\n", 2},
		{"v=0\r\n\r\nm=audio\r\n", 3},
		{"m=audio x RTP/AVP 0", 1},
		{"m=audio 65536 RTP/AVP 0", 1},
		{"m=audio 4000/0 RTP/AVP 0", 1},
		{"v=0\nc=IN IP4\n", 2},
		{"c=ATM NSAP 47.0091", 1},
		{"a=x\x00y", 1},
		{"=0", 1},
		{strings.Repeat("m=audio 1 RTP/AVP 0\n", MaxMedia+1), MaxMedia + 1},
		{"m=audio 1 RTP/AVP" + strings.Repeat(" 0", MaxFormats+1), 1},
	}
	for _, c := range cases {
		_, err := Parse([]byte(c.body))
		var le *LineError
		if !errors.As(err, &le) || le.Line != c.line {
			t.Errorf("%.40q: got %v, want line %d", c.body, err, c.line)
		}
	}
}

func TestBodiesWithoutContentOrTooLarge(t *testing.T) {
	for body, want := range map[string]error{
		"":          ErrEmpty,
		"\r\n \r\n": ErrEmpty,
		"\x00\x00":  ErrEmpty,
		"v=0\n" + strings.Repeat("a=x\n", MaxLines): ErrTooLarge,
		"a=" + strings.Repeat("x", MaxSize):         ErrTooLarge,
	} {
		if _, err := Parse([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%.20q: got %v, want %v", body, err, want)
		}
	}
}

func TestConnectionSpellings(t *testing.T) {
	for text, want := range map[string]string{
		"c=IN IP4 192.0.2.1":         "192.0.2.1",
		"c=IN IP4 233.252.0.1/127/3": "233.252.0.1",
		"c=IN IP6 2001:db8::1":       "2001:db8::1",
		"c=IN IP6 [2001:db8::1]":     "2001:db8::1",
		"c=IN IP6 ::ffff:192.0.2.1":  "192.0.2.1",
		"c=in ip4  192.0.2.1 ":       "192.0.2.1",
	} {
		if got := mustParse(t, text).Conn.Addr.String(); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
	if c := mustParse(t, "c=IN IP4 media.example.net").Conn; c.Addr.IsValid() || c.Host != "media.example.net" {
		t.Errorf("host name: %+v", c)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(plainOffer))
	f.Add([]byte(crlf("v=0", "o=- 1 1 IN IP6 2001:db8::7", "s= ", "c=IN IP6 2001:db8::7", "t=0 0",
		"m=audio 0 RTP/AVP 0", "m=image 4002 udptl t38", "a=T38FaxVersion:0", "m=audio 4004 RTP/SAVP 0 8",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0", "a=sendonly")))
	f.Add([]byte("m=audio 4000 RTP/AVP 96 97\nc=IN IP4 0.0.0.0\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/48000\na=rtcp:53020 IN IP4 192.0.2.4\na=rtcp-mux"))
	f.Add([]byte("a=inactive\rm=audio 9 UDP/TLS/RTP/SAVPF 111 0\ra=ptime:30\ra=fmtp:101 0-15,66"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Parse(body)
		if err != nil {
			return
		}
		text := s.Bytes()
		if len(text) > MaxSize {
			return
		}
		again, err := Parse(text)
		if errors.Is(err, ErrTooLarge) {
			return
		}
		if err != nil {
			t.Fatalf("own text is not read back: %v\n%q", err, text)
		}
		if string(again.Bytes()) != string(text) {
			t.Fatalf("text changes when read back:\n%q\n%q", text, again.Bytes())
		}
		answer, n, err := Answer(s, local())
		if err == nil {
			checkAnswer(t, s, answer, n)
		}
		if offer, err := Offer(local()); err == nil {
			_, _ = Accept(offer, s)
			_, _ = Accept(s, offer)
		}
	})
}

// checkAnswer holds for the answer to any offer.
func checkAnswer(t *testing.T, offer, answer *Session, n Negotiated) {
	t.Helper()
	if len(answer.Media) != len(offer.Media) {
		t.Fatalf("answer has %d media lines, offer %d", len(answer.Media), len(offer.Media))
	}
	live := 0
	for i := range answer.Media {
		if answer.Media[i].Port != 0 {
			live++
		}
		if answer.Media[i].Kind != offer.Media[i].Kind {
			t.Fatalf("line %d is %s, offered %s", i, answer.Media[i].Kind, offer.Media[i].Kind)
		}
	}
	if live != 1 || answer.Media[n.Media].Port == 0 {
		t.Fatalf("%d live lines", live)
	}
	if text := answer.String(); strings.Contains(text, "IP4 0.0.0.0") || strings.Contains(text, "IP6 ::\r") {
		t.Fatalf("unspecified address in %q", text)
	}
	theirs, ours := offer.DirectionOf(&offer.Media[n.Media]), answer.DirectionOf(&answer.Media[n.Media])
	if ours.Sends() && !theirs.Receives() || ours.Receives() && !theirs.Sends() {
		t.Fatalf("offered %v, answered %v", theirs, ours)
	}
}
