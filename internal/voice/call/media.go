package call

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sdp"
)

// codecs are what can be played, recorded and bridged.
var codecs = []sdp.Codec{sdp.PCMU, sdp.PCMA}

// media is the sound of one leg: what was offered, what was agreed and the stream. It belongs to the goroutine of the call.
type media struct {
	leg     *leg
	stream  *rtp.Stream
	addr    netip.Addr // told to the far side
	codecs  []sdp.Codec
	session uint64
	version uint64
	offered *sdp.Session // of ours, waiting for its answer
	said    []byte       // our answer to the first offer, for 183 and 200
	agreed  sdp.Negotiated
	heard   string // their SDP that is in force
	started bool
	hold    bool   // the far side holds the call
	inband  func() // ends the search for keys in the sound
}

// openMedia takes ports for a leg whose far side is at an address.
func (c *Call) openMedia(l *leg, remote netip.Addr, list []sdp.Codec) (*media, error) {
	cfg := &c.engine.cfg
	addr, err := c.engine.ownAddr(remote)
	if err != nil {
		return nil, err
	}
	m := &media{leg: l, addr: addr, codecs: list, session: rand.Uint64() >> 2}
	config := rtp.Config{
		Ports: cfg.Ports, Clock: cfg.Clock, Reader: cfg.Reader, LocalIP: cfg.BindIP, Logger: cfg.Logger,
		SilenceAfter: cfg.Limits.MediaTimeout,
		OnSilence:    func() { c.inbox.post(func() { c.silent(l) }) },
	}
	if l == c.a {
		config.OnKey = func(key byte, _ time.Duration) { c.keys.press(key, byEvent) }
	}
	if m.stream, err = rtp.Open(config); err != nil {
		return nil, fmt.Errorf("open media: %w", err)
	}
	l.media = m
	l.stream.Store(m.stream)
	return m, nil
}

// ownAddr is the address that a far side shall send to: the configured one, else the one from which packets to it leave. A far side
// on this machine is told the address it used itself: the configured one may be that of a NAT, which sends nothing back in.
func (e *Engine) ownAddr(remote netip.Addr) (netip.Addr, error) {
	told := e.cfg.MediaIP
	fixed := told.IsValid() && !told.IsUnspecified()
	if fixed && !e.cfg.BindIP.IsUnspecified() {
		return told, nil
	}
	leaves, err := e.sources.get(remote, e.cfg.Now(), sourceOf)
	beside := remote.IsLoopback() || leaves == remote // packets to an address of this machine leave from that same address
	if fixed && (err != nil || !beside) {
		return told, nil
	}
	return leaves, err
}

// sourceOf asks the kernel from which address packets to remote leave.
func sourceOf(remote netip.Addr) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the own address: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// sources remembers own addresses for a moment: routes change, but not with each call.
type sources struct {
	mu    sync.Mutex
	known map[netip.Addr]netip.Addr
	since time.Time
}

func (s *sources) get(remote netip.Addr, now time.Time, ask func(netip.Addr) (netip.Addr, error)) (netip.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSources || now.Sub(s.since) > sourceFor {
		s.known, s.since = map[netip.Addr]netip.Addr{}, now
	}
	if own, ok := s.known[remote]; ok {
		return own, nil
	}
	own, err := ask(remote)
	if err == nil {
		s.known[remote] = own
	}
	return own, err
}

func (m *media) local() sdp.Local {
	m.version++
	return sdp.Local{
		Addr: m.addr, Port: int(m.stream.LocalAddr().Port()), Codecs: m.codecs, DTMF: true, SessionID: m.session,
		Version: m.version, FollowOffer: true,
	}
}

// offer writes an offer of ours.
func (m *media) offer() ([]byte, error) {
	s, err := sdp.Offer(m.local())
	if err != nil {
		return nil, err
	}
	m.offered = s
	return s.Bytes(), nil
}

// answer answers an offer of the far side and follows it.
func (m *media) answer(body []byte) ([]byte, error) {
	theirs, err := sdp.Parse(body)
	if err != nil {
		return nil, err
	}
	ours, n, err := sdp.Answer(theirs, m.local())
	if err != nil {
		return nil, err
	}
	m.heard = string(body)
	return ours.Bytes(), m.follow(n)
}

// accept follows the far side's answer to our last offer; a repeated answer changes nothing.
func (m *media) accept(body []byte) error {
	if m.offered == nil {
		return sdp.ErrNoMedia
	}
	if m.started && string(body) == m.heard {
		return nil
	}
	theirs, err := sdp.Parse(body)
	if err != nil {
		return err
	}
	n, err := sdp.Accept(m.offered, theirs)
	if err != nil {
		return err
	}
	m.heard = string(body)
	return m.follow(n)
}

// follow brings the stream to what was agreed.
func (m *media) follow(n sdp.Negotiated) error {
	m.agreed = n
	p := m.params()
	if !m.started {
		if err := m.stream.Start(p); err != nil {
			return err
		}
		m.started = true
	} else if err := m.stream.Update(p); err != nil {
		return err
	}
	m.leg.set(func(l *Leg) { l.Codec = n.Codec.Name })
	m.listenInband()
	m.leg.call.setHold(m.leg, n.Hold)
	return nil
}

func (m *media) params() rtp.Params {
	n := &m.agreed
	return rtp.Params{
		Remote: n.Remote, RemoteRTCP: n.RTCP, RTCPMux: n.RTCPMux, Codec: n.Codec.Name, Rate: n.Codec.Clock, PT: n.Codec.PT,
		RecvPT: n.RecvPT, DTMFPT: n.DTMFPT, DTMFRecvPT: n.DTMFRecvPT, SendEnabled: n.Send, RecvEnabled: n.Recv, Latch: true,
	}
}

// rearm counts the silence of the far side anew.
func (m *media) rearm() {
	if !m.started {
		return
	}
	p := m.params()
	p.RecvEnabled = false
	_ = m.stream.Update(p) // fails for a closed stream only
	_ = m.stream.Update(m.params())
}

// listenInband looks for keys in the sound of the controlled leg when the far side has no other way to tell them.
func (m *media) listenInband() {
	c := m.leg.call
	wanted := m.leg == c.a && m.agreed.DTMFRecvPT == 0
	switch {
	case wanted && m.inband == nil:
		detector := audio.NewDTMFDetector()
		m.inband = m.stream.Tap(func(frame []int16) {
			for _, key := range detector.Feed(frame) {
				c.keys.press(key, byTone)
			}
		}, nil)
	case !wanted && m.inband != nil:
		m.inband()
		m.inband = nil
	}
}

// quality sums up what was received.
func (m *media) quality() Quality {
	s := m.stream.Stats()
	q := Quality{MOS: s.MOS, JitterMS: int(s.Jitter.Milliseconds()), RTTMS: int(s.RTT.Milliseconds())}
	if expected := float64(s.PacketsReceived) + float64(s.Lost); s.Lost > 0 && expected > 0 {
		q.Loss = 100 * float64(s.Lost) / expected
	}
	return q
}

// codecList turns names into codecs; those that cannot be played are left out, and without any the caller's codec comes first.
func (c *Call) codecList(names []string) []sdp.Codec {
	var list []sdp.Codec
	for _, name := range names {
		for _, known := range codecs {
			if strings.EqualFold(name, known.Name) && !slices.Contains(list, known) {
				list = append(list, known)
			}
		}
	}
	if len(list) > 0 {
		return list
	}
	if m := c.a.media; m != nil && m.started && m.agreed.Codec.Name == sdp.PCMA.Name {
		return []sdp.Codec{sdp.PCMA, sdp.PCMU}
	}
	return codecs
}
