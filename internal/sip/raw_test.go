package sip

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const rawInvite = `INVITE sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP {me};branch=z9hG4bKraw1;rport
Max-Forwards: 70
From: "Raw" <sip:raw@example.com>;tag=rawtag
To: <sip:bob@example.com>
Call-ID: raw-call-1
CSeq: 1 INVITE
Contact: <sip:raw@{me}>
Content-Type: application/sdp
Content-Length: 12

v=0
offer
`

// rawRequest is a request in the dialog that rawInvite opened.
func rawRequest(method, cseq, toTag, branch string) string {
	return method + ` sip:bob@example.com SIP/2.0
Via: SIP/2.0/UDP {me};branch=z9hG4bK` + branch + `;rport
Max-Forwards: 70
From: "Raw" <sip:raw@example.com>;tag=rawtag
To: <sip:bob@example.com>;tag=` + toTag + `
Call-ID: raw-call-1
CSeq: ` + cseq + ` ` + method + `
Content-Length: 0

`
}

// rawCall sends rawInvite and lets the phone answer it.
func rawCall(t *testing.T) (*phone, *rawPeer, *call, string) {
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send(rawInvite)
	in := b.incoming(t)
	peer.status(100)
	if err := in.Accept(context.Background(), []byte("v=0\r\nanswer\r\n")); err != nil {
		t.Fatal(err)
	}
	return b, peer, in, peer.status(200).to.tag()
}

func TestByeBeforeAckEndsTheCall(t *testing.T) {
	t.Parallel()
	b, peer, in, tag := rawCall(t)
	peer.send(rawRequest("BYE", "2", tag, "bye1"))
	for peer.read().cseqMethod != "BYE" {
	}
	if e := expect[Ended](t, in); e.By != Remote {
		t.Errorf("%+v", e)
	}
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	b.idle(t)
	for m := peer.readFor(50 * time.Millisecond); m != nil; m = peer.readFor(50 * time.Millisecond) {
		if m.cseqMethod == "INVITE" && m.status == 200 {
			continue // sent before the BYE came
		}
		t.Errorf("status %d to %s after the end", m.status, m.cseqMethod)
	}
}

func TestAnswerIsRepeatedUntilTheAckComes(t *testing.T) {
	t.Parallel()
	b, peer, in, tag := rawCall(t)
	for range 3 { // lost ACKs
		if m := peer.status(200); m.to.tag() != tag || string(m.body) != "v=0\r\nanswer\r\n" {
			t.Fatalf("tag %q body %q", m.to.tag(), m.body)
		}
	}
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	expect[Acked](t, in)
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	peer.send(rawRequest("BYE", "2", tag, "bye1"))
	expect[Ended](t, in)
	for range 2 { // the answer to the first was lost
		m := peer.read()
		for m.cseqMethod != "BYE" {
			m = peer.read()
		}
		if m.status != 200 {
			t.Errorf("status %d", m.status)
		}
		peer.send(rawRequest("BYE", "2", tag, "bye1"))
	}
	b.idle(t)
}

func TestCallWithoutAckEndsWithBye(t *testing.T) {
	t.Parallel()
	b, peer, in, tag := rawCall(t)
	bye := peer.requestNamed("BYE")
	if bye.from.tag() != tag || bye.to.tag() != "rawtag" || bye.uri != "sip:raw@"+peer.addr().String() {
		t.Errorf("BYE %s from %q to %q", bye.uri, bye.from.tag(), bye.to.tag())
	}
	if e := expect[Ended](t, in); e.By != Lost {
		t.Errorf("%+v", e)
	}
	r := reply{status: 200}
	peer.send(strings.ReplaceAll(string(r.bytes(bye, "")), "\r\n", "\n"))
	b.idle(t)
}

func TestHangupBeforeTheAckWaitsForIt(t *testing.T) {
	t.Parallel()
	b, peer, in, tag := rawCall(t)
	in.Hangup(Reason{Q850: 16})
	if e := expect[Ended](t, in); e.By != Local {
		t.Errorf("%+v", e)
	}
	if m := peer.status(200); m.cseqMethod != "INVITE" {
		t.Errorf("%s", m.cseqMethod)
	}
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	bye := peer.requestNamed("BYE")
	if bye.header("Reason") != "Q.850;cause=16" {
		t.Errorf("Reason %q", bye.header("Reason"))
	}
	r := reply{status: 200}
	peer.send(strings.ReplaceAll(string(r.bytes(bye, "")), "\r\n", "\n"))
	b.idle(t)
}

func TestAnswerAtOnceNeedsNoTrying(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send(rawInvite)
	in := b.incoming(t)
	if err := in.Ring(context.Background(), 180, nil); err != nil {
		t.Fatal(err)
	}
	if m := peer.read(); m.status != 180 {
		t.Errorf("the first answer is %d", m.status)
	}
}

func TestRetransmittedInviteStartsOneCall(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send(rawInvite)
	in := b.incoming(t)
	peer.status(100) // nobody decides for a while
	for range 2 {
		peer.send(rawInvite)
		peer.status(100)
	}
	// The same request over another path is refused, RFC 3261 §8.2.2.2.
	peer.send(strings.Replace(rawInvite, "z9hG4bKraw1", "z9hG4bKraw2", 1))
	if m := peer.status(482); !strings.Contains(m.header("Via"), "z9hG4bKraw2") {
		t.Errorf("Via %q", m.header("Via"))
	}
	in.Reject(486, Reason{})
	busy := peer.readFor(patience)
	for busy != nil && busy.status != 486 {
		busy = peer.readFor(patience)
	}
	for range 2 { // repeated until the ACK
		for busy = peer.read(); busy.status != 486; busy = peer.read() {
		}
	}
	ack := strings.Replace(strings.Replace(rawInvite, "INVITE", "ACK", 2), "<sip:bob@example.com>\n", "<sip:bob@example.com>;tag="+busy.to.tag()+"\n", 1)
	peer.send(ack)
	peer.send(strings.Replace(ack, "z9hG4bKraw1", "z9hG4bKraw2", 1))
	b.idle(t)
	if len(b.calls) != 0 {
		t.Error("a second call came")
	}
}

func TestCancelIsAnsweredAndTooLateAfterTheAnswer(t *testing.T) {
	t.Parallel()
	cancel := strings.Replace(strings.Replace(rawInvite[:strings.Index(rawInvite, "Content-Type")], "INVITE", "CANCEL", 2), "CSeq: 1 INVITE", "CSeq: 1 CANCEL", 1) + "Content-Length: 0\n\n"
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send(cancel)
	peer.status(481)
	peer.send(rawInvite)
	in := b.incoming(t)
	peer.status(100)
	peer.send(cancel)
	if m := peer.read(); m.cseqMethod != "CANCEL" || m.status != 200 {
		t.Errorf("%d to %s", m.status, m.cseqMethod)
	}
	if m := peer.read(); m.cseqMethod != "INVITE" || m.status != 487 {
		t.Errorf("%d to %s", m.status, m.cseqMethod)
	}
	expect[Canceled](t, in)

	b, peer, in, tag := rawCall(t)
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	expect[Acked](t, in)
	peer.send(cancel)
	for m := peer.read(); m.cseqMethod != "CANCEL"; m = peer.read() {
	}
	if !in.Live() {
		t.Error("a late CANCEL ended the call")
	}
	peer.send(rawRequest("BYE", "2", tag, "bye1"))
	expect[Ended](t, in)
	b.idle(t)
}

func TestRequestsToUnknownDialogsGet481(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	for i, method := range []string{"BYE", "INFO", "INVITE", "UPDATE", "REFER"} {
		peer.send(rawRequest(method, "5", "nobody", "lost"+itoa(i)))
		if m := peer.status(481); m.cseqMethod != method {
			t.Errorf("%s", m.cseqMethod)
		}
	}
	peer.send(rawRequest("ACK", "5", "nobody", "lostack"))
	if m := peer.readFor(50 * time.Millisecond); m != nil {
		t.Errorf("an ACK was answered %d", m.status)
	}
}

func TestOldRequestInsideTheDialogIsRefused(t *testing.T) {
	t.Parallel()
	_, peer, in, tag := rawCall(t)
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	expect[Acked](t, in)
	peer.send(rawRequest("INFO", "9", tag, "info9"))
	expect[Info](t, in)
	peer.status(200)
	peer.send(rawRequest("INFO", "8", tag, "info8"))
	peer.status(500)
}

func TestOffersThatCrossGet491(t *testing.T) {
	t.Parallel()
	_, peer, in, tag := rawCall(t)
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	expect[Acked](t, in)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := in.ReInvite(ctx, []byte("v=0\r\nnew\r\n"))
		ended <- err
	}()
	peer.requestNamed("INVITE")
	peer.send(rawRequest("INVITE", "2", tag, "re2"))
	for m := peer.read(); m.status != 491; m = peer.read() {
		if m.status >= 200 {
			t.Fatalf("status %d", m.status)
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("answered")
	}
}

func TestSecondOfferWhileOneIsPendingGets500(t *testing.T) {
	t.Parallel()
	_, peer, in, tag := rawCall(t)
	peer.send(rawRequest("ACK", "1", tag, "ack1"))
	expect[Acked](t, in)
	peer.send(rawRequest("INVITE", "2", tag, "re2"))
	offer := expect[ReOffer](t, in)
	peer.send(rawRequest("INVITE", "3", tag, "re3"))
	if m := peer.status(500); m.header("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	offer.Reply(200, []byte("v=0\r\nmine\r\n"))
	if m := peer.status(200); string(m.body) != "v=0\r\nmine\r\n" || m.header("Contact") == "" {
		t.Errorf("%q", m.body)
	}
	peer.send(rawRequest("ACK", "2", tag, "ack2"))
}

// rawAnswer writes an answer of the raw peer to our INVITE.
func (r *rawPeer) answer(m *message, status int, tag, body string, headers ...Header) {
	r.t.Helper()
	re := reply{status: status, tag: tag, headers: append(headers, Header{"Contact", "<sip:raw@" + r.addr().String() + ">"}), kind: "application/sdp", body: []byte(body)}
	if _, err := r.conn.WriteToUDPAddrPort(re.bytes(m, ""), r.to); err != nil {
		r.t.Fatal(err)
	}
}

func TestLostAnswerIsAcknowledgedAgainAndAForkIsEnded(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	peer := newRawPeer(t, a.addr())
	out := a.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	peer.answer(invite, 100, "", "")
	peer.answer(invite, 200, "one", "v=0\r\n", Header{"Record-Route", "<sip:p2.example.com;lr>"}, Header{"Record-Route", "<sip:p1.example.com;lr>"})
	expect[Answered](t, out)
	ack := peer.requestNamed("ACK")
	if ack.uri != "sip:raw@"+peer.addr().String() || ack.cseq != invite.cseq || ack.to.tag() != "one" {
		t.Errorf("ACK %s %d %q", ack.uri, ack.cseq, ack.to.tag())
	}
	peer.answer(invite, 200, "one", "v=0\r\n")
	if again := peer.requestNamed("ACK"); again.to.tag() != "one" || again.via.branch != ack.via.branch {
		t.Errorf("second ACK to %q", again.to.tag())
	}
	peer.answer(invite, 200, "two", "v=0\r\n")
	if fork := peer.requestNamed("ACK"); fork.to.tag() != "two" {
		t.Errorf("ACK of the fork to %q", fork.to.tag())
	}
	bye := peer.requestNamed("BYE")
	if bye.to.tag() != "two" || !out.Live() {
		t.Errorf("BYE to %q", bye.to.tag())
	}
	peer.answer(bye, 200, "", "")
	out.Hangup(Reason{})
	bye = peer.requestNamed("BYE")
	for bye.to.tag() == "two" {
		bye = peer.requestNamed("BYE")
	}
	peer.answer(bye, 200, "", "")
	a.idle(t)
}

func TestRouteSetOfTheAnswerIsFollowed(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	peer := newRawPeer(t, a.addr())
	out := a.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	r := "SIP/2.0 200 OK\nVia: " + invite.header("Via") + "\nRecord-Route: <sip:p2.example.com;lr>, <sip:{me};lr>\nFrom: " + invite.header("From") +
		"\nTo: " + invite.header("To") + ";tag=x\nCall-ID: " + invite.callID + "\nCSeq: 1 INVITE\nContact: <sip:deep@host.example.com>\nContent-Length: 0\n\n"
	peer.send(r)
	expect[Answered](t, out)
	ack := peer.requestNamed("ACK")
	routes := ack.list("Route")
	if len(routes) != 2 || !strings.Contains(routes[0], peer.addr().String()) || routes[1] != "<sip:p2.example.com;lr>" || ack.uri != "sip:deep@host.example.com" {
		t.Errorf("ACK %s through %q", ack.uri, routes)
	}
}

func TestProgressAfterTheAnswerIsDropped(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	peer := newRawPeer(t, a.addr())
	out := a.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	peer.answer(invite, 200, "one", "v=0\r\n")
	peer.answer(invite, 183, "one", "v=0\r\n")
	expect[Answered](t, out)
	peer.requestNamed("ACK")
	out.Hangup(Reason{})
	expect[Ended](t, out)
}

func TestAnswerThatCrossesTheCancelIsEnded(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	peer := newRawPeer(t, a.addr())
	out := a.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	out.Cancel(Reason{}) // before any answer: nothing may be sent yet, RFC 3261 §9.1
	peer.answer(invite, 180, "one", "")
	if m := peer.requestNamed("CANCEL"); m.via.branch != invite.via.branch || m.cseq != invite.cseq {
		t.Errorf("CANCEL %q %d", m.via.branch, m.cseq)
	}
	peer.answer(invite, 200, "one", "v=0\r\n")
	if e := expect[Failed](t, out); e.Why != CanceledByUs {
		t.Errorf("%+v", e)
	}
	peer.requestNamed("ACK")
	peer.answer(peer.requestNamed("BYE"), 200, "", "")
	a.idle(t)
}

func TestAnswerAfterWeGaveUpIsEnded(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	peer := newRawPeer(t, a.addr())
	out := a.dial(t, peer.addr(), func(r *InviteRequest) { r.PreAnswer = 30 * time.Millisecond })
	invite := peer.requestNamed("INVITE")
	expect[Failed](t, out)
	peer.answer(invite, 180, "one", "")
	peer.requestNamed("CANCEL")
	peer.answer(invite, 200, "one", "v=0\r\n")
	peer.requestNamed("ACK")
	peer.answer(peer.requestNamed("BYE"), 200, "", "")
	a.idle(t)
}

func TestReliableProgressIsAcknowledged(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	peer := newRawPeer(t, a.addr())
	out := a.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	for range 2 {
		peer.answer(invite, 183, "one", "v=0\r\n", Header{"Require", "100rel"}, Header{"RSeq", "7"})
	}
	if e := expect[Progress](t, out); e.Status != 183 {
		t.Errorf("%+v", e)
	}
	prack := peer.requestNamed("PRACK")
	if prack.header("RAck") != "7 1 INVITE" || prack.to.tag() != "one" {
		t.Errorf("RAck %q", prack.header("RAck"))
	}
	peer.answer(prack, 200, "", "")
	peer.answer(invite, 486, "one", "")
	expect[Failed](t, out)
	peer.requestNamed("ACK")
	a.idle(t)
}

func TestCallerWhoRequiresItGetsReliableProgress(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send(strings.Replace(rawInvite, "Max-Forwards", "Require: 100rel\nMax-Forwards", 1))
	in := b.incoming(t)
	in.Ring(context.Background(), 183, []byte("v=0\r\nearly\r\n"))
	in.Accept(context.Background(), []byte("v=0\r\nearly\r\n"))
	for range 3 { // repeated, and the 200 waits
		if m := peer.status(183); m.header("RSeq") != "1" || !m.hasToken("Require", "100rel") {
			t.Errorf("RSeq %q", m.header("RSeq"))
		}
	}
	m := peer.status(183)
	peer.send(strings.Replace(rawRequest("PRACK", "2", m.to.tag(), "prack"), "Max-Forwards", "RAck: 1 1 INVITE\nMax-Forwards", 1))
	for m = peer.read(); m.cseqMethod != "PRACK"; m = peer.read() {
	}
	if m.status != 200 {
		t.Errorf("PRACK got %d", m.status)
	}
	peer.status(200)
	peer.send(rawRequest("ACK", "1", m.to.tag(), "ack"))
	expect[Acked](t, in)
	peer.send(rawRequest("BYE", "3", m.to.tag(), "bye"))
	expect[Ended](t, in)
}

// contactOf is host and port of the Contact of a message.
func contactOf(t *testing.T, m *message) string {
	t.Helper()
	u, ok := ParseURI(m.targetURI())
	if !ok {
		t.Fatalf("contact of %s", m.header("Contact"))
	}
	return hostPort(u.Host, u.Port)
}

func TestPublicAddressIsNotToldToPeersOnThisMachine(t *testing.T) {
	p := newPhone(t, func(c *Config) { c.PublicAddr, c.Listen = "203.0.113.9", []string{"0.0.0.0:0"} })
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.addr().Port())
	peer := newRawPeer(t, at)
	peer.send(rawInvite)
	in := p.incoming(t)
	if err := in.Accept(t.Context(), []byte("v=0\r\nanswer\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := contactOf(t, peer.status(200)); got != at.String() {
		t.Errorf("Contact %s, want %s", got, at)
	}
	out := p.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	if got := contactOf(t, invite); got != at.String() || hostPort(invite.via.host, invite.via.port) != at.String() {
		t.Errorf("Contact %s, Via %s:%d, want %s", got, invite.via.host, invite.via.port, at)
	}
	out.Hangup(Reason{})
	outside := flow{sock: p.socks[0], remote: netip.MustParseAddrPort("198.51.100.7:5060")}
	if host, port := p.advertised(outside); host != "203.0.113.9" || port != int(at.Port()) {
		t.Errorf("a peer outside is told %s:%d", host, port)
	}
}

func TestOfSeveralListenersTheRightOneIsUsedAndTold(t *testing.T) {
	p := newPhone(t, func(c *Config) { c.Listen = []string{"127.0.0.2:0", "127.0.0.1:0"} })
	var udp, tcp []netip.AddrPort
	for _, b := range p.Addr() {
		if b.Transport == "UDP" {
			udp = append(udp, b.Addr)
		} else {
			tcp = append(tcp, b.Addr)
		}
	}
	peer := newRawPeer(t, udp[1])
	p.dial(t, peer.addr())
	if got := contactOf(t, peer.requestNamed("INVITE")); got != udp[1].String() {
		t.Errorf("a peer on 127.0.0.1 is called from %s, want %s", got, udp[1])
	}
	caller := newPhone(t)
	caller.dial(t, tcp[1], overTCP)
	in := p.incoming(t)
	if want := "<sip:bob@" + tcp[1].String() + ";transport=tcp>"; in.contact != want {
		t.Errorf("Contact %s, want %s", in.contact, want)
	}
	in.Hangup(Reason{})
	if s := p.sockFor(netip.MustParseAddrPort("198.51.100.7:5060")); s != nil {
		t.Errorf("a peer outside would be called from %s", s.local)
	}
}

func TestLoopbackSocketSendsNothingOutside(t *testing.T) {
	box := &udpSocket{local: netip.MustParseAddrPort("127.0.0.1:5070")}
	source := flow{sock: box, remote: netip.MustParseAddrPort("127.0.0.1:5060")}
	for target, want := range map[string]string{"sip:a@203.0.113.9:5060": "127.0.0.1:5060", "sip:a@127.0.0.1:5080": "127.0.0.1:5080"} {
		if got := nextHop(target, nil, source).remote.String(); got != want {
			t.Errorf("requests for %s go to %s, want %s", target, got, want)
		}
	}
}
