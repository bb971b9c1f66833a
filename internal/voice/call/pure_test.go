package call

import (
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/sip"
)

var allStates = []State{Init, Ringing, Live, Bridged, Hangup, Destroyed}

func TestEveryStateReachesDestroyedAndNoneGoesBack(t *testing.T) {
	order := map[State]int{}
	for i, s := range allStates {
		order[s] = i
	}
	for from, moves := range table {
		for in, to := range moves {
			if from == "" {
				continue
			}
			if order[to] < order[from] || order[to] == order[from] && !(from == Bridged && in == join) {
				t.Errorf("%s goes back to %s", from, to)
			}
		}
	}
	for _, s := range allStates {
		at := s
		for _, in := range []input{end, clean} {
			if to, ok := at.next(in); ok {
				at = to
			}
		}
		if at != Destroyed {
			t.Errorf("%s ends as %s", s, at)
		}
	}
	for in := begin; in <= clean; in++ {
		if to, ok := Destroyed.next(in); ok {
			t.Errorf("destroyed leads to %s", to)
		}
	}
}

func TestCausesFollowTheContract(t *testing.T) {
	for _, c := range []struct{ status, q850, back int }{
		{404, 1, 404},
		{486, 17, 486},
		{600, 17, 486},
		{480, 18, 480},
		{603, 21, 603},
		{403, 21, 603},
		{401, 21, 603},
		{410, 22, 410},
		{482, 25, 483},
		{484, 28, 484},
		{488, 88, 488},
		{503, 41, 503},
		{500, 41, 503},
		{502, 38, 503},
		{408, 102, 504},
		{487, 487, 487},
		{428, 821, 428},
		{436, 822, 436},
		{437, 823, 437},
		{438, 824, 438},
		{501, 79, 501},
		{599, 127, 500},
		{699, 127, 500},
		{499, 31, 480},
		{405, 63, 503},
	} {
		if got := FromSIP(c.status); got != c.q850 {
			t.Errorf("SIP %d is %d, want %d", c.status, got, c.q850)
		}
		if got := SIPStatus(c.q850); got != c.back {
			t.Errorf("cause %d is SIP %d, want %d", c.q850, got, c.back)
		}
	}
	names := map[int]string{16: "NORMAL_CLEARING", 18: "NO_USER_RESPONSE", 26: "LOSE_RACE", 99: "CAUSE_99"}
	for q850, name := range names {
		if got := Name(q850); got != name {
			t.Errorf("cause %d is %s, want %s", q850, got, name)
		}
	}
	seen := map[int]bool{}
	for _, c := range causes {
		if seen[c.q850] {
			t.Errorf("cause %d is there twice", c.q850)
		}
		seen[c.q850] = true
		if c.sip < 400 || c.sip > 699 {
			t.Errorf("cause %d refuses with %d", c.q850, c.sip)
		}
	}
	for status, q850 := range fromSIP {
		if !seen[q850] {
			t.Errorf("SIP %d maps to cause %d, which has no row", status, q850)
		}
	}
}

func TestRouteIsRetriedOnlyAfterTheListedAnswers(t *testing.T) {
	for status := 300; status < 700; status++ {
		tried := newTry()
		tried.failed = sip.Failed{Status: status}
		want := status == 408 || status == 500 || status == 502 || status == 503 || status == 504
		if _, again := tried.failure(); again != want {
			t.Errorf("after %d again is %v", status, again)
		}
		tried.early.do()
		if _, again := tried.failure(); again {
			t.Errorf("after early media and %d another route is tried", status)
		}
	}
	if cause, again := func() (Cause, bool) { x := newTry(); x.failed = sip.Failed{Why: sip.NoResponse}; return x.failure() }(); !again || cause.Q850 != TimerExpired {
		t.Errorf("silence: %+v, again %v", cause, again)
	}
}

func TestReasonHeaderWinsOverStatus(t *testing.T) {
	tried := newTry()
	tried.failed = sip.Failed{Status: 480, Q850: 20}
	cause, _ := tried.failure()
	if cause.Q850 != 20 || cause.SIP != 480 || cause.Reason != "unreachable" || cause.Stack != "SIP 480" {
		t.Errorf("%+v", cause)
	}
}

func TestInfoKeys(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		key        byte
	}{
		{"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", '5'},
		{"application/dtmf-relay; charset=utf-8", "Duration=100\nsignal= * \n", '*'},
		{"application/dtmf", "#", '#'},
		{"Application/DTMF", " a\r\n", 'A'},
		{"application/dtmf-relay", "Signal=11\r\n", '#'},
		{"application/dtmf-relay", "Signal=\r\n", 0},
		{"application/dtmf-relay", "Duration=160", 0},
		{"application/dtmf", "", 0},
		{"application/dtmf", "55", 0},
		{"text/plain", "5", 0},
	} {
		if key, _ := infoKey(sip.Info{ContentType: c.kind, Body: []byte(c.body)}); key != c.key {
			t.Errorf("%s %q is %q, want %q", c.kind, c.body, key, c.key)
		}
	}
}

func TestKeypadCountsAKeyThatCameTwoWaysOnce(t *testing.T) {
	var k keypad
	k.init()
	k.press('1', byEvent)
	k.press('1', byInfo)
	k.press('1', byEvent)
	k.press('2', byInfo)
	got := ""
	for {
		key, ok := k.take()
		if !ok {
			break
		}
		got += string(key)
	}
	if got != "112" {
		t.Errorf("keys %q, want 112: the same way twice is two presses", got)
	}
	select {
	case <-k.waiting():
		t.Error("an empty keypad says that a key waits")
	default:
	}
	for range 2 * maxKeys {
		k.press('3', byEvent)
	}
	if len(k.keys) != maxKeys {
		t.Errorf("%d keys kept", len(k.keys))
	}
	<-k.waiting()
	k.forget()
	if _, ok := k.take(); ok {
		t.Error("a forgotten key is there")
	}
}

func FuzzInfoKey(f *testing.F) {
	for _, seed := range []string{"Signal=5\r\nDuration=160\r\n", "5", "Signal=", "=\n=", "signal=#\nSignal=1", "\x00", "Signal=12"} {
		f.Add("application/dtmf-relay", seed)
		f.Add("application/dtmf;x=y", seed)
	}
	f.Fuzz(func(t *testing.T, kind, body string) {
		key, ok := infoKey(sip.Info{ContentType: kind, Body: []byte(body)})
		if ok != strings.Contains("0123456789*#ABCD", string(rune(key))) {
			t.Errorf("%q %q gives %q, %v", kind, body, key, ok)
		}
	})
}

func TestUnansweredCallsAreRefusedWithTheStatusOfTheirCause(t *testing.T) {
	for _, c := range []struct {
		cause Cause
		want  int
	}{
		{Cause{Q850: 16}, 480},
		{Cause{Q850: 17}, 486},
		{Cause{Q850: 31}, 480},
		{Cause{Q850: 21, SIP: 607}, 607},
		{Cause{SIP: 404}, 404},
		{Cause{}, 480},
		{Cause{Q850: 99}, 480},
	} {
		if got := c.cause.complete().status(); got != c.want {
			t.Errorf("%+v refuses with %d, want %d", c.cause, got, c.want)
		}
	}
}
