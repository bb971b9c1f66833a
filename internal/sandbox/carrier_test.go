package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 15 * time.Second
	alice    = "a1" // an account
	leased   = e164.Number("13125550100")
)

// platform stands for the server under test: a phone that answers as a test wants, and what it knows about its calls.
type platform struct {
	*phone.Phone
	mu     sync.Mutex
	legs   map[string]chan struct{} // by Call-ID, closed when the call has arrived
	texts  []string
	onCall func(ctx context.Context, c *phone.Call)
}

func (p *platform) arrived(callID string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.legs[callID] == nil {
		p.legs[callID] = make(chan struct{})
	}
	return p.legs[callID]
}

func (p *platform) AwaitInbound(ctx context.Context, callID string) (json.RawMessage, error) {
	select {
	case <-p.arrived(callID):
		return json.Marshal(map[string]string{"uuid": ident.New(), "sip_call_id": callID})
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *platform) Inbound(_ context.Context, from, to e164.Number, text string) (json.RawMessage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts = append(p.texts, text)
	return json.Marshal(map[string]any{"from": from, "to": to, "message": text})
}

// start runs something with Run for the length of a test.
func start(t *testing.T, run func(context.Context, func()) error) {
	t.Helper()
	ctx, off := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- run(ctx, func() { close(ready) }) }()
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
	})
}

// tone is what the test's speech engine says: a second per text, of a pitch that tells texts apart.
func tone(hz float64) []int16 {
	s, _ := audio.ReadAll(audio.Tone(-10, time.Second, hz), time.Minute)
	return s
}

func speak(_ context.Context, text string) ([]int16, error) {
	switch text {
	case welcome:
		return tone(600), nil
	case greeting:
		return tone(800), nil
	case holdOn:
		return tone(500), nil
	}
	return nil, errors.New("no such voice")
}

// recognise understands the tones.
func recognise(_ context.Context, samples []int16, _ []string) (string, error) {
	if audio.ToneLevel(samples, 600) > 0.5 {
		return "welcome to the show", nil
	}
	return "something else", nil
}

// quick are times for tests.
var quick = Times{Ring: 50 * time.Millisecond, Stay: 1500 * time.Millisecond, NoAnswer: 300 * time.Millisecond, Record: 5 * time.Second, Expect: 2500 * time.Millisecond}

// network is a carrier and a platform that know each other.
func network(t *testing.T, onCall func(ctx context.Context, c *phone.Call), change ...func(*Config)) (*Carrier, *platform) {
	t.Helper()
	p := &platform{legs: map[string]chan struct{}{}, onCall: onCall}
	var err error
	p.Phone, err = phone.New(phone.Config{OnCall: func(ctx context.Context, c *phone.Call) {
		close(p.arrived(c.CallID()))
		p.onCall(ctx, c)
	}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, p.Run)
	cfg := Config{
		Logger: slog.New(slog.DiscardHandler), Low: -1, Speak: speak, Recognise: recognise, Calls: p, Messages: p, Times: quick,
		PlatformSIP: func() string { return p.Addr().String() },
		IsLocal:     func(_ context.Context, n e164.Number) bool { return n == leased },
		Owned: func(_ context.Context, account string, n e164.Number) (bool, error) {
			return account == alice && n == leased, nil
		},
	}
	for _, fn := range change {
		fn(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	start(t, n.Run)
	return n, p
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, ctx context.Context, n *Carrier, number string) *phone.Call {
	t.Helper()
	c, err := phone.Dial(ctx, phone.Config{User: string(leased)}, "sip:"+number+"@"+n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func sounds(t *testing.T, what string, samples []int16, hz float64) {
	t.Helper()
	if level := audio.ToneLevel(audio.Trim(samples, 0), hz); level < 0.6 {
		t.Errorf("%s: %.2f at %v Hz", what, level, hz)
	}
}

func TestMagicNumbersThatRefuse(t *testing.T) {
	n, _ := network(t, nil)
	for number, want := range map[string]struct{ status, q850 int }{
		"+15005550002": {486, 17}, "15005550003": {480, 19}, "5005550004": {603, 21}, "15005550005": {404, 1}, "+15005550009": {503, 42}, "bob": {484, 28},
	} {
		ctx := within(t)
		c := dial(t, ctx, n, number)
		if err := c.WaitAnswered(ctx); !errors.Is(err, phone.ErrNotAnswered) {
			t.Errorf("%s: %v", number, err)
		}
		if o := c.Outcome(); o.Status != want.status || o.Q850 != want.q850 {
			t.Errorf("%s: %+v", number, o)
		}
	}
}

func TestAnsweringNumberAndUnknownOnesSayASentenceAndHangUp(t *testing.T) {
	n, _ := network(t, nil)
	for _, number := range []string{"15005550001", "+442079460000"} {
		ctx := within(t)
		c := dial(t, ctx, n, number)
		if err := c.WaitAnswered(ctx); err != nil {
			t.Fatal(err)
		}
		if status, _ := c.Provisional(); status != 180 {
			t.Errorf("%s: provisional %d", number, status)
		}
		began := time.Now()
		if err := c.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if lasted := time.Since(began); lasted < quick.Stay-100*time.Millisecond || lasted > 3*quick.Stay {
			t.Errorf("%s: hung up after %v", number, lasted)
		}
		if o := c.Outcome(); o.By != "them" || o.Q850 != 16 {
			t.Errorf("%s: %+v", number, o)
		}
		sounds(t, number, c.Heard(), 600)
	}
}

func TestWithoutSpeechEngineThereAreTones(t *testing.T) {
	n, _ := network(t, nil, func(c *Config) { c.Speak = nil })
	ctx := within(t)
	c := dial(t, ctx, n, "15005550001")
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if d := soundIn(c.Heard()); d < time.Second {
		t.Errorf("heard %v", d)
	}
}

func TestAnsweringMachineRecordsTheCaller(t *testing.T) {
	n, _ := network(t, nil)
	ctx := within(t)
	c := dial(t, ctx, n, "15005550006")
	got, err := c.AwaitSilence(ctx, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	got = audio.Trim(got, 0)
	sounds(t, "greeting", got[:audio.Rate*9/10], 800)
	sounds(t, "beep", got[len(got)-audio.Rate/3:], 1000)
	if err := c.Play(ctx, tone(1400)); err != nil {
		t.Fatal(err)
	}
	c.Hangup(ctx)
	var runs []*Run
	await(t, ctx, func() bool { runs, _ = n.Runs(ctx, alice); return len(runs) == 1 })
	r := runs[0]
	if r.Kind != KindMachine || r.From != leased || r.Result().State != StateEnded {
		t.Errorf("%+v", r)
	}
	sounds(t, "recording", r.Result().Sound, 1400)
	if _, err := n.Find(ctx, "somebody else", r.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another account: %v", err)
	}
}

// await looks until something is so.
func await(t *testing.T, ctx context.Context, so func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it never came so far")
		}
	}
}

func TestEchoComesBack(t *testing.T) {
	n, _ := network(t, nil)
	ctx := within(t)
	c := dial(t, ctx, n, "15005550007")
	if err := c.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Play(ctx, tone(900)); err != nil {
		t.Fatal(err)
	}
	got, err := c.AwaitSilence(ctx, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	sounds(t, "echo", got, 900)
}

func TestDigitsArrive(t *testing.T) {
	n, _ := network(t, nil)
	ctx := within(t)
	c := dial(t, ctx, n, "15005550008")
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if got := c.Pressed(); got != "1234#" {
		t.Errorf("keys %q", got)
	}
}

func TestOverloadLetsTheNextAttemptOfTheSameCallerThrough(t *testing.T) {
	n, _ := network(t, nil)
	for _, refused := range []bool{true, false, true} {
		ctx := within(t)
		c := dial(t, ctx, n, "15005550009")
		err := c.WaitAnswered(ctx)
		if got := err != nil; got != refused {
			t.Errorf("refused %t, want %t (%v)", got, refused, err)
		}
		c.Close()
	}
}

func TestEarlyMediaComesBeforeTheAnswer(t *testing.T) {
	n, _ := network(t, nil)
	ctx := within(t)
	c := dial(t, ctx, n, "15005550010")
	if err := c.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	if status, sound := c.Provisional(); status != 183 || !sound {
		t.Errorf("provisional %d, sound %t", status, sound)
	}
	before := audio.Trim(c.Heard(), 0)
	if len(before) < audio.Rate/2 {
		t.Fatalf("%d samples before the answer", len(before))
	}
	sounds(t, "early", before, 500)
	mark := c.Mark()
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	sounds(t, "after the answer", audio.Trim(c.HeardSince(mark), 0)[audio.Rate/5:], 600)
}

func TestLeasedNumberIsCalledBackIntoThePlatform(t *testing.T) {
	var caller string
	n, _ := network(t, func(ctx context.Context, c *phone.Call) {
		caller = c.Caller()
		_ = c.Ring()
		_ = c.Answer()
		_ = c.Echo(ctx)
	})
	ctx := within(t)
	c := dial(t, ctx, n, leased.Plus())
	if err := c.WaitAnswered(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Play(ctx, tone(1100)); err != nil {
		t.Fatal(err)
	}
	got, err := c.AwaitSilence(ctx, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	sounds(t, "through both calls", got, 1100)
	c.Hangup(ctx)
	await(t, ctx, func() bool { return n.InCalls() == 0 })
	if caller != string(leased) {
		t.Errorf("caller %q", caller)
	}
}

func TestRefusalOfThePlatformGoesBackThroughTransit(t *testing.T) {
	n, _ := network(t, func(_ context.Context, c *phone.Call) { _ = c.Reject(486, 17) })
	ctx := within(t)
	c := dial(t, ctx, n, leased.Plus())
	_ = c.WaitAnswered(ctx)
	if o := c.Outcome(); o.Status != 486 || o.Q850 != 17 {
		t.Errorf("%+v", o)
	}
}

func TestScriptedCallerTalksToAMenu(t *testing.T) {
	pressed := make(chan byte, 1)
	n, _ := network(t, func(ctx context.Context, c *phone.Call) {
		_ = c.Answer()
		_ = c.Play(ctx, tone(600))
		k, _ := c.NextKey(ctx)
		pressed <- k
		_ = c.Play(ctx, tone(300))
		_ = c.SendKeys(ctx, "9")
		_ = c.Wait(ctx)
	})
	ctx := within(t)
	leg, err := n.Call(ctx, CallRequest{Account: alice, From: "15005551234", To: leased, Script: []Step{
		{Kind: StepWait, Wait: 10 * time.Millisecond},
		{Kind: StepExpect, Text: "Welcome to the shop!"},
		{Kind: StepDigits, Text: "1"},
		{Kind: StepExpect, Text: "thanks"},
		{Kind: StepPlay, Text: "http://192.0.2.1/a.wav"},
		{Kind: StepSay, Text: "bye"},
		{Kind: StepHangup},
		{Kind: StepSay, Text: "too late"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var id struct{ UUID string }
	if err := json.Unmarshal(leg, &id); err != nil {
		t.Fatal(err)
	}
	if k := <-pressed; k != '1' {
		t.Errorf("pressed %q", k)
	}
	r, err := n.Find(ctx, alice, id.UUID)
	if err != nil {
		t.Fatal(err)
	}
	await(t, ctx, func() bool { return r.Result().State == StateEnded })
	res := r.Result()
	var ok []string
	for _, s := range res.Steps {
		if s.OK {
			ok = append(ok, s.Step.Kind)
		}
	}
	if got := strings.Join(ok, " "); len(res.Steps) != 8 || got != "wait_ms expect_say digits say hangup" {
		t.Errorf("%d steps, done: %s: %+v", len(res.Steps), got, res.Steps)
	}
	if res.Steps[1].Heard != "welcome to the show" || res.Steps[3].Heard != "something else" {
		t.Errorf("heard %q and %q", res.Steps[1].Heard, res.Steps[3].Heard)
	}
	if res.Keys != "9" || res.Stats.PacketsReceived == 0 || res.Stats.PacketsSent == 0 || len(res.Sound) < 2*audio.Rate {
		t.Errorf("keys %q, stats %+v, %d samples", res.Keys, res.Stats, len(res.Sound))
	}
	if _, err := n.Find(ctx, "somebody else", id.UUID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another account: %v", err)
	}
}

func TestWithoutRecogniserSoundIsEnough(t *testing.T) {
	n, _ := network(t, func(ctx context.Context, c *phone.Call) {
		_ = c.Answer()
		_ = c.Play(ctx, tone(400))
	}, func(c *Config) { c.Recognise = nil })
	ctx := within(t)
	_, err := n.Call(ctx, CallRequest{Account: alice, From: "15005551234", To: leased, Script: []Step{{Kind: StepExpect, Text: "anything"}}})
	if err != nil {
		t.Fatal(err)
	}
	runs, _ := n.Runs(ctx, alice)
	await(t, ctx, func() bool { return runs[0].Result().State == StateEnded })
	if s := runs[0].Result().Steps[0]; !s.OK || !strings.Contains(s.Heard, "s of sound") {
		t.Errorf("%+v", s)
	}
}

func TestCallThatThePlatformRefusesSaysWhy(t *testing.T) {
	n, _ := network(t, func(_ context.Context, c *phone.Call) { _ = c.Reject(404, 1) })
	ctx := within(t)
	_, err := n.Call(ctx, CallRequest{Account: alice, From: "15005551234", To: "13125550199"})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("number of nobody: %v", err)
	}
	// The platform keeps a call that it refuses: the leg is answered, the script tells.
	_, err = n.Call(ctx, CallRequest{Account: alice, From: "15005551234", To: leased, Script: []Step{{Kind: StepSay, Text: "hello"}}})
	if err != nil {
		t.Fatal(err)
	}
	runs, _ := n.Runs(ctx, alice)
	await(t, ctx, func() bool { return runs[0].Result().State == StateFailed })
	if res := runs[0].Result(); res.Outcome.Status != 404 || res.Steps[0].OK {
		t.Errorf("%+v", res)
	}
}

// deafCalls never hears of a call.
type deafCalls struct{}

func (deafCalls) AwaitInbound(ctx context.Context, _ string) (json.RawMessage, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func TestCallThatLeavesNoTraceIsAnUpstreamFault(t *testing.T) {
	n, _ := network(t, func(_ context.Context, c *phone.Call) { _ = c.Reject(403, 0) }, func(c *Config) { c.Calls = deafCalls{} })
	ctx := within(t)
	_, err := n.Call(ctx, CallRequest{Account: alice, From: "15005551234", To: leased})
	if !fault.Is(err, fault.Upstream) || !strings.Contains(err.Error(), "403") {
		t.Errorf("error %v", err)
	}
	await(t, ctx, func() bool { return n.InCalls() == 0 })
}

func TestCallsThatAreUnderWayEndWithTheCarrier(t *testing.T) {
	answered := make(chan struct{})
	p, err := phone.New(phone.Config{OnCall: func(ctx context.Context, c *phone.Call) {
		_ = c.Answer()
		close(answered)
		_ = c.Wait(ctx)
	}})
	if err != nil {
		t.Fatal(err)
	}
	start(t, p.Run)
	known := &platform{legs: map[string]chan struct{}{}}
	n, err := New(Config{
		Logger: slog.New(slog.DiscardHandler), Low: -1, Calls: known, Messages: known, PlatformSIP: func() string { return p.Addr().String() },
		Owned: func(context.Context, string, e164.Number) (bool, error) { return true, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, off := context.WithCancel(within(t))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	<-ready
	failed := make(chan error, 1)
	go func() {
		_, err := n.Call(context.Background(), CallRequest{Account: alice, From: "15005551234", To: leased, Script: []Step{{Kind: StepWait, Wait: time.Minute}}})
		failed <- err
	}()
	<-answered
	off()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// The end may come while the call is placed, or once it waits for its leg.
	if err := <-failed; !fault.Is(err, fault.Upstream) && !fault.Is(err, fault.Unavailable) {
		t.Errorf("call that never reached the platform: %v", err)
	}
	if _, err := n.Call(context.Background(), CallRequest{Account: alice, From: "15005551234", To: leased}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("call after the end: %v", err)
	}
}
