package rtp

import (
	"net/netip"
	"time"

	"github.com/pion/rtcp"
)

const ntpEpoch = 2208988800 // seconds from 1900 to 1970

// farReport is what the peer says about our packets.
type farReport struct {
	lost   int64
	jitter uint32
	rtt    time.Duration
}

// receiveReports reads a compound packet (RFC 3550 §6.1).
func (s *Stream) receiveReports(b []byte, from netip.AddrPort) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	now := s.clock.Now()
	ntp := middleNTP(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	// The report comes from where the media comes from, or it is not believed.
	if !s.started || s.closed || from.Addr() != s.peerAddr().Addr() {
		return
	}
	s.rtcpFrom = from
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			if s.in.running && p.SSRC == s.in.ssrc {
				s.in.srTime, s.in.srAt = uint32(p.NTPTime>>16), now
			}
			s.takeReports(p.Reports, ntp)
		case *rtcp.ReceiverReport:
			s.takeReports(p.Reports, ntp)
		}
	}
}

// takeReports keeps the block about us; the round trip is RFC 3550 §6.4.1.
func (s *Stream) takeReports(blocks []rtcp.ReceptionReport, ntp uint32) {
	for _, r := range blocks {
		if r.SSRC != s.out.ssrc {
			continue
		}
		s.far.lost = int64(int32(r.TotalLost<<8) >> 8) // 24 bits, signed
		s.far.jitter = r.Jitter
		if r.LastSenderReport != 0 {
			if rtt := int32(ntp - r.LastSenderReport - r.Delay); rtt >= 0 && rtt < 10<<16 {
				s.far.rtt = time.Duration(rtt) * time.Second >> 16
			}
		}
	}
}

// report writes the compound packet that is due, nil when it cannot be sent.
// The caller holds the lock.
func (s *Stream) report(at time.Duration, bye bool) []byte {
	sdes := &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: s.out.ssrc,
		Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: s.cname}},
	}}}
	var blocks []rtcp.ReceptionReport
	if s.in.running {
		r := rtcp.ReceptionReport{
			SSRC: s.in.ssrc, FractionLost: s.in.fraction(), LastSequenceNumber: s.in.highest(), Jitter: s.in.jitter >> 4,
			TotalLost: uint32(min(max(int64(s.in.expected())-int64(s.in.received), 0), 1<<23-1)),
		}
		if s.in.srTime != 0 {
			r.LastSenderReport = s.in.srTime
			r.Delay = uint32((at - s.in.srAt).Microseconds() << 16 / 1e6)
		}
		blocks = append(blocks, r)
	}
	list := []rtcp.Packet{&rtcp.ReceiverReport{SSRC: s.out.ssrc, Reports: blocks}, sdes}
	if s.out.packets > 0 {
		now := time.Now()
		list[0] = &rtcp.SenderReport{
			SSRC: s.out.ssrc, NTPTime: ntpTime(now), RTPTime: s.out.wall(at),
			PacketCount: uint32(s.out.packets), OctetCount: uint32(s.out.bytes), Reports: blocks,
		}
	}
	if bye {
		list = append(list, &rtcp.Goodbye{Sources: []uint32{s.out.ssrc}})
	}
	b, err := rtcp.Marshal(list)
	if err != nil {
		return nil
	}
	return b
}

// reportAddr is where reports go. The caller holds the lock.
func (s *Stream) reportAddr() (to netip.AddrPort, shared bool) {
	peer := s.peerAddr()
	switch {
	case !peer.IsValid():
		return peer, false
	case s.params.RTCPMux:
		return peer, true
	case s.rtcpFrom.IsValid():
		return s.rtcpFrom, false
	case peer == s.params.Remote && s.params.RemoteRTCP.IsValid():
		return s.params.RemoteRTCP, false
	case peer.Port() == 65535:
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(peer.Addr(), peer.Port()+1), false
}

// sendReport sends b; a report that is lost is followed by the next.
func (s *Stream) sendReport(b []byte, to netip.AddrPort, shared bool) {
	if len(b) == 0 || !to.IsValid() {
		return
	}
	conn := s.pair.RTCP
	if shared {
		conn = s.pair.RTP
	}
	_, _ = conn.WriteToUDPAddrPort(b, to)
}

// ntpTime is the 64-bit NTP timestamp of RFC 3550 §4.
func ntpTime(t time.Time) uint64 {
	fraction := uint64(t.Nanosecond()) << 32 / 1e9
	return uint64(t.Unix()+ntpEpoch)<<32 | fraction
}

func middleNTP(t time.Time) uint32 { return uint32(ntpTime(t) >> 16) }
