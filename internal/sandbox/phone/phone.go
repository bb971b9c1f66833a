package phone

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// ErrFull says that the phone has Config.MaxCalls calls, or no port is left for another.
var ErrFull = errors.New("phone: too many calls")

// errClosed is the cause of calls that end with their phone.
var errClosed = errors.New("phone: switched off")

// Config is what a Phone needs; the zero value is a phone on a free port of 127.0.0.1 that refuses to be called.
type Config struct {
	Listen    string      // host:port of SIP; default 127.0.0.1:0
	UserAgent string      // default "Opentact phone"
	Low, High int         // UDP ports of the media; 0 and 0 take any free ones
	Codecs    []sdp.Codec // best first; default PCMU, PCMA
	User      string      // who calls, unless a Request says otherwise
	Display   string
	Auth      *sip.Auth     // for challenges
	Hear      time.Duration // DefaultHear when zero; calls that only Listen keep anything
	MaxCalls  int           // DefaultMaxCalls when zero
	Logger    *slog.Logger

	// OnCall handles a call to the phone on a goroutine of its own; the call ends with its return. Without it calls get 480.
	OnCall func(ctx context.Context, c *Call)
}

// Phone is a SIP user agent with sound. It does nothing before Run.
type Phone struct {
	cfg     Config
	mediaIP netip.Addr
	sip     *sip.Endpoint
	ports   *rtp.Ports
	clock   *rtp.Clock
	log     *slog.Logger

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	calls   int
	closing bool
	wg      sync.WaitGroup // one for each call
}

// New checks the configuration.
func New(cfg Config) (*Phone, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "Opentact phone"
	}
	if len(cfg.Codecs) == 0 {
		cfg.Codecs = []sdp.Codec{sdp.PCMU, sdp.PCMA}
	}
	if cfg.Hear <= 0 {
		cfg.Hear = DefaultHear
	}
	if cfg.MaxCalls <= 0 {
		cfg.MaxCalls = DefaultMaxCalls
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("phone: listen address: %w", err)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.IsUnspecified() {
		return nil, fmt.Errorf("phone: listen address %q is not an address that others can call", host)
	}
	ports, err := rtp.NewPorts(cfg.Low, cfg.High)
	if err != nil {
		return nil, fmt.Errorf("phone: media ports: %w", err)
	}
	p := &Phone{cfg: cfg, mediaIP: ip, ports: ports, clock: rtp.NewClock(), log: cfg.Logger}
	p.sip, err = sip.New(sip.Config{Listen: []string{cfg.Listen}, UserAgent: cfg.UserAgent, Logger: cfg.Logger}, handler{p})
	return p, err
}

// Run switches the phone on, calls ready, and works until ctx ends; then every call is hung up. A phone runs once.
func (p *Phone) Run(ctx context.Context, ready func()) error {
	callCtx, end := context.WithCancelCause(ctx)
	clockCtx, stopClock := context.WithCancel(context.WithoutCancel(ctx))
	p.mu.Lock()
	p.ctx = callCtx
	p.mu.Unlock()
	var clock sync.WaitGroup
	clock.Go(func() { _ = p.clock.Run(clockCtx) })
	err := p.sip.Run(ctx, ready)
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	end(errClosed)
	p.wg.Wait()
	stopClock()
	clock.Wait()
	return err
}

// Addr is where the phone can be called; it is known when ready is called.
func (p *Phone) Addr() netip.AddrPort {
	for _, b := range p.sip.Addr() {
		if b.Transport == "UDP" {
			return b.Addr
		}
	}
	return netip.AddrPort{}
}

// Calls is the number of calls in any state.
func (p *Phone) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Request describes a call to place.
type Request struct {
	To            string // URI, "sip:+13125550100@127.0.0.1:5060"; required
	Dest          string // host:port to send to; default that of To
	User, Display string // who calls; default those of the phone
	CallID        string // default random
	Headers       []sip.Header
	RingTimeout   time.Duration // default that of the SIP endpoint
	Deaf          bool          // do not keep what is heard
}

// Place calls somebody. It returns when the INVITE is on its way; Call.WaitAnswered tells what became of it. The call lives until it is hung up
// or the phone is switched off, however long ctx lives. Errors: ErrFull, that of the SIP endpoint.
func (p *Phone) Place(ctx context.Context, r Request) (*Call, error) {
	if r.User == "" {
		r.User, r.Display = p.cfg.User, p.cfg.Display
	}
	c, err := p.newCall()
	if err != nil {
		return nil, err
	}
	body, err := c.makeOffer()
	if err != nil {
		c.finish(Outcome{Text: err.Error()})
		return nil, err
	}
	if !r.Deaf {
		c.Listen()
	}
	d, err := p.sip.Invite(ctx, sip.InviteRequest{
		RequestURI: r.To, Dest: r.Dest, From: sip.Party{User: r.User, Display: r.Display}, Body: body,
		Headers: r.Headers, CallID: r.CallID, RingTimeout: r.RingTimeout, Auth: p.cfg.Auth,
	})
	if err != nil {
		c.finish(Outcome{Text: err.Error()})
		return nil, fmt.Errorf("phone: calling %s: %w", r.To, err)
	}
	c.attach(d)
	return c, nil
}

// newCall takes a place and ports for a call and starts the goroutine that cleans up after it.
func (p *Phone) newCall() (*Call, error) {
	ctx, err := p.reserve()
	if err != nil {
		return nil, err
	}
	c := &Call{p: p, answered: make(chan struct{}), alerted: make(chan struct{}), over: make(chan struct{}), keys: make(chan byte, keyBuffer)}
	c.ear = newEar(p.cfg.Hear)
	c.stream, err = rtp.Open(rtp.Config{
		Ports: p.ports, Clock: p.clock, LocalIP: p.mediaIP, Logger: p.log,
		OnKey: func(key byte, _ time.Duration) { c.pressed(key) },
	})
	if err != nil {
		p.release()
		return nil, errors.Join(ErrFull, err)
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	go func() {
		defer p.release()
		c.cleanUp()
	}()
	return c, nil
}

// reserve takes a place for a call, which Run waits for until release.
func (p *Phone) reserve() (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || p.closing {
		return nil, errClosed
	}
	if p.calls >= p.cfg.MaxCalls {
		return nil, ErrFull
	}
	p.calls++
	p.wg.Add(1)
	return p.ctx, nil
}

func (p *Phone) release() {
	p.mu.Lock()
	p.calls--
	p.mu.Unlock()
	p.wg.Done()
}

// handler is the side of a phone that its SIP endpoint sees.
type handler struct{ p *Phone }

// Invite answers a call as OnCall wants.
func (h handler) Invite(d *sip.Dialog) {
	p := h.p
	if p.cfg.OnCall == nil {
		_ = d.Reject(480, sip.Reason{Q850: 20})
		return
	}
	c, err := p.newCall()
	if err != nil {
		p.log.Warn("call to the phone refused", "error", err)
		_ = d.Reject(503, sip.Reason{Q850: 34})
		return
	}
	c.inbound = true
	c.attach(d)
	p.cfg.OnCall(c.ctx, c)
	c.hangup(sip.Reason{Q850: 16})
}

// Request answers OPTIONS, with which a platform asks whether the carrier is there.
func (h handler) Request(r *sip.Request) sip.Response {
	if r.Method == "OPTIONS" {
		return sip.Response{Status: 200}
	}
	return sip.Response{}
}
