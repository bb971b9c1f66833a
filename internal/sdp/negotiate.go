package sdp

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Errors of a negotiation. The SIP answer to all but ErrLocal is 488.
var (
	ErrNoMedia = errors.New("sdp: no usable audio stream")
	ErrNoCodec = errors.New("sdp: no common codec")
	ErrLocal   = errors.New("sdp: local address or port is unusable")
)

// DefaultPtime is the length of the packets that we send, in milliseconds.
const DefaultPtime = 20

// Local is our side of a negotiation.
type Local struct {
	Addr      netip.Addr // the address the peer shall send to; never unspecified
	Port      int
	Codecs    []Codec // wanted, best first
	DTMF      bool    // offer and accept telephone-event
	Ptime     int     // milliseconds, 0: DefaultPtime
	Direction Direction
	SessionID uint64
	Version   uint64 // raise by one with each changed body of a dialog (RFC 3264 §8)

	// FollowOffer picks the first codec of the offer that is in Codecs
	// instead of the first of Codecs that is in the offer.
	FollowOffer bool
	RTCPMux     bool        // offer a=rtcp-mux; an answer always mirrors the offer
	Proto       string      // "" means RTP/AVP, and RTP/AVPF when answering
	Attributes  []Attribute // further media attributes (crypto, fingerprint, ...)
}

// Negotiated is what both sides agreed on, seen from ours.
type Negotiated struct {
	Media int // index of the m= line

	// Remote is where we send. It is invalid while the peer gave a host name
	// or an unspecified address: then only its first packet can tell.
	Remote  netip.AddrPort
	RTCP    netip.AddrPort
	RTCPMux bool

	Codec      Codec  // PT is the number to send with
	RecvPT     uint8  // the number we receive with
	DTMFPT     uint8  // telephone-event to send with, 0: none agreed
	DTMFRecvPT uint8  // telephone-event we receive with, 0: none agreed
	DTMFEvents Events // what the peer takes

	Direction Direction // ours, as in our body
	Send      bool      // we may send
	Recv      bool      // the peer may send
	Hold      bool      // the peer put us on hold
	Ptime     int       // milliseconds the peer wishes to receive
}

// Offer writes an offer with one audio line. Error: ErrLocal, ErrNoCodec.
func Offer(l Local) (*Session, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	s := l.session()
	m := l.media(l.proto())
	clocks := map[int]bool{}
	for _, c := range l.Codecs {
		addCodec(&m, c)
		clocks[c.Clock] = true
	}
	if l.DTMF {
		pt := freePT(l.Codecs, eventPT)
		addEvents(&m, Codec{Name: telephoneEvent, PT: pt, Clock: 8000})
		if clocks[48000] {
			addEvents(&m, Codec{Name: telephoneEvent, PT: freePT(append([]Codec{{PT: pt}}, l.Codecs...), pt+1), Clock: 48000})
		}
	}
	l.finish(&m, l.Direction, l.RTCPMux)
	s.Media = []Media{m}
	return s, nil
}

// Answer answers an offer with the first audio line that both can use and
// refuses the others (RFC 3264 §6). Errors: ErrLocal, ErrNoMedia, ErrNoCodec.
func Answer(offer *Session, l Local) (*Session, Negotiated, error) {
	if err := l.check(); err != nil {
		return nil, Negotiated{}, err
	}
	index, codec, err := l.choose(offer)
	if err != nil {
		return nil, Negotiated{}, err
	}
	theirs := &offer.Media[index]
	n := offer.remote(theirs)
	n.Media, n.Codec, n.RecvPT = index, codec, codec.PT
	n.setDirection(l.Direction)

	s := l.session()
	s.Media = make([]Media, 0, len(offer.Media))
	for i := range offer.Media {
		if i != index {
			s.Media = append(s.Media, refuse(&offer.Media[i]))
			continue
		}
		m := l.media(theirs.Proto)
		addCodec(&m, codec)
		if event, ok := theirs.events(codec.Clock); ok && l.DTMF {
			addEvents(&m, event)
			n.setEvents(theirs, event, event.PT)
		}
		l.finish(&m, n.Direction, n.RTCPMux)
		s.Media = append(s.Media, m)
	}
	return s, n, nil
}

// Accept reads the answer to an offer of ours (RFC 3264 §7). Errors: ErrNoMedia,
// ErrNoCodec.
func Accept(offer, answer *Session) (Negotiated, error) {
	index := offer.audio("")
	if index < 0 {
		return Negotiated{}, ErrNoMedia
	}
	ours := &offer.Media[index]
	theirIndex := index
	if index >= len(answer.Media) || answer.Media[index].Kind != "audio" {
		theirIndex = answer.audio(ours.Proto) // lines left out or moved
	}
	if theirIndex < 0 || answer.Media[theirIndex].Port == 0 {
		return Negotiated{}, ErrNoMedia
	}
	theirs := &answer.Media[theirIndex]
	n := answer.remote(theirs)
	n.Media = index
	var found bool
	if n.Codec, n.RecvPT, found = agreed(ours, theirs); !found {
		return Negotiated{}, ErrNoCodec
	}
	if theirEvent, ok := theirs.events(n.Codec.Clock); ok {
		if ourEvent, ok := ours.events(theirEvent.Clock); ok {
			n.setEvents(theirs, theirEvent, ourEvent.PT)
		}
	}
	// Our offer bounds what the answer may say.
	n.setDirection(offer.DirectionOf(ours))
	n.RTCPMux = n.RTCPMux && hasFlag(ours, "rtcp-mux")
	return n, nil
}

// agreed is the first codec of the answer that the offer named: the one its
// writer likes best.
func agreed(ours, theirs *Media) (codec Codec, recvPT uint8, found bool) {
	mine := ours.Codecs()
	for _, c := range theirs.Codecs() {
		if !c.isAudio() {
			continue
		}
		for _, o := range mine {
			if c.same(o) {
				return c, o.PT, true
			}
		}
	}
	return Codec{}, 0, false
}

// choose finds the audio line and the codec of an answer.
func (l *Local) choose(offer *Session) (index int, codec Codec, err error) {
	err = ErrNoMedia
	for i := range offer.Media {
		m := &offer.Media[i]
		if m.Kind != "audio" || m.Port == 0 || !l.takes(m.Proto) {
			continue
		}
		if c, ok := l.pick(m.Codecs()); ok {
			return i, c, nil
		}
		err = ErrNoCodec
	}
	return -1, Codec{}, err
}

// pick returns the offer's codec, whose payload type the answer keeps.
func (l *Local) pick(offered []Codec) (Codec, bool) {
	if l.FollowOffer {
		for _, o := range offered {
			for _, c := range l.Codecs {
				if o.same(c) {
					return o, true
				}
			}
		}
		return Codec{}, false
	}
	for _, c := range l.Codecs {
		for _, o := range offered {
			if o.same(c) {
				return o, true
			}
		}
	}
	return Codec{}, false
}

func (l *Local) proto() string {
	if l.Proto == "" {
		return "RTP/AVP"
	}
	return l.Proto
}

func (l *Local) takes(proto string) bool {
	if l.Proto != "" {
		return strings.EqualFold(proto, l.Proto)
	}
	return strings.EqualFold(proto, "RTP/AVP") || strings.EqualFold(proto, "RTP/AVPF")
}

func (l *Local) check() error {
	if !l.Addr.IsValid() || l.Addr.IsUnspecified() || l.Port < 1 || l.Port > 65535 {
		return ErrLocal
	}
	if len(l.Codecs) == 0 {
		return ErrNoCodec
	}
	return nil
}

func (l *Local) session() *Session {
	host := l.Addr.Unmap().WithZone("").String()
	return &Session{
		Origin: Origin{
			User: "-", Addr: host,
			ID: strconv.FormatUint(l.SessionID, 10), Version: strconv.FormatUint(l.Version, 10),
		},
		Name: "-",
		Conn: Conn{Host: host, Addr: l.Addr},
	}
}

func (l *Local) media(proto string) Media {
	return Media{Kind: "audio", Port: l.Port, Proto: proto}
}

// finish adds the attributes that do not belong to one format.
func (l *Local) finish(m *Media, d Direction, mux bool) {
	ptime := l.Ptime
	if ptime <= 0 {
		ptime = DefaultPtime
	}
	m.Attributes = append(m.Attributes, Attribute{Name: "ptime", Value: strconv.Itoa(ptime)})
	if mux {
		m.Attributes = append(m.Attributes, Attribute{Name: "rtcp-mux"})
	}
	m.Attributes = append(m.Attributes, l.Attributes...)
	m.Attributes = append(m.Attributes, Attribute{Name: d.String()})
}

func addCodec(m *Media, c Codec) {
	pt := strconv.Itoa(int(c.PT))
	name := pt + " " + c.Name + "/" + strconv.Itoa(c.Clock)
	if strings.EqualFold(c.Name, Opus.Name) {
		name += "/2" // always two channels (RFC 7587 §7)
	}
	m.Formats = append(m.Formats, pt)
	m.Attributes = append(m.Attributes, Attribute{Name: "rtpmap", Value: name})
}

func addEvents(m *Media, c Codec) {
	addCodec(m, c)
	m.Attributes = append(m.Attributes, Attribute{Name: "fmtp", Value: strconv.Itoa(int(c.PT)) + " 0-15"})
}

// freePT is the first dynamic payload type at or above want that no codec uses.
func freePT(codecs []Codec, want uint8) uint8 {
	for pt := want; pt <= maxPT; pt++ {
		used := false
		for _, c := range codecs {
			used = used || c.PT == pt
		}
		if !used {
			return pt
		}
	}
	return firstDynamicPT
}

// refuse repeats an m= line with port 0 (RFC 3264 §6).
func refuse(m *Media) Media {
	formats := m.Formats
	if len(formats) == 0 {
		formats = []string{"0"}
	}
	return Media{Kind: m.Kind, Proto: m.Proto, Formats: formats}
}

// audio is the index of the first live audio line with that profile ("": any).
func (s *Session) audio(proto string) int {
	for i := range s.Media {
		m := &s.Media[i]
		if m.Kind == "audio" && m.Port != 0 && (proto == "" || strings.EqualFold(m.Proto, proto)) {
			return i
		}
	}
	return -1
}

// remote reads what the writer of s says about itself.
func (s *Session) remote(m *Media) Negotiated {
	n := Negotiated{Ptime: DefaultPtime, Direction: s.DirectionOf(m), RTCPMux: hasFlag(m, "rtcp-mux")}
	if v, ok := m.Attr("ptime"); ok {
		if ms, err := strconv.Atoi(v); err == nil && ms > 0 && ms <= 200 {
			n.Ptime = ms
		}
	}
	addr := s.conn(m).Addr
	if addr.IsValid() && addr.IsUnspecified() {
		// RFC 2543 hold: the peer takes nothing, whatever its direction says.
		n.Direction = n.Direction.And(SendOnly)
	} else if addr.IsValid() {
		n.Remote = netip.AddrPortFrom(addr, uint16(m.Port))
		n.RTCP = s.rtcp(m, n.Remote, n.RTCPMux)
	}
	n.Hold = !n.Direction.Receives()
	return n
}

// rtcp is where the peer takes RTCP: the RTP port when multiplexed (RFC 5761
// §5.1.1), a=rtcp (RFC 3605 §2.1), else the next port.
func (s *Session) rtcp(m *Media, rtp netip.AddrPort, mux bool) netip.AddrPort {
	if mux {
		return rtp
	}
	addr, port := rtp.Addr(), uint64(rtp.Port())+1
	if v, ok := m.Attr("rtcp"); ok {
		f := strings.Fields(v)
		if len(f) > 0 {
			if p, err := strconv.ParseUint(f[0], 10, 16); err == nil && p > 0 {
				port = p
			}
		}
		if len(f) >= 4 {
			if a, err := netip.ParseAddr(f[3]); err == nil && !a.IsUnspecified() {
				addr = a.WithZone("").Unmap()
			}
		}
	}
	if port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, uint16(port))
}

// setDirection turns the peer's direction, which n holds, into ours.
func (n *Negotiated) setDirection(ours Direction) {
	n.Direction = n.Direction.Reverse().And(ours)
	n.Send, n.Recv = n.Direction.Sends(), n.Direction.Receives()
}

func (n *Negotiated) setEvents(theirs *Media, event Codec, recvPT uint8) {
	n.DTMFPT, n.DTMFRecvPT, n.DTMFEvents = event.PT, recvPT, Keys
	if v, ok := theirs.perFormat("fmtp", event.PT); ok {
		n.DTMFEvents = parseEvents(v)
	}
}

func hasFlag(m *Media, name string) bool {
	_, ok := m.Attr(name)
	return ok
}
