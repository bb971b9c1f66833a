package voice

import (
	"context"
	"net/netip"
	"time"

	"github.com/opentact/opentact/internal/sip"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// engine is what this package asks of the engine of live calls.
type engine interface {
	Inbound(d invitation, p call.Inbound) (live, error)
	Refuse(d invitation, p call.Inbound, c call.Cause)
	Place(ctx context.Context, p call.Outbound) (live, error)
	Find(leg string) (live, bool)
}

// live is one call of the engine; phone is its side towards call XML.
type live interface {
	A() call.Leg
	Context() context.Context // ends at hangup
	Answered() bool
	Ring(ctx context.Context)
	Hangup(c call.Cause)
	HangupLeg(id string, c call.Cause) (live bool)
	WaitAnswered(ctx context.Context) error
	SendKeys(ctx context.Context, digits string, each time.Duration) error
	SendKeysTo(ctx context.Context, leg, digits string, each time.Duration) error
	B() (call.Leg, bool)
	StartRecord(ctx context.Context, o call.RecordOptions) error
	Phone(s *script) flow.Phone
}

// invitation is an inbound INVITE that nobody has answered; *sip.Dialog is one.
type invitation interface {
	Called() sip.URI
	To() sip.Party
	From() sip.Party
	AssertedIdentity() (sip.Party, bool)
	Header(name string) string
	RemoteAddr() netip.AddrPort
	CallID() string
	Observe(fn func(sip.Event))
	Reject(status int, reason sip.Reason, headers ...sip.Header) error
}

// Attach gives the service the engine whose Observer and Router it is; call it once, before the first call.
func (s *Service) Attach(e *call.Engine) { s.engine = realEngine{e} }

// realEngine is *call.Engine as engine.
type realEngine struct{ e *call.Engine }

func (r realEngine) Inbound(d invitation, p call.Inbound) (live, error) {
	c, err := r.e.Inbound(d.(*sip.Dialog), p)
	if err != nil {
		return nil, err
	}
	return realCall{c}, nil
}

func (r realEngine) Refuse(d invitation, p call.Inbound, c call.Cause) {
	r.e.Refuse(d.(*sip.Dialog), p, c)
}

func (r realEngine) Place(ctx context.Context, p call.Outbound) (live, error) {
	c, err := r.e.Place(ctx, p)
	if err != nil {
		return nil, err
	}
	return realCall{c}, nil
}

func (r realEngine) Find(leg string) (live, bool) {
	c, ok := r.e.Find(leg)
	if !ok {
		return nil, false
	}
	return realCall{c}, true
}

// realCall is *call.Call as live.
type realCall struct{ *call.Call }

// StartRecord begins a recording that ends with the call.
func (r realCall) StartRecord(ctx context.Context, o call.RecordOptions) error {
	_, err := r.Call.StartRecord(ctx, o)
	return err
}

// Phone gives the call to a script.
func (r realCall) Phone(s *script) flow.Phone { return &phone{c: r.Call, script: s} }

// endCall ends the live call that a leg belongs to, if it still is.
func (s *Service) endCall(leg string, c call.Cause) {
	if s.engine == nil {
		return
	}
	if l, ok := s.engine.Find(leg); ok {
		l.Hangup(c)
	}
}
