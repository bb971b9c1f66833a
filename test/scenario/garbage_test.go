package scenario

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// broken is a SIP message with what is wrong about it, after the kinds of RFC 4475 §3 (the messages are our own). answer is the status
// line that is right, empty where none must come.
type broken struct {
	name, text string
	answer     string
}

// brokenMessages are written with %[1]s for the server, %[2]s for us.
func brokenMessages(server, us string) []broken {
	head := func(method, extra string) string {
		return method + " sip:+12125550123@" + server + " SIP/2.0\r\nVia: SIP/2.0/UDP " + us + ";branch=z9hG4bK" + digits(10) + ";rport\r\n" +
			"From: <sip:+13125550144@" + us + ">;tag=x" + digits(6) + "\r\nTo: <sip:+12125550123@" + server + ">\r\nCall-ID: g" + digits(12) + "\r\nMax-Forwards: 70\r\n" + extra
	}
	end := "Content-Length: 0\r\n\r\n"
	contact := "Contact: <sip:x@" + us + ">\r\n"
	long := strings.Repeat("x", 20000)
	return []broken{
		{"OPTIONS that is right", head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), "SIP/2.0 200"},
		{"method that nobody knows", head("NEWMETHOD", "CSeq: 1 NEWMETHOD\r\n"+end), "SIP/2.0 "},
		{"CSeq of another method", head("OPTIONS", "CSeq: 1 INVITE\r\n"+end), "SIP/2.0 400"},
		{"CSeq beyond 32 bits", head("OPTIONS", "CSeq: 36893488147419103232 OPTIONS\r\n"+end), "SIP/2.0 400"},
		{"no CSeq", head("OPTIONS", end), "SIP/2.0 400"},
		{"Content-Length below zero", head("OPTIONS", "CSeq: 1 OPTIONS\r\nContent-Length: -999\r\n\r\n"), "SIP/2.0 400"},
		{"Content-Length beyond the message", head("INVITE", contact+"CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: 9999\r\n\r\nv=0\r\n"), "SIP/2.0 400"},
		{"two Content-Lengths that differ", head("OPTIONS", "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\nContent-Length: 7\r\n\r\n"), ""},
		{"no hops left", strings.Replace(head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), "Max-Forwards: 70", "Max-Forwards: 0", 1), ""},
		{"hops of a wrong kind", strings.Replace(head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), "Max-Forwards: 70", "Max-Forwards: 3000000000", 1), ""},
		{"unknown scheme", strings.Replace(head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), "OPTIONS sip:", "OPTIONS nobodyKnowsThis:", 1), ""},
		{"spaces in the request line", strings.Replace(head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), " SIP/2.0\r\n", "  SIP/2.0 \r\n", 1), ""},
		{"future version", strings.Replace(head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), " SIP/2.0\r\n", " SIP/7.0\r\n", 1), ""},
		{"brackets in the request URI", strings.Replace(head("INVITE", contact+"CSeq: 1 INVITE\r\n"+end), "INVITE sip:+12125550123@"+server, "INVITE <sip:+12125550123@"+server+">", 1), ""},
		{"quote that never ends", strings.Replace(head("OPTIONS", "CSeq: 1 OPTIONS\r\n"+end), "To: <", `To: "Mr. J. Nobody <`, 1), ""},
		{"two To", head("OPTIONS", "To: <sip:other@"+server+">\r\nCSeq: 1 OPTIONS\r\n"+end), ""},
		{"To without tag in a BYE of no call", head("BYE", "CSeq: 2 BYE\r\n"+end), "SIP/2.0 "},
		{"CANCEL of nothing", head("CANCEL", "CSeq: 1 CANCEL\r\n"+end), "SIP/2.0 481"},
		{"ACK of nothing", head("ACK", "CSeq: 1 ACK\r\n"+end), ""},
		{"extension that nobody has", head("INVITE", contact+"Require: nothingSupportsThis\r\nCSeq: 1 INVITE\r\n"+end), "SIP/2.0 "},
		{"body that is not understood", head("INVITE", contact+"CSeq: 1 INVITE\r\nContent-Type: application/x-unknown\r\nContent-Length: 3\r\n\r\nabc"), "SIP/2.0 "},
		{"SDP that is none", head("INVITE", contact+"CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\nnot = sdp"), "SIP/2.0 "},
		{"very long values", head("OPTIONS", "Subject: "+long+"\r\nCSeq: 1 OPTIONS\r\n"+end), ""},
		{"a thousand headers", head("OPTIONS", strings.Repeat("X-Many: 1\r\n", 1000)+"CSeq: 1 OPTIONS\r\n"+end), ""},
		{"folded lines and short names", "OPTIONS sip:a@" + server + " SIP/2.0\r\nv: SIP / 2.0\r\n / UDP\r\n   " + us + ";branch=z9hG4bK" + digits(9) + "\r\nf: <sip:b@" + us + ">\r\n ;tag=1\r\nt: <sip:a@" + server + ">\r\ni: f" + digits(9) + "\r\nCSeq: 0009\r\n  OPTIONS\r\nMax-Forwards: 068\r\nl: 0\r\n\r\n", ""},
		{"line ends that lie", head("OPTIONS", "X-A: b\rContact: <sip:evil@"+us+">\r\nCSeq: 1 OPTIONS\r\n"+end), ""},
		{"zero bytes", head("OPTIONS", "X-A: \x00\x00\r\nCSeq: 1 OPTIONS\r\n"+end), ""},
		{"answer to nothing", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP " + server + ";branch=z9hG4bKnone\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: n\r\nCSeq: 1 INVITE\r\n\r\n", ""},
		{"answer with a status out of range", "SIP/2.0 4294967301 better not\r\nVia: SIP/2.0/UDP " + server + ";branch=z9hG4bKnone\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: n\r\nCSeq: 1 INVITE\r\n\r\n", ""},
		{"start line alone", "INVITE sip:x SIP/2.0\r\n\r\n", ""},
		{"nothing but line ends", "\r\n\r\n\r\n\r\n", ""},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	}
}

func TestGarbageOnTheSIPPort(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, c, number := begin(t, "", `<Response><Answer/><Hangup/></Response>`)
	before := levels(ctx, t, s, c)
	t.Run("broken messages", func(t *testing.T) { sendBroken(t, s.SIP) })
	t.Run("datagrams of anything", func(t *testing.T) { sendNoise(t, s.SIP) })
	t.Run("half messages over TCP", func(t *testing.T) { sendHalves(t, s.SIP) })
	if t.Failed() {
		return
	}
	select {
	case err := <-s.Over():
		t.Fatalf("the server ended: %v", err)
	default:
	}
	if a, err := c.Request(ctx, "GET", "/health/ready", nil, nil); err != nil || a.Status != 200 {
		t.Fatalf("not ready after the garbage: %v %v", a, err)
	}
	if _, err := (house.SIPp{Scenario: "answered.xml", Server: s.SIP, Number: number, Calls: 20, Rate: 20}).Run(ctx); err != nil {
		t.Errorf("calls after the garbage: %v", err)
	}
	awaitLevels(ctx, t, s, c, before)
	if found := s.Grep("panic"); len(found) > 0 {
		t.Errorf("the log says %s", found[0])
	}
}

// sendBroken wants the right answer, or at least that the next good message is answered.
func sendBroken(t *testing.T, server string) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	us := conn.LocalAddr().String()
	for _, m := range brokenMessages(server, us) {
		if _, err := conn.Write([]byte(m.text)); err != nil {
			t.Fatal(err)
		}
		if m.answer == "" {
			continue
		}
		got, err := answerTo(conn, callID(m.text))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if !strings.HasPrefix(got, m.answer) {
			t.Errorf("%s: the answer is %.60q instead of %s", m.name, got, m.answer)
		}
	}
	if got, err := answerTo(conn, ping(t, conn, server)); err != nil || !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Errorf("OPTIONS after all that: %q %v", got, err)
	}
}

// ping sends a good OPTIONS and gives its Call-ID.
func ping(t *testing.T, conn net.Conn, server string) string {
	t.Helper()
	good := brokenMessages(server, conn.LocalAddr().String())[0].text
	if conn.LocalAddr().Network() == "tcp" {
		good = strings.Replace(good, "SIP/2.0/UDP", "SIP/2.0/TCP", 1)
	}
	if _, err := conn.Write([]byte(good)); err != nil {
		t.Fatal(err)
	}
	return callID(good)
}

func callID(message string) string {
	_, rest, _ := strings.Cut(message, "Call-ID: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

// answerTo reads until the final answer with that Call-ID comes, 3 s at most.
func answerTo(conn net.Conn, id string) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return "", fmt.Errorf("no answer: %w", err)
		}
		if text := strings.TrimLeft(string(buf[:n]), "\r\n"); strings.Contains(text, id) && !strings.HasPrefix(text, "SIP/2.0 1") {
			return text, nil
		}
	}
}

// sendNoise sends random bytes, messages with random bytes changed, and the largest datagrams there are.
func sendNoise(t *testing.T, server string) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := rand.New(rand.NewPCG(1, 2))
	samples := brokenMessages(server, conn.LocalAddr().String())
	for i := range 3000 {
		var b []byte
		switch i % 3 {
		case 0:
			b = make([]byte, r.IntN(1400))
			for j := range b {
				b[j] = byte(r.Uint32())
			}
		default:
			b = []byte(samples[r.IntN(len(samples))].text)
			for range 1 + r.IntN(8) {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			b = b[:1+r.IntN(len(b))]
		}
		if _, err := conn.Write(b); err != nil && !strings.Contains(err.Error(), "refused") {
			t.Fatal(err)
		}
	}
	const largest = 65507 // bytes that UDP over IPv4 carries
	good := samples[0].text
	for _, b := range [][]byte{
		bytes.Repeat([]byte("A"), largest),
		[]byte(good[:len(good)-2] + "X-Fill: " + strings.Repeat("y", largest-len(good)-10) + "\r\n\r\n"),
		[]byte(good + strings.Repeat("z", largest-len(good))),
		bytes.Repeat([]byte("\r\n"), largest/2),
	} {
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	// A fresh socket, so that nothing which the noise provoked is taken for the answer; asked again like any SIP client.
	fresh, err := net.Dial("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	for attempt := 0; ; attempt++ {
		got, err := answerTo(fresh, ping(t, fresh, server))
		if err == nil && strings.HasPrefix(got, "SIP/2.0 200") {
			return
		}
		if attempt == 5 {
			t.Fatalf("OPTIONS after the noise: %q %v", got, err)
		}
	}
}

// sendHalves leaves connections in the middle of messages, and sends what no stream can be cut by.
func sendHalves(t *testing.T, server string) {
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", server)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		return c
	}
	first := dial()
	good := strings.Replace(brokenMessages(server, first.LocalAddr().String())[0].text, "SIP/2.0/UDP", "SIP/2.0/TCP", 1)
	for i := range 40 {
		c := dial()
		text := good[:len(good)*(i+1)/41]
		if i%4 == 0 {
			text = strings.Replace(good, "Content-Length: 0", "Content-Length: 99999999999", 1)
		}
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	// Two messages in one write, then one in single bytes, on one connection.
	if _, err := first.Write([]byte("\r\n\r\n" + good)); err != nil {
		t.Fatal(err)
	}
	if got, err := answerTo(first, callID(good)); err != nil || !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Errorf("OPTIONS after line ends: %q %v", got, err)
	}
	slow := dial()
	good = strings.Replace(brokenMessages(server, slow.LocalAddr().String())[0].text, "SIP/2.0/UDP", "SIP/2.0/TCP", 1)
	for i := range len(good) {
		if _, err := slow.Write([]byte{good[i]}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := answerTo(slow, callID(good)); err != nil || !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Errorf("OPTIONS in single bytes: %q %v", got, err)
	}
}
