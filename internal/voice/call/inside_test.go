package call

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// bridged puts a caller through to a callee.
func bridged(t *testing.T, change ...func(*Config)) (w *world, caller, callee *line, results chan DialResult) {
	t.Helper()
	b := newPhone(t)
	w, results = dialWorld(t, DialRequest{Targets: to("200")}, map[string]*phone{"200": b}, change...)
	caller = newPhone(t).dial(w, "100")
	callee = b.incoming()
	callee.answer(200)
	caller.accepted(expect[sip.Answered](caller).Body)
	w.facts.leg(t, "bridged", func(l Leg) bool { return l.State == Bridged && l.Direction == Out })
	return w, caller, callee, results
}

func TestCodecChangeInABridgeKeepsTheSound(t *testing.T) {
	_, caller, callee, results := bridged(t)
	caller.p.codec = []sdp.Codec{sdp.PCMA}
	body, err := caller.d.ReInvite(bg, caller.sdp(sdp.SendRecv, 2))
	if err != nil {
		t.Fatal(err)
	}
	caller.accepted(body)
	caller.stream.Play(hum(400))
	callee.stream.Play(hum(900))
	caller.tone(900)
	callee.tone(400)
	callee.bye()
	result(t, results)
	caller.bye()
}

func TestInfoKeysOfOnePartyReachTheOther(t *testing.T) {
	_, caller, callee, results := bridged(t)
	if err := caller.d.SendInfo(bg, "application/dtmf-relay", []byte("Signal=6\r\n")); err != nil {
		t.Fatal(err)
	}
	if key := callee.key(); key != '6' {
		t.Errorf("key %c", key)
	}
	callee.bye()
	result(t, results)
	caller.bye()
}

func TestSilentPartyEndsTheBridgeNotTheCall(t *testing.T) {
	w, caller, callee, results := bridged(t, func(c *Config) { c.Limits.MediaTimeout = 400 * time.Millisecond })
	callee.stream.Close()
	if e := expect[sip.Ended](callee); e.Reason.Q850 != 31 {
		t.Errorf("ended with %+v", e)
	}
	if r := result(t, results); r.Targets[0].Reason != "media_timeout" || r.Status != StatusAnswered {
		t.Errorf("result %+v", r)
	}
	if a := w.engine.registry.all()[0].A(); a.State != Bridged || a.BridgedTo != "" {
		t.Errorf("controlled leg %+v", a)
	}
	caller.bye()
}

func TestSecondDialJoinsAnotherPartyAndTellsBridgedAgain(t *testing.T) {
	b, x := newPhone(t), newPhone(t)
	results := make(chan DialResult, 2)
	w := newWorld(t, func(c *Call) {
		results <- c.Dial(bg, DialRequest{Targets: to("200")})
		results <- c.Dial(bg, DialRequest{Targets: to("300")})
	})
	w.change(func() { w.route = towards(map[string]*phone{"200": b, "300": x}) })
	caller := newPhone(t).dial(w, "100")
	one := b.incoming()
	one.answer(200)
	caller.accepted(expect[sip.Answered](caller).Body)
	one.bye()
	first := result(t, results)
	two := x.incoming()
	two.answer(200)
	two.stream.Play(hum(900))
	caller.tone(900)
	two.bye()
	second := result(t, results)
	id := w.engine.registry.all()[0].A().ID
	caller.bye()
	w.gone()
	joined := ""
	w.facts.mu.Lock()
	for _, l := range w.facts.legs {
		if l.ID == id && l.State == Bridged {
			joined += l.BridgedTo + " "
		}
	}
	w.facts.mu.Unlock()
	if want := first.Call + " " + second.Call + " "; joined != want {
		t.Errorf("joined with %q, want %q", joined, want)
	}
}

func TestBrokenCallEndsAndIsToldWhole(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			c.inbox.post(func() { panic("a bug") })
		}
	})
	caller := newPhone(t).call(w, "100")
	if e := expect[sip.Ended](caller); e.Reason.Q850 != TemporaryFailure {
		t.Errorf("ended with %+v", e)
	}
	leg := w.facts.leg(t, "destroyed", func(l Leg) bool { return l.State == Destroyed })
	if leg.Cause.Reason != "internal" || leg.Cause.By != ByPlatform {
		t.Errorf("cause %+v", leg.Cause)
	}
}

func TestRingSoundOfTheCustomerIsEarlyMedia(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), Ringback: RingbackSound, Sound: hum(600)}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	caller.accepted(expect[sip.Progress](caller).Body)
	caller.tone(600)
	callee := b.incoming()
	callee.answer(200)
	callee.stream.Play(hum(900))
	expect[sip.Answered](caller)
	caller.tone(900)
	callee.bye()
	result(t, results)
	caller.bye()
}

func TestNoRingbackIsSilenceForAnUnansweredCaller(t *testing.T) {
	b := newPhone(t)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), Ringback: RingbackNone, Timeout: 300 * time.Millisecond}, map[string]*phone{"200": b})
	caller := newPhone(t).dial(w, "100")
	callee := b.incoming()
	_ = callee.d.Ring(bg, 180, nil)
	caller.nothing(200 * time.Millisecond)
	if r := result(t, results); r.Status != StatusNoAnswer {
		t.Errorf("result %+v", r)
	}
	caller.d.Hangup(sip.Reason{})
}

func TestRoutesWithoutUseAreGivenBack(t *testing.T) {
	b := newPhone(t)
	released := make(chan string, 8)
	w, results := dialWorld(t, DialRequest{Targets: to("200"), Timeout: 200 * time.Millisecond}, nil)
	route := func(r RouteRequest) ([]Attempt, *Cause) {
		one, two := attempt(r, b), attempt(r, b)
		one.Release, two.Release = func() { released <- "first" }, func() { released <- "second" }
		return []Attempt{one, two}, nil
	}
	w.change(func() { w.route = route })
	caller := newPhone(t).dial(w, "100")
	_ = b.incoming().d.Ring(bg, 180, nil)
	result(t, results)
	if got := <-released + " " + <-released; !strings.Contains(got, "first") || !strings.Contains(got, "second") || len(released) != 0 {
		t.Errorf("released %s and %d more", got, len(released))
	}
	caller.d.Hangup(sip.Reason{})
}

func TestCallerMayHearASoundInsideTheBridge(t *testing.T) {
	w, caller, callee, results := bridged(t)
	c := w.engine.registry.all()[0]
	for _, which := range []struct {
		leg string
		at  *line
	}{{ALeg, caller}, {BLeg, callee}} {
		done := make(chan error, 1)
		go func() { done <- c.Play(bg, audio.Tone(-10, 300*time.Millisecond, 600), false, which.leg) }()
		which.at.tone(600)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	callee.bye()
	result(t, results)
	caller.bye()
}

func TestOwnAddressIsFoundWhenNoneIsSet(t *testing.T) {
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, "")
		}
	}, func(c *Config) { c.MediaIP = netip.Addr{} })
	hearsItself(t, w)
}

// hearsItself lets a caller on this machine be told an address of this machine, and hear the tone of 700 Hz.
func hearsItself(t *testing.T, w *world) {
	t.Helper()
	caller := newPhone(t).dial(w, "100")
	answer := expect[sip.Answered](caller)
	if s, err := sdp.Parse(answer.Body); err != nil || s.Conn.Addr != loopback {
		t.Errorf("answer\n%s", answer.Body)
	}
	caller.accepted(answer.Body)
	caller.tone(700)
	caller.bye()
}

func TestFarSideOnThisMachineIsNotToldTheAddressOfTheNAT(t *testing.T) {
	nat := netip.MustParseAddr("203.0.113.9")
	w := newWorld(t, func(c *Call) {
		if mustAnswer(t, c) {
			_ = c.Play(bg, hum(700), false, "")
		}
	}, func(c *Config) { c.MediaIP = nat })
	hearsItself(t, w)
	for remote, want := range map[string]netip.Addr{"198.51.100.7": nat, "127.0.0.9": loopback} {
		if got, err := w.engine.ownAddr(netip.MustParseAddr(remote)); got != want || err != nil {
			t.Errorf("%s is told %s, want %s: %v", remote, got, want, err)
		}
	}
}

func TestSocketsAreBoundWhereTheToldAddressCanArrive(t *testing.T) {
	for told, want := range map[string]string{"127.0.0.1": "127.0.0.1", "198.51.100.7": "0.0.0.0", "2001:db8::7": "::", "::1": "::1"} {
		if got := bindFor(netip.MustParseAddr(told)); got != netip.MustParseAddr(want) {
			t.Errorf("%s is bound at %s", told, got)
		}
	}
	if got := bindFor(netip.Addr{}); got != netip.IPv4Unspecified() {
		t.Errorf("without an address bound at %s", got)
	}
}
