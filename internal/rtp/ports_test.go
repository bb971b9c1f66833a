package rtp

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

func mustOpen(t *testing.T, p *Ports) *Pair {
	t.Helper()
	pair, err := p.Open(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pair.Close)
	return pair
}

func portOf(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

// freeRange finds n neighbouring pairs that nobody holds.
func freeRange(t *testing.T, n int) (low, high int) {
	t.Helper()
	for low = 40000; low < 60000; low += 2 * n {
		ok := true
		for port := low; port < low+2*n && ok; port++ {
			c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, uint16(port))))
			if ok = err == nil; ok {
				_ = c.Close()
			}
		}
		if ok {
			return low, low + 2*n - 1
		}
	}
	t.Fatal("no free range")
	return 0, 0
}

func TestPortsAreEvenAndRunOut(t *testing.T) {
	low, high := freeRange(t, 2)
	ports, err := NewPorts(low, high)
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustOpen(t, ports), mustOpen(t, ports)
	for _, pair := range []*Pair{a, b} {
		if port := portOf(pair.RTP); port%2 != 0 || portOf(pair.RTCP) != port+1 {
			t.Errorf("pair %d %d", port, portOf(pair.RTCP))
		}
	}
	if _, err := ports.Open(loopback); !errors.Is(err, ErrNoPorts) {
		t.Errorf("got %v", err)
	}
	a.Close()
	a.Close()
	if ports.Free() != 1 {
		t.Errorf("%d free", ports.Free())
	}
	mustOpen(t, ports)
}

func TestLongestFreePortIsTakenFirst(t *testing.T) {
	low, high := freeRange(t, 3)
	ports, err := NewPorts(low, high)
	if err != nil {
		t.Fatal(err)
	}
	a, b := mustOpen(t, ports), mustOpen(t, ports)
	portA, portB := portOf(a.RTP), portOf(b.RTP)
	b.Close()
	a.Close()
	if got := portOf(mustOpen(t, ports).RTP); got == portA || got == portB {
		t.Errorf("got %d, want the one never used", got)
	}
	if got := portOf(mustOpen(t, ports).RTP); got != portB {
		t.Errorf("got %d, want %d", got, portB)
	}
}

func TestPortOfAnotherProgramIsPassedOver(t *testing.T) {
	low, high := freeRange(t, 2)
	ports, err := NewPorts(low, high)
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, uint16(low+1))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if got := portOf(mustOpen(t, ports).RTP); got != low+2 {
		t.Errorf("got %d", got)
	}
	if _, err := ports.Open(loopback); !errors.Is(err, ErrNoPorts) {
		t.Errorf("got %v", err)
	}
	if ports.Free() != 1 {
		t.Errorf("%d free", ports.Free())
	}
}

func TestRangeWithoutAPairIsRefused(t *testing.T) {
	for _, r := range [][2]int{{20001, 20002}, {20000, 20000}, {-2, 10}, {65535, 65536}, {30000, 20000}} {
		if _, err := NewPorts(r[0], r[1]); err == nil {
			t.Errorf("%v was taken", r)
		}
	}
}

// Sockets of calls that follow each other closely are bound once; what came late for an old call does not reach a new one.
func TestSocketsAreUsedAgainOnceTheyRested(t *testing.T) {
	if !canDrain {
		return
	}
	ports, err := NewPorts(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []*Pair
	for range minIdle {
		pair, err := ports.Open(loopback)
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, pair)
	}
	first, noisy := pairs[0].RTP.LocalAddr().(*net.UDPAddr), pairs[1].RTCP.LocalAddr().(*net.UDPAddr)
	for _, pair := range pairs {
		pair.Close()
	}
	if fresh := mustOpen(t, ports); portOf(fresh.RTP) == first.Port {
		t.Error("a port was used again at once")
	}
	from, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for range lateLimit {
		if _, err := from.WriteToUDP([]byte("late"), noisy); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := from.WriteToUDP([]byte("late"), first); err != nil {
		t.Fatal(err)
	}
	ports.mu.Lock()
	for _, i := range ports.idle { // as if the time had passed
		i.since = i.since.Add(-restFor)
	}
	ports.mu.Unlock()
	again := mustOpen(t, ports)
	if portOf(again.RTP) != first.Port {
		t.Errorf("got %d, want %d", portOf(again.RTP), first.Port)
	}
	if _, err := from.WriteToUDP([]byte("new"), first); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if n, _, err := again.RTP.ReadFromUDP(buf); err != nil || string(buf[:n]) != "new" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	before := ports.Free()
	extra, err := ports.Open(loopback) // fewer than minIdle are left
	if err != nil {
		t.Fatal(err)
	}
	if ports.Free() != before {
		t.Errorf("%d idle pairs after a fresh one, %d before", ports.Free(), before)
	}
	extra.Close()
	pair, err := ports.Open(loopback) // as many again: the oldest is the one that somebody still sends to
	if err != nil {
		t.Fatal(err)
	}
	defer pair.Close()
	if portOf(pair.RTCP) == noisy.Port {
		t.Error("a pair that somebody sends to was used again")
	}
	ports.mu.Lock()
	for _, i := range ports.idle {
		i.since = i.since.Add(-idleFor)
	}
	ports.mu.Unlock()
	ports.sweep()
	if n := ports.Free(); n != 0 {
		t.Errorf("%d pairs stay open", n)
	}
}
