package sip

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStreamMessagesMayComeInPieces(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	conn, err := net.Dial("tcp", b.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	me := conn.LocalAddr().String()
	invite := crlf(strings.ReplaceAll(strings.Replace(rawInvite, "/UDP", "/TCP", 1), "{me}", me))
	options := crlf(strings.Replace(strings.Replace(soundOptions, "/UDP", "/TCP", 1), "192.0.2.1;", me+";", 1))
	// A ping, half a message, then the rest with the next message in one piece.
	for _, part := range []string{"\r\n\r\n", invite[:100], invite[100:300], invite[300:] + options} {
		if _, err := conn.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	in := bufio.NewReader(conn)
	if pong, err := in.ReadString('\n'); pong != "\r\n" {
		t.Fatalf("%q %v", pong, err)
	}
	answered := map[string]bool{}
	for range 2 {
		text, err := readMessage(in)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parse(text)
		if err != nil || m.essentials() != "" {
			t.Fatalf("%q is no answer: %v", text, err)
		}
		answered[m.cseqMethod] = true
	}
	if !answered["INVITE"] || !answered["OPTIONS"] {
		t.Errorf("answers to %v", answered)
	}
	call := b.incoming(t)
	if string(call.Offer()) != "v=0\r\noffer\r\n" {
		t.Errorf("offer %q", call.Offer())
	}
	call.Hangup(Reason{})
}

func TestConnectionsDialledAtOnceAreAllClosedAtTheEnd(t *testing.T) {
	a, b := newPhone(t), newPhone(t)
	const calls = 8
	var dialled sync.WaitGroup
	for range calls {
		dialled.Go(func() { a.dial(t, b.addr(), overTCP) })
	}
	dialled.Wait()
	for range calls {
		b.incoming(t)
	}
	a.stop() // returns when every connection's goroutines have ended
	if n := a.Counters().Streams; n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

func TestOversizedStreamMessageClosesTheConnection(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	conn, err := net.Dial("tcp", b.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write([]byte(crlf(strings.Replace(soundOptions, "Length: 0", "Length: 70000", 1))))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection stayed open")
	}
}

// pipe is a MessageConn in memory.
type pipe struct {
	in, out chan []byte
	closed  chan struct{}
}

func (p *pipe) Read(ctx context.Context) ([]byte, error) {
	select {
	case data := <-p.in:
		return data, nil
	case <-p.closed:
		return nil, errors.New("closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Write(_ context.Context, data []byte) error {
	p.out <- data
	return nil
}

func (p *pipe) Close() error {
	close(p.closed)
	return nil
}

func TestPhoneOnAWebsocketIsReachedThroughItsFlow(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	flows := make(chan string, 1)
	b.handle(nil, func(r *Request) Response {
		flows <- r.Flow()
		return Response{Status: 200}
	})
	p := &pipe{make(chan []byte, 4), make(chan []byte, 16), make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, "WSS", netip.MustParseAddrPort("192.0.2.9:1234"), p) }()
	p.in <- []byte(crlf(strings.Replace(strings.Replace(strings.ReplaceAll(soundOptions, "OPTIONS", "REGISTER"), "/UDP 192.0.2.1", "/WSS df7jal23ls0d.invalid", 1),
		"Content-Length", "Contact: <sip:x@df7jal23ls0d.invalid;transport=ws>\nContent-Length", 1)))
	next := func() *message {
		select {
		case data := <-p.out:
			m, err := parse(string(data))
			if err != nil || m.essentials() != "" {
				t.Fatalf("%q", data)
			}
			m.flow.remote = netip.MustParseAddrPort("192.0.2.9:1234")
			return m
		case <-time.After(patience):
			t.Fatal("nothing was sent")
			return nil
		}
	}
	if m := next(); m.status != 200 {
		t.Fatalf("status %d", m.status)
	}
	out := b.dial(t, b.addr(), func(r *InviteRequest) { r.Flow = <-flows; r.RequestURI = "sip:x@df7jal23ls0d.invalid;transport=ws" })
	invite := next()
	if invite.method != "INVITE" || invite.via.transport != "WSS" || invite.uri != "sip:x@df7jal23ls0d.invalid;transport=ws" {
		t.Errorf("%s %s over %s", invite.method, invite.uri, invite.via.transport)
	}
	re := reply{status: 200, tag: "w", headers: []Header{{"Contact", "<sip:x@df7jal23ls0d.invalid;transport=ws>"}}}
	p.in <- re.bytes(invite, "")
	expect[Answered](t, out)
	if ack := next(); ack.method != "ACK" {
		t.Errorf("%s", ack.method)
	}
	out.Hangup(Reason{})
	if bye := next(); bye.method != "BYE" {
		t.Errorf("%s", bye.method)
	}
	cancel()
	if err := <-served; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
