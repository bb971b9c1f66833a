package rtp

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// media says what a payload is.
type media int

const (
	unknown media = iota
	speech        // G.711 of a law
	opaque        // the agreed codec, which is not G.711
	event         // RFC 4733
	noise         // RFC 3389: the peer is silent
)

// classify names a payload type. Devices change between the two laws and send
// events that nobody agreed on; both are understood.
func (s *Stream) classify(pt uint8, size int) (media, audio.Law) {
	switch {
	case pt == s.params.RecvPT:
		if s.plain {
			return speech, s.law
		}
		return opaque, 0
	case s.params.DTMFRecvPT != 0 && (pt == s.params.DTMFRecvPT || pt == s.params.DTMFPT):
		return event, 0
	case pt == comfortNoise:
		return noise, 0
	case pt == 0 && s.plain:
		return speech, audio.ULaw
	case pt == 8 && s.plain:
		return speech, audio.ALaw
	case pt == guessedKeyPT && s.params.DTMFRecvPT == 0 && size == eventSize:
		return event, 0
	}
	return unknown, 0
}

// receive takes a datagram of the RTP socket; it runs on its reader.
func (s *Stream) receive(b []byte, from netip.AddrPort) {
	if isRTCP(b) {
		s.receiveReports(b, from)
		return
	}
	h, start, end, ok := parse(b)
	now := s.clock.Now()
	s.mu.Lock()
	if s.closed || !s.started {
		s.mu.Unlock()
		return
	}
	kind, law := unknown, audio.ULaw
	if ok {
		kind, law = s.classify(h.pt, end-start)
	}
	if kind == unknown || !s.fromPeer(from, h, now) {
		s.refused++
		s.mu.Unlock()
		return
	}
	if s.in.packet(h, end-start, now) && s.hear != nil {
		s.hear.restart()
	}
	s.silenceTold = false
	var key byte
	var units uint32
	var pressed bool
	switch kind {
	case event:
		if key, units, pressed = s.keysIn.receive(h.ts, b[start:end], now); pressed {
			s.keysReceived++
		}
	case speech:
		s.in.timing(h.ts, now, s.out.rate)
		if s.hear != nil && s.params.RecvEnabled {
			s.hear.push(h.ts, b[start:end], law)
		}
	case opaque:
		s.in.timing(h.ts, now, s.out.rate)
	}
	peer, onKey, rate, codec := s.peer, s.onKey, s.out.rate, s.params.Codec
	if !s.params.RecvEnabled {
		peer = nil
	}
	s.mu.Unlock()

	if pressed && onKey != nil {
		onKey(key, time.Duration(units)*time.Second/time.Duration(rate))
	}
	if peer != nil {
		peer.relayed(b[start-headerSize:end], h, relayed{kind: kind, law: law, codec: codec, now: now})
	}
}

// fromPeer holds the latch. The caller holds the lock.
func (s *Stream) fromPeer(from netip.AddrPort, h header, now time.Duration) bool {
	ok, moved := s.latch.accept(from, s.params.Remote, h, now)
	if moved && s.params.Latch && from != s.params.Remote {
		s.rtcpFrom = netip.AddrPort{}
		s.log.Debug("rtp follows the peer's address",
			slog.String("signalled", s.params.Remote.String()), slog.String("source", from.String()))
	}
	return ok
}
