package sip

import (
	"net/netip"
	"sync"
	"time"
)

// sources limits new requests per source address with a token bucket of one second's worth.
type sources struct {
	rate float64

	mu     sync.Mutex
	bucket map[netip.Addr]bucket // at most maxSources; when full, the idle ones are dropped
	swept  time.Time             // a flood of new sources must not look through all of them at each request
}

type bucket struct {
	tokens float64
	at     time.Time
}

func (s *sources) allow(ip netip.Addr, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, known := s.bucket[ip]
	if !known {
		if len(s.bucket) >= maxSources && now.Sub(s.swept) >= sweepEvery {
			s.sweep(now)
		}
		b = bucket{tokens: s.rate, at: now}
	}
	b.tokens = min(s.rate, b.tokens+now.Sub(b.at).Seconds()*s.rate)
	b.at = now
	ok := b.tokens >= 1
	if ok {
		b.tokens--
	}
	if known || len(s.bucket) < maxSources {
		s.bucket[ip] = b
	}
	return ok
}

// sweep drops the sources whose bucket is full again.
func (s *sources) sweep(now time.Time) {
	s.swept = now
	for ip, b := range s.bucket {
		if now.Sub(b.at) > time.Second {
			delete(s.bucket, ip)
		}
	}
}
