package call

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sip"
)

// ErrDraining is returned for new calls while the engine does not run or is about to stop.
var ErrDraining = errors.New("call: no new calls are taken")

// Observer hears what happens to calls, on the goroutine of the call, in order, each change once. It must not block.
type Observer interface {
	LegChanged(l Leg)       // once for each state entered
	RecordChanged(r Record) // recording, processing, then available or failed
}

// Router says where a Dial or Place goes. It may wait; ctx ends when nobody wants the answer any more.
type Router interface {
	Route(ctx context.Context, r RouteRequest) ([]Attempt, *Cause)
}

// RouteRequest is one party to be reached.
type RouteRequest struct {
	Account, Type string
	From          string // caller number that was asked for; "" leaves it to the router
	CallerFrom    string // caller of the inbound call
	CalledTN      string // called number of the inbound call
	To            string // digits, user@host or sip:…
	CallerID      string // callerId of the Dial or target
	Leg           Leg    // the controlled leg; zero for Place
}

// Attempt is one way to reach a party.
type Attempt struct {
	Dest, Transport        string // host:port; "" is that of RequestURI, and UDP
	RequestURI             string
	FromUser, FromDisplay  string
	FromHost               string
	Asserted               string // number or URI of P-Asserted-Identity; "" for none
	AuthUser, AuthPassword string
	AuthRealm              string
	Headers                map[string]string
	Codecs                 []string // PCMU, PCMA in order; empty is the caller's codec first
	To, From               string   // of the leg
	OnNet                  bool     // stays on this platform
	Local                  string   // leased number on this platform that is called
	Tag                    any      // of the leg
	Release                func()   // called once when the attempt is over or was not needed

	// Admit asks the carrier of the attempt for room right before the INVITE; false passes the attempt over. nil: there is always room.
	Admit   func() (release func(), ok bool)
	Longest time.Duration  // of a call by this way, whatever else is asked for; 0: no limit of its own
	Record  *RecordOptions // a call by this way is recorded from its answer, unless it is recorded anyway; nil: it is not
}

// Blob is the store of recordings; *blob.Store is one.
type Blob interface {
	Create(ctx context.Context, key string) (*blob.File, error)
	Open(ctx context.Context, key string) (io.ReadSeekCloser, int64, error)
	Put(ctx context.Context, key string, r io.Reader) (size int64, sum string, err error)
	Delete(ctx context.Context, key string) error
}

// Config is what an engine needs. SIP, Ports, Clock and Observer must be given; Router for Dial and Place, Blob for recordings.
type Config struct {
	SIP    *sip.Endpoint
	Ports  *rtp.Ports
	Clock  *rtp.Clock
	Reader rtp.Reader // nil is that of package rtp

	MediaIP netip.Addr // told to the far sides; invalid or unspecified: the address from which packets to them leave
	BindIP  netip.Addr // of the sockets; default all addresses of the machine, so that MediaIP may belong to a NAT before it

	Observer  Observer
	Router    Router
	Blob      Blob
	HoldMusic func() audio.Source // for the party whose peer holds; nil is silence
	Logger    *slog.Logger
	Now       func() time.Time
	Limits    Limits
}

// Engine owns the calls of this node.
type Engine struct {
	cfg      Config
	registry registry
	sources  sources
	calls    sync.WaitGroup
	count    atomic.Int64
	kill     context.Context // ends what a call left behind, such as a conversion, when the drain is over
	killAll  context.CancelFunc

	mu     sync.Mutex
	taking bool
}

// NewEngine makes an engine that takes no calls until it runs.
func NewEngine(cfg Config) *Engine {
	cfg.Limits.fill()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if !cfg.BindIP.IsValid() {
		cfg.BindIP = bindFor(cfg.MediaIP)
	}
	e := &Engine{cfg: cfg}
	e.registry.make()
	e.kill, e.killAll = context.WithCancel(context.Background())
	return e
}

// Run takes calls until ctx ends, refuses new ones then, lets those in progress go on for Limits.Drain, and hangs up what is left.
func (e *Engine) Run(ctx context.Context, ready func()) error {
	e.mu.Lock()
	e.taking = true
	e.mu.Unlock()
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	e.mu.Lock()
	e.taking = false
	e.mu.Unlock()
	over := make(chan struct{})
	go func() { defer close(over); e.calls.Wait() }()
	limit := time.NewTimer(e.cfg.Limits.Drain)
	defer limit.Stop()
	select {
	case <-over:
	case <-limit.C:
		for _, c := range e.registry.all() {
			c.Hangup(Cause{Q850: TemporaryFailure, Reason: "internal", By: ByPlatform})
		}
	}
	e.killAll()
	<-over
	return nil
}

// enroll counts a call in, unless no calls are taken.
func (e *Engine) enroll(c *Call) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.taking {
		return ErrDraining
	}
	e.registry.add(c.a.snap.ID, c)
	e.count.Add(1)
	e.calls.Go(c.run)
	return nil
}

// Find gives the call that a leg belongs to, as a-leg or as leg of a Dial.
func (e *Engine) Find(legID string) (*Call, bool) { return e.registry.find(legID) }

// Count is the number of calls that are not destroyed.
func (e *Engine) Count() int { return int(e.count.Load()) }

// Live gives the legs of an account that have not ended; "" is all accounts.
func (e *Engine) Live(account string) []Leg {
	var legs []Leg
	for _, l := range e.registry.legs() {
		if snap := l.snapshot(); (account == "" || snap.Account == account) && !snap.State.Over() {
			legs = append(legs, snap)
		}
	}
	return legs
}

// Inbound describes a call that came in.
type Inbound struct {
	ID          string // default: a new one
	Account     string
	Type        string
	From, To    string
	MaxDuration time.Duration // from the answer; default Limits.MaxDuration
	Tag         any
}

func (e *Engine) inboundLeg(d *sip.Dialog, p Inbound) Leg {
	if p.ID == "" {
		p.ID = ident.New()
	}
	return Leg{
		ID: p.ID, Account: p.Account, Type: p.Type, Direction: In, From: p.From, To: p.To, Tag: p.Tag,
		SIPCallID: d.CallID(), RemoteIP: d.RemoteAddr().Addr().Unmap().String(),
	}
}

// Inbound takes a call over. Its leg has been told as init when Inbound returns; the far side hears nothing until Ring, EarlyMedia,
// Answer or Refuse. ErrDraining: the call was refused with 503.
func (e *Engine) Inbound(d *sip.Dialog, p Inbound) (*Call, error) {
	c := newCall(e, e.inboundLeg(d, p), p.MaxDuration)
	c.a.dialog = d
	if err := e.enroll(c); err != nil {
		_ = d.Reject(503, sip.Reason{Q850: 42}, sip.Header{Name: "Retry-After", Value: "5"})
		return nil, err
	}
	c.do(func() {
		c.a.enter(begin)
		d.Observe(func(ev sip.Event) { c.hear(c.a, nil, ev) })
	})
	return c, nil
}

// Refuse turns a call down that is to be stored: its leg is told as hangup and destroyed only, on the goroutine of the caller.
func (e *Engine) Refuse(d *sip.Dialog, p Inbound, cause Cause) Leg {
	cause = cause.complete()
	if cause.By == "" {
		cause.By = ByPlatform
	}
	_ = d.Reject(cause.status(), sip.Reason{Q850: wireCause(cause.Q850), Text: Name(cause.Q850)})
	snap := e.inboundLeg(d, p)
	snap.InitOn, snap.Cause = e.cfg.Now(), cause
	for _, in := range []input{refuse, clean} {
		snap.State, _ = snap.State.next(in)
		snap.stamp(snap.State, e.cfg.Now())
		e.cfg.Observer.LegChanged(snap)
	}
	return snap
}

// ownHost is what stands for this platform in URIs.
func (e *Engine) ownHost() string {
	if ip := e.cfg.MediaIP; ip.IsValid() && !ip.IsUnspecified() {
		return uriHost(ip)
	}
	if bound := e.cfg.SIP.Addr(); len(bound) > 0 {
		return uriHost(bound[0].Addr.Addr())
	}
	return "anonymous.invalid"
}

func uriHost(ip netip.Addr) string {
	if ip = ip.Unmap(); ip.Is6() {
		return "[" + ip.WithZone("").String() + "]"
	}
	return ip.String()
}

// bindFor is where sockets are bound whose far sides are told an address.
func bindFor(told netip.Addr) netip.Addr {
	switch {
	case told.IsLoopback():
		return told
	case told.Is6() && !told.Is4In6():
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// wireCause keeps the numbers that are not of Q.850 off the wire.
func wireCause(q850 int) int {
	if q850 > 127 {
		return 0
	}
	return q850
}
