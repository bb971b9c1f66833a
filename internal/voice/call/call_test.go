package call

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

var bg = context.Background()

// mustAnswer answers or fails the test.
func mustAnswer(t testing.TB, c *Call) bool {
	if err := c.Answer(bg); err != nil {
		t.Errorf("answer: %v", err)
		return false
	}
	return true
}

// cause waits for the end of a call and gives its cause.
func ended(t testing.TB, w *world, id string) Cause {
	t.Helper()
	return w.facts.leg(t, "destroyed", func(l Leg) bool { return l.ID == id && l.State == Destroyed }).Cause
}

func TestAnsweredCallHearsThePromptWithin300ms(t *testing.T) {
	calls := make(chan *Call, 1)
	w := newWorld(t, func(c *Call) {
		calls <- c
		c.Ring(bg)
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, ALeg)
		}
	})
	p := newPhone(t)
	l := p.dial(w, "100")
	answer := expect[sip.Answered](l)
	acked := time.Now()
	l.accepted(answer.Body)
	l.tone(700)
	// The phone's own jitter buffer (40 ms) and the search for the tone are in the figure.
	if took := time.Since(acked); took > 300*time.Millisecond {
		t.Errorf("the first sound came %v after the ACK", took)
	} else {
		t.Logf("first sound %v after the ACK", took)
	}
	c := <-calls
	l.bye()
	if cause := ended(t, w, c.A().ID); cause.Q850 != 16 || cause.Reason != "normal" || cause.By != ByCaller {
		t.Errorf("cause %+v", cause)
	}
	if got := w.facts.states(c.A().ID); !slices.Equal(got, []State{Init, Ringing, Live, Hangup, Destroyed}) {
		t.Errorf("states %v", got)
	}
	a := c.A()
	if a.Codec != "PCMU" || a.RemoteIP != "127.0.0.1" || a.SIPCallID != l.d.CallID() || a.From != "+13125550100" || a.To != "100" {
		t.Errorf("leg %+v", a)
	}
	if a.Quality.MOS < 3.5 {
		t.Errorf("quality %+v", a.Quality)
	}
}

func TestFirstCodecOfTheOfferIsTaken(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, "")
		}
	})
	p := newPhone(t, sdp.G722, sdp.PCMA, sdp.PCMU)
	l := p.call(w, "100")
	l.tone(700)
	l.bye()
	if a := w.facts.leg(t, "hangup", func(l Leg) bool { return l.State == Hangup }); a.Codec != "PCMA" {
		t.Errorf("codec %s", a.Codec)
	}
}

func TestOfferWithoutCommonCodecIsRefusedWith488(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		var end *EndedError
		if err := c.Answer(bg); !errors.As(err, &end) || end.Cause.Q850 != Incompatible {
			t.Errorf("answer: %v", err)
		}
	})
	p := newPhone(t, sdp.G722, sdp.Opus)
	if e := expect[sip.Failed](p.dial(w, "100")); e.Status != 488 {
		t.Errorf("refused with %d", e.Status)
	}
}

func TestInviteWithoutOfferIsAnsweredWithOurs(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, "")
		}
	})
	p := newPhone(t, sdp.PCMA)
	l := p.dial(w, "100", func(r *sip.InviteRequest) { r.Body = nil })
	offer, err := sdp.Parse(expect[sip.Answered](l).Body)
	if err != nil {
		t.Fatal(err)
	}
	ours, n, err := sdp.Answer(offer, l.local())
	if err != nil {
		t.Fatal(err)
	}
	l.start(n)
	if err := l.d.Ack(ours.Bytes()); err != nil {
		t.Fatal(err)
	}
	l.tone(700)
	l.bye()
}

func TestKeysComeOnceInTheirOrder(t *testing.T) {
	got := make(chan string, 1)
	w := newWorld(t, func(c *Call) {
		if !mustAnswer(t, c) {
			return
		}
		keys := ""
		for range 5 {
			<-c.Pressed()
			key, err := c.NextKey(bg)
			if err != nil {
				t.Error(err)
			}
			keys += string(key)
		}
		got <- keys
	})
	p := newPhone(t)
	l := p.call(w, "100")
	if err := l.stream.SendKeys(bg, "12#", 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"Signal=7\r\nDuration=160\r\n", "Signal=*\r\n"} {
		if err := l.d.SendInfo(bg, "application/dtmf-relay", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if keys := <-got; keys != "12#7*" {
		t.Errorf("keys %q", keys)
	}
	l.bye()
}

func TestKeysInTheSoundAreHeardWhenNothingElseWasAgreed(t *testing.T) {
	got := make(chan byte, 1)
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			key, _ := c.NextKey(bg)
			got <- key
		}
	})
	p := newPhone(t)
	l := p.line()
	local := l.local()
	local.DTMF = false
	s, err := sdp.Offer(local)
	if err != nil {
		t.Fatal(err)
	}
	l.offer = s
	if l.d, err = p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + w.addr().String(), Body: s.Bytes(), Observe: l.hear}); err != nil {
		t.Fatal(err)
	}
	l.accepted(expect[sip.Answered](l).Body)
	<-l.stream.Play(audio.Concat(audio.Silence(100*time.Millisecond), audio.DTMFTone('8', 200*time.Millisecond), audio.Silence(200*time.Millisecond)))
	if key := <-got; key != '8' {
		t.Errorf("key %q", key)
	}
	l.bye()
}

func TestSendKeysUsesWhatTheFarSideTakes(t *testing.T) {
	sent := make(chan error, 2)
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			sent <- c.SendKeys(bg, "4w2", 80*time.Millisecond)
		}
	})
	p := newPhone(t)
	l := p.call(w, "100")
	if a, b := l.key(), l.key(); a != '4' || b != '2' {
		t.Errorf("keys %c%c", a, b)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	l.bye()

	plain := p.line()
	local := plain.local()
	local.DTMF = false
	s, _ := sdp.Offer(local)
	plain.offer = s
	var err error
	if plain.d, err = p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + w.addr().String(), Body: s.Bytes(), Observe: plain.hear}); err != nil {
		t.Fatal(err)
	}
	plain.accepted(expect[sip.Answered](plain).Body)
	if info := expect[sip.Info](plain); info.ContentType != "application/dtmf-relay" || !strings.Contains(string(info.Body), "Signal=4") {
		t.Errorf("INFO %+v", info)
	}
	if info := expect[sip.Info](plain); !strings.Contains(string(info.Body), "Signal=2") {
		t.Errorf("INFO %+v", info)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	plain.bye()
}

func TestEarlyMediaIsHeardBeforeTheAnswer(t *testing.T) {
	answer := make(chan struct{})
	w := newWorld(t, func(c *Call) {
		if err := c.Play(bg, audio.Tone(-10, 300*time.Millisecond, 900), false, ""); !errors.Is(err, ErrNotAnswered) {
			t.Errorf("a sound without answer: %v", err)
		}
		ctx, stop := context.WithCancel(bg)
		go func() { <-answer; stop() }()
		if err := c.Play(ctx, hum(900), true, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("early sound: %v", err)
		}
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(500), false, "")
		}
	})
	p := newPhone(t)
	l := p.dial(w, "100")
	progress := expect[sip.Progress](l)
	if progress.Status != 183 {
		t.Fatalf("status %d", progress.Status)
	}
	l.accepted(progress.Body)
	l.tone(900)
	close(answer)
	if e := expect[sip.Answered](l); string(e.Body) != string(progress.Body) {
		t.Error("200 carries another body than 183")
	}
	l.tone(500)
	l.bye()
}

func TestHoldIsAnsweredAndKeepsTheCall(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, "")
		}
	}, func(c *Config) { c.Limits.MediaTimeout = 400 * time.Millisecond })
	p := newPhone(t)
	l := p.call(w, "100")
	body, err := l.d.ReInvite(bg, l.sdp(sdp.SendOnly, 2))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := sdp.Parse(body); err != nil || s.DirectionOf(&s.Media[0]) != sdp.RecvOnly {
		t.Errorf("hold answered with\n%s", body)
	}
	if body, err = l.d.ReInvite(bg, l.sdp(sdp.Inactive, 3)); err != nil {
		t.Fatal(err)
	}
	if s, err := sdp.Parse(body); err != nil || s.DirectionOf(&s.Media[0]) != sdp.Inactive {
		t.Errorf("inactive answered with\n%s", body)
	}
	l.stream.Close() // a phone on hold may send nothing at all
	l.nothing(3 * 400 * time.Millisecond)
	if w.engine.Count() == 0 {
		t.Fatal("the call is gone")
	}
	back := p.line()
	back.d, back.events = l.d, l.events
	body, err = l.d.ReInvite(bg, back.sdp(sdp.SendRecv, 4))
	if err != nil {
		t.Fatal(err)
	}
	back.accepted(body)
	back.tone(700)
	back.bye()
}

func TestOfferlessReInviteGetsAnOffer(t *testing.T) {
	w := newWorld(t, func(c *Call) { mustAnswer(t, c) })
	p := newPhone(t)
	l := p.call(w, "100")
	w.facts.leg(t, "live", func(l Leg) bool { return l.State == Live })
	c := w.engine.registry.all()[0]
	replied := make(chan []byte, 1)
	c.hear(c.a, nil, sip.ReOffer{Method: "INVITE", Reply: func(status int, body []byte) {
		if status != 200 {
			t.Errorf("status %d", status)
		}
		replied <- body
	}})
	if _, err := sdp.Parse(<-replied); err != nil {
		t.Error(err)
	}
	c.hear(c.a, nil, sip.ReOffer{Method: "UPDATE", Body: []byte("no sdp"), Reply: func(status int, _ []byte) { replied <- []byte{byte(status / 100)} }})
	if b := <-replied; b[0] != 4 {
		t.Errorf("an unusable offer was answered %dxx", b[0])
	}
	l.bye()
}

func TestCancelBeforeTheAnswer(t *testing.T) {
	calls := make(chan *Call, 1)
	w := newWorld(t, func(c *Call) { c.Ring(bg); calls <- c })
	p := newPhone(t)
	l := p.dial(w, "100")
	c := <-calls
	expect[sip.Progress](l)
	if err := l.d.Cancel(sip.Reason{}); err != nil {
		t.Fatal(err)
	}
	<-c.Context().Done()
	var end *EndedError
	if !errors.As(context.Cause(c.Context()), &end) || end.Cause.Reason != "canceled" || end.Cause.By != ByCaller {
		t.Errorf("cause %v", context.Cause(c.Context()))
	}
	if err := c.Answer(bg); !errors.As(err, &end) {
		t.Errorf("answer after cancel: %v", err)
	}
	if cause := ended(t, w, c.A().ID); cause.Q850 != 16 || cause.Stack != "SIP 487" {
		t.Errorf("cause %+v", cause)
	}
	if got := w.facts.states(c.A().ID); !slices.Equal(got, []State{Init, Ringing, Hangup, Destroyed}) {
		t.Errorf("states %v", got)
	}
}

func TestCancelThatRacesTheAnswerEndsTheCallOnce(t *testing.T) {
	w := newWorld(t, func(c *Call) { _ = c.Answer(bg) })
	p := newPhone(t)
	for range 30 {
		l := p.line()
		d, err := p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + w.addr().String(), Body: l.sdp(sdp.SendRecv, 1), Observe: l.hear})
		if err != nil {
			t.Fatal(err)
		}
		d.Hangup(sip.Reason{})
		l.stream.Close()
	}
	await(t, w.facts, "30 ends", func() (struct{}, bool) {
		n := 0
		for _, l := range w.facts.legs {
			if l.State == Destroyed {
				n++
			}
		}
		return struct{}{}, n == 30
	})
}

func TestByeBeforeTheAckEndsTheCall(t *testing.T) {
	result := make(chan error, 1)
	w := newWorld(t, func(c *Call) { result <- c.Answer(bg) })
	p := newPhone(t)
	// Without offer the ACK is ours to send: it never comes.
	l := p.dial(w, "100", func(r *sip.InviteRequest) { r.Body = nil })
	expect[sip.Answered](l)
	_ = l.d.Bye(bg, sip.Reason{})
	var end *EndedError
	if err := <-result; !errors.As(err, &end) {
		t.Errorf("answer: %v", err)
	}
}

func TestMediaThatNeverComesEndsTheCall(t *testing.T) {
	w := newWorld(t, func(c *Call) { mustAnswer(t, c) }, func(c *Config) { c.Limits.MediaTimeout = 300 * time.Millisecond })
	p := newPhone(t)
	l := p.dial(w, "100")
	expect[sip.Answered](l) // and sends nothing
	if e := expect[sip.Ended](l); e.Reason.Q850 != 31 {
		t.Errorf("ended with %+v", e)
	}
	leg := w.facts.leg(t, "destroyed", func(l Leg) bool { return l.State == Destroyed })
	if leg.Cause.Q850 != 31 || leg.Cause.Reason != "media_timeout" || leg.Cause.By != ByPlatform {
		t.Errorf("cause %+v", leg.Cause)
	}
}

func TestLongestCallIsEnded(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			c.EndAfter(100*time.Millisecond, Cause{Q850: 16, Reason: "no_balance", By: ByPlatform})
			if err := c.Play(bg, hum(700), false, ""); !errors.As(err, new(*EndedError)) {
				t.Errorf("play: %v", err)
			}
		}
	})
	p := newPhone(t)
	l := p.call(w, "100")
	expect[sip.Ended](l)
	if leg := w.facts.leg(t, "destroyed", func(l Leg) bool { return l.State == Destroyed }); leg.Cause.Reason != "no_balance" {
		t.Errorf("cause %+v", leg.Cause)
	}
}

func TestMaxDurationCountsFromTheAnswer(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		c.max = 150 * time.Millisecond
		mustAnswer(t, c)
	})
	p := newPhone(t)
	l := p.call(w, "100")
	expect[sip.Ended](l)
	leg := w.facts.leg(t, "destroyed", func(l Leg) bool { return l.State == Destroyed })
	if leg.Cause.Reason != "max_duration" || leg.HangupOn.Sub(leg.AnswerOn) < 150*time.Millisecond {
		t.Errorf("cause %+v after %v", leg.Cause, leg.HangupOn.Sub(leg.AnswerOn))
	}
}

func TestRefusalsCarryStatusAndCause(t *testing.T) {
	w := newWorld(t, func(c *Call) { c.Refuse(Cause{Q850: 17, By: ByPlatform}) })
	p := newPhone(t)
	if e := expect[sip.Failed](p.dial(w, "100")); e.Status != 486 || e.Q850 != 17 {
		t.Errorf("refused with %+v", e)
	}
	w.change(func() {
		w.script = func(c *Call) { c.Refuse(Cause{Q850: 21, SIP: 403, Reason: "blacklist", By: ByPlatform}) }
	})
	if e := expect[sip.Failed](p.dial(w, "100")); e.Status != 403 || e.Q850 != 21 {
		t.Errorf("refused with %+v", e)
	}
	leg := w.facts.leg(t, "the second", func(l Leg) bool { return l.State == Destroyed && l.Cause.Reason == "blacklist" })
	if got := w.facts.states(leg.ID); !slices.Equal(got, []State{Init, Hangup, Destroyed}) {
		t.Errorf("states %v", got)
	}
}

func TestStoredRefusalTellsHangupAndDestroyedOnly(t *testing.T) {
	w := newWorld(t, nil)
	refused := make(chan Leg, 1)
	ep := startSIP(t, handlerFunc(func(d *sip.Dialog) {
		refused <- w.engine.Refuse(d, Inbound{From: "+1", To: "2"}, Cause{Q850: 18, SIP: 480, Reason: "account_disabled"})
	}))
	p := newPhone(t)
	l := p.line()
	if _, err := p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + ep.Addr()[0].Addr.String(), Body: l.sdp(sdp.SendRecv, 1), Observe: l.hear}); err != nil {
		t.Fatal(err)
	}
	if e := expect[sip.Failed](l); e.Status != 480 || e.Q850 != 18 {
		t.Errorf("refused with %+v", e)
	}
	leg := <-refused
	if got := w.facts.states(leg.ID); !slices.Equal(got, []State{Hangup, Destroyed}) || leg.Cause.Reason != "account_disabled" || leg.Cause.By != ByPlatform {
		t.Errorf("states %v, leg %+v", got, leg)
	}
}

type handlerFunc func(*sip.Dialog)

func (h handlerFunc) Invite(d *sip.Dialog)              { h(d) }
func (h handlerFunc) Request(*sip.Request) sip.Response { return sip.Response{} }

func TestHangupByAPIIsToldToTheFarSide(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			c.Hangup(Cause{Q850: 21, By: ByAPI})
			c.Hangup(Cause{Q850: 17, By: ByPlatform}) // comes too late
		}
	})
	p := newPhone(t)
	l := p.call(w, "100")
	if e := expect[sip.Ended](l); e.By != sip.Remote || e.Reason.Q850 != 21 {
		t.Errorf("ended with %+v", e)
	}
	if leg := w.facts.leg(t, "destroyed", func(l Leg) bool { return l.State == Destroyed }); leg.Cause.By != ByAPI || leg.Cause.Q850 != 21 {
		t.Errorf("cause %+v", leg.Cause)
	}
}

func TestPlayEndsWithItsContextAndGoesOnAfterwards(t *testing.T) {
	errBarge := errors.New("barge-in")
	w := newWorld(t, func(c *Call) {
		if !mustAnswer(t, c) {
			return
		}
		ctx, cancel := context.WithCancelCause(bg)
		time.AfterFunc(60*time.Millisecond, func() { cancel(errBarge) })
		if err := c.Play(ctx, hum(700), false, ""); !errors.Is(err, errBarge) {
			t.Errorf("play: %v", err)
		}
		if err := c.Play(bg, audio.Tone(-10, 200*time.Millisecond, 500), false, ""); err != nil {
			t.Errorf("second sound: %v", err)
		}
		c.Hangup(Cause{Q850: 16, By: ByPlatform})
	})
	p := newPhone(t)
	l := p.call(w, "100")
	l.tone(500)
	expect[sip.Ended](l)
}

func TestDrainRefusesNewCallsAndEndsOldOnes(t *testing.T) {
	w := newWorld(t, func(c *Call) { mustAnswer(t, c) })
	ctx, cancel := context.WithCancel(bg)
	second := NewEngine(Config{
		SIP: w.sip, Ports: w.ports, Clock: w.clock, MediaIP: loopback, Observer: w.facts,
		Limits: Limits{Drain: 200 * time.Millisecond},
	})
	over := make(chan error, 1)
	ready := make(chan struct{})
	go func() { over <- second.Run(ctx, func() { close(ready) }) }()
	<-ready
	old := w.engine
	w.change(func() { w.engine = second })
	p := newPhone(t)
	l := p.call(w, "100")
	cancel()
	for { // until the engine has seen the end of its context
		e := expect[sip.Failed](p.dialRefused(w))
		if e.Status == 503 {
			break
		}
	}
	if e := expect[sip.Ended](l); e.Reason.Q850 != TemporaryFailure {
		t.Errorf("ended with %+v", e)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	w.change(func() { w.engine = old })
}

// dialRefused dials until a call is refused: one that is still taken is hung up.
func (p *phone) dialRefused(w *world) *line {
	for {
		l := p.dial(w, "100")
		e := <-l.events
		if f, ok := e.(sip.Failed); ok {
			l.events <- f
			return l
		}
		l.d.Hangup(sip.Reason{})
	}
}

func TestTapsHearBothDirections(t *testing.T) {
	type side struct{ in, out float64 }
	heard := make(chan side, 100)
	w := newWorld(t, func(c *Call) {
		if !mustAnswer(t, c) {
			return
		}
		var s side
		remove, ok := c.Tap(c.A().ID, func(f []int16) { s.in = audio.ToneLevel(f, 400) }, func(f []int16) {
			s.out = audio.ToneLevel(f, 700)
			select {
			case heard <- s:
			default:
			}
		})
		if !ok {
			t.Error("no tap")
			return
		}
		defer remove()
		_ = c.Play(bg, hum(700), false, "")
	})
	p := newPhone(t)
	l := p.call(w, "100")
	done := l.stream.Play(hum(400))
	limit := time.After(patience)
	for found := false; !found; {
		select {
		case s := <-heard:
			found = s.in > 0.7 && s.out > 0.7
		case <-limit:
			t.Fatal("the two tones were never heard together")
		}
	}
	l.bye()
	l.stream.Close()
	if err := <-done; !errors.Is(err, rtp.ErrClosed) {
		t.Error(err)
	}
}
