package rtp

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// Errors of a stream.
var (
	ErrClosed     = errors.New("rtp: stream is closed")
	ErrNotStarted = errors.New("rtp: stream is not started")
	ErrStopped    = errors.New("rtp: playing was stopped")
	ErrCodec      = errors.New("rtp: codec can only be relayed")
)

// Config is what a stream needs; Ports, Clock and LocalIP must be given.
type Config struct {
	Ports   *Ports
	Clock   *Clock
	LocalIP netip.Addr
	Logger  *slog.Logger // nil: none
	Reader  Reader       // nil: Goroutines
	Rand    rand.Source  // nil: the process's; for SSRC, first numbers and CNAME

	// NoSilence sends nothing while there is nothing to send. Without it an
	// idle leg sends comfort silence, which keeps NATs and peers from closing.
	NoSilence bool

	JitterTarget, JitterMax time.Duration // 0: the defaults
	SilenceAfter            time.Duration // 0: DefaultSilenceAfter

	// OnKey is told of a key at its first packet; duration is what that packet
	// says. OnSilence is told once when no packet came for SilenceAfter while
	// the peer may send. Both must return at once.
	OnKey     func(key byte, duration time.Duration)
	OnSilence func()
}

// Params is what signalling agreed on.
type Params struct {
	Remote     netip.AddrPort // invalid: wait for the first packet
	RemoteRTCP netip.AddrPort // invalid: the port after Remote
	RTCPMux    bool

	Codec  string // "PCMU", "PCMA"; others are only relayed. "": by PT 0 or 8
	Rate   int    // RTP clock in Hz, 0: 8000
	PT     uint8  // sent
	RecvPT uint8  // expected, 0: PT

	DTMFPT     uint8 // telephone-event sent, 0: none
	DTMFRecvPT uint8 // expected, 0: DTMFPT

	SendEnabled bool
	RecvEnabled bool
	Latch       bool // send to where the peer's packets come from
}

// Stream is the media of one leg. All methods may be called from anywhere but
// where they say otherwise.
type Stream struct {
	cfg     Config
	clock   *Clock
	log     *slog.Logger
	pair    *Pair
	cname   string
	keyTurn chan struct{} // holds one: the SendKeys that is running
	once    sync.Once

	// Of the clock's goroutine, which holds busy during a turn so that Close can
	// wait for its end.
	busy                sync.Mutex
	heard, said, late20 [audio.FrameSamples]int16
	lateHas             bool // late20 went out before its slot
	packet              [headerSize + audio.FrameSamples]byte

	mu      sync.Mutex
	started bool
	closed  bool
	removes []func() // of the readers
	rtcpOn  bool     // the RTCP socket is read
	member  *member
	params  Params
	law     audio.Law
	plain   bool // the codec is G.711
	latch   latch
	in      reception
	far     farReport
	out     sender
	keysIn  keysIn
	keys    *keyJob
	play    *playback
	idle    bool // the last tick had nothing to say
	onKey   func(byte, time.Duration)
	sink    func([]int16)
	taps    []*tap // never changed, only replaced
	hear    *jitter
	say     *jitter // what is relayed to the peer, while somebody listens to it
	peer    *Stream

	rtcpFrom        netip.AddrPort
	nextReport      time.Duration
	reported        bool          // a report was sent
	armed           time.Duration // from when silence is counted
	silenceTold     bool
	refused         uint64
	keysReceived    uint64
	late, concealed uint64 // of jitter buffers that are gone
	random          func() uint64
}

type tap struct{ in, out func([]int16) }

// Open takes ports and begins to read them; what comes before Start is thrown
// away. Errors: ErrNoPorts, those of the system. Close gives the ports back.
func Open(cfg Config) (*Stream, error) {
	cfg.fill()
	pair, err := cfg.Ports.Open(cfg.LocalIP)
	if err != nil {
		return nil, err
	}
	s := &Stream{
		cfg: cfg, clock: cfg.Clock, log: cfg.Logger, pair: pair, keyTurn: make(chan struct{}, 1),
		onKey: cfg.OnKey, random: rand.Uint64,
	}
	if cfg.Rand != nil {
		s.random = cfg.Rand.Uint64
	}
	name := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, uint32(s.random())), s.random())
	s.cname = base64.RawStdEncoding.EncodeToString(name) // RFC 7022 §4.2
	s.out = sender{ssrc: uint32(s.random()), seq: uint16(s.random()) >> 1, base: uint32(s.random()), rate: audio.Rate}
	remove, err := cfg.Reader.Add(pair.RTP, s.receive)
	if err != nil {
		pair.Close()
		return nil, fmt.Errorf("read rtp: %w", err)
	}
	s.mu.Lock()
	s.removes = append(s.removes, remove)
	s.mu.Unlock()
	return s, nil
}

func (c *Config) fill() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Reader == nil {
		c.Reader = Goroutines{}
	}
	if c.JitterTarget <= 0 {
		c.JitterTarget = DefaultJitterTarget
	}
	if c.JitterMax <= 0 {
		c.JitterMax = DefaultJitterMax
	}
	c.JitterMax = min(c.JitterMax, DefaultJitterMax) // what the ring holds twice
	c.JitterTarget = min(c.JitterTarget, c.JitterMax)
	if c.SilenceAfter <= 0 {
		c.SilenceAfter = DefaultSilenceAfter
	}
}

// LocalAddr is the RTP address; RTCP is on the next port.
func (s *Stream) LocalAddr() netip.AddrPort {
	return s.pair.RTP.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
}

// Start begins to send and to receive. Errors: ErrClosed, that of the reader.
func (s *Stream) Start(p Params) error {
	if err := s.apply(p); err != nil {
		return err
	}
	return s.readRTCP(p.RTCPMux)
}

// Update follows a new offer and answer; numbers and timestamps go on. Errors:
// ErrClosed, ErrNotStarted, that of the reader.
func (s *Stream) Update(p Params) error {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	if !started {
		return ErrNotStarted
	}
	return s.Start(p)
}

func (s *Stream) apply(p Params) error {
	if p.RecvPT == 0 {
		p.RecvPT = p.PT
	}
	if p.DTMFRecvPT == 0 {
		p.DTMFRecvPT = p.DTMFPT
	}
	if p.Rate <= 0 {
		p.Rate = audio.Rate
	}
	p.Remote = unmap(p.Remote)
	p.RemoteRTCP = unmap(p.RemoteRTCP)
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	old := s.params
	s.params = p
	s.law, s.plain = lawOf(p.Codec, p.PT)
	if p.Remote != old.Remote {
		s.latch, s.rtcpFrom = latch{}, netip.AddrPort{}
	}
	if !s.started || int64(p.Rate) != s.out.rate {
		s.out.rate = int64(p.Rate)
		s.out.ts = s.out.wall(now)
	}
	if p.PT != old.PT {
		s.out.marked, s.out.relay.active = false, false
	}
	if p.RecvEnabled && !old.RecvEnabled {
		s.armed, s.silenceTold = now, false
	}
	if !s.started {
		s.started, s.idle = true, true
		s.nextReport = now + s.reportDelay()/2
		s.member = s.clock.join(s)
	}
	return nil
}

func unmap(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() {
		return a
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func lawOf(codec string, pt uint8) (audio.Law, bool) {
	switch {
	case strings.EqualFold(codec, "PCMU"), codec == "" && pt == 0:
		return audio.ULaw, true
	case strings.EqualFold(codec, "PCMA"), codec == "" && pt == 8:
		return audio.ALaw, true
	}
	return audio.ULaw, false
}

// readRTCP begins to read the second socket once it is known to be used.
func (s *Stream) readRTCP(mux bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mux || s.rtcpOn || s.closed {
		return nil
	}
	remove, err := s.cfg.Reader.Add(s.pair.RTCP, s.receiveReports)
	if err != nil {
		return fmt.Errorf("read rtcp: %w", err)
	}
	s.rtcpOn = true
	s.removes = append(s.removes, remove)
	return nil
}

// SetOnKey replaces the listener for keys; nil means none.
func (s *Stream) SetOnKey(f func(key byte, duration time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onKey = f
}

// SetSink hands every 20 ms what was received to f, silence when nothing was;
// nil ends it and with it the decoding. f must not keep or change the frame, and
// one more call may be under way when SetSink returns.
func (s *Stream) SetSink(f func(frame []int16)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sink = f
	s.listen()
}

// Tap hands every 20 ms what was received to in and what was sent to out, each
// silence when there was nothing; either may be nil. The rules of SetSink hold
// for both. The returned function ends it.
func (s *Stream) Tap(in, out func(frame []int16)) (remove func()) {
	t := &tap{in: in, out: out}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taps = append(slices.Clone(s.taps), t)
	s.listen()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taps = slices.DeleteFunc(slices.Clone(s.taps), func(o *tap) bool { return o == t })
		s.listen()
	}
}

// listen has a jitter buffer exactly where somebody listens. The caller holds
// the lock.
func (s *Stream) listen() {
	in, out := s.sink != nil, false
	for _, t := range s.taps {
		in = in || t.in != nil
		out = out || t.out != nil
	}
	s.hear = s.buffer(s.hear, in && !s.closed)
	s.say = s.buffer(s.say, out && s.peer != nil && !s.closed)
}

func (s *Stream) buffer(j *jitter, wanted bool) *jitter {
	switch {
	case wanted && j == nil:
		j, _ = s.clock.buffers.Get().(*jitter)
		if j == nil {
			j = &jitter{}
		}
		j.late, j.concealed = 0, 0
		j.reset(s.cfg.JitterTarget, s.cfg.JitterMax)
	case !wanted && j != nil:
		s.late += j.late
		s.concealed += j.concealed
		s.clock.buffers.Put(j)
		return nil
	}
	return j
}

// peerAddr is where packets go. The caller holds the lock.
func (s *Stream) peerAddr() netip.AddrPort {
	if s.latch.source.IsValid() && (s.params.Latch || !s.params.Remote.IsValid()) {
		return s.latch.source
	}
	return s.params.Remote
}

// Remote is where packets go at present; invalid while that is unknown.
func (s *Stream) Remote() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peerAddr()
}

// Close ends the stream, says goodbye if it ever sent something (RFC 3550 §6.3.7), waits for its readers and
// callbacks, none of which runs afterwards, and gives the ports back. What is playing ends with ErrClosed. More calls do
// nothing; none may come from a callback of this stream.
func (s *Stream) Close() {
	s.once.Do(s.shut)
}

func (s *Stream) shut() {
	s.mu.Lock()
	var bye []byte
	to, shared := s.reportAddr()
	if s.out.packets > 0 || s.reported { // who never sent anything must not say goodbye
		bye = s.report(s.clock.Now(), true)
	}
	s.closed = true
	play, keys, peer := s.play, s.keys, s.peer
	s.play, s.keys, s.peer = nil, nil, nil
	s.sink, s.taps = nil, nil
	s.listen()
	member, removes := s.member, s.removes
	s.mu.Unlock()

	if peer != nil {
		peer.leave(s)
	}
	if member != nil {
		member.leave()
	}
	s.busy.Lock() // the turn under way ends; the next sees closed
	//lint:ignore SA2001 the lock is only waited for
	s.busy.Unlock()
	play.finish(ErrClosed)
	if keys != nil {
		keys.done <- ErrClosed
	}
	s.sendReport(bye, to, shared)
	for _, remove := range removes {
		remove()
	}
	s.pair.Close()
}
