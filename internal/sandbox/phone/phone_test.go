package phone

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// switchOn runs a phone for the length of a test.
func switchOn(t *testing.T, cfg Config) *Phone {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, off := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		off()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if n := p.Calls(); n != 0 {
			t.Errorf("%d calls left", n)
		}
	})
	return p
}

func (p *Phone) uri(user string) string { return "sip:" + user + "@" + p.Addr().String() }

// sine is a tone that ToneLevel finds again.
func sine(t *testing.T, hz float64, d time.Duration) []int16 {
	t.Helper()
	s, err := audio.ReadAll(audio.Tone(-10, d, hz), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBothSidesHearEachOtherAndTheKeys(t *testing.T) {
	keys := make(chan string, 1)
	heard := make(chan []int16, 1)
	p := switchOn(t, Config{OnCall: func(ctx context.Context, c *Call) {
		_ = c.Ring()
		c.Listen()
		if c.Called() != "13125550100" || c.Caller() != "15005551234" {
			t.Errorf("called %q by %q", c.Called(), c.Caller())
		}
		if err := c.Answer(); err != nil {
			t.Error(err)
			return
		}
		_ = c.Play(ctx, sine(t, 700, 500*time.Millisecond))
		samples, _ := c.AwaitSilence(ctx, 0, 200*time.Millisecond)
		heard <- samples
		var got []byte
		for range 4 {
			k, err := c.NextKey(ctx)
			if err != nil {
				t.Error(err)
			}
			got = append(got, k)
		}
		keys <- string(got)
		_ = c.Wait(ctx)
	}})
	ctx := within(t)
	c, err := Dial(ctx, Config{User: "15005551234", Codecs: []sdp.Codec{sdp.PCMA}}, p.uri("13125550100"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	if status, sound := c.Provisional(); status != 180 || sound {
		t.Errorf("provisional %d, sound %t", status, sound)
	}
	got, err := c.AwaitSilence(ctx, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if level := audio.ToneLevel(audio.Trim(got, 0), 700); level < 0.6 {
		t.Errorf("caller heard %.2f of the tone", level)
	}
	if err := c.Play(ctx, sine(t, 1200, 300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if level := audio.ToneLevel(audio.Trim(<-heard, 0), 1200); level < 0.6 {
		t.Errorf("the called side heard %.2f of the tone", level)
	}
	if err := c.SendKeys(ctx, "12*#"); err != nil {
		t.Fatal(err)
	}
	if got := <-keys; got != "12*#" {
		t.Errorf("keys %q", got)
	}
	if s := c.Stats(); s.PacketsReceived == 0 || s.PacketsSent == 0 {
		t.Errorf("no packets counted: %+v", s)
	}
	c.Hangup(ctx)
	if o := c.Outcome(); !o.Answered || o.By != "us" {
		t.Errorf("outcome %+v", o)
	}
}

func TestRefusalIsReportedWithItsCause(t *testing.T) {
	p := switchOn(t, Config{OnCall: func(_ context.Context, c *Call) { _ = c.Reject(486, 17) }})
	ctx := within(t)
	c, err := Dial(ctx, Config{}, p.uri("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WaitAnswered(ctx); !errors.Is(err, ErrNotAnswered) {
		t.Fatalf("error %v", err)
	}
	if o := c.Outcome(); o.Answered || o.Status != 486 || o.Q850 != 17 || o.By != "them" {
		t.Errorf("outcome %+v", o)
	}
}

func TestPhoneWithoutOnCallIsUnavailable(t *testing.T) {
	p := switchOn(t, Config{})
	ctx := within(t)
	c, err := Dial(ctx, Config{}, p.uri("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.WaitAnswered(ctx)
	if o := c.Outcome(); o.Status != 480 {
		t.Errorf("outcome %+v", o)
	}
}

func TestCallerWhoGivesUpCancels(t *testing.T) {
	outcome := make(chan Outcome, 1)
	p := switchOn(t, Config{OnCall: func(_ context.Context, c *Call) {
		_ = c.Ring()
		<-c.Over()
		outcome <- c.Outcome()
	}})
	ctx := within(t)
	c, err := Dial(ctx, Config{}, p.uri("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case <-c.Alerted():
	case <-ctx.Done():
		t.Fatal("never rang")
	}
	c.Hangup(ctx)
	if o := c.Outcome(); o.Answered || o.By != "us" {
		t.Errorf("caller: %+v", o)
	}
	if o := <-outcome; o.Answered || o.By != "them" {
		t.Errorf("called: %+v", o)
	}
}

func TestEarlyMediaIsHeardBeforeTheAnswerAndEchoComesBack(t *testing.T) {
	answer := make(chan struct{})
	p := switchOn(t, Config{OnCall: func(ctx context.Context, c *Call) {
		if err := c.EarlyMedia(); err != nil {
			t.Error(err)
		}
		_ = c.Play(ctx, sine(t, 500, 400*time.Millisecond))
		<-answer
		if err := c.Answer(); err != nil {
			t.Error(err)
		}
		_ = c.Echo(ctx)
	}})
	ctx := within(t)
	c, err := Dial(ctx, Config{}, p.uri("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.AwaitSilence(ctx, 0, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if level := audio.ToneLevel(audio.Trim(got, 0), 500); level < 0.6 {
		t.Errorf("heard %.2f of the early tone", level)
	}
	if status, sound := c.Provisional(); status != 183 || !sound {
		t.Errorf("provisional %d, sound %t", status, sound)
	}
	close(answer)
	if err := c.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	mark := c.Mark()
	if err := c.Play(ctx, sine(t, 900, 300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	got, err = c.AwaitSilence(ctx, mark, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if level := audio.ToneLevel(audio.Trim(got, 0), 900); level < 0.6 {
		t.Errorf("%.2f of the tone came back", level)
	}
}

func TestCallsBeyondTheLimitAreRefusedAndPlacesComeBack(t *testing.T) {
	p := switchOn(t, Config{MaxCalls: 1, OnCall: func(ctx context.Context, c *Call) {
		_ = c.Answer()
		_ = c.Wait(ctx)
	}})
	caller := switchOn(t, Config{})
	ctx := within(t)
	for range 3 {
		first, err := caller.Place(ctx, Request{To: p.uri("1"), Deaf: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := first.WaitAnswered(ctx); err != nil {
			t.Fatal(err)
		}
		second, err := caller.Place(ctx, Request{To: p.uri("1"), Deaf: true})
		if err != nil {
			t.Fatal(err)
		}
		_ = second.WaitAnswered(ctx)
		if o := second.Outcome(); o.Status != 503 {
			t.Errorf("second call: %+v", o)
		}
		first.Hangup(ctx)
		waitNone(t, ctx, p)
	}
}

// waitNone waits until a phone has cleaned up its calls.
func waitNone(t *testing.T, ctx context.Context, p *Phone) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for p.Calls() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("calls are left")
		}
	}
}

func TestOfferlessInviteGetsOurOffer(t *testing.T) {
	heard := make(chan struct{}, 1)
	p := switchOn(t, Config{OnCall: func(ctx context.Context, c *Call) {
		c.Listen()
		if err := c.Answer(); err != nil {
			t.Error(err)
		}
		if _, err := c.AwaitSilence(ctx, 0, 100*time.Millisecond); err == nil {
			heard <- struct{}{}
		}
	}})
	caller := switchOn(t, Config{})
	ctx := within(t)
	c, err := caller.newCall()
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan sip.Event, 16)
	d, err := caller.sip.Invite(ctx, sip.InviteRequest{RequestURI: p.uri("1"), Observe: func(e sip.Event) { events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	for {
		e := <-events
		if ok, is := e.(sip.Answered); is {
			body, err := c.answerTo(ok.Body)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Ack(body); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if err := c.Play(ctx, sine(t, 700, 200*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	<-heard
	d.Hangup(sip.Reason{})
	c.finish(Outcome{})
}

func TestHoldIsAnsweredAndNoticed(t *testing.T) {
	held := make(chan bool, 2)
	p := switchOn(t, Config{OnCall: func(ctx context.Context, c *Call) {
		_ = c.Answer()
		for range 2 {
			if _, err := c.NextKey(ctx); err != nil {
				t.Error(err)
			}
			held <- c.Held()
		}
	}})
	ctx := within(t)
	c, err := Dial(ctx, Config{}, p.uri("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []sdp.Direction{sdp.SendOnly, sdp.SendRecv} {
		c.mu.Lock()
		l := c.local()
		c.mu.Unlock()
		l.Direction = dir
		s, err := sdp.Offer(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.d.ReInvite(ctx, s.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := c.d.SendInfo(ctx, "application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n")); err != nil {
			t.Fatal(err)
		}
		if got, want := <-held, dir == sdp.SendOnly; got != want {
			t.Errorf("%v: held %t", dir, got)
		}
	}
}

func TestEarKeepsTheLatestWithinItsLimit(t *testing.T) {
	e := newEar(time.Second)
	frame := make([]int16, audio.FrameSamples)
	for i := range 60 * 50 {
		for j := range frame {
			frame[j] = int16(i)
		}
		e.hear(frame)
	}
	got, _ := e.since(0)
	if len(got) != audio.Rate || got[len(got)-1] != 2999 || got[0] != 2950 {
		t.Errorf("%d samples from %d to %d", len(got), got[0], got[len(got)-1])
	}
	if e.mark() != 60*audio.Rate {
		t.Errorf("mark %d", e.mark())
	}
	if tail, from := e.since(e.mark() - 160); len(tail) != 160 || from != e.mark()-160 {
		t.Errorf("%d samples from %d", len(tail), from)
	}
	if cap(e.samples) > 30*audio.Rate {
		t.Errorf("room for %d samples", cap(e.samples))
	}
}

func TestKeysOfInfoBodies(t *testing.T) {
	for body, want := range map[string]byte{"Signal=5\r\nDuration=160\r\n": '5', "signal= # ": '#', "7": '7', "a": 'A', "": 0, "55": 0, "Signal=flash": 0} {
		got, ok := keyOf([]byte(body))
		if got != want || ok != (want != 0) {
			t.Errorf("%q: %q, %t", body, got, ok)
		}
	}
}

func FuzzKeyOfInfo(f *testing.F) {
	for _, seed := range []string{"Signal=5\r\nDuration=160\r\n", "Signal=*", "signal = d\n", "#", "=", "Signal=\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if key, ok := keyOf(body); ok != (key != 0) || ok && !strings.ContainsRune("0123456789*#ABCD", rune(key)) {
			t.Errorf("%q: %q, %t", body, key, ok)
		}
	})
}

func TestManyCallsAtOnceGiveEverythingBack(t *testing.T) {
	const calls = 40
	p := switchOn(t, Config{OnCall: func(ctx context.Context, c *Call) {
		_ = c.Answer()
		_ = c.Play(ctx, sine(t, 700, 600*time.Millisecond))
	}})
	caller := switchOn(t, Config{User: "15005551234"})
	ctx := within(t)
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			c, err := caller.Place(ctx, Request{To: p.uri("1")})
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Wait(ctx); err != nil || !c.Outcome().Answered || c.Outcome().By != "them" {
				t.Errorf("%v, %+v", err, c.Outcome())
			}
			if len(audio.Trim(c.Heard(), 0)) == 0 {
				t.Error("heard nothing")
			}
		})
	}
	all.Wait()
	waitNone(t, ctx, p)
	waitNone(t, ctx, caller)
}
