package trunk

import (
	"math"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/fault"
)

// Admit counts an outbound call against the limits of its profile and account: steps 6 and 7 of voice-semantics §5. The call keeps its channels
// until release, which may be called more than once. A refusal is a *Refusal and counts nothing.
func (s *Service) Admit(r Route) (release func(), err error) {
	return s.enter(
		demand{"profile:" + r.Profile.ID, limitOf(r.Profile.Channels), limitOf(r.Profile.CPS)},
		demand{"account:" + r.Profile.Account, accountChannels(r.Limits), accountCPS(r.Limits)},
	)
}

// AdmitInbound counts an inbound call against the account's channels (voice-semantics §3, step 5), the same ones that its outbound calls use.
func (s *Service) AdmitInbound(acc account.Account) (release func(), err error) {
	return s.enter(demand{"account:" + acc.ID, accountChannels(acc.Limits), unlimited})
}

// AdmitCarrier counts a call against the limits of the carrier of an attempt; ok is false when it has no room, and the next attempt is due.
func (s *Service) AdmitCarrier(a Attempt) (release func(), ok bool) {
	d := demand{"carrier:" + a.Carrier, unlimited, unlimited}
	for _, c := range s.table.Load().carriers {
		if c.ID == a.Carrier {
			d.channels, d.cps = limitOf(c.Voice.Channels), limitOf(c.Voice.CPS)
		}
	}
	release, err := s.enter(d)
	return release, err == nil
}

// ChannelsUsed is how many calls of a profile run on this node.
func (s *Service) ChannelsUsed(profile string) int { return s.limits.used("profile:" + profile) }

func (s *Service) enter(list ...demand) (func(), error) {
	switch s.limits.enter(list) {
	case noChannel:
		return nil, &Refusal{ReasonChannels, 486, fault.Newf(fault.RateLimited, "too many calls at once")}
	case tooFast:
		f := fault.Newf(fault.RateLimited, "too many new calls")
		f.Retry = time.Second
		return nil, &Refusal{ReasonCPS, 503, f}
	}
	return sync.OnceFunc(func() { s.limits.leave(list) }), nil
}

const unlimited = -1.0

func limitOf(v *float64) float64 {
	if v == nil {
		return unlimited
	}
	return *v
}

func accountChannels(l account.Limits) float64 {
	if l.Channels == 0 {
		return unlimited
	}
	return float64(l.Channels)
}

func accountCPS(l account.Limits) float64 {
	if l.CPS == 0 {
		return unlimited
	}
	return l.CPS
}

// demand is a call's wish for a channel and a start at one gate, under the gate's present limits.
type demand struct {
	key      string
	channels float64
	cps      float64
}

// gate counts the calls of one profile, account or carrier, and fills a bucket of starts.
type gate struct {
	used   int
	starts float64 // left in the bucket
	at     time.Time
}

type verdict int

const (
	admitted verdict = iota
	noChannel
	tooFast
)

// limiter holds the gates of this node.
type limiter struct {
	now func() time.Time

	mu    sync.Mutex
	gates map[string]*gate
}

func newLimiter(now func() time.Time) *limiter { return &limiter{now: now, gates: map[string]*gate{}} }

// enter passes all gates or none; channels are looked at before starts.
func (l *limiter) enter(list []demand) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.tidy(now)
	for _, d := range list {
		if g := l.gates[d.key]; d.channels >= 0 && float64(g.count())+1 > d.channels {
			return noChannel
		}
	}
	for _, d := range list {
		if d.cps >= 0 && l.gate(d, now).starts < 1 {
			return tooFast
		}
	}
	for _, d := range list {
		g := l.gate(d, now)
		g.used++
		if d.cps >= 0 {
			g.starts--
		}
	}
	return admitted
}

func (l *limiter) leave(list []demand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range list {
		l.gates[d.key].used--
	}
}

func (l *limiter) used(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gates[key].count()
}

func (g *gate) count() int {
	if g == nil {
		return 0
	}
	return g.used
}

// gate gives the gate of a demand with its bucket filled up to now. The bucket holds the starts of one second, at least one.
func (l *limiter) gate(d demand, now time.Time) *gate {
	full := math.Max(1, d.cps)
	g := l.gates[d.key]
	if g == nil {
		g = &gate{starts: full, at: now}
		l.gates[d.key] = g
	}
	if d.cps >= 0 {
		g.starts = math.Min(full, g.starts+d.cps*math.Max(0, now.Sub(g.at).Seconds()))
	}
	g.at = now
	return g
}

// tidy forgets gates that nobody used for a minute when there are many; a gate's bucket of less than one start a minute is then full again early.
func (l *limiter) tidy(now time.Time) {
	if len(l.gates) < maxGates {
		return
	}
	for key, g := range l.gates {
		if g.used == 0 && now.Sub(g.at) > time.Minute {
			delete(l.gates, key)
		}
	}
}
