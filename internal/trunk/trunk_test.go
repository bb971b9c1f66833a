package trunk

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
)

func ptr(v float64) *float64 { return &v }

func reasonOf(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestChannelsAreGivenBackOnce(t *testing.T) {
	s := New(Config{})
	r := Route{Profile: Profile{ID: "p", Account: "a", Channels: ptr(2)}}
	first, err := s.Admit(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admit(r); err != nil {
		t.Fatal(err)
	}
	_, err = s.Admit(r)
	if reasonOf(err) != ReasonChannels || !fault.Is(err, fault.RateLimited) {
		t.Fatalf("third call: %v", err)
	}
	first()
	first()
	if n := s.ChannelsUsed("p"); n != 1 {
		t.Fatalf("%d channels in use", n)
	}
	if _, err := s.Admit(r); err != nil {
		t.Fatal(err)
	}
	r.Profile.Channels = ptr(0)
	if _, err := s.Admit(r); reasonOf(err) != ReasonChannels {
		t.Fatalf("a limit of zero: %v", err)
	}
}

func TestInboundCallsShareTheAccountsChannels(t *testing.T) {
	s := New(Config{})
	limits := account.Limits{Channels: 1}
	leave, err := s.AdmitInbound(account.Account{ID: "a", Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	out := Route{Profile: Profile{ID: "p", Account: "a"}, Limits: limits}
	if _, err := s.Admit(out); reasonOf(err) != ReasonChannels {
		t.Fatalf("second call of the account: %v", err)
	}
	if s.ChannelsUsed("p") != 0 {
		t.Fatal("a refused call was counted")
	}
	leave()
	if _, err := s.Admit(out); err != nil {
		t.Fatal(err)
	}
}

func TestStartsASecond(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := New(Config{Now: func() time.Time { return now }})
	r := Route{Profile: Profile{ID: "p", Account: "a", CPS: ptr(2)}}
	starts := func() (n int) {
		for {
			leave, err := s.Admit(r)
			if err != nil {
				var f *Refusal
				if !errors.As(err, &f) || f.Reason != ReasonCPS || f.Status != 503 || f.Fault.Retry != time.Second {
					t.Fatalf("%v", err)
				}
				return n
			}
			leave()
			n++
		}
	}
	if n := starts(); n != 2 {
		t.Fatalf("%d calls at once", n)
	}
	now = now.Add(500 * time.Millisecond)
	if n := starts(); n != 1 {
		t.Fatalf("%d calls after half a second", n)
	}
	now = now.Add(time.Hour)
	if n := starts(); n != 2 {
		t.Fatalf("%d calls after an hour: the bucket holds one second", n)
	}
	r.Profile.CPS, r.Limits.CPS = nil, 0.5
	if n := starts(); n != 1 {
		t.Fatalf("%d calls under the account's limit", n)
	}
	now = now.Add(time.Second)
	if n := starts(); n != 0 {
		t.Fatalf("%d calls a second later", n)
	}
	now = now.Add(time.Second)
	if n := starts(); n != 1 {
		t.Fatalf("%d calls two seconds later", n)
	}
}

func TestParallelCallsNeverPassTheLimit(t *testing.T) {
	s := New(Config{})
	r := Route{Profile: Profile{ID: "p", Account: "a", Channels: ptr(10)}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	most := 0
	for range 16 {
		wg.Go(func() {
			for range 200 {
				leave, err := s.Admit(r)
				if err != nil {
					continue
				}
				mu.Lock()
				most = max(most, s.ChannelsUsed("p"))
				mu.Unlock()
				leave()
			}
		})
	}
	wg.Wait()
	if most > 10 || s.ChannelsUsed("p") != 0 {
		t.Fatalf("at most %d, at the end %d", most, s.ChannelsUsed("p"))
	}
}

func TestIdleGatesAreForgotten(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := newLimiter(func() time.Time { return now })
	l.enter([]demand{{"busy", unlimited, unlimited}})
	for i := range maxGates {
		d := []demand{{strings.Repeat("x", i), unlimited, 1}}
		l.enter(d)
		l.leave(d)
	}
	now = now.Add(2 * time.Minute)
	l.enter([]demand{{"last", unlimited, unlimited}})
	if len(l.gates) != 2 || l.used("busy") != 1 {
		t.Fatalf("%d gates left", len(l.gates))
	}
}

func TestLimitsOfACarrierLeadToTheNextAttempt(t *testing.T) {
	s := New(Config{})
	s.table.Store(newTable([]Carrier{{ID: "c", Kind: Voice, Active: true, Voice: VoiceLink{Channels: ptr(1)}}}, nil))
	leave, ok := s.AdmitCarrier(Attempt{Carrier: "c"})
	if !ok {
		t.Fatal("first call")
	}
	if _, ok := s.AdmitCarrier(Attempt{Carrier: "c"}); ok {
		t.Fatal("second call")
	}
	leave()
	if _, ok := s.AdmitCarrier(Attempt{Carrier: "c"}); !ok {
		t.Fatal("after the first one")
	}
}

func TestWeightsShareTheCalls(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	first := map[string]int{}
	const calls = 10_000
	for range calls {
		list := order([]candidate{
			{Carrier{ID: "a", Weight: 30}, true, 0},
			{Carrier{ID: "b", Weight: 10}, true, 0},
			{Carrier{ID: "zero"}, true, 0},
			{Carrier{ID: "down", Weight: 1000}, false, 0},
			{Carrier{ID: "late", Weight: 1000, Priority: 1}, true, 5},
		}, rnd.IntN)
		if list[2].ID != "zero" || list[3].ID != "late" || list[4].ID != "down" {
			t.Fatalf("%v", list)
		}
		first[list[0].ID]++
	}
	if share := float64(first["a"]) / calls; share < 0.73 || share > 0.77 {
		t.Fatalf("share of a is %v", share)
	}
}

func TestLongerPrefixFirstWithinAPriority(t *testing.T) {
	list := order([]candidate{{Carrier{ID: "short", Weight: 1}, true, 1}, {Carrier{ID: "long", Weight: 1}, true, 4}}, func(int) int { return 0 })
	if list[0].ID != "long" {
		t.Fatalf("%v", list)
	}
}

// line answers OPTIONS as it is told.
type line struct {
	mu    sync.Mutex
	dead  bool
	asked int
}

func (l *line) Ping(ctx context.Context, _ Host) error {
	l.mu.Lock()
	l.asked++
	dead := l.dead
	l.mu.Unlock()
	if dead {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (l *line) set(dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = dead
}

func TestThreeMissedOptionsTakeACarrierDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{dead: true}
		s := New(Config{Pinger: l})
		host := Host{Host: "192.0.2.1", Port: 5060, Transport: "udp"}
		s.table.Store(newTable([]Carrier{
			{ID: "c", Kind: Voice, Active: true, Voice: VoiceLink{Hosts: []Host{host}, OptionsPing: 10}},
			{ID: "quiet", Kind: Voice, Active: true, Voice: VoiceLink{Hosts: []Host{host}}},
		}, nil))
		r := newRounds(s)
		pass := func(d time.Duration) {
			for range int(d / time.Second) {
				r.start(t.Context())
				time.Sleep(time.Second)
				synctest.Wait()
			}
		}
		pass(22 * time.Second)
		if !s.Up("c") {
			t.Error("down after two misses and a third on its way")
		}
		pass(8 * time.Second)
		if l.asked != 3 || s.Up("c") || !s.Up("quiet") {
			t.Errorf("asked %d times, up %v", l.asked, s.Up("c"))
		}
		l.set(false)
		pass(10 * time.Second)
		if !s.Up("c") {
			t.Error("still down after an answer")
		}
		r.wait()
	})
}

func TestRunReadsTheTableAndEnds(t *testing.T) {
	d := dbtest.SQLite(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := New(Config{DB: d, Pinger: &line{}})
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func FuzzRateFile(f *testing.F) {
	for _, seed := range []string{"", "1,US,0.01", "prefix,rate\n1212,0.5\n", "\xef\xbb\xbfprefix;rate", "\"1\",\"US\",\"0.01\",,,,,2026-01-01\n", "1,US,1e9\n\"", "44,GB,0.01,0,60,60,0,2026-01-01T00:00:00Z", "prefix,prefix\n1,2"} {
		f.Add([]byte(seed))
	}
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, file []byte) {
		list, rep, err := parseRates(3, file, now)
		if err != nil {
			return
		}
		if len(list) > rep.Accepted || len(rep.Faults) > rep.Failed {
			t.Fatalf("%d rows, report %+v", len(list), rep)
		}
		for _, r := range list {
			if r.Table != 3 || r.Prefix == "" || len(r.Prefix) > 15 || strings.Trim(r.Prefix, "0123456789") != "" || r.PerMin < 0 || r.Setup < 0 || r.Interval < 1 || r.MinTime < 0 || r.Grace < 0 {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func FuzzSource(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "192.0.2.0/24", "::1", "2001:db8::/32", "::ffff:192.0.2.1", "fe80::1%eth0", "0.0.0.0/0", "::/0", "10.0.0.0/8"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseSource(s)
		if err != nil {
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16 {
			t.Fatalf("%s gives %s", s, p)
		}
	})
}
