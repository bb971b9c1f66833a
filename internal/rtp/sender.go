package rtp

import "time"

// sender numbers what a leg sends: one SSRC, one sequence and one timestamp line
// (RFC 3550 §5.1), whether the packets are our own frames or a peer's.
type sender struct {
	ssrc   uint32
	seq    uint16 // of the next packet
	ts     uint32 // of the next frame
	base   uint32 // timestamp at the clock's origin
	rate   int64  // timestamp units per second
	marked bool   // a talk spurt is under way: no marker needed
	ahead  bool   // the last frame went out before its slot

	relay relay

	packets, bytes uint64 // payload bytes, as the SR counts them
	last           time.Duration
}

// relay is how a peer's numbers map to ours while its packets are forwarded.
type relay struct {
	active bool
	ssrc   uint32
	first  uint16 // sequence that began the mapping; older packets are not ours
	seqOff uint16
	tsOff  uint32
}

// wall is the timestamp that belongs to a time of the clock.
func (o *sender) wall(at time.Duration) uint32 {
	return o.base + uint32(int64(at/time.Microsecond)*o.rate/1e6)
}

// frame is the timestamp units of 20 ms.
func (o *sender) frame() uint32 { return uint32(o.rate / 50) }

// catchUp moves the timestamp over a time in which nothing was sent.
func (o *sender) catchUp(at time.Duration) {
	if wall := o.wall(at); int32(wall-o.ts) >= int32(o.frame()) {
		o.ts, o.marked = wall, false
	}
}

// own is the header of the next frame of ours. The marker begins a talk spurt
// (RFC 3551 §4.1).
func (o *sender) own(pt uint8, size int, at time.Duration) header {
	o.catchUp(at)
	h := header{marker: !o.marked, pt: pt, seq: o.seq, ts: o.ts, ssrc: o.ssrc}
	o.marked, o.relay.active = true, false
	o.ts += o.frame()
	o.count(o.seq, size, at)
	return h
}

// event is the header of a packet of a key that began at ts.
func (o *sender) event(pt uint8, ts uint32, marker bool, at time.Duration) header {
	h := header{marker: marker, pt: pt, seq: o.seq, ts: ts, ssrc: o.ssrc}
	o.marked, o.relay.active = false, false
	o.count(o.seq, eventSize, at)
	return h
}

// forward maps a peer's packet that lasts units of timestamp; false: it is
// older than the mapping.
func (o *sender) forward(in header, pt uint8, size int, units uint32, at time.Duration) (header, bool) {
	r := &o.relay
	if !r.active || r.ssrc != in.ssrc {
		o.catchUp(at)
		*r = relay{active: true, ssrc: in.ssrc, first: in.seq, seqOff: o.seq - in.seq, tsOff: o.ts - in.ts}
		o.marked = false
	}
	if int16(in.seq-r.first) < 0 {
		return header{}, false
	}
	if int16(in.seq-r.first) > 1<<13 {
		r.first += 1 << 12 // keeps the comparison within half the number space
	}
	h := header{marker: in.marker || !o.marked, pt: pt, seq: in.seq + r.seqOff, ts: in.ts + r.tsOff, ssrc: o.ssrc}
	o.marked = true
	if end := h.ts + units; int32(end-o.ts) > 0 {
		o.ts = end
	}
	o.count(h.seq, size, at)
	return h, true
}

func (o *sender) count(seq uint16, size int, at time.Duration) {
	if int16(seq-o.seq) >= 0 {
		o.seq = seq + 1
	}
	o.packets++
	o.bytes += uint64(size)
	o.last = at
}
