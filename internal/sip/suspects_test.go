package sip

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSuspectIsBannedAfterFiveFailuresInAMinute(t *testing.T) {
	guess, carrier := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")
	s := suspects{source: map[netip.Addr]suspect{}, trusted: func(ip netip.Addr) bool { return ip == carrier }}
	now := time.Unix(1e9, 0)
	for range 4 {
		s.failed(guess, now)
		now = now.Add(16 * time.Second)
	}
	if s.failed(guess, now); s.banned(guess, now) {
		t.Error("banned for 5 failures in 64 s")
	}
	now = now.Add(time.Second)
	if s.failed(guess, now); !s.banned(guess, now) || s.banned(netip.MustParseAddr("198.51.100.9"), now) {
		t.Error("5 failures in 49 s")
	}
	if now = now.Add(banFor - 1); !s.banned(guess, now) {
		t.Error("the ban ends early")
	}
	if now = now.Add(1); s.banned(guess, now) {
		t.Error("the ban does not end")
	}
	for range 100 {
		s.failed(carrier, now)
	}
	if s.banned(carrier, now) {
		t.Error("a trusted source is banned")
	}
	for range suspectFailures {
		s.failed(guess, now)
	}
	s.trusted = func(ip netip.Addr) bool { return ip == guess }
	if s.banned(guess, now) {
		t.Error("a source that became trusted stays banned")
	}
}

func TestSuspectsTakeNoMoreRoomThanTheirLimit(t *testing.T) {
	s := suspects{source: map[netip.Addr]suspect{}, trusted: func(netip.Addr) bool { return false }}
	now := time.Unix(1e9, 0)
	ip := netip.MustParseAddr("10.0.0.0")
	for range maxSources + 100 {
		s.failed(ip, now)
		ip = ip.Next()
	}
	if len(s.source) != maxSources {
		t.Errorf("%d sources are kept", len(s.source))
	}
	six := netip.MustParseAddr("2001:db8:1:2::")
	now = now.Add(suspectWindow)
	for range suspectFailures { // one user, five addresses
		six = six.Next()
		s.failed(six, now)
	}
	if len(s.source) != 1 || !s.banned(six, now) {
		t.Errorf("%d sources are kept after a minute, the last one banned: %v", len(s.source), s.banned(six, now))
	}
	s.mu.Lock()
	s.sweep(now.Add(banFor))
	s.mu.Unlock()
	if len(s.source) != 0 || s.bans.Load() != 0 {
		t.Errorf("%d sources and %d bans are left", len(s.source), s.bans.Load())
	}
}

func TestBannedSourceHearsNothingButOptionsAndItsCall(t *testing.T) {
	t.Parallel()
	var known atomic.Bool
	b := newPhone(t, func(c *Config) { c.Trusted = func(netip.Addr) bool { return known.Load() } })
	peer := newRawPeer(t, b.addr())
	options := strings.Replace(soundOptions, "192.0.2.1;", "{me};rport;", 1)
	register := func(branch string) string {
		return strings.Replace(strings.ReplaceAll(options, "OPTIONS", "REGISTER"), "bKcheck", "bK"+branch, 1)
	}
	peer.send(rawInvite)
	in := b.incoming(t)
	peer.status(100)
	if err := in.Accept(t.Context(), []byte("v=0\r\nanswer\r\n")); err != nil {
		t.Fatal(err)
	}
	tag := peer.status(200).to.tag()
	peer.send(rawRequest("ACK", "1", tag, "ack"))
	expect[Acked](t, in)
	for range suspectFailures {
		b.Suspect(peer.addr().Addr())
	}
	peer.send(register("b1"))
	if m := peer.readFor(50 * time.Millisecond); m != nil {
		t.Errorf("REGISTER of a banned source: status %d", m.status)
	}
	if c := b.Counters(); c.Banned != 1 {
		t.Errorf("%+v", c)
	}
	peer.send(options)
	peer.status(200)
	peer.send(rawRequest("BYE", "2", tag, "bye"))
	peer.status(200)
	expect[Ended](t, in)
	known.Store(true)
	peer.send(register("b2"))
	peer.status(405)
}
