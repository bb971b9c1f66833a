package rtp

import (
	"net/netip"
	"time"
)

// latch decides which source address is the peer (symmetric RTP, RFC 4961).
// The first valid packet names it. The address that signalling gave takes over
// at once; any other must send latchPackets in sequence while the current one
// is silent, so that a stranger cannot take a live stream.
type latch struct {
	source netip.AddrPort
	seen   time.Duration // last packet from source

	other     netip.AddrPort
	otherSSRC uint32
	otherSeq  uint16
	count     int
}

// accept reports whether the packet belongs to the peer, and whether the peer
// has just been found at another address.
func (l *latch) accept(from, signalled netip.AddrPort, h header, now time.Duration) (ok, moved bool) {
	if from == l.source {
		l.seen, l.count = now, 0
		return true, false
	}
	if !l.source.IsValid() || from == signalled {
		l.take(from, now)
		return true, true
	}
	if from == l.other && h.ssrc == l.otherSSRC && h.seq-l.otherSeq-1 < latchPackets {
		l.count++
	} else {
		l.count = 1
	}
	l.other, l.otherSSRC, l.otherSeq = from, h.ssrc, h.seq
	if l.count < latchPackets || now-l.seen < latchSilence {
		return false, false
	}
	l.take(from, now)
	return true, true
}

func (l *latch) take(from netip.AddrPort, now time.Duration) {
	*l = latch{source: from, seen: now}
}
