package call

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/sip"
)

// signal is a channel that the goroutine of the call closes at most once.
type signal struct {
	ch   chan struct{}
	done bool
}

func newSignal() signal { return signal{ch: make(chan struct{})} }

func (s *signal) do() {
	if !s.done {
		s.done = true
		close(s.ch)
	}
}

// try is one attempt to reach a party. What the signals announce is set before them.
type try struct {
	rang     signal // 180 or 183 without SDP
	early    signal // SDP before the answer
	answered signal
	over     signal // refused, or unanswered and given up
	failed   sip.Failed
}

func newTry() *try {
	return &try{rang: newSignal(), early: newSignal(), answered: newSignal(), over: newSignal()}
}

// retryable are the answers after which the next route is tried (voice-semantics: route choice).
var retryable = []int{408, 500, 502, 503, 504}

// failure is the cause of a try that came to nothing, and whether another route may do better.
func (t *try) failure() (Cause, bool) {
	f := t.failed
	switch f.Why {
	case sip.NoResponse:
		return Cause{Q850: TimerExpired, SIP: 408, By: ByPlatform}.complete(), !t.early.done
	case sip.Unreachable:
		return Cause{Q850: OutOfOrder, By: ByPlatform}.complete(), !t.early.done
	case sip.RingedOut:
		return Cause{Q850: NoAnswer, By: ByPlatform}.complete(), false
	case sip.CanceledByUs:
		return Cause{Q850: OriginatorCancel, By: ByPlatform}.complete(), false
	}
	c := Cause{Q850: FromSIP(f.Status), SIP: f.Status, By: ByCallee, Stack: "SIP " + itoa(f.Status)}
	if f.Q850 != 0 {
		c.Q850 = f.Q850
	}
	return c.complete(), !t.early.done && slices.Contains(retryable, f.Status)
}

// reach tries the attempts one after the other until the leg is answered (nil). Otherwise the leg has ended with the cause that is
// returned; when ctx ends it is that of ctx. news hears of ringing and early media; it must not wait.
func (c *Call) reach(ctx context.Context, l *leg, attempts []Attempt, news func(early bool)) *Cause {
	defer releaseAll(attempts)
	cause := Cause{Q850: 3, Reason: "no_route", By: ByPlatform}
	for i := range attempts[:min(len(attempts), maxAttempts)] {
		t := newTry()
		c.do(l.freeRoute)
		if !attempts[i].admit() {
			cause = Cause{Q850: Congestion, By: ByPlatform}.complete()
			continue
		}
		if err := c.invite(ctx, l, t, &attempts[i]); err != nil {
			if ctx.Err() != nil {
				cause = c.given(ctx)
				break
			}
			c.engine.cfg.Logger.Warn("route cannot be used", "call", l.snapshot().ID, "dest", attempts[i].Dest, "error", err)
			cause = Cause{Q850: OutOfOrder, By: ByPlatform}.complete()
			continue
		}
		if c.awaitTry(ctx, l, t, news) {
			return nil
		}
		if ctx.Err() != nil {
			cause = c.given(ctx)
			break
		}
		if l.state().Over() { // by a command, while the try was under way
			cause = l.snapshot().Cause
			break
		}
		var again bool
		if cause, again = t.failure(); !again {
			break
		}
	}
	c.do(func() { c.endLeg(l, cause, false) })
	if l.state().Over() {
		cause = l.snapshot().Cause
	}
	return &cause
}

// awaitTry waits until a try is answered (true) or over, or ctx ends.
func (c *Call) awaitTry(ctx context.Context, l *leg, t *try, news func(early bool)) bool {
	rang, early := t.rang.ch, t.early.ch
	for {
		select {
		case <-t.answered.ch:
			return !l.state().Over()
		case <-t.over.ch:
			return false
		case <-l.over:
			return false
		case <-rang:
			rang = nil
			news(false)
		case <-early:
			early = nil
			news(true)
		case <-ctx.Done():
			return false
		}
	}
}

// given is why nobody waits for an answer any more.
func (c *Call) given(ctx context.Context) Cause {
	var ended *EndedError
	if errors.As(context.Cause(c.ctx), &ended) && ended.Cause.By != "" {
		return Cause{Q850: OriginatorCancel, Reason: "canceled", By: ended.Cause.By}
	}
	if errors.As(context.Cause(ctx), &ended) {
		return ended.Cause.complete()
	}
	return Cause{Q850: OriginatorCancel, Reason: "canceled", By: ByPlatform}
}

func releaseAll(attempts []Attempt) {
	for i := range attempts {
		if fn := attempts[i].Release; fn != nil {
			attempts[i].Release = nil
			fn()
		}
	}
}

// admit takes room at the carrier; Release gives it back with the rest.
func (a *Attempt) admit() bool {
	if a.Admit == nil {
		return true
	}
	room, ok := a.Admit()
	if ok {
		route := a.Release
		a.Release = func() {
			room()
			if route != nil {
				route()
			}
		}
	}
	return ok
}

// within is a longest duration that the way of the leg may shorten.
func (a *Attempt) within(longest time.Duration) time.Duration {
	if a == nil || a.Longest <= 0 {
		return longest
	}
	return min(longest, a.Longest)
}

// invite sends the INVITE of an attempt. The lease of the route goes to the leg.
func (c *Call) invite(ctx context.Context, l *leg, t *try, a *Attempt) error {
	remote, lookup := destination(ctx, a)
	var offer []byte
	var callID string
	err := c.endedError()
	c.do(func() {
		if callID, err = c.turn(l, t, a, remote); err != nil || lookup != nil {
			return
		}
		offer, err = c.prepare(l, a, remote)
	})
	if err == nil {
		err = lookup
	}
	if err != nil {
		return err
	}
	req := c.inviteRequest(a, offer)
	req.CallID = callID
	req.Observe = func(ev sip.Event) { c.hear(l, t, ev) }
	d, err := c.engine.cfg.SIP.Invite(ctx, req)
	if err != nil {
		return err
	}
	attached := c.do(func() {
		if l.state().Over() || l.try != t {
			d.Hangup(farewell(l, l.snapshot().Cause))
			return
		}
		l.dialog = d
	})
	if !attached {
		d.Hangup(sip.Reason{Q850: NormalClearing})
	}
	return nil
}

// destination is the address an attempt goes to.
func destination(ctx context.Context, a *Attempt) (netip.Addr, error) {
	host := a.Dest
	if h, _, err := net.SplitHostPort(a.Dest); err == nil {
		host = h
	}
	if host == "" {
		u, _ := sip.ParseURI(a.RequestURI)
		host = u.Host
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip.Unmap(), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	return ips[0].Unmap(), nil
}

// turn brings the leg to a new try; a leg that was not told yet is in init from here on.
func (c *Call) turn(l *leg, t *try, a *Attempt, remote netip.Addr) (callID string, err error) {
	if l.state().Over() || c.ending {
		return "", c.endedError()
	}
	l.freeRoute()
	l.release, a.Release = a.Release, nil
	l.way = a
	l.try, l.dialog = t, nil
	l.tries++
	l.set(func(s *Leg) {
		callID = s.ID + "-" + itoa(l.tries)
		s.SIPCallID = callID
		if remote.IsValid() {
			s.RemoteIP = remote.String()
		}
		if a.Tag != nil {
			s.Tag = a.Tag
		}
		if a.To != "" {
			s.To = a.To
		}
		if a.From != "" {
			s.From = a.From
		}
	})
	l.enter(begin)
	return callID, nil
}

// prepare opens the media of the leg, if it has none, and offers it.
func (c *Call) prepare(l *leg, a *Attempt, remote netip.Addr) ([]byte, error) {
	list := c.codecList(a.Codecs)
	if l.media != nil {
		l.media.codecs = list
		return l.media.offer()
	}
	m, err := c.openMedia(l, remote, list)
	if err != nil {
		return nil, err
	}
	if l == c.a {
		c.attachRecords()
	}
	return m.offer()
}

// inviteRequest words an attempt for the SIP engine.
func (c *Call) inviteRequest(a *Attempt, offer []byte) sip.InviteRequest {
	req := sip.InviteRequest{
		RequestURI: a.RequestURI, Dest: a.Dest, Transport: a.Transport, Body: offer,
		From: sip.Party{User: a.FromUser, Host: a.FromHost, Display: a.FromDisplay}, RingTimeout: maxRing, PreAnswer: c.engine.cfg.Limits.PreAnswer,
	}
	if a.Asserted != "" {
		uri := a.Asserted
		if !strings.Contains(uri, ":") {
			host := a.FromHost
			if host == "" {
				host = c.engine.ownHost()
			}
			uri = "sip:" + sip.EscapeUser(a.Asserted) + "@" + host
		}
		req.Headers = append(req.Headers, sip.Header{Name: "P-Asserted-Identity", Value: "<" + strings.Trim(uri, "<>") + ">"})
	}
	for _, name := range slices.Sorted(maps.Keys(a.Headers)) {
		req.Headers = append(req.Headers, sip.Header{Name: name, Value: a.Headers[name]})
	}
	if a.AuthUser != "" {
		req.Auth = &sip.Auth{User: a.AuthUser, Password: a.AuthPassword, Realm: a.AuthRealm}
	}
	return req
}

// progressed follows 180 and 183.
func (c *Call) progressed(l *leg, t *try, ev sip.Progress) {
	if l.state().Over() {
		return
	}
	l.enter(ring)
	if len(ev.Body) > 0 && l.media.accept(ev.Body) == nil { // early media that cannot be understood is silence
		t.early.do() // and no ringing: the caller hears the one or the other
	} else {
		t.rang.do()
	}
}

// tookCall follows the 200 of the far side.
func (c *Call) tookCall(l *leg, t *try, ev sip.Answered) {
	if l.state().Over() {
		return
	}
	if len(ev.Body) > 0 {
		if err := l.media.accept(ev.Body); err != nil {
			c.endLeg(l, incompatible(err), false)
			return
		}
	} else if !l.media.started {
		c.endLeg(l, Cause{Q850: Incompatible, By: ByPlatform}, false)
		return
	}
	if l == c.a {
		c.answered()
	} else {
		l.enter(answer)
		l.media.rearm()
	}
	t.answered.do()
}

// Outbound describes a call that the platform places itself.
type Outbound struct {
	ID, Account, Type string
	From, CallerID    string
	Targets           []Target      // the first that can be routed is rung; its Timeout and SendDigits count
	Timeout           time.Duration // ring time; default Limits.RingTimeout
	MaxDuration       time.Duration // from the answer; default Limits.MaxDuration
	Tag               any
}

// Place rings a party as the controlled leg of a new call. It returns when the leg is in init. An *EndedError names the cause when there
// was no route; no leg was made then. What becomes of the call tells WaitAnswered.
func (e *Engine) Place(ctx context.Context, p Outbound) (*Call, error) {
	target, attempts, err := e.route(ctx, &p)
	if err != nil {
		return nil, err
	}
	if p.ID == "" {
		p.ID = ident.New()
	}
	c := newCall(e, Leg{ID: p.ID, Account: p.Account, Type: p.Type, Direction: Out, From: attempts[0].From, To: attempts[0].To, Tag: p.Tag}, p.MaxDuration)
	c.max = attempts[0].within(c.max)
	c.a.try = newTry()
	if err := e.enroll(c); err != nil {
		releaseAll(attempts)
		return nil, err
	}
	c.do(func() {
		c.a.enter(begin)
		c.work.Go(func() { c.placed(target, p.Timeout, attempts) })
	})
	return c, nil
}

// route finds the first target of a Place that leads somewhere.
func (e *Engine) route(ctx context.Context, p *Outbound) (Target, []Attempt, error) {
	cause := Cause{Q850: 3, Reason: "no_route", By: ByPlatform}
	for _, t := range p.Targets {
		if e.cfg.Router == nil {
			break
		}
		attempts, refused := e.cfg.Router.Route(ctx, RouteRequest{
			Account: p.Account, Type: p.Type, From: p.From, To: t.To,
			CallerID: cmp.Or(t.CallerID, p.CallerID),
		})
		if refused == nil && len(attempts) > 0 {
			return t, attempts, nil
		}
		releaseAll(attempts)
		if refused != nil {
			cause = refused.complete()
		}
	}
	return Target{}, nil, &EndedError{cause}
}

// placed rings the party of Place; when nobody answers reach ends the call.
func (c *Call) placed(t Target, timeout time.Duration, attempts []Attempt) {
	ctx, cancel := ringContext(c.ctx, t.Timeout, timeout, c.engine.cfg.Limits.RingTimeout)
	defer cancel()
	if c.reach(ctx, c.a, attempts, func(bool) {}) == nil && t.SendDigits != "" {
		_ = c.SendKeys(c.ctx, t.SendDigits, 0) // the party is there all the same
	}
}

// ringContext ends with NO_ANSWER after the first duration that is given.
func ringContext(ctx context.Context, durations ...time.Duration) (context.Context, context.CancelFunc) {
	for _, d := range durations {
		if d > 0 {
			return context.WithTimeoutCause(ctx, d, &EndedError{Cause{Q850: NoAnswer, Reason: "no_answer", By: ByPlatform}})
		}
	}
	return context.WithCancel(ctx)
}

// WaitAnswered waits until a placed call is answered. An *EndedError tells the cause when it is not.
func (c *Call) WaitAnswered(ctx context.Context) error {
	select {
	case <-c.up:
		return nil
	case <-c.ctx.Done():
		return c.endedError()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
