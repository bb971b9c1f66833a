package call

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// dialWorld dials for each inbound call and gives the results; the call stays up after a Dial.
func dialWorld(t testing.TB, r DialRequest, phones map[string]*phone, change ...func(*Config)) (*world, chan DialResult) {
	t.Helper()
	results := make(chan DialResult, 16)
	w := newWorld(t, func(c *Call) { results <- c.Dial(bg, r) }, change...)
	w.change(func() { w.route = towards(phones) })
	return w, results
}

func to(numbers ...string) []Target {
	var targets []Target
	for _, n := range numbers {
		targets = append(targets, Target{To: n})
	}
	return targets
}

func result(t testing.TB, results chan DialResult) DialResult {
	t.Helper()
	select {
	case r := <-results:
		return r
	case <-time.After(patience):
		t.Fatal("the Dial never ended")
		return DialResult{}
	}
}

func TestDialBridgesBothLaws(t *testing.T) {
	for _, codecs := range [][2]sdp.Codec{{sdp.PCMU, sdp.PCMU}, {sdp.PCMA, sdp.PCMU}, {sdp.PCMU, sdp.PCMA}, {sdp.PCMA, sdp.PCMA}} {
		t.Run(codecs[0].Name+" to "+codecs[1].Name, func(t *testing.T) {
			b := newPhone(t, codecs[1])
			w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b})
			a := newPhone(t, codecs[0])
			caller := a.dial(w, "100")
			callee := b.incoming()
			if pai, ok := callee.d.AssertedIdentity(); !ok || pai.User != "+12125550170" {
				t.Errorf("asserted %+v", pai)
			}
			if err := callee.d.Ring(bg, 180, nil); err != nil {
				t.Fatal(err)
			}
			if e := expect[sip.Progress](caller); e.Status != 180 {
				t.Errorf("caller got %d", e.Status)
			}
			callee.answer(200)
			caller.accepted(expect[sip.Answered](caller).Body)
			caller.stream.Play(hum(400))
			callee.stream.Play(hum(900))
			caller.tone(900)
			callee.tone(400)
			caller.stream.Stop()
			if err := caller.stream.SendKeys(bg, "5", 0, 0); err != nil {
				t.Fatal(err)
			}
			if k := callee.key(); k != '5' {
				t.Errorf("key %c", k)
			}
			callee.bye()
			r := result(t, results)
			if r.Status != StatusAnswered || r.To != "200" || r.Duration <= 0 || len(r.Targets) != 1 || !r.Targets[0].Success || r.Targets[0].Q850 != 16 || r.Targets[0].Call != r.Call {
				t.Errorf("result %+v", r)
			}
			if got := w.facts.states(r.Call); !slices.Equal(got, []State{Init, Ringing, Live, Bridged, Hangup, Destroyed}) {
				t.Errorf("b states %v", got)
			}
			bLeg := w.facts.leg(t, "b hangup", func(l Leg) bool { return l.ID == r.Call && l.State == Hangup })
			if bLeg.Cause.By != ByCallee || bLeg.Parent == "" || bLeg.BridgedTo != bLeg.Parent || bLeg.Codec != codecs[1].Name {
				t.Errorf("b leg %+v", bLeg)
			}
			caller.bye()
			if got := w.facts.states(bLeg.Parent); len(got) > 4 && got[3] != Bridged {
				t.Errorf("a states %v", got)
			}
		})
	}
}

func TestCallerHangupEndsTheOtherLeg(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(200)
	expect[sip.Answered](caller)
	w.facts.leg(t, "bridged", func(l Leg) bool { return l.State == Bridged && l.Direction == Out })
	caller.bye()
	expect[sip.Ended](callee)
	r := result(t, results)
	if r.Status != StatusAnswered {
		t.Errorf("result %+v", r)
	}
	leg := w.facts.leg(t, "b destroyed", func(l Leg) bool { return l.ID == r.Call && l.State == Destroyed })
	if leg.Cause.Q850 != 16 || leg.Cause.By != ByCaller {
		t.Errorf("cause %+v", leg.Cause)
	}
}

func TestCallerHangsUpWhileItRings(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	_ = callee.d.Ring(bg, 180, nil)
	expect[sip.Progress](caller)
	_ = caller.d.Cancel(sip.Reason{})
	expect[sip.Canceled](callee)
	r := result(t, results)
	if r.Status != StatusCanceled || r.Targets[0].Success || r.Targets[0].Q850 != OriginatorCancel || r.Targets[0].Reason != "canceled" {
		t.Errorf("result %+v", r)
	}
}

func TestRefusalsOfTargets(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		reason sip.Reason
		want   DialStatus
		q850   int
		fail   string
	}{
		{"busy", 486, sip.Reason{}, StatusBusy, 17, "USER_BUSY"},
		{"declined", 603, sip.Reason{}, StatusFailed, 21, "CALL_REJECTED"},
		{"nobody there", 480, sip.Reason{}, StatusNoAnswer, 18, "NO_USER_RESPONSE"},
		{"wrong number", 404, sip.Reason{Q850: 1}, StatusFailed, 1, "UNALLOCATED_NUMBER"},
		{"capacity, not the user", 480, sip.Reason{Q850: 34}, StatusFailed, 34, "NORMAL_CIRCUIT_CONGESTION"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newPhone(t)
			w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b})
			caller := newPhone(t).dial(w, "100")
			if err := b.incoming().d.Reject(c.status, c.reason); err != nil {
				t.Fatal(err)
			}
			r := result(t, results)
			if r.Status != c.want || r.FailName != c.fail || r.Targets[0].Q850 != c.q850 || r.Targets[0].SIP != c.status || r.Targets[0].Call == "" {
				t.Errorf("result %+v", r)
			}
			caller.d.Hangup(sip.Reason{})
		})
	}
}

func TestNoAnswerIsCanceledWithCause19(t *testing.T) {
	for _, r := range []DialRequest{
		{Targets: to("200"), Timeout: 150 * time.Millisecond},
		{Targets: []Target{{To: "200", Timeout: 150 * time.Millisecond}}},
		{Targets: to("200"), Timeout: 150 * time.Millisecond, Sequential: true},
	} {
		b := newPhone(t)
		w, results := dialWorld(t, r, map[string]*phone{"200": b})
		caller := newPhone(t).dial(w, "100")
		callee := b.incoming()
		_ = callee.d.Ring(bg, 180, nil)
		expect[sip.Canceled](callee)
		got := result(t, results)
		if got.Status != StatusNoAnswer || got.FailName != "NO_ANSWER" || got.Targets[0].Q850 != 19 || got.Targets[0].Reason != "no_answer" {
			t.Errorf("result %+v", got)
		}
		caller.d.Hangup(sip.Reason{})
	}
}

func TestFirstAnswerWinsAndLosersAreCanceled(t *testing.T) {
	b, x := newPhone(t), newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200", "300")}, map[string]*phone{"200": b, "300": x})
	caller := newPhone(t).dial(w, "100")
	one, two := b.incoming(), x.incoming()
	_ = one.d.Ring(bg, 180, nil)
	_ = two.d.Ring(bg, 180, nil)
	w.facts.leg(t, "both ringing", func(l Leg) bool { return l.To == "200" && l.State == Ringing })
	two.answer(200)
	if e := expect[sip.Canceled](one); e.Reason.SIP != 200 {
		t.Errorf("loser heard %+v", e)
	}
	expect[sip.Answered](caller)
	two.bye()
	r := result(t, results)
	if r.Status != StatusAnswered || r.To != "300" || len(r.Targets) != 2 || r.Targets[0].Q850 != LoseRace || r.Targets[0].Success || !r.Targets[1].Success {
		t.Errorf("result %+v", r)
	}
	caller.bye()
}

func TestOnlyOneOfManyAnswersIsConnected(t *testing.T) {
	phones := map[string]*phone{}
	for _, n := range []string{"200", "201", "202", "203"} {
		phones[n] = newPhone(t)
	}
	w, results := dialWorld(t, DialRequest{Targets: to("200", "201", "202", "203")}, phones)
	caller := newPhone(t).dial(w, "100")
	var lines []*line
	for _, p := range phones {
		lines = append(lines, p.incoming())
	}
	for _, l := range lines {
		go func() {
			body := l.sdp(sdp.SendRecv, 1)
			_ = l.d.Accept(bg, body) // some are canceled before
		}()
	}
	expect[sip.Answered](caller)
	winner := w.facts.leg(t, "bridged", func(l Leg) bool { return l.Direction == Out && l.State == Bridged })
	for n := range phones {
		if n != winner.To {
			leg := w.facts.leg(t, "loser's end", func(l Leg) bool { return l.To == n && l.State == Destroyed })
			if leg.Cause.Q850 != LoseRace {
				t.Errorf("loser %s: %+v", n, leg.Cause)
			}
		}
	}
	caller.bye()
	if r := result(t, results); r.Status != StatusAnswered || r.To != winner.To {
		t.Errorf("result %+v", r)
	}
}

func TestSequentialGoesOnAfterAFailure(t *testing.T) {
	b, x := newPhone(t), newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200", "999", "300", "400"), Sequential: true}, map[string]*phone{"200": b, "300": x})
	caller := newPhone(t).dial(w, "100")
	if err := b.incoming().d.Reject(486, sip.Reason{}); err != nil {
		t.Fatal(err)
	}
	two := x.incoming()
	two.answer(200)
	expect[sip.Answered](caller)
	two.bye()
	r := result(t, results)
	if r.Status != StatusAnswered || r.To != "300" || len(r.Targets) != 3 || r.Targets[0].Q850 != 17 || r.Targets[1].Reason != "no_route" || r.Targets[1].Call != "" {
		t.Errorf("result %+v", r)
	}
	caller.bye()
}

func TestDelayedTargetIsNotRungWhenTheFirstAnswers(t *testing.T) {
	b, x := newPhone(t), newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: []Target{{To: "200"}, {To: "300", Delay: time.Minute}}}, map[string]*phone{"200": b, "300": x})
	caller := newPhone(t).dial(w, "100")
	one := b.incoming()
	one.answer(200)
	expect[sip.Answered](caller)
	one.bye()
	if r := result(t, results); r.Targets[1].Call != "" || r.Targets[1].Success {
		t.Errorf("result %+v", r)
	}
	caller.bye()
}

func TestEarlyMediaReachesTheUnansweredCaller(t *testing.T) {
	b := newPhone(t, sdp.PCMA)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(183)
	callee.stream.Play(hum(900))
	progress := expect[sip.Progress](caller)
	if progress.Status != 183 || len(progress.Body) == 0 {
		t.Fatalf("progress %+v", progress)
	}
	caller.accepted(progress.Body)
	caller.tone(900)
	callee.answer(200)
	expect[sip.Answered](caller)
	caller.tone(900)
	callee.bye()
	if r := result(t, results); r.Status != StatusAnswered {
		t.Errorf("result %+v", r)
	}
	caller.bye()
}

func TestAnsweredCallerHearsTheRingTone(t *testing.T) {
	b := newPhone(t)
	results := make(chan DialResult, 1)
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			results <- c.Dial(bg, DialRequest{Targets: to("200")})
		}
	})
	w.change(func() { w.route = towards(map[string]*phone{"200": b}) })
	caller := newPhone(t).call(w, "100")
	callee := b.incoming()
	_ = callee.d.Ring(bg, 180, nil)
	caller.until("the ring tone", func(f []int16) bool {
		return audio.Level(f) > -40 && audio.ToneLevel(f, 440)+audio.ToneLevel(f, 480) > 0.7
	})
	callee.answer(200)
	callee.stream.Play(hum(900))
	caller.tone(900)
	callee.bye()
	result(t, results)
	caller.silence()
	caller.bye()
}

func TestKeysAreSentAfterTheAnswer(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: []Target{{To: "200", SendDigits: "1w9"}}}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(200)
	if one, two := callee.key(), callee.key(); one != '1' || two != '9' {
		t.Errorf("keys %c%c", one, two)
	}
	expect[sip.Answered](caller)
	callee.bye()
	result(t, results)
	caller.bye()
}

func TestLongestBridgeHangsUpBothSides(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), MaxDuration: 200 * time.Millisecond}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(200)
	expect[sip.Answered](caller)
	expect[sip.Ended](callee)
	expect[sip.Ended](caller)
	if r := result(t, results); r.Status != StatusAnswered || r.Duration < 200*time.Millisecond || r.Targets[0].Reason != "max_duration" {
		t.Errorf("result %+v", r)
	}
}

func TestReplacedScriptMayKeepTheBridge(t *testing.T) {
	errReplaced := errors.New("replaced")
	for _, keep := range []bool{true, false} {
		b := newPhone(t)
		ctx, cancel := context.WithCancelCause(bg)
		results := make(chan DialResult, 1)
		calls := make(chan *Call, 1)
		w := newWorld(t, func(c *Call) {
			calls <- c
			results <- c.Dial(ctx, DialRequest{Targets: to("200"), Keep: func(cause error) bool { return keep && errors.Is(cause, errReplaced) }})
		})
		w.change(func() { w.route = towards(map[string]*phone{"200": b}) })
		caller := newPhone(t).dial(w, "100")
		callee := b.incoming()
		callee.answer(200)
		caller.accepted(expect[sip.Answered](caller).Body)
		w.facts.leg(t, "bridged", func(l Leg) bool { return l.State == Bridged && l.Direction == Out })
		cancel(errReplaced)
		r := result(t, results)
		if r.Kept != keep || r.Status != StatusAnswered {
			t.Errorf("result %+v", r)
		}
		if keep {
			c := <-calls
			callee.stream.Play(hum(900))
			caller.tone(900)
			if _, ok := c.B(); !ok {
				t.Error("no other leg")
			}
			done := make(chan error, 1)
			go func() { done <- c.Play(bg, audio.Tone(-10, 300*time.Millisecond, 600), false, BothLegs) }()
			callee.tone(600)
			if err := <-done; err != nil {
				t.Error(err)
			}
			c.EndBridge(bg)
			if _, ok := c.B(); ok {
				t.Error("the bridge stands")
			}
		}
		expect[sip.Ended](callee)
		caller.bye()
	}
}

func TestHoldMusicIsHeardByTheOtherParty(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b}, func(c *Config) {
		c.HoldMusic = func() audio.Source { return hum(600) }
	})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	callee.answer(200)
	caller.accepted(expect[sip.Answered](caller).Body)
	if _, err := caller.d.ReInvite(bg, caller.sdp(sdp.SendOnly, 2)); err != nil {
		t.Fatal(err)
	}
	callee.tone(600)
	if _, err := caller.d.ReInvite(bg, caller.sdp(sdp.SendRecv, 3)); err != nil {
		t.Fatal(err)
	}
	caller.stream.Play(hum(400))
	callee.tone(400)
	callee.bye()
	result(t, results)
	caller.bye()
}

func TestScreenedPartyIsNotPutThrough(t *testing.T) {
	b, x := newPhone(t), newPhone(t)
	r := DialRequest{Targets: to("200", "300"), Sequential: true, Screen: func(_ context.Context, l Leg) *Cause {
		if l.To == "200" {
			return &Cause{Q850: 16, Reason: "machine", By: ByPlatform}
		}
		return nil
	}}
	w, results := dialWorld(t, r, map[string]*phone{"200": b, "300": x})
	caller := newPhone(t).dial(w, "100")
	machine := b.incoming()
	machine.answer(200)
	expect[sip.Ended](machine)
	human := x.incoming()
	human.answer(200)
	expect[sip.Answered](caller)
	human.bye()
	got := result(t, results)
	if got.To != "300" || got.Targets[0].Success || got.Targets[0].Reason != "machine" {
		t.Errorf("result %+v", got)
	}
	caller.bye()
}

func TestPlacedCallIsAnswered(t *testing.T) {
	b := newPhone(t)
	w := newWorld(t, nil)
	w.change(func() { w.route = towards(map[string]*phone{"200": b}) })
	c, err := w.engine.Place(bg, Outbound{Account: "acc", Type: "CallXML", Targets: to("200"), Tag: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.A(); a.State != Init || a.Direction != Out || a.To != "200" || a.From != "12125550170" || a.Tag != "mine" {
		t.Errorf("leg %+v", a)
	}
	callee := b.incoming()
	if !strings.HasPrefix(callee.d.CallID(), c.A().ID) {
		t.Errorf("Call-ID %s", callee.d.CallID())
	}
	_ = callee.d.Ring(bg, 180, nil)
	callee.answer(200)
	if err := c.WaitAnswered(bg); err != nil {
		t.Fatal(err)
	}
	go func() { _ = c.Play(bg, hum(700), false, "") }()
	callee.tone(700)
	if legs := w.engine.Live("acc"); len(legs) != 1 || legs[0].State != Live {
		t.Errorf("live %+v", legs)
	}
	if found, ok := w.engine.Find(c.A().ID); !ok || found != c {
		t.Error("not found by its id")
	}
	callee.bye()
	if cause := ended(t, w, c.A().ID); cause.By != ByCallee || cause.Q850 != 16 {
		t.Errorf("cause %+v", cause)
	}
	if got := w.facts.states(c.A().ID); !slices.Equal(got, []State{Init, Ringing, Live, Hangup, Destroyed}) {
		t.Errorf("states %v", got)
	}
}

func TestPlacedCallThatFailsTellsItsCause(t *testing.T) {
	b := newPhone(t)
	w := newWorld(t, nil)
	w.change(func() { w.route = towards(map[string]*phone{"200": b}) })
	c, err := w.engine.Place(bg, Outbound{Targets: to("200")})
	if err != nil {
		t.Fatal(err)
	}
	_ = b.incoming().d.Reject(486, sip.Reason{})
	var end *EndedError
	if err := c.WaitAnswered(bg); !errors.As(err, &end) || end.Cause.Q850 != 17 || end.Cause.Stack != "SIP 486" || end.Cause.By != ByCallee {
		t.Errorf("%v", err)
	}
	if _, err := w.engine.Place(bg, Outbound{Targets: to("999")}); !errors.As(err, &end) || end.Cause.Reason != "no_route" {
		t.Errorf("unroutable: %v", err)
	}
	c, err = w.engine.Place(bg, Outbound{Targets: to("200"), Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	callee := b.incoming()
	_ = callee.d.Ring(bg, 180, nil)
	if err := c.WaitAnswered(bg); !errors.As(err, &end) || end.Cause.Q850 != 19 {
		t.Errorf("no answer: %v", err)
	}
	c, err = w.engine.Place(bg, Outbound{Targets: to("200")})
	if err != nil {
		t.Fatal(err)
	}
	callee = b.incoming()
	_ = callee.d.Ring(bg, 180, nil)
	c.Hangup(Cause{Q850: 16, By: ByAPI})
	expect[sip.Canceled](callee)
	if cause := ended(t, w, c.A().ID); cause.By != ByAPI {
		t.Errorf("cause %+v", cause)
	}
}
