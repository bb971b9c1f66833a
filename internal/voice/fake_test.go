package voice

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/sip"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// fakeEngine makes calls without SIP that report their states as real ones do.
type fakeEngine struct {
	s  *Service
	mu sync.Mutex

	calls     map[string]*fakeCall
	answering func(leg string) // nil, or told of a call before it is answered
	refused   []call.Cause
	placed    []call.Attempt
	quick     bool // who is called picks up at once
}

func (e *fakeEngine) begin(l call.Leg) *fakeCall {
	if l.ID == "" {
		l.ID = ident.New()
	}
	c := &fakeCall{s: e.s, answering: e.answering, answered: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.leg = l
	e.mu.Lock()
	e.calls[l.ID] = c
	e.mu.Unlock()
	c.enter(call.Init)
	return c
}

func (e *fakeEngine) Inbound(d invitation, p call.Inbound) (live, error) {
	return e.begin(call.Leg{ID: p.ID, Account: p.Account, Type: p.Type, Direction: call.In, From: p.From, To: p.To, Tag: p.Tag, SIPCallID: d.CallID(), RemoteIP: "192.0.2.1"}), nil
}

func (e *fakeEngine) Refuse(d invitation, p call.Inbound, cause call.Cause) {
	e.mu.Lock()
	e.refused = append(e.refused, cause)
	e.mu.Unlock()
	l := call.Leg{ID: ident.New(), Account: p.Account, Type: p.Type, Direction: call.In, From: p.From, To: p.To, Tag: p.Tag, SIPCallID: d.CallID(), InitOn: time.Now(), Cause: cause}
	l.State, l.HangupOn = call.Hangup, time.Now()
	e.s.LegChanged(l)
	l.State, l.DestroyOn = call.Destroyed, time.Now()
	e.s.LegChanged(l)
}

func (e *fakeEngine) Place(ctx context.Context, p call.Outbound) (live, error) {
	ways, cause := e.s.Route(ctx, call.RouteRequest{Account: p.Account, Type: p.Type, From: p.From, To: p.Targets[0].To})
	if cause != nil {
		return nil, &call.EndedError{Cause: *cause}
	}
	e.mu.Lock()
	e.placed = ways
	e.mu.Unlock()
	c := e.begin(call.Leg{ID: p.ID, Account: p.Account, Type: p.Type, Direction: call.Out, From: ways[0].From, To: ways[0].To, Tag: p.Tag})
	if e.quick {
		return c, c.Answer(ctx)
	}
	return c, nil
}

func (e *fakeEngine) Find(leg string) (live, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.calls[leg]
	if !ok || c.ctx.Err() != nil {
		return nil, false
	}
	return c, true
}

func (e *fakeEngine) last() call.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.refused) == 0 {
		return call.Cause{}
	}
	return e.refused[len(e.refused)-1]
}

// fakeCall is one call, and its phone.
type fakeCall struct {
	s         *Service
	ctx       context.Context
	cancel    context.CancelCauseFunc
	answering func(leg string)

	mu       sync.Mutex
	leg      call.Leg
	answered chan struct{}
	up       bool
	ended    bool
	sent     string
	record   *call.RecordOptions
	played   int
}

// enter moves the leg on and reports it, as the engine's one goroutine does.
func (c *fakeCall) enter(s call.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leg.State = s
	now := time.Now()
	switch s {
	case call.Init:
		c.leg.InitOn = now
	case call.Ringing:
		c.leg.RingOn = now
	case call.Live:
		c.leg.AnswerOn = now
	case call.Bridged:
		c.leg.BridgeOn = now
	case call.Hangup:
		c.leg.HangupOn = now
	case call.Destroyed:
		c.leg.DestroyOn = now
	}
	c.s.LegChanged(c.leg)
}

func (c *fakeCall) A() call.Leg {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leg
}
func (c *fakeCall) B() (call.Leg, bool)      { return call.Leg{}, false }
func (c *fakeCall) Context() context.Context { return c.ctx }
func (c *fakeCall) Ring(context.Context)     { c.enter(call.Ringing) }
func (c *fakeCall) Answered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

func (c *fakeCall) Answer(context.Context) error {
	c.mu.Lock()
	if c.up || c.ended {
		c.mu.Unlock()
		return nil
	}
	c.up = true
	close(c.answered)
	id := c.leg.ID
	c.mu.Unlock()
	if c.answering != nil {
		c.answering(id)
	}
	c.enter(call.Live)
	return nil
}

func (c *fakeCall) WaitAnswered(ctx context.Context) error {
	select {
	case <-c.answered:
		return nil
	case <-c.ctx.Done():
		return &call.EndedError{}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end reports the end before the context tells of it: whoever waits for that may be the last to write reports.
func (c *fakeCall) end(cause call.Cause) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	c.leg.Cause = cause
	c.mu.Unlock()
	c.enter(call.Hangup)
	c.enter(call.Destroyed)
	c.cancel(&call.EndedError{Cause: cause})
}

func (c *fakeCall) SendKeys(_ context.Context, digits string, _ time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent += digits
	return nil
}

func (c *fakeCall) SendKeysTo(ctx context.Context, _, digits string, d time.Duration) error {
	return c.SendKeys(ctx, digits, d)
}

func (c *fakeCall) StartRecord(_ context.Context, o call.RecordOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = &o
	return nil
}

func (c *fakeCall) Hangup(cause call.Cause) { c.end(cause) }

func (c *fakeCall) HangupLeg(_ string, cause call.Cause) bool {
	c.end(cause)
	return true
}

func (c *fakeCall) Phone(s *script) flow.Phone { return fakePhone{c, s} }

type fakePhone struct {
	*fakeCall
	script *script
}

func (p fakePhone) Info() flow.CallInfo {
	l := p.A()
	return flow.CallInfo{UUID: l.ID, From: l.From, To: l.To, TN: string(p.script.tag.tn), Direction: l.Direction, State: string(l.State), Type: l.Type, AccountUUID: l.Account}
}

func (p fakePhone) Play(ctx context.Context, _ audio.Source, _ flow.PlayOptions) error {
	p.mu.Lock()
	p.played++
	p.mu.Unlock()
	return nil
}
func (p fakePhone) Keys() flow.Keypad { return noKeys{} }
func (p fakePhone) Record(context.Context, flow.RecordOptions) (flow.Recorder, error) {
	return nil, errors.New("no media")
}

func (p fakePhone) Dial(context.Context, flow.DialRequest) flow.DialResult {
	return flow.DialResult{Status: flow.Failed, FailName: "NO_USER_RESPONSE"}
}

func (p fakePhone) Refuse(status, q850 int, reason string) {
	p.end(call.Cause{SIP: status, Q850: q850, Reason: reason, By: call.ByPlatform})
}

func (p fakePhone) Hangup(q850 int, reason string) {
	p.end(call.Cause{Q850: q850, Reason: reason, By: call.ByPlatform})
}

type noKeys struct{}

func (noKeys) Forget()                  {}
func (noKeys) Pressed() <-chan struct{} { return nil }
func (noKeys) Next(ctx context.Context) (byte, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// invite is an INVITE that was not sent.
type fakeInvite struct {
	to, from, asserted string
	source             string
	headers            map[string]string
	callID             string
	status             int
	reason             sip.Reason
}

func (i *fakeInvite) Called() sip.URI { return sip.URI{Scheme: "sip", User: i.to, Host: "example.org"} }
func (i *fakeInvite) To() sip.Party   { return sip.Party{User: i.to} }
func (i *fakeInvite) From() sip.Party { return sip.Party{User: i.from} }
func (i *fakeInvite) AssertedIdentity() (sip.Party, bool) {
	return sip.Party{User: i.asserted}, i.asserted != ""
}
func (i *fakeInvite) Header(name string) string { return i.headers[name] }
func (i *fakeInvite) RemoteAddr() netip.AddrPort {
	return netip.MustParseAddrPort(i.source)
}
func (i *fakeInvite) CallID() string          { return i.callID }
func (i *fakeInvite) Observe(func(sip.Event)) {}
func (i *fakeInvite) Reject(status int, reason sip.Reason, _ ...sip.Header) error {
	i.status, i.reason = status, reason
	return nil
}
