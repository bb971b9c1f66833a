package voice

import (
	"cmp"
	"context"
	"crypto/subtle"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/sip"
	"github.com/opentact/opentact/internal/voice/call"
)

// arrival is an inbound call on its way through the checks.
type arrival struct {
	d      invitation
	onNet  bool   // this server sent it to itself
	hops   int    // how often it did
	caller string // E.164 with its plus, a login, or anonymous
	called e164.Number
	lease  *number.Lease
	owner  account.Account
	app    *App // nil until it is known
	rate   Rate

	release func() // gives the channel back
}

// anonymous is a caller without a number.
const anonymous = "anonymous"

// Invite takes an inbound call: who calls, which number, and may they (voice-semantics §2.3, §3). It may block: the endpoint
// gives each call a goroutine.
func (s *Service) Invite(d *sip.Dialog) { s.invite(d) }

func (s *Service) invite(d invitation) {
	ctx, cancel := context.WithTimeout(s.stop, frontWait)
	defer cancel()
	a := arrival{d: d}
	if s.journal.behind() {
		s.turnAway(d, 503, 42, sip.Header{Name: "Retry-After", Value: "1"})
		return
	}
	if !s.trusted(&a) {
		if s.cfg.Suspect != nil {
			s.cfg.Suspect(d.RemoteAddr().Addr())
		}
		s.turnAway(d, 403, 21)
		return
	}
	a.caller, a.called = callerOf(d), calledOf(d)
	lease, err := s.leaseOf(ctx, a.called)
	switch {
	case fault.Is(err, fault.NotFound):
		s.turnAway(d, 404, 1)
		return
	case err != nil:
		s.log.Error("inbound call", "to", string(a.called), "error", err)
		s.turnAway(d, 503, 41)
		return
	}
	a.lease = lease
	cause, err := s.screen(ctx, &a)
	if err != nil {
		s.log.Error("inbound call", "to", string(a.called), "account", a.lease.Account, "error", err)
		cause = &call.Cause{Q850: call.TemporaryFailure, SIP: 503, Reason: "internal", By: call.ByPlatform}
	}
	if cause != nil {
		t := a.tag()
		t.refused = true
		s.engine.Refuse(d, a.inbound(t), *cause)
		return
	}
	s.accept(&a)
}

// turnAway refuses a call that is nobody's: no call is stored.
func (s *Service) turnAway(d invitation, status, q850 int, headers ...sip.Header) {
	d.Observe(func(sip.Event) {})
	if err := d.Reject(status, sip.Reason{Q850: q850, Text: call.Name(q850)}, headers...); err != nil {
		s.log.Debug("refusing a call", "status", status, "error", err)
	}
}

// trusted tells whether the source may bring calls to numbers: a carrier, or this server itself.
func (s *Service) trusted(a *arrival) bool {
	if mark := a.d.Header(loopHeader); mark != "" && subtle.ConstantTimeCompare([]byte(mark), []byte(s.secret)) == 1 {
		a.onNet = true
		a.hops, _ = strconv.Atoi(a.d.Header(hopsHeader))
		return true
	}
	if s.cfg.Carriers == nil {
		return false
	}
	_, _, ok := s.cfg.Carriers.Match(a.d.RemoteAddr())
	return ok
}

// calledOf is the called number: that of the request URI, else of To; "" when neither is one.
func calledOf(d invitation) e164.Number {
	for _, user := range []string{d.Called().User, d.To().User} {
		if n, err := e164.Parse(user); err == nil {
			return n
		}
	}
	return ""
}

// callerOf is the caller's number: the asserted one of a trusted source, else From; a name when there is no number.
func callerOf(d invitation) string {
	candidates := []string{d.From().User}
	if p, ok := d.AssertedIdentity(); ok {
		candidates = []string{p.User, d.From().User}
	}
	for _, user := range candidates {
		if n, err := e164.Parse(user); err == nil {
			return n.Plus()
		}
	}
	return cmp.Or(d.From().User, anonymous)
}

// leaseOf gives who has a number; a 404 when nobody has.
func (s *Service) leaseOf(ctx context.Context, n e164.Number) (*number.Lease, error) {
	if n == "" {
		return nil, fault.Missing("TN lease")
	}
	return s.hots.leases.get(string(n), s.now(), func() (*number.Lease, error) {
		l, ok, err := s.cfg.Numbers.ByTN(ctx, s.db.Read(), n)
		if err == nil && !ok {
			err = fault.Missing("TN lease")
		}
		return &l, err
	})
}

// hotApp is the app that a call runs; it must not be changed.
func (s *Service) hotApp(ctx context.Context, account, id string) (*App, error) {
	a, err := s.hots.apps.get(id, s.now(), func() (*App, error) {
		a, err := appOf(ctx, s.db.Read(), "", id)
		return &a, err
	})
	if err == nil && a.Account != account {
		err = fault.Missing("SIP control app")
	}
	return a, err
}

// denied is a refusal of the platform's.
func denied(status, q850 int, reason string) (*call.Cause, error) {
	return &call.Cause{SIP: status, Q850: q850, Reason: reason, By: call.ByPlatform}, nil
}

// screen does the checks whose refusal the account sees, in the order of voice-semantics §3; nil lets the call in, with a channel taken.
func (s *Service) screen(ctx context.Context, a *arrival) (cause *call.Cause, err error) {
	if a.owner, err = s.cfg.Accounts.Cached(ctx, a.lease.Account); err != nil {
		return nil, err
	}
	if !a.owner.Active() {
		return denied(480, 18, "account_disabled")
	}
	if !a.lease.On.Voice {
		return denied(480, 18, "no_target")
	}
	release, ok := s.admit(a.owner)
	if !ok {
		return denied(486, 17, "limit_channels")
	}
	defer func() {
		if a.release = release; cause != nil || err != nil {
			release()
		}
	}()
	if !a.onNet {
		enough, err := s.inboundRate(ctx, a)
		if err != nil {
			return nil, err
		}
		if !enough {
			return denied(480, 18, "no_balance")
		}
	}
	if a.lease.App == "" {
		return denied(404, 1, "no_target")
	}
	app, err := s.hotApp(ctx, a.lease.Account, a.lease.App)
	if fault.Is(err, fault.NotFound) {
		return denied(404, 1, "no_target")
	} else if err != nil {
		return nil, err
	}
	a.app = app
	if !a.app.Active {
		return denied(480, 18, "no_target")
	}
	return nil, nil
}

// planRate gives what a plan costs an account.
func (s *Service) planRate(ctx context.Context, account, plan string) (Rate, error) {
	return s.hots.rates.get(account+" "+plan, s.now(), func() (Rate, error) {
		prices, err := s.cfg.Billing.Prices(ctx, s.db.Read(), account, plan)
		return Rate{PerMin: prices.VoiceIn, MinTime: inboundSteps, Interval: inboundSteps, Character: prices.TTS}, err
	})
}

// inboundRate finds what the call costs, and whether the first increment can be paid.
func (s *Service) inboundRate(ctx context.Context, a *arrival) (enough bool, err error) {
	l := a.lease
	a.rate, err = s.planRate(ctx, l.Account, l.Plan)
	if err != nil || a.rate.PerMin == 0 {
		return err == nil, err
	}
	read := func() (money.Amount, error) { return s.cfg.Billing.Available(ctx, s.db.Read(), l.Account) }
	available, err := s.hots.money.get(l.Account, s.now(), read)
	if err == nil && available < a.rate.first() { // what is remembered never turns a call away
		available, err = read()
	}
	return available >= a.rate.first(), err
}

// tag is what the leg carries.
func (a *arrival) tag() *tag {
	t := &tag{lease: a.lease.ID, leased: a.lease, tn: a.called, meta: &metaBag{}, rate: a.rate, hops: a.hops, kept: make(chan struct{}, 1)}
	if a.app != nil {
		t.app, t.hook, t.profile = a.app, hookOf(a.app), a.app.Profile
	}
	if n, err := e164.Parse(a.caller); err == nil {
		t.far = n
	}
	if a.rate.PerMin > 0 && !a.onNet {
		t.charge = chargeIn
	}
	return t
}

func (a *arrival) inbound(t *tag) call.Inbound {
	p := call.Inbound{Account: a.lease.Account, Type: kindApp, From: a.caller, To: string(a.called), MaxDuration: longestCall, Tag: t}
	if a.app != nil && a.app.MaxMinutes > 0 {
		p.MaxDuration = min(p.MaxDuration, time.Duration(a.app.MaxMinutes)*time.Minute)
	}
	return p
}

// accept gives the call to the engine and starts its script. The channel is free again when the script is over, which is when
// the call is.
func (s *Service) accept(a *arrival) {
	t := a.tag()
	c, err := s.engine.Inbound(a.d, a.inbound(t))
	if err != nil { // draining: the engine has answered
		a.release()
		s.log.Info("inbound call not taken", "account", a.lease.Account, "error", err)
		return
	}
	sc := s.newScript(c, t, documentOf(a.app))
	sc.autoAnswer, sc.park = a.app.AutoAnswer, a.app.ParkTimeout
	sc.account = a.owner
	s.start(sc, a.release)
}
