package sip

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func overTCP(r *InviteRequest) { r.Transport = "TCP" }

func TestCallIsAnsweredAndEndedByEitherSide(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"UDP", "TCP"} {
		for _, caller := range []bool{true, false} {
			t.Run(transport, func(t *testing.T) {
				a, b := newPhone(t), newPhone(t)
				out := a.dial(t, b.addr(), func(r *InviteRequest) { r.Transport = transport })
				in := b.incoming(t)
				if in.From().User != "alice" || in.From().Display != "Alice" || in.To().User != "bob" || in.Direction() != Inbound {
					t.Errorf("from %+v to %+v", in.From(), in.To())
				}
				if string(in.Offer()) != "v=0\r\noffer\r\n" || in.Transport() != transport || in.CallID() != out.CallID() {
					t.Errorf("offer %q over %s", in.Offer(), in.Transport())
				}
				if err := in.Ring(context.Background(), 180, nil); err != nil {
					t.Fatal(err)
				}
				if e := expect[Progress](t, out); e.Status != 180 {
					t.Errorf("%+v", e)
				}
				if err := in.Accept(context.Background(), []byte("v=0\r\nanswer\r\n")); err != nil {
					t.Fatal(err)
				}
				if e := expect[Answered](t, out); string(e.Body) != "v=0\r\nanswer\r\n" {
					t.Errorf("%+v", e)
				}
				expect[Acked](t, in)
				first, second := out, in
				if !caller {
					first, second = in, out
				}
				if err := first.Bye(context.Background(), Reason{Q850: 16, Text: `said "bye"`}); err != nil {
					t.Fatal(err)
				}
				if e := expect[Ended](t, first); e.By != Local || e.Reason.Q850 != 16 {
					t.Errorf("%+v", e)
				}
				if e := expect[Ended](t, second); e.By != Remote || e.Reason.Q850 != 16 || e.Reason.Text != `said "bye"` {
					t.Errorf("%+v", e)
				}
				if err := first.Bye(context.Background(), Reason{}); !errors.Is(err, ErrOver) {
					t.Errorf("second Bye: %v", err)
				}
				a.idle(t)
				b.idle(t)
			})
		}
	}
}

func TestCanceledCallTellsBothSides(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out := a.dial(t, b.addr())
	in := b.incoming(t)
	in.Ring(context.Background(), 183, []byte("v=0\r\nearly\r\n"))
	if e := expect[Progress](t, out); e.Status != 183 || string(e.Body) != "v=0\r\nearly\r\n" {
		t.Errorf("%+v", e)
	}
	if err := out.Cancel(Reason{SIP: 200, Q850: 26, Text: "Call completed elsewhere"}); err != nil {
		t.Fatal(err)
	}
	if e := expect[Canceled](t, in); e.Reason.SIP != 200 || e.Reason.Q850 != 26 {
		t.Errorf("%+v", e)
	}
	if e := expect[Failed](t, out); e.Why != CanceledByUs || e.Status != 487 {
		t.Errorf("%+v", e)
	}
	if err := in.Accept(context.Background(), nil); !errors.Is(err, ErrOver) {
		t.Errorf("Accept after CANCEL: %v", err)
	}
	a.idle(t)
	b.idle(t)
}

func TestRejectedCallCarriesCauseAndRetryAfter(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out := a.dial(t, b.addr())
	in := b.incoming(t)
	if err := in.Reject(486, Reason{Q850: 17, Text: "busy"}, Header{"Retry-After", "7 (later)"}, Header{"X-Note", "a\r\nEvil: 1"}); err != nil {
		t.Fatal(err)
	}
	e := expect[Failed](t, out)
	if e.Why != Refused || e.Status != 486 || e.Q850 != 17 || e.Text != "busy" || e.RetryAfter != 7*time.Second {
		t.Errorf("%+v", e)
	}
	if out.Header("Evil") != "" || !strings.HasPrefix(out.Header("X-Note"), "a") {
		t.Errorf("header smuggled: %q", out.Header("X-Note"))
	}
	expect[Ended](t, in)
	a.idle(t)
	b.idle(t)
}

func TestUnansweredCallFailsAfterPreAnswer(t *testing.T) {
	t.Parallel()
	a := newPhone(t)
	deaf := newRawPeer(t, a.addr())
	out := a.dial(t, deaf.addr(), func(r *InviteRequest) { r.PreAnswer = 60 * time.Millisecond })
	if e := expect[Failed](t, out); e.Why != NoResponse || e.Status != 408 {
		t.Errorf("%+v", e)
	}
	if err := out.Cancel(Reason{}); !errors.Is(err, ErrOver) {
		t.Errorf("Cancel: %v", err)
	}
	a.idle(t)
}

func TestRingingCallIsCanceledAfterRingTimeout(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out := a.dial(t, b.addr(), func(r *InviteRequest) { r.RingTimeout = 80 * time.Millisecond })
	in := b.incoming(t)
	in.Ring(context.Background(), 180, nil)
	expect[Progress](t, out)
	if e := expect[Canceled](t, in); e.Reason.Q850 != 19 {
		t.Errorf("%+v", e)
	}
	if e := expect[Failed](t, out); e.Why != RingedOut || e.Q850 != 19 {
		t.Errorf("%+v", e)
	}
}

func TestHangupDoesWhatTheStateAsksFor(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out := a.dial(t, b.addr())
	in := b.incoming(t)
	in.Hangup(Reason{SIP: 480, Q850: 18})
	if e := expect[Failed](t, out); e.Status != 480 || e.Q850 != 18 {
		t.Errorf("%+v", e)
	}
	out = a.dial(t, b.addr())
	in = b.incoming(t)
	out.Hangup(Reason{})
	expect[Canceled](t, in)
	expect[Failed](t, out)
	out, in = live(t, a, b)
	in.Hangup(Reason{Q850: 16})
	expect[Ended](t, in)
	expect[Ended](t, out)
	in.Hangup(Reason{})
	a.idle(t)
	b.idle(t)
}

func TestReInviteAndInfoReachTheOtherSide(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*InviteRequest){func(*InviteRequest) {}, overTCP} {
		a, b := newPhone(t), newPhone(t)
		out, in := live(t, a, b, change)
		for _, side := range [2][2]*call{{out, in}, {in, out}} {
			answered := make(chan string, 1)
			go func() {
				sdp, err := side[0].ReInvite(context.Background(), []byte("v=0\r\nhold\r\n"))
				if err != nil {
					answered <- err.Error()
					return
				}
				answered <- string(sdp)
			}()
			offer := expect[ReOffer](t, side[1])
			if string(offer.Body) != "v=0\r\nhold\r\n" || offer.Method != "INVITE" {
				t.Errorf("%+v", offer)
			}
			offer.Reply(200, []byte("v=0\r\nheld\r\n"))
			if got := <-answered; got != "v=0\r\nheld\r\n" {
				t.Errorf("answer %q", got)
			}
		}
		if err := out.SendInfo(context.Background(), "application/dtmf-relay", []byte("Signal=5\r\n")); err != nil {
			t.Fatal(err)
		}
		if e := expect[Info](t, in); e.ContentType != "application/dtmf-relay" || string(e.Body) != "Signal=5\r\n" {
			t.Errorf("%+v", e)
		}
		out.Hangup(Reason{})
		expect[Ended](t, in)
		expect[Ended](t, out)
		a.idle(t)
		b.idle(t)
	}
}

func TestRefusedReInviteLeavesTheCall(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out, in := live(t, a, b)
	refused := make(chan error, 1)
	go func() {
		_, err := out.ReInvite(context.Background(), []byte("v=0\r\nvideo\r\n"))
		refused <- err
	}()
	offer := expect[ReOffer](t, in)
	offer.Reply(488, nil)
	offer.Reply(200, []byte("late"))
	var status *StatusError
	if err := <-refused; !errors.As(err, &status) || status.Status != 488 {
		t.Errorf("%v", err)
	}
	if !out.Live() || !in.Live() {
		t.Error("the call ended")
	}
	out.Hangup(Reason{})
	expect[Ended](t, in)
}

func TestOfferInTheAnswerIsAnsweredInTheACK(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out := a.dial(t, b.addr(), func(r *InviteRequest) { r.Body = nil })
	in := b.incoming(t)
	if in.Offer() != nil {
		t.Errorf("offer %q", in.Offer())
	}
	in.Accept(context.Background(), []byte("v=0\r\noffer by callee\r\n"))
	if e := expect[Answered](t, out); string(e.Body) != "v=0\r\noffer by callee\r\n" {
		t.Errorf("%+v", e)
	}
	if err := out.Ack([]byte("v=0\r\nanswer by caller\r\n")); err != nil {
		t.Fatal(err)
	}
	if e := expect[Acked](t, in); string(e.Body) != "v=0\r\nanswer by caller\r\n" {
		t.Errorf("%+v", e)
	}
	out.Hangup(Reason{})
	expect[Ended](t, in)
}

func TestTransferIsAskedForAndReported(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out, in := live(t, a, b)
	asked := make(chan error, 1)
	go func() { asked <- out.Refer(context.Background(), "sip:carol@example.com") }()
	e := expect[Refer](t, in)
	if e.Target != "sip:carol@example.com" {
		t.Errorf("%+v", e)
	}
	e.Reply(202)
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	if err := in.Notify(context.Background(), 200); err != nil {
		t.Fatal(err)
	}
	if n := expect[Notified](t, out); n.Package != "refer" || string(n.Body) != "SIP/2.0 200 OK\r\n" {
		t.Errorf("%+v", n)
	}
	in.Hangup(Reason{})
	expect[Ended](t, out)
}

func TestTwoHundredCallsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	for range 200 {
		out, in := live(t, a, b)
		out.Hangup(Reason{Q850: 16})
		expect[Ended](t, in)
	}
	a.idle(t)
	b.idle(t)
}

func TestTextOfCustomersCannotAddHeaders(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out := a.dial(t, b.addr(), func(r *InviteRequest) {
		r.From = Party{User: "a b\r\nEvil: 1\x00@x", Display: "Bob \"the\\ \r\nEvil: 2"}
		r.Headers = []Header{{"X-Custom", "1\r\nEvil: 3"}, {"Evil: 4\r\nX", "5"}, {"Via", "SIP/2.0/UDP evil"}}
	})
	in := b.incoming(t)
	if in.Header("Evil") != "" || len(in.Headers("Via")) != 1 {
		t.Errorf("smuggled: %q %q", in.Header("Evil"), in.Headers("Via"))
	}
	if got := in.From(); got.User != "a b  Evil: 1 @x" || got.Display != `Bob "the\   Evil: 2` {
		t.Errorf("%+v", got)
	}
	out.Hangup(Reason{})
	expect[Canceled](t, in)
}

func TestStoppedEndpointHangsUpAndTellsTheOwners(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out, in := live(t, a, b)
	ringing := a.dial(t, b.addr())
	waiting := b.incoming(t)
	b.stop()
	expect[Ended](t, in)
	expect[Ended](t, waiting)
	if e := expect[Ended](t, out); e.By != Remote || e.Reason.Q850 != 41 {
		t.Errorf("%+v", e)
	}
	if e := expect[Failed](t, ringing); e.Status != 503 {
		t.Errorf("%+v", e)
	}
	left := b.dialWhileStopped()
	if !errors.Is(left, ErrOver) {
		t.Errorf("call from a stopped endpoint: %v", left)
	}
}

func (p *phone) dialWhileStopped() error {
	_, err := p.Endpoint.Invite(context.Background(), InviteRequest{RequestURI: "sip:x@127.0.0.1"})
	return err
}
