package sip

import (
	"net/netip"
	"testing"
	"time"
)

// TestSourcesAreForgottenOncePerSecondAtMost: a flood from forged addresses costs one look-up each, and does not shut out who comes later.
func TestSourcesAreForgottenOncePerSecondAtMost(t *testing.T) {
	s := sources{rate: 2, bucket: map[netip.Addr]bucket{}}
	now := time.Unix(1_800_000_000, 0)
	ip := netip.MustParseAddr("198.18.0.0")
	for range maxSources {
		ip = ip.Next()
		s.allow(ip, now)
	}
	late := netip.MustParseAddr("203.0.113.1")
	for range 3 {
		if !s.allow(late, now) || len(s.bucket) != maxSources {
			t.Fatalf("%d sources", len(s.bucket))
		}
	}
	swept := s.swept
	if s.allow(late, now.Add(sweepEvery/2)); s.swept != swept {
		t.Fatal("looked through all sources twice within a second")
	}
	now = now.Add(2 * time.Second)
	if !s.allow(late, now) || len(s.bucket) != 1 {
		t.Fatalf("%d sources are left after they were idle", len(s.bucket))
	}
	if !s.allow(late, now) || s.allow(late, now) {
		t.Fatal("its own limit does not hold")
	}
}
