package call

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// phone is a party with an endpoint and media of its own.
type phone struct {
	t     testing.TB
	sip   *sip.Endpoint
	clock *rtp.Clock
	ports *rtp.Ports
	calls chan *line // incoming, bound 16
	codec []sdp.Codec
}

// line is one call of a phone.
type line struct {
	p      *phone
	d      *sip.Dialog
	stream *rtp.Stream
	offer  *sdp.Session
	events chan sip.Event // bound 64
	frames chan []int16   // what is heard; the newest is dropped when nobody reads
	keys   chan byte
}

func newPhone(t testing.TB, codecs ...sdp.Codec) *phone {
	t.Helper()
	p := &phone{t: t, calls: make(chan *line, 16), codec: codecs}
	if len(codecs) == 0 {
		p.codec = []sdp.Codec{sdp.PCMU, sdp.PCMA}
	}
	p.clock, p.ports = startClock(t)
	p.sip = startSIP(t, phoneHandler{p})
	return p
}

type phoneHandler struct{ p *phone }

func (h phoneHandler) Invite(d *sip.Dialog) {
	l := h.p.line()
	l.d = d
	d.Observe(l.hear)
	h.p.calls <- l
}

func (h phoneHandler) Request(*sip.Request) sip.Response { return sip.Response{} }

func (p *phone) addr() netip.AddrPort { return p.sip.Addr()[0].Addr }

// line opens the media of a call to come.
func (p *phone) line() *line {
	l := &line{p: p, events: make(chan sip.Event, 64), frames: make(chan []int16, 500), keys: make(chan byte, 64)}
	s, err := rtp.Open(rtp.Config{Ports: p.ports, Clock: p.clock, LocalIP: loopback, OnKey: func(key byte, _ time.Duration) { l.keys <- key }})
	if err != nil {
		p.t.Error(err)
		return l
	}
	l.stream = s
	s.SetSink(func(f []int16) {
		select {
		case l.frames <- slices.Clone(f):
		default:
		}
	})
	p.t.Cleanup(s.Close)
	return l
}

func (l *line) hear(e sip.Event) {
	if r, ok := e.(sip.ReOffer); ok {
		r.Reply(488, nil)
		return
	}
	l.events <- e
}

func (l *line) local() sdp.Local {
	return sdp.Local{Addr: loopback, Port: int(l.stream.LocalAddr().Port()), Codecs: l.p.codec, DTMF: true, SessionID: 1}
}

// sdp writes the offer of a phone.
func (l *line) sdp(dir sdp.Direction, version uint64) []byte {
	local := l.local()
	local.Direction, local.Version = dir, version
	s, err := sdp.Offer(local)
	if err != nil {
		l.p.t.Fatal(err)
	}
	l.offer = s
	return s.Bytes()
}

func (l *line) start(n sdp.Negotiated) {
	l.p.t.Helper()
	p := rtp.Params{
		Remote: n.Remote, RemoteRTCP: n.RTCP, Codec: n.Codec.Name, PT: n.Codec.PT, RecvPT: n.RecvPT, DTMFPT: n.DTMFPT,
		DTMFRecvPT: n.DTMFRecvPT, SendEnabled: true, RecvEnabled: true,
	}
	if err := l.stream.Start(p); err != nil {
		l.p.t.Fatal(err)
	}
}

// accepted follows the answer to the phone's offer.
func (l *line) accepted(body []byte) {
	l.p.t.Helper()
	theirs, err := sdp.Parse(body)
	if err != nil {
		l.p.t.Fatal(err)
	}
	n, err := sdp.Accept(l.offer, theirs)
	if err != nil {
		l.p.t.Fatal(err)
	}
	l.start(n)
}

// answer takes an incoming call, as 183 or as 200.
func (l *line) answer(status int) {
	l.p.t.Helper()
	theirs, err := sdp.Parse(l.d.Offer())
	if err != nil {
		l.p.t.Fatal(err)
	}
	ours, n, err := sdp.Answer(theirs, l.local())
	if err != nil {
		l.p.t.Fatal(err)
	}
	l.start(n)
	if status == 200 {
		err = l.d.Accept(context.Background(), ours.Bytes())
	} else {
		err = l.d.Ring(context.Background(), status, ours.Bytes())
	}
	if err != nil {
		l.p.t.Fatal(err)
	}
}

// dial calls a number at the engine.
func (p *phone) dial(w *world, to string, change ...func(*sip.InviteRequest)) *line {
	p.t.Helper()
	l := p.line()
	req := sip.InviteRequest{
		RequestURI: "sip:" + to + "@" + w.addr().String(), From: sip.Party{User: "13125550100"},
		Body: l.sdp(sdp.SendRecv, 1), Observe: l.hear,
	}
	for _, fn := range change {
		fn(&req)
	}
	d, err := p.sip.Invite(context.Background(), req)
	if err != nil {
		p.t.Fatal(err)
	}
	l.d = d
	return l
}

// call dials and waits for the answer.
func (p *phone) call(w *world, to string) *line {
	p.t.Helper()
	l := p.dial(w, to)
	l.accepted(expect[sip.Answered](l).Body)
	return l
}

func (p *phone) incoming() *line {
	p.t.Helper()
	select {
	case l := <-p.calls:
		return l
	case <-time.After(patience):
		p.t.Fatal("no call came")
		return nil
	}
}

// expect waits for an event of a type; provisional ones are passed over unless they are wanted.
func expect[E sip.Event](l *line) E {
	l.p.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e := <-l.events:
			if want, ok := e.(E); ok {
				return want
			}
			switch e.(type) {
			case sip.Progress, sip.Acked:
			default:
				l.p.t.Fatalf("event %T %+v", e, e)
			}
		case <-limit:
			var want E
			l.p.t.Fatalf("no %T came", want)
		}
	}
}

// tone waits until a phone hears a frequency.
func (l *line) tone(hz float64) {
	l.p.t.Helper()
	l.until("the tone", func(f []int16) bool { return audio.Level(f) > -30 && audio.ToneLevel(f, hz) > 0.7 })
}

// silence waits until a phone hears nothing.
func (l *line) silence() {
	l.p.t.Helper()
	n := 0
	l.until("silence", func(f []int16) bool {
		if audio.Level(f) > -45 {
			n = -1
		}
		n++
		return n == 5
	})
}

func (l *line) until(what string, fits func([]int16) bool) {
	l.p.t.Helper()
	for len(l.frames) > 0 {
		<-l.frames
	}
	limit := time.After(patience)
	for {
		select {
		case f := <-l.frames:
			if fits(f) {
				return
			}
		case <-limit:
			l.p.t.Fatalf("%s was never heard", what)
		}
	}
}

func (l *line) key() byte {
	l.p.t.Helper()
	select {
	case k := <-l.keys:
		return k
	case <-time.After(patience):
		l.p.t.Fatal("no key came")
		return 0
	}
}

// listen takes that many frames of 20 ms.
func (l *line) listen(frames int) {
	l.p.t.Helper()
	l.until("so much sound", func([]int16) bool { frames--; return frames <= 0 })
}

// nothing lets a time go by in which a call must not change.
func (l *line) nothing(d time.Duration) {
	l.p.t.Helper()
	select {
	case e := <-l.events:
		l.p.t.Fatalf("event %T %+v", e, e)
	case <-time.After(d):
	}
}

// bye hangs up and waits until the other side knows.
func (l *line) bye() {
	l.p.t.Helper()
	if err := l.d.Bye(context.Background(), sip.Reason{}); err != nil {
		l.p.t.Fatal(err)
	}
}

func hum(hz float64) audio.Source { return audio.Tone(-10, -1, hz) }

// towards routes everything to phones by number.
func towards(phones map[string]*phone) func(RouteRequest) ([]Attempt, *Cause) {
	return func(r RouteRequest) ([]Attempt, *Cause) {
		p := phones[r.To]
		if p == nil {
			return nil, &Cause{Q850: 3, Reason: "no_route", By: ByPlatform}
		}
		return []Attempt{attempt(r, p)}, nil
	}
}

func attempt(r RouteRequest, p *phone) Attempt {
	return Attempt{
		Dest: p.addr().String(), RequestURI: "sip:" + r.To + "@" + p.addr().String(), FromUser: "12125550170", Asserted: "+12125550170",
		From: "12125550170", To: r.To,
	}
}
