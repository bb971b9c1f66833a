package rtp

import (
	"math"
	"time"
)

// Stats is what a leg has seen so far.
type Stats struct {
	PacketsReceived, BytesReceived uint64 // bytes of payload
	PacketsSent, BytesSent         uint64
	Lost                           int64         // received direction, cumulative; below zero when duplicates came
	Jitter                         time.Duration // interarrival jitter of the received direction (RFC 3550 §A.8)
	Late, Concealed                uint64        // late packets and repaired frames, only while somebody listens
	Refused                        uint64        // datagrams that were no packet of the peer
	KeysReceived                   uint64

	RemoteLost   int64         // what the peer reports of our direction
	RemoteJitter time.Duration // as above
	RTT          time.Duration // 0 until a report allowed to compute it (RFC 3550 §6.4.1)

	LastPacket time.Time // zero when none ever came
	MOS        float64   // 1..4.5, of the received direction; 0 without packets
}

// MOS of G.711 by the E-model (ITU-T G.107) with its default values: only the
// delay and the loss vary.
const (
	baseR    = 93.2
	lossBpl  = 25.1                   // ITU-T G.113 appendix I, G.711 with concealment
	delayMin = 177.3                  // ms from which talkers notice (ITU-T G.107 annex B, simplified)
	ownDelay = 20 * time.Millisecond  // one packet
	knownMax = 500 * time.Millisecond // what a delay may count
)

// meanOpinion gives the score for a fraction of packets lost and a one-way delay.
func meanOpinion(loss float64, delay time.Duration) float64 {
	loss = min(max(loss, 0), 1) * 100
	d := float64(min(delay, knownMax)) / float64(time.Millisecond)
	impairment := 0.024 * d
	if d > delayMin {
		impairment += 0.11 * (d - delayMin)
	}
	r := baseR - impairment - 95*loss/(loss+lossBpl)
	if r <= 0 {
		return 1
	}
	mos := 1 + 0.035*r + r*(r-60)*(100-r)*7e-6
	return math.Round(min(max(mos, 1), 4.5)*100) / 100
}

// Stats returns the present figures.
func (s *Stream) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		PacketsReceived: s.in.packets, BytesReceived: s.in.bytes,
		PacketsSent: s.out.packets, BytesSent: s.out.bytes,
		Lost: s.in.lost(), Jitter: unitsToTime(s.in.jitter>>4, s.out.rate),
		Refused: s.refused, KeysReceived: s.keysReceived,
		Late: s.late, Concealed: s.concealed,
		RemoteLost: s.far.lost, RemoteJitter: unitsToTime(s.far.jitter, s.out.rate), RTT: s.far.rtt,
	}
	if s.hear != nil {
		st.Late += s.hear.late
		st.Concealed += s.hear.concealed
	}
	if s.in.packets == 0 {
		return st
	}
	st.LastPacket = s.clock.origin.Add(s.in.last)
	loss := float64(st.Lost) / float64(max(s.in.expectedAll(), 1))
	st.MOS = meanOpinion(loss, st.RTT/2+s.cfg.JitterTarget+2*st.Jitter+ownDelay)
	return st
}

// LastPacket is when the last packet of the peer came; zero when none did.
func (s *Stream) LastPacket() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in.packets == 0 {
		return time.Time{}
	}
	return s.clock.origin.Add(s.in.last)
}

func unitsToTime(units uint32, rate int64) time.Duration {
	return time.Duration(int64(units) * int64(time.Second) / rate)
}
