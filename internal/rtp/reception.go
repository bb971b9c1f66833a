package rtp

import "time"

const (
	seqDropout  = 3000 // RFC 3550 §A.1: a larger jump is a new start
	seqMisorder = 100
)

// reception counts what comes from one source (RFC 3550 §A.1, §A.3, §A.8) and
// carries the sums over a change of source.
type reception struct {
	running  bool
	ssrc     uint32
	base     uint16
	maxSeq   uint16
	cycles   uint32
	received uint32
	transit  uint32
	jitter   uint32 // in 1/16 timestamp units

	expectedPrior, receivedPrior uint32
	lostBefore                   int64
	expectedBefore               int64
	srTime                       uint32 // middle of the NTP time of the last SR
	srAt                         time.Duration

	packets, bytes uint64
	last           time.Duration
}

// packet counts one and reports whether it began a new source.
func (r *reception) packet(h header, size int, now time.Duration) (fresh bool) {
	r.packets++
	r.bytes += uint64(size)
	r.last = now
	step := h.seq - r.maxSeq
	if !r.running || r.ssrc != h.ssrc || step >= seqDropout && step <= 0xffff-seqMisorder {
		fresh = !r.running || r.ssrc != h.ssrc
		r.restart(h, fresh)
	} else if step < seqDropout {
		if h.seq < r.maxSeq {
			r.cycles += 1 << 16
		}
		r.maxSeq = h.seq
	}
	r.received++
	return fresh
}

func (r *reception) restart(h header, newSource bool) {
	if r.running {
		r.lostBefore += int64(r.expected()) - int64(r.received)
		r.expectedBefore += int64(r.expected())
	}
	r.running, r.ssrc, r.base, r.maxSeq = true, h.ssrc, h.seq, h.seq
	r.cycles, r.received, r.expectedPrior, r.receivedPrior = 0, 0, 0, 0
	r.transit, r.jitter = 0, 0
	if newSource {
		r.srTime = 0
	}
}

// timing updates the interarrival jitter with an audio packet (RFC 3550 §A.8).
func (r *reception) timing(ts uint32, now time.Duration, rate int64) {
	transit := uint32(int64(now/time.Microsecond)*rate/1e6) - ts
	if r.received > 1 && r.transit != 0 {
		d := int32(transit - r.transit)
		if d < 0 {
			d = -d
		}
		// A jump of the sender's timestamps is not jitter.
		if int64(d) < rate {
			r.jitter += uint32(d) - (r.jitter+8)>>4
		}
	}
	r.transit = transit
}

func (r *reception) highest() uint32 { return r.cycles + uint32(r.maxSeq) }

func (r *reception) expected() uint32 {
	if !r.running {
		return 0
	}
	return r.highest() - uint32(r.base) + 1
}

func (r *reception) expectedAll() int64 { return r.expectedBefore + int64(r.expected()) }

func (r *reception) lost() int64 {
	return r.lostBefore + int64(r.expected()) - int64(r.received)
}

// fraction is the loss since the last call in 1/256 (RFC 3550 §A.3).
func (r *reception) fraction() uint8 {
	expected, received := r.expected()-r.expectedPrior, r.received-r.receivedPrior
	r.expectedPrior, r.receivedPrior = r.expected(), r.received
	if expected == 0 || received >= expected {
		return 0
	}
	return uint8(min(uint64(expected-received)<<8/uint64(expected), 255))
}
