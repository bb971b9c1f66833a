package sip

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// crlf turns the line ends of a literal into those of SIP.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

const soundOptions = `OPTIONS sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKcheck
Max-Forwards: 70
From: <sip:a@example.com>;tag=1
To: <sip:bob@example.com>
Call-ID: check@1
CSeq: 7 OPTIONS
Content-Length: 0

`

const soundInvite = `INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKcheck
Max-Forwards: 70
From: <sip:a@example.com>;tag=1
To: <sip:bob@example.com>
Call-ID: check@1
CSeq: 7 INVITE
Contact: <sip:a@192.0.2.1>
Content-Type: application/sdp
Content-Length: 5

v=0
`

type checkCase struct {
	name   string
	text   string // after the replacements of edit
	edit   [2]string
	status int // 0: sound, -1: dropped
	phrase string
}

// The sections are those of RFC 4475; the texts are our own.
var checkCases = []checkCase{
	{name: "sound", text: soundOptions},
	{name: "sound call", text: soundInvite},
	{name: "3.1.1.1 folded lines, odd case and spaces", text: "INVITE sip:bob@example.com;unknown SIP/2.0\nvia : SIP / 2.0\n /UDP\n    192.0.2.2 ; branch = z9hG4bKfold\nTO :\n sip:bob@example.com ;   tag    = 19\nfrom   : \"J. \\\\\\\"R\\\"\"       <sip:j@example.com>\n  ;\n  tag = 98\nMaX-fOrWaRdS: 0068\ni: fold.1\nl: 0\ncseq: 0009\n  INVITE\nm:\"Quoted \\\"\\\"\" <sip:j@example.com> ; newparam = x ; q = 0.33\n\n"},
	{name: "3.1.1.2 unusual method and header characters", text: "!odd'.*+`~%Zz_- sip:1_x'.~*+=,;?/@example.com SIP/2.0\nVia: SIP/2.0/TCP h.example.com;branch=z9hG4bK-.!%*+`'~\nTo: \"BEL:\\\x07 NUL:\\\x00\" <sip:x@example.com>\nFrom: t1~`* <sip:y@example.com>;tag=_t\nCall-ID: w%Z!<>@y\nCSeq: 139122385 !odd'.*+`~%Zz_-\nMax-Forwards: 255\nextHdr-!x.%: v\n\n"},
	{name: "3.1.1.9 semicolon in the user", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@", "OPTIONS sip:user;par=u%40example.net@"}},
	{name: "3.1.1.13 multipart body", text: soundInvite, edit: [2]string{"application/sdp\nContent-Length: 5\n\nv=0\n", "multipart/mixed;boundary=xx\n\n--xx\nContent-Type: text/plain\n\nhello\n--xx\nContent-Type: application/sdp\n\nv=0\n--xx--\n"}},
	{name: "trailing bytes are ignored", text: soundOptions + "INVITE sip:second SIP/2.0\n\n"},
	{name: "3.1.2.1 extra separators", text: soundInvite, edit: [2]string{"Contact: <sip:a@192.0.2.1>", "Contact: \"J\" <sip:a@192.0.2.1>;;,"}, status: 400, phrase: "Contact"},
	{name: "3.1.2.1 extra separators in Via", text: soundInvite, edit: [2]string{";branch", ";;,;,, ;branch"}, status: 400, phrase: "Via"},
	{name: "3.1.2.2 length beyond the body", text: soundInvite, edit: [2]string{"Length: 5", "Length: 9999"}, status: 400, phrase: "Content-Length"},
	{name: "3.1.2.3 negative length", text: soundInvite, edit: [2]string{"Length: 5", "Length: -999"}, status: 400, phrase: "Content-Length"},
	{name: "3.1.2.4 numbers out of range", text: soundOptions, edit: [2]string{"CSeq: 7", "CSeq: 36893488147419103232"}, status: 400, phrase: "CSeq"},
	{name: "3.1.2.4 Max-Forwards out of range", text: soundOptions, edit: [2]string{"Max-Forwards: 70", "Max-Forwards: 300"}, status: 400, phrase: "Max-Forwards"},
	{name: "3.1.2.6 unterminated quote", text: soundOptions, edit: [2]string{"To: <sip", "To: \"Mr. Bob <sip"}, status: 400, phrase: "To"},
	{name: "3.1.2.7 brackets around the request URI", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@example.com", "OPTIONS <sip:bob@example.com>"}, status: 400, phrase: "request line"},
	{name: "3.1.2.8 space in the request URI", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@example.com", "OPTIONS sip:bob@example.com; lr"}, status: 400, phrase: "request line"},
	{name: "3.1.2.9 several spaces", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@example.com ", "OPTIONS  sip:bob@example.com  "}, status: 400, phrase: "request line"},
	{name: "3.1.2.10 trailing space", text: soundOptions, edit: [2]string{"SIP/2.0\nVia", "SIP/2.0  \nVia"}, status: 400, phrase: "request line"},
	{name: "3.1.2.11 headers in the request URI", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@example.com", "OPTIONS sip:bob@example.com?Route=%3Csip:x%3E"}, status: 400, phrase: "Request-URI"},
	{name: "3.1.2.13 bad Contact", text: soundInvite, edit: [2]string{"<sip:a@192.0.2.1>", "sip:a@192.0.2.1?Route=%3Csip:x%3E"}, status: 400, phrase: "Contact"},
	{name: "3.1.2.15 unquoted comma in a name", text: soundOptions, edit: [2]string{"From: <", "From: Bell, A <"}, status: 400, phrase: "From"},
	{name: "3.1.2.16 unknown version", text: soundOptions, edit: [2]string{"SIP/2.0\nVia", "SIP/7.0\nVia"}, status: 505},
	{name: "3.1.2.16 unknown version in Via too", text: strings.ReplaceAll(soundOptions, "SIP/2.0", "SIP/7.0"), status: 505},
	{name: "3.1.2.17 method of CSeq", text: soundOptions, edit: [2]string{"7 OPTIONS", "7 INVITE"}, status: 400, phrase: "CSeq"},
	{name: "3.1.2.18 unknown method, other in CSeq", text: soundOptions, edit: [2]string{"OPTIONS sip", "NEWMETHOD sip"}, status: 400, phrase: "CSeq"},
	{name: "3.2.1 branch of the cookie alone", text: soundOptions, edit: [2]string{"z9hG4bKcheck", "z9hG4bK"}},
	{name: "3.3.1 missing Call-ID", text: soundOptions, edit: [2]string{"Call-ID: check@1\n", ""}, status: 400, phrase: "Missing Call-ID"},
	{name: "3.3.1 missing From", text: soundOptions, edit: [2]string{"From: <sip:a@example.com>;tag=1\n", ""}, status: 400, phrase: "Missing From"},
	{name: "3.3.1 missing To", text: soundOptions, edit: [2]string{"To: <sip:bob@example.com>\n", ""}, status: 400, phrase: "Missing To"},
	{name: "3.3.1 missing CSeq", text: soundOptions, edit: [2]string{"CSeq: 7 OPTIONS\n", ""}, status: 400, phrase: "Missing CSeq"},
	{name: "3.3.1 missing Via", text: soundOptions, edit: [2]string{"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKcheck\n", ""}, status: -1},
	{name: "3.3.2 unknown scheme", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@example.com", "OPTIONS nobody:xyz"}, status: 416},
	{name: "3.3.3 known scheme of another kind", text: soundOptions, edit: [2]string{"OPTIONS sip:bob@example.com", "OPTIONS soap.beep://192.0.2.103:3002"}, status: 416},
	{name: "3.3.5 unknown scheme in To", text: soundOptions, edit: [2]string{"To: <sip:bob@example.com>", "To: <isbn:2983792873>"}},
	{name: "3.3.6 Proxy-Require is not for us", text: soundOptions, edit: [2]string{"Max", "Proxy-Require: noProxiesSupportThis\nMax"}},
	{name: "3.3.6 Require", text: soundOptions, edit: [2]string{"Max", "Require: nothingSupportsThis, timer\nMax"}, status: 420},
	{name: "3.3.7 unknown body type", text: soundInvite, edit: [2]string{"application/sdp", "application/unknown"}, status: 415},
	{name: "body type missing", text: soundInvite, edit: [2]string{"Content-Type: application/sdp\n", ""}, status: 400, phrase: "Content-Type"},
	{name: "encoded body", text: soundInvite, edit: [2]string{"Content-Length", "e: gzip\nContent-Length"}, status: 415},
	{name: "3.3.8 two of what may come once", text: soundOptions, edit: [2]string{"Call-ID: check@1\n", "Call-ID: check@1\ni: check@2\n"}, status: 400, phrase: "More than one Call-ID"},
	{name: "3.3.9 two lengths", text: soundOptions, edit: [2]string{"Content-Length: 0", "Content-Length: 0\nl: 5"}, status: 400, phrase: "Content-Length"},
	{name: "3.3.11 no more hops", text: soundOptions, edit: [2]string{"Max-Forwards: 70", "Max-Forwards: 0"}, status: 483},
	{name: "3.3.15 SDP is not acceptable", text: soundInvite, edit: [2]string{"Max", "Accept: text/nobodyKnowsThis\nMax"}, status: 406},
	{name: "3.4.1 RFC 2543 request", text: soundInvite, edit: [2]string{";branch=z9hG4bKcheck\nMax-Forwards: 70", ""}},
	{name: "header without colon", text: soundOptions, edit: [2]string{"Max-Forwards: 70", "Max-Forwards"}, status: 400, phrase: "header line"},
	{name: "carriage return inside a value", text: soundOptions, edit: [2]string{"Max-Forwards: 70", "Subject: a\rb"}, status: 400, phrase: "header line"},
	{name: "no empty line", text: strings.TrimRight(soundOptions, "\n") + "\n", status: 400, phrase: "empty line"},
	{name: "not SIP", text: "GET / HTTP/1.1\nHost: x\n\n", status: -1},
	{name: "noise", text: "\x00\x01\x02 some bytes that are nothing\n", status: -1},
}

// checked runs a datagram through the parser and the checks.
func checked(text string) (*message, *refusal, bool) {
	m, err := parse(text)
	if err != nil {
		return nil, nil, false
	}
	m.flow = flow{remote: netip.MustParseAddrPort("192.0.2.1:5060")}
	r, answerable := m.checkRequest()
	return m, r, answerable
}

func TestChecksRefuseWhatTheStandardForbids(t *testing.T) {
	t.Parallel()
	for _, c := range checkCases {
		t.Run(c.name, func(t *testing.T) {
			text := c.text
			if c.edit[0] != "" {
				if !strings.Contains(text, c.edit[0]) {
					t.Fatalf("nothing to replace by %q", c.edit[1])
				}
				text = strings.Replace(text, c.edit[0], c.edit[1], 1)
			}
			m, r, answerable := checked(crlf(text))
			switch {
			case answerable != (c.status >= 0):
				t.Fatalf("answerable %v", answerable)
			case c.status > 0 && r == nil:
				t.Fatalf("passed, want %d", c.status)
			case c.status > 0 && (r.status != c.status || !strings.Contains(r.phrase, c.phrase)):
				t.Fatalf("%d %q, want %d %q", r.status, r.phrase, c.status, c.phrase)
			case c.status == 0 && r != nil:
				t.Fatalf("refused: %d %q", r.status, r.phrase)
			case c.status == 0 && strings.HasPrefix(m.method, "INVITE") && len(m.body) > 0 && !strings.HasPrefix(string(m.body), "v=0"):
				t.Fatalf("body %q", m.body)
			}
		})
	}
}

func TestFoldedMessageKeepsItsParts(t *testing.T) {
	t.Parallel()
	m, _, _ := checked(crlf(checkCases[2].text))
	if m.via.host != "192.0.2.2" || m.via.branch != "z9hG4bKfold" || m.via.transport != "UDP" || m.to.tag() != "19" || m.from.tag() != "98" ||
		m.cseq != 9 || m.callID != "fold.1" || m.from.display != `J. \"R"` {
		t.Errorf("%+v from %+v to %+v", m.via, m.from, m.to)
	}
}

func TestBrokenResponsesAreDropped(t *testing.T) {
	t.Parallel()
	sound := "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\nFrom: <sip:a@x>;tag=1\nTo: <sip:b@x>;tag=2\nCall-ID: r\nCSeq: 1 INVITE\n\n"
	for text, want := range map[string]bool{
		sound: true,
		strings.Replace(sound, " = 2**3 * 5**2 \xd0\xbd", " ", 1):                     true, // 3.1.1.13 no reason phrase
		strings.Replace(sound, "200", "4294967301", 1):                                false,
		strings.Replace(sound, "200", "99", 1):                                        false,
		strings.Replace(sound, "1 INVITE", "9292394834772304023312 INVITE", 1):        false,
		strings.Replace(sound, "CSeq", "Content-Length: 12\nCSeq", 1):                 false,
		strings.Replace(sound, "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\n", "", 1): false,
	} {
		m, err := parse(crlf(text))
		if got := err == nil && m.checkResponse(); got != want {
			t.Errorf("%v, want %v: %q", got, want, text)
		}
	}
}

func TestDatagramsAreAnsweredOrDropped(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send("\n\n")
	peer.send("nothing that is SIP at all\n")
	peer.send(strings.Repeat("x", 60000))
	peer.send(strings.Replace(soundOptions, "192.0.2.1;", "{me};rport;", 1))
	m := peer.status(200)
	if m.header("Allow") == "" || m.header("Accept") != "application/sdp" || m.header("Supported") == "" || m.to.tag() == "" {
		t.Errorf("%v", m.headers)
	}
	if rport, _ := param(m.header("Via"), "rport"); rport != itoa(int(peer.addr().Port())) {
		t.Errorf("Via %q", m.header("Via"))
	}
	peer.send(strings.Replace(strings.Replace(soundOptions, "192.0.2.1;", "{me};rport;", 1), "Max", "Require: timer, replaces\nMax", 1))
	if m := peer.status(420); m.header("Unsupported") != "replaces" {
		t.Errorf("Unsupported %q", m.header("Unsupported"))
	}
	peer.send(strings.Replace(strings.Replace(soundOptions, "192.0.2.1;", "{me};rport;", 1), "Max-Forwards: 70", "Max-Forwards: 0", 1))
	peer.status(483)
	if c := b.Counters(); c.Garbage != 2 || c.Refused != 2 {
		t.Errorf("%+v", c)
	}
	b.idle(t)
}

func TestOtherMethodsAreAskedOrRefused(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	send := func(method, branch string) {
		text := strings.ReplaceAll(soundOptions, "OPTIONS", method)
		peer.send(strings.Replace(strings.Replace(text, "192.0.2.1;", "{me};rport;", 1), "bKcheck", "bK"+branch, 1))
	}
	send("REGISTER", "r1")
	if allow := peer.status(405).header("Allow"); !strings.Contains(allow, "INVITE") || strings.Contains(allow, "REGISTER") || strings.Contains(allow, "REFER") {
		t.Errorf("Allow: %s", allow)
	}
	send("DANCE", "d1")
	peer.status(501)
	b.handle(nil, func(r *Request) Response {
		return Response{Status: 202, Headers: []Header{{"X-Method", r.Method + "\r\nEvil: 1"}}, ContentType: "text/plain", Body: []byte(r.Flow())}
	})
	send("MESSAGE", "m1")
	m := peer.status(202)
	if m.header("Evil") != "" || string(m.body) != "UDP|"+peer.addr().String() {
		t.Errorf("%v %q", m.headers, m.body)
	}
	send("MESSAGE", "m1")
	if again := peer.status(202); again.to.tag() != m.to.tag() {
		t.Error("the retransmission was asked anew")
	}
	b.Refuse(true)
	send("MESSAGE", "m2")
	if m := peer.status(503); m.header("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestSourceOverItsRateGets503(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := newPhone(t, func(c *Config) { c.SourceRate = 2; c.Now = func() time.Time { return now } })
	peer := newRawPeer(t, b.addr())
	statuses := map[int]int{}
	for i := range 5 {
		peer.send(strings.Replace(strings.ReplaceAll(strings.Replace(soundOptions, "192.0.2.1;", "{me};rport;", 1), "OPTIONS", "MESSAGE"), "bKcheck", "bKrate"+itoa(i), 1))
		statuses[peer.read().status]++
	}
	if statuses[405] != 2 || statuses[503] != 3 {
		t.Errorf("%v", statuses)
	}
}

func FuzzDatagram(f *testing.F) {
	for _, c := range checkCases {
		f.Add(crlf(strings.Replace(c.text, c.edit[0], c.edit[1], 1)))
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, r, answerable := checked(text)
		if m == nil {
			return
		}
		if !m.request {
			m.checkResponse()
		}
		m.reason()
		m.list("Contact")
		m.routeSet()
		m.targetURI()
		answerChallenge(m, &Auth{User: "u", Password: "p"}, "INVITE", "sip:x", 0)
		if !answerable {
			return
		}
		status := 200
		if r != nil {
			status = r.status
		}
		re := reply{status: status, tag: "tag"}
		answer, err := parse(string(re.bytes(m, "agent")))
		if err != nil || answer.request || answer.status != status {
			t.Fatalf("our answer cannot be read: %v %q", err, re.bytes(m, "agent"))
		}
		if r == nil && answer.essentials() != "" {
			t.Fatalf("our answer is broken: %s %q", answer.essentials(), re.bytes(m, "agent"))
		}
	})
}
