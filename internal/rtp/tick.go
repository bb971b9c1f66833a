package rtp

import (
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// playback is one Play.
type playback struct {
	source audio.Source
	done   chan error // holds the one result
	once   sync.Once
}

func (p *playback) finish(err error) {
	if p == nil {
		return
	}
	p.once.Do(func() {
		p.done <- err
		close(p.done)
	})
}

// Play sends what src gives, 20 ms a packet, until it ends. The first packet goes
// out at once. The channel gets one value: nil at the end, ErrStopped when Stop
// or another Play came before, ErrClosed, ErrCodec, or the error of src. While a
// source plays, nothing is relayed to this leg.
func (s *Stream) Play(src audio.Source) (done <-chan error) {
	p := &playback{source: src, done: make(chan error, 1)}
	s.mu.Lock()
	if err := s.playable(); err != nil {
		s.mu.Unlock()
		p.finish(err)
		return p.done
	}
	old := s.play
	s.play = p
	soon := old == nil && s.idle && s.started
	s.mu.Unlock()
	old.finish(ErrStopped)
	if soon {
		s.clock.ask(s)
	}
	return p.done
}

func (s *Stream) playable() error {
	if s.closed {
		return ErrClosed
	}
	if s.started && !s.plain {
		return ErrCodec
	}
	return nil
}

// Stop ends what is playing; nothing of it is sent after the packet under way.
func (s *Stream) Stop() {
	s.mu.Lock()
	p := s.play
	s.play = nil
	s.mu.Unlock()
	p.finish(ErrStopped)
}

// turn is what one tick found to do while it held the lock.
type turn struct {
	at       time.Duration
	sink     func([]int16)
	taps     []*tap
	play     *playback
	spoken   bool // s.said is what the peer got
	keys     *keyJob
	keysErr  error
	size     int // of the packet that is ready
	to       netip.AddrPort
	report   []byte
	reportTo netip.AddrPort
	shared   bool
	silent   func()
}

// tick is one period of 20 ms; it runs on the clock's goroutine only.
func (s *Stream) tick(at time.Duration) {
	s.busy.Lock()
	defer s.busy.Unlock()
	t := turn{at: at}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.listenTurn(&t)
	s.speakTurn(&t)
	s.reportTurn(&t)
	s.mu.Unlock()

	if t.sink != nil {
		t.sink(s.heard[:])
	}
	for _, tap := range t.taps {
		if tap.in != nil {
			tap.in(s.heard[:])
		}
	}
	if t.play != nil {
		s.playTurn(&t)
	}
	if t.size > 0 {
		_, _ = s.pair.RTP.WriteToUDPAddrPort(s.packet[:t.size], t.to)
	}
	s.tapOut(&t)
	if t.keys != nil {
		t.keys.done <- t.keysErr
	}
	s.sendReport(t.report, t.reportTo, t.shared)
	if t.silent != nil {
		t.silent()
	}
}

func (s *Stream) listenTurn(t *turn) {
	t.sink, t.taps = s.sink, s.taps
	if s.hear != nil {
		s.hear.pop(s.heard[:])
	}
	if s.say != nil {
		s.say.pop(s.said[:])
		t.spoken = true
	}
}

// speakTurn decides what goes out: a key, the source, or silence, in this order.
func (s *Stream) speakTurn(t *turn) {
	t.to = s.peerAddr()
	able := s.params.SendEnabled && t.to.IsValid()
	s.idle = s.play == nil && s.keys == nil
	if s.keys != nil && s.keysTurn(t, able) {
		return
	}
	if s.play != nil && (s.keys == nil || !able) {
		// Before the peer's address is known the source waits; while the peer
		// does not listen it plays to nobody.
		if t.to.IsValid() {
			t.play = s.play
		}
		return
	}
	if able {
		s.silenceTurn(t)
	}
}

// keysTurn moves the keys on; true: the turn is used.
func (s *Stream) keysTurn(t *turn, able bool) bool {
	var finished bool
	switch {
	case s.params.DTMFPT == 0:
		t.keysErr, finished = ErrNoEvents, true
	case able:
		t.size, finished = s.stepKeys(s.packet[:], t.at)
	default:
		finished = s.keys.abort // else the keys wait for the end of the hold
	}
	if finished {
		t.keys, s.keys = s.keys, nil
	}
	return t.size > 0
}

// silenceTurn keeps the way to the peer open. A frame that went out early is
// made up for by one that is left out.
func (s *Stream) silenceTurn(t *turn) {
	if s.out.ahead {
		s.out.ahead = false
		return
	}
	if s.cfg.NoSilence || !s.plain {
		return
	}
	if s.peer != nil && t.at-s.out.last < bridgeSilence && s.keys == nil {
		return
	}
	body := s.packet[headerSize:]
	for i := range body {
		body[i] = s.law.SilenceByte()
	}
	s.out.own(s.params.PT, len(body), t.at).put(s.packet[:])
	t.size = len(s.packet)
}

// playTurn reads a frame and makes it the packet of this turn.
func (s *Stream) playTurn(t *turn) {
	n, err := t.play.source.ReadFrame(s.said[:])
	clear(s.said[max(n, 0):])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.play != t.play {
		return // stopped meanwhile
	}
	able := s.params.SendEnabled && t.to.IsValid() && !s.closed
	if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		s.play, s.idle = nil, true
		t.play.finish(err)
		if able {
			s.silenceTurn(t)
		}
		return
	}
	if !able {
		return
	}
	if !s.plain {
		s.play, s.idle = nil, true
		t.play.finish(ErrCodec)
		return
	}
	audio.EncodeLaw(s.law, s.packet[headerSize:], s.said[:])
	s.out.own(s.params.PT, audio.FrameSamples, t.at).put(s.packet[:])
	t.size, t.spoken = len(s.packet), true
}

// kick sends the first frame of a Play without waiting for the slot.
func (s *Stream) kick(at time.Duration) {
	s.busy.Lock()
	defer s.busy.Unlock()
	t := turn{at: at}
	s.mu.Lock()
	t.to = s.peerAddr()
	if s.closed || s.play == nil || !s.idle || s.out.ahead || s.keys != nil || s.peer != nil ||
		!s.params.SendEnabled || !t.to.IsValid() {
		s.mu.Unlock()
		return
	}
	t.play = s.play
	s.idle, s.out.marked = false, false
	s.mu.Unlock()
	s.playTurn(&t)
	if t.size == 0 {
		return
	}
	s.late20, s.lateHas = s.said, true
	s.mu.Lock()
	s.out.ahead = true
	s.mu.Unlock()
	_, _ = s.pair.RTP.WriteToUDPAddrPort(s.packet[:t.size], t.to)
}

// tapOut hands out one frame each turn. The frame that a kick sent before its
// slot counts for the slot, so that recordings keep the time of the clock.
func (s *Stream) tapOut(t *turn) {
	if !t.spoken {
		clear(s.said[:])
	}
	frame := &s.said
	if s.lateHas {
		s.heard, s.late20 = s.late20, s.said
		frame, s.lateHas = &s.heard, t.spoken
	}
	for _, tap := range t.taps {
		if tap.out != nil {
			tap.out(frame[:])
		}
	}
}

// reportTurn prepares the RTCP report when it is due and notices silence.
func (s *Stream) reportTurn(t *turn) {
	if t.at >= s.nextReport {
		s.nextReport = t.at + s.reportDelay()
		if t.reportTo, t.shared = s.reportAddr(); t.reportTo.IsValid() {
			t.report = s.report(t.at, false)
			s.reported = true
		}
	}
	if !s.params.RecvEnabled || s.silenceTold || s.cfg.OnSilence == nil {
		return
	}
	if t.at-max(s.in.last, s.armed) >= s.cfg.SilenceAfter {
		s.silenceTold = true
		t.silent = s.cfg.OnSilence
	}
}

// reportDelay varies around reportInterval by half (RFC 3550 §6.2).
func (s *Stream) reportDelay() time.Duration {
	return reportInterval/2 + time.Duration(s.random()%uint64(reportInterval))
}
