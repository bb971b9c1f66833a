package rtp

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// ErrBridged is returned for a stream that is connected already.
var ErrBridged = errors.New("rtp: stream is bridged")

// Bridge is two streams whose packets go straight to each other.
type Bridge struct {
	a, b *Stream
	once sync.Once
}

// Connect joins two streams. Packets are forwarded by the reader that received
// them: same codec as they are, the other law of G.711 rewritten in place,
// telephone events with the other leg's payload type; keys are still told to
// OnKey. Play and SendKeys on a leg take precedence over what its peer says. A
// codec that the other leg does not have is dropped. Errors: ErrBridged,
// ErrClosed, ErrCodec when both legs have started and cannot understand each other.
func Connect(a, b *Stream) (*Bridge, error) {
	if a == b {
		return nil, ErrBridged
	}
	if !relayable(a, b) {
		return nil, ErrCodec
	}
	if err := a.enter(b); err != nil {
		return nil, err
	}
	if err := b.enter(a); err != nil {
		a.leave(b)
		return nil, err
	}
	return &Bridge{a: a, b: b}, nil
}

func relayable(a, b *Stream) bool {
	codecA, plainA, startedA := a.codec()
	codecB, plainB, startedB := b.codec()
	return !startedA || !startedB || plainA && plainB || strings.EqualFold(codecA, codecB)
}

func (s *Stream) codec() (name string, plain, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.params.Codec, s.plain, s.started
}

func (s *Stream) enter(peer *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.peer != nil {
		return ErrBridged
	}
	s.peer = peer
	s.out.relay.active = false
	s.listen()
	return nil
}

// leave ends the connection with that peer.
func (s *Stream) leave(peer *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != peer {
		return
	}
	s.peer = nil
	s.out.relay.active = false
	s.listen()
}

// Unbridge returns both streams to themselves; more calls do nothing.
func (br *Bridge) Unbridge() {
	br.once.Do(func() {
		br.a.leave(br.b)
		br.b.leave(br.a)
	})
}

// relayed is what the receiving leg knows about a packet that it hands over.
type relayed struct {
	kind  media
	law   audio.Law
	codec string
	now   time.Duration
}

// relayed sends a packet of the peer's. b is room for a header and the payload;
// it is written over.
func (s *Stream) relayed(b []byte, h header, m relayed) {
	payload := b[headerSize:]
	s.mu.Lock()
	to := s.peerAddr()
	if s.closed || !s.started || !s.params.SendEnabled || !to.IsValid() || s.play != nil || s.keys != nil {
		s.mu.Unlock()
		return
	}
	pt, units, ok := s.params.PT, s.out.frame(), true
	switch {
	case m.kind == event:
		pt, units, ok = s.params.DTMFPT, 0, s.params.DTMFPT != 0
	case m.kind == speech && s.plain:
		units = uint32(len(payload))
	case m.kind == opaque:
		ok = !s.plain && strings.EqualFold(m.codec, s.params.Codec)
	default:
		ok = false
	}
	if ok {
		h, ok = s.out.forward(h, pt, len(payload), units, m.now)
	}
	if ok && m.kind == speech && s.say != nil {
		s.say.push(h.ts, payload, m.law)
	}
	law := s.law
	s.mu.Unlock()
	if !ok {
		return
	}
	if m.kind == speech && m.law != law {
		audio.Transcode(m.law, law, payload)
	}
	h.put(b)
	_, _ = s.pair.RTP.WriteToUDPAddrPort(b, to)
}
