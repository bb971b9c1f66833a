package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sandbox"
	"github.com/opentact/opentact/internal/sip"
	"github.com/opentact/opentact/internal/speech"
	"github.com/opentact/opentact/internal/trunk"
	"github.com/opentact/opentact/internal/voice"
	"github.com/opentact/opentact/internal/voice/call"
)

// calls is everything that makes sound: SIP, media, speech, and the domain that steers them.
type calls struct {
	sip     *sip.Endpoint
	clock   *rtp.Clock
	poller  *rtp.Poller
	ports   *rtp.Ports
	engine  *call.Engine
	voice   *voice.Service
	speech  *speech.Engines
	media   *blob.Store
	sandbox *sandbox.Carrier // nil without the sandbox
}

// phones hands what comes in over SIP to the domain.
type phones struct{ c *calls }

func (p phones) Invite(d *sip.Dialog) { p.c.voice.Invite(d) }

// Request leaves REGISTER, MESSAGE and the like to the endpoint's own answer, 405 with Allow. Who goes on asking is looking for a way in.
func (p phones) Request(r *sip.Request) sip.Response {
	p.c.suspect(r.RemoteAddr().Addr())
	return sip.Response{}
}

func (c *calls) suspect(ip netip.Addr) { c.sip.Suspect(ip) }

// newCalls builds the voice side without starting anything.
func (a *App) newCalls(ctx context.Context) (*calls, error) {
	c := &calls{clock: rtp.NewClock()}
	var err error
	if c.media, err = blob.Open(a.cfg.Blob); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	a.domains.parts.Objects = c.media // avatars lie beside recordings
	a.domains.accounts.Attach(a.domains.parts)
	cache := speech.Cache{Dir: filepath.Join(a.cfg.Data, "speech")}
	if c.speech, err = speech.New(speech.Options{TTS: a.cfg.SpeechTTS, STT: a.cfg.SpeechSTT, Cache: cache, Log: a.log}); err != nil {
		return nil, fmt.Errorf("speech: %w", err)
	}
	if c.poller, err = rtp.NewPoller(1); err != nil {
		return nil, fmt.Errorf("media reader: %w", err)
	}
	key, err := a.secret(ctx, "media.signing_key")
	if err != nil {
		return nil, err
	}
	signer, err := blob.NewSigner(key)
	if err != nil {
		return nil, err
	}
	m := a.domains
	c.voice = voice.New(voice.Config{
		DB: a.db, Events: m.events, Jobs: m.jobs, Accounts: m.accounts, Billing: m.billing, Numbers: m.numbers, Fetch: m.fetch, Speech: c.speech, Blob: c.media, Signer: signer,
		Carriers: m.trunk, Routes: routes{m.trunk}, Channels: m.trunk, Webhooks: stateWebhooks{m.webhooks}, Profiles: m.trunk, Prefixes: prefixes{m.trunk},
		Node: m.node.ID(), Nodes: m.node, Bus: a.bus, Fence: m.node.Fence, APIURL: a.cfg.APIURL, SIPAddr: c.local, Suspect: c.suspect, Logger: a.log,
	})
	m.node.OnDead("calls", c.voice.TakeBack)
	m.voice = c.voice
	return c, a.connect(c)
}

// connect builds SIP endpoint and engine, which need the domain as their ear.
func (a *App) connect(c *calls) error {
	conf := sip.Config{Listen: a.cfg.SIPAddr, UserAgent: "Opentact/" + a.build.Version, Logger: a.log, Trusted: trusted(a.domains.trunk)}
	var mediaIP netip.Addr
	if a.cfg.PublicIP != "auto" && a.cfg.PublicIP != "" {
		ip, err := netip.ParseAddr(a.cfg.PublicIP)
		if err != nil {
			return fmt.Errorf("public-ip: %w", err)
		}
		conf.PublicAddr, mediaIP = a.cfg.PublicIP, ip
	}
	if a.cfg.SIPTLSAddr != "" {
		conf.ListenTLS, conf.TLS = []string{a.cfg.SIPTLSAddr}, a.tls.sip
	}
	var err error
	if c.sip, err = sip.New(conf, phones{c}); err != nil {
		return err
	}
	a.domains.trunk.PingWith(pings{c.sip})
	c.sip.Refuse(true) // until every part works
	if c.ports, err = rtp.NewPorts(int(a.cfg.RTPPorts.First), int(a.cfg.RTPPorts.Last)); err != nil {
		return fmt.Errorf("rtp-ports: %w", err)
	}
	c.engine = call.NewEngine(call.Config{
		SIP: c.sip, Ports: c.ports, Clock: c.clock, Reader: c.poller, MediaIP: mediaIP, BindIP: bindIP(mediaIP), HoldMusic: audio.HoldMusic, Observer: c.voice, Router: c.voice, Blob: c.media,
		Logger: a.log, Limits: call.Limits{Drain: a.cfg.Drain},
	})
	c.voice.Attach(c.engine)
	if a.cfg.Sandbox {
		c.sandbox, err = a.newSandbox(c)
	}
	return err
}

// trusted are the sources that are never banned: carriers, and this machine, whose own calls to itself would be lost with a careless program beside it.
func trusted(carriers *trunk.Service) func(netip.Addr) bool {
	own := map[netip.Addr]bool{}
	addrs, _ := net.InterfaceAddrs() // an error leaves loopback
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().WithZone("")] = true
		}
	}
	return func(ip netip.Addr) bool {
		_, _, ok := carriers.Match(netip.AddrPortFrom(ip, 0))
		return ok || ip.IsLoopback() || own[ip.WithZone("")]
	}
}

// bindIP is where media sockets listen: behind NAT the address told to others is not ours to bind, so all of them.
func bindIP(public netip.Addr) netip.Addr {
	if !public.IsValid() || public.IsLoopback() {
		return public
	}
	return netip.IPv4Unspecified()
}

// local is an address at which this machine reaches the SIP endpoint; valid once it runs.
func (c *calls) local() netip.AddrPort {
	for _, b := range c.sip.Addr() {
		if b.Transport == "UDP" {
			if b.Addr.Addr().IsUnspecified() {
				return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), b.Addr.Port())
			}
			return b.Addr
		}
	}
	return netip.AddrPort{}
}

// sandboxMedia says "free ports": the sandbox's own phones take them from the system.
const sandboxMedia = -1

func (a *App) newSandbox(c *calls) (*sandbox.Carrier, error) {
	m := a.domains
	conf := sandbox.Config{
		Logger: a.log, Low: sandboxMedia, High: sandboxMedia, Fetch: m.fetch, PlatformSIP: func() string { return c.local().String() }, Credit: a.cfg.SandboxCredit,
		Calls: inboundCalls{c.voice}, Messages: inboundMessages{m.messages},
		IsLocal: func(ctx context.Context, n e164.Number) bool {
			_, ok, err := m.numbers.ByTN(ctx, a.db.Read(), n)
			return err == nil && ok
		},
		Owned: func(ctx context.Context, account string, n e164.Number) (bool, error) {
			l, ok, err := m.numbers.ByTN(ctx, a.db.Read(), n)
			return ok && l.Account == account, err
		},
		Speak: func(ctx context.Context, text string) ([]int16, error) {
			samples, _, err := c.speech.Speak(ctx, speech.Request{Text: text})
			return samples, err
		},
	}
	if c.speech.CanRecognize() {
		conf.Recognise = func(ctx context.Context, samples []int16, phrases []string) (string, error) {
			t, err := c.speech.Recognize(ctx, samples, speech.RecognizeOptions{Phrases: phrases})
			return t.Text, err
		}
	}
	return sandbox.New(conf)
}

// listSandbox tells trunk where the sandbox answers, once it does.
func (a *App) listSandbox(ctx context.Context, ready func()) error {
	at := a.calls.sandbox.Addr()
	if _, err := a.domains.trunk.EnsureSandbox(ctx, at.Addr().String(), int(at.Port())); err != nil {
		return fmt.Errorf("sandbox carrier: %w", err)
	}
	ready()
	return nil
}

func (c *calls) close() error {
	if c.ports != nil {
		c.ports.CloseIdle()
	}
	c.speech.Close()
	return c.media.Close()
}

// inboundCalls tells the sandbox what became of a call that it placed.
type inboundCalls struct{ voice *voice.Service }

func (i inboundCalls) AwaitInbound(ctx context.Context, callID string) (json.RawMessage, error) {
	b, err := i.voice.AwaitInbound(ctx, callID)
	return b, err
}

// inboundMessages lets the sandbox deliver a message.
type inboundMessages struct{ messages *messaging.Service }

func (i inboundMessages) Inbound(ctx context.Context, from, to e164.Number, text string) (json.RawMessage, error) {
	return i.messages.Simulate(ctx, from.Digits(), to.Digits(), text)
}

// routes gives voice the ways that trunk chooses.
type routes struct{ trunk *trunk.Service }

func (r routes) Route(ctx context.Context, q db.Querier, req voice.RouteRequest) (voice.RouteSet, error) {
	found, err := r.trunk.Route(ctx, q, trunk.RouteRequest{Account: req.Account, Profile: req.Profile, To: req.To, From: req.From, Forwarded: req.Forwarded, Called: req.Called})
	if err != nil {
		return voice.RouteSet{}, refusal(err)
	}
	release, err := r.trunk.Admit(found)
	if err != nil {
		return voice.RouteSet{}, refusal(err)
	}
	set := voice.RouteSet{
		Profile: found.Profile.ID, From: found.From, Own: found.Own, Lease: found.Lease, To: found.To, MaxDuration: found.Profile.MaxDuration, Release: release, Record: recording(found),
		Rate: voice.Rate{PerMin: found.Rate.PerMin, Setup: found.Rate.Setup, MinTime: found.Rate.MinTime, Interval: found.Rate.Interval, Grace: found.Rate.Grace},
	}
	for _, at := range found.Attempts {
		set.Ways = append(set.Ways, voice.Way{
			Host: at.Host, Port: at.Port, Transport: at.Transport, User: at.User, From: at.From, AuthUser: at.Login, AuthPass: at.Password, Codecs: at.Codecs,
			Admit: func() (func(), bool) { return r.trunk.AdmitCarrier(at) },
		})
	}
	return set, nil
}

// recording is what the profile of a call wants recorded (voice-semantics §11); nil is nothing.
func recording(r trunk.Route) *call.RecordOptions {
	if !r.Profile.Records(r.From) {
		return nil
	}
	o := &call.RecordOptions{Format: r.Profile.Format, Channels: "mono"}
	if r.Profile.Tracks == 1 {
		o.Channels = "dual"
	}
	return o
}

// pings asks carriers for a sign of life; any answer is one.
type pings struct{ sip *sip.Endpoint }

func (p pings) Ping(ctx context.Context, h trunk.Host) error {
	uri := "sip:" + net.JoinHostPort(strings.Trim(h.Host, "[]"), strconv.Itoa(h.Port))
	_, err := p.sip.Options(ctx, uri, h.Transport)
	return err
}

// refusal says a refusal of trunk in the words of voice.
func refusal(err error) error {
	var r *trunk.Refusal
	if !errors.As(err, &r) {
		return err
	}
	return &voice.Refusal{Reason: r.Reason, SIP: r.Status, Q850: call.FromSIP(r.Status), Err: r.Fault}
}

func (r routes) Identity(ctx context.Context, q db.Querier, account, profile string) (e164.Number, error) {
	return r.trunk.Identity(ctx, q, account, profile)
}

func (r routes) Spent(ctx context.Context, tx *db.Tx, account, profile string, amount money.Amount, at time.Time) error {
	return r.trunk.Spent(ctx, tx, account, profile, amount, at)
}

// prefixes gives apps their tech prefixes.
type prefixes struct{ trunk *trunk.Service }

func (p prefixes) ClaimPrefix(ctx context.Context, tx *db.Tx, account, app string) (int, error) {
	return p.trunk.ClaimPrefix(ctx, tx, 0, trunk.PrefixOwner{Kind: trunk.PrefixApp, Account: account, Ref: app})
}

func (p prefixes) FreePrefix(ctx context.Context, tx *db.Tx, app string) error {
	return p.trunk.FreePrefix(ctx, tx, app)
}

// sipAddrs are the bound SIP addresses, each once: one serves UDP and TCP; that of TLS says so in the words of a SIP URI.
func (c *calls) sipAddrs() []string {
	var out []string
	for _, b := range c.sip.Addr() {
		switch b.Transport {
		case "UDP":
			out = append(out, b.Addr.String())
		case "TLS":
			out = append(out, b.Addr.String()+";transport=tls")
		}
	}
	return out
}
