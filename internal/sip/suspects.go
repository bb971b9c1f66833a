package sip

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// suspects are sources whose requests failed. One that failed suspectFailures times within suspectWindow is banned for banFor: it only guesses
// numbers and passwords, and each answer tells it something.
type suspects struct {
	trusted func(netip.Addr) bool // never banned; nil: nobody is banned
	bans    atomic.Int64          // entries with a ban, running or over: 0 spares all others the mutex

	mu     sync.Mutex
	source map[netip.Addr]suspect // at most maxSources; when full, those whose time is over are dropped, and then no more are noted
	swept  time.Time
}

type suspect struct {
	failures []time.Time // at most suspectFailures, the last ones
	banned   time.Time   // until then
}

// failed notes a failure of a source.
func (s *suspects) failed(ip netip.Addr, now time.Time) {
	if s.trusted == nil || s.trusted(ip) {
		return
	}
	key := networkOf(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.source) >= maxSources && now.Sub(s.swept) >= sweepEvery {
		s.sweep(now)
	}
	who, known := s.source[key]
	if !known && len(s.source) >= maxSources {
		return
	}
	who.failures = append(who.failures, now)
	if n := len(who.failures); n > suspectFailures {
		who.failures = slices.Delete(who.failures, 0, n-suspectFailures)
	}
	if len(who.failures) == suspectFailures && now.Sub(who.failures[0]) < suspectWindow {
		if who.banned.IsZero() {
			s.bans.Add(1)
		}
		who.banned, who.failures = now.Add(banFor), nil
	}
	s.source[key] = who
}

// banned says whether a source gets no answer.
func (s *suspects) banned(ip netip.Addr, now time.Time) bool {
	if s.bans.Load() == 0 {
		return false
	}
	s.mu.Lock()
	banned := now.Before(s.source[networkOf(ip)].banned)
	s.mu.Unlock()
	return banned && !s.trusted(ip) // who became known meanwhile is let in
}

// sweep drops the sources whose time is over; mu is held.
func (s *suspects) sweep(now time.Time) {
	s.swept = now
	for key, who := range s.source {
		if last := len(who.failures) - 1; now.Before(who.banned) || last >= 0 && now.Sub(who.failures[last]) < suspectWindow {
			continue
		}
		if !who.banned.IsZero() {
			s.bans.Add(-1)
		}
		delete(s.source, key)
	}
}

// networkOf is whom an address belongs to: with IPv6 one user has a whole /64 (RFC 6177 §2).
func networkOf(ip netip.Addr) netip.Addr {
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// Suspect notes that a request of a source failed: nobody knows it, or its credentials were wrong. See Config.Trusted.
func (ep *Endpoint) Suspect(ip netip.Addr) { ep.suspects.failed(ip.Unmap(), ep.cfg.Now()) }

// ignored says whether a request is passed over: its source is banned, it is no OPTIONS and belongs to no call.
func (sh *shard) ignored(m *message) bool {
	ep := sh.ep
	if m.method == "OPTIONS" || !ep.suspects.banned(m.sourceIP(), ep.cfg.Now()) {
		return false
	}
	d := sh.dialog(m.to.tag())
	return d == nil || d.callID != m.callID
}
