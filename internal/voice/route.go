package voice

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/sip"
	"github.com/opentact/opentact/internal/voice/call"
)

// Headers of calls that this server sends to itself.
const (
	loopHeader   = "X-Opentact-Loop"
	callerHeader = "X-Opentact-Caller-Leg"
	hopsHeader   = "X-Opentact-Hops" // how many numbers of this server the call went through
)

// sipPort and sipsPort are where a host listens that names no port.
const (
	sipPort  = 5060
	sipsPort = 5061 // over TLS
)

// preparedKey carries routes that were chosen before the engine asks for them.
type preparedKey struct{}

// Route implements call.Router.
func (s *Service) Route(ctx context.Context, r call.RouteRequest) ([]call.Attempt, *call.Cause) {
	if prepared, ok := ctx.Value(preparedKey{}).([]call.Attempt); ok {
		return prepared, nil
	}
	parent := tagOf(&r.Leg)
	identity := ""
	if r.Leg.Direction == call.Out { // the number that the request for the call asked for, or was given
		identity = string(parent.tn)
	}
	ways, err := s.routeTo(ctx, target{
		account: r.Account, to: r.To, callerID: cmp.Or(r.CallerID, r.From), identity: identity, inbound: r.CallerFrom, called: r.CalledTN, parent: parent, legID: r.Leg.ID,
		profile: parent.profile, fromParty: r.Leg.From, direction: r.Leg.Direction,
	})
	if err != nil {
		return nil, causeOfFault(err)
	}
	return ways, nil
}

// causeOfFault is what a leg that may not be made ends with.
func causeOfFault(err error) *call.Cause {
	var r *Refusal
	if errors.As(err, &r) {
		return &call.Cause{Q850: r.Q850, SIP: r.SIP, Reason: r.Reason, By: call.ByPlatform}
	}
	return &call.Cause{Q850: call.TemporaryFailure, SIP: 503, Reason: "internal", By: call.ByPlatform}
}

func refused(reason string, status, q850 int, err error) *Refusal {
	return &Refusal{Reason: reason, SIP: status, Q850: q850, Err: err}
}

// target is a party to be called.
type target struct {
	account   string
	to        string // as written
	callerID  string // asked for; "" leaves it to the rules
	identity  string // number of the call that dials, when it was made by REST
	inbound   string // caller of the inbound call that goes on to the target
	called    string // called number of that call
	profile   string // outbound voice profile; "" is the account's default
	parent    *tag   // of the leg that dials
	legID     string // that leg
	fromParty string // its own party
	direction string
}

// routeTo finds the ways to a party: a SIP address, a number on this platform, or the public network. Errors are *Refusal.
func (s *Service) routeTo(ctx context.Context, t target) ([]call.Attempt, error) {
	to := strings.TrimSpace(t.to)
	if uri, ok := sipAddress(to); ok {
		return s.toAddress(ctx, t, uri)
	}
	if digits := strings.TrimPrefix(to, "+"); e164.Emergency(digits) {
		return nil, refused("no_route", 484, 28, fault.Invalid("to", "emergency numbers cannot be called", to))
	}
	n, err := e164.Parse(to)
	if err != nil {
		return nil, refused("no_route", 484, 28, fault.Invalid("to", err.Error(), to))
	}
	return s.toNumber(ctx, t, n)
}

// sipAddress reads user@host and sip: addresses.
func sipAddress(to string) (sip.URI, bool) {
	lower := strings.ToLower(to)
	switch {
	case strings.HasPrefix(lower, "sip:"), strings.HasPrefix(lower, "sips:"):
	case strings.Contains(to, "@"):
		to = "sip:" + to
	default:
		return sip.URI{}, false
	}
	uri, ok := sip.ParseURI(to)
	return uri, ok && uri.Host != ""
}

// toAddress calls a SIP address directly; any caller may be shown there.
func (s *Service) toAddress(ctx context.Context, t target, uri sip.URI) ([]call.Attempt, error) {
	transport, port := "", cmp.Or(uri.Port, sipPort)
	if _, v, ok := strings.Cut(strings.ToLower(uri.Params), "transport="); ok {
		transport, _, _ = strings.Cut(strings.ToUpper(v), ";")
	}
	if uri.Scheme == "sips" || transport == "TLS" { // RFC 3261 §19.1.2, §26.2.2: never in the clear
		transport, port = "TLS", cmp.Or(uri.Port, sipsPort)
	}
	addr, err := s.publicAddress(ctx, uri.Host)
	if err != nil {
		return nil, refused("no_route", 404, 3, fault.Invalid("to", err.Error(), t.to))
	}
	caller := cmp.Or(t.callerID, t.identity, t.inbound, t.fromParty, "anonymous")
	user := uri.User
	at := net.JoinHostPort(uri.Host, strconv.Itoa(port))
	request := "sip:" + at
	if user != "" {
		request = "sip:" + sip.EscapeUser(user) + "@" + at
	}
	shown := strings.TrimPrefix(caller, "+")
	return []call.Attempt{{
		Dest: netip.AddrPortFrom(addr, uint16(port)).String(), Transport: transport, RequestURI: request, FromUser: caller,
		From: shown, To: cmp.Or(user, uri.Host), Tag: t.child("", "", Rate{}),
	}}, nil
}

// publicAddress looks a host up and refuses addresses that customers may not reach.
func (s *Service) publicAddress(ctx context.Context, host string) (netip.Addr, error) {
	policy := fetch.Policy{}
	if s.cfg.Fetch != nil {
		policy = s.cfg.Fetch.Policy
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a, policy.Check(a)
	}
	ctx, cancel := context.WithTimeout(ctx, addressWait)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(found) == 0 {
		return netip.Addr{}, errors.New("host not found: " + host)
	}
	for _, a := range found {
		if err = policy.Check(a.Unmap()); err == nil {
			return a.Unmap(), nil
		}
	}
	return netip.Addr{}, err
}

// child is the tag of a leg that goes to a number, or to none.
func (t *target) child(far e164.Number, charge string, rate Rate) *tag {
	out := &tag{far: far, charge: charge, rate: rate, profile: t.profile, meta: &metaBag{}}
	if p := t.parent; p != nil {
		out.app, out.lease, out.leased, out.tn, out.hook = p.app, p.lease, p.leased, p.tn, p.hook
		if p.meta != nil {
			out.meta = p.meta
		}
	}
	return out
}

// toNumber calls a number: one that is leased here stays on the platform, others go to the public network.
func (s *Service) toNumber(ctx context.Context, t target, n e164.Number) ([]call.Attempt, error) {
	_, local, err := s.cfg.Numbers.ByTN(ctx, s.db.Read(), n)
	if err != nil {
		return nil, refused("internal", 503, 41, err)
	}
	if !local || s.cfg.SIPAddr == nil {
		return s.toNetwork(ctx, t, n)
	}
	if t.parent != nil && t.parent.hops >= maxHops { // what SIP calls too many hops, RFC 3261 §21.4.21
		return nil, refused("no_route", 483, 25, fault.Newf(fault.NotFound, "too many hops to %s", n))
	}
	caller, err := s.callerID(ctx, &t)
	if err != nil {
		return nil, err
	}
	return []call.Attempt{s.loop(t, n, caller)}, nil
}

// maxHops is how often a call may go on from one number of this server to another: each may ring several, and documents that dial each other would never end.
const maxHops = 5

// loop is a call of this server to itself: the called number's own front handles it.
func (s *Service) loop(t target, n, caller e164.Number) call.Attempt {
	at, hops := s.cfg.SIPAddr().String(), 1
	if t.parent != nil {
		hops += t.parent.hops
	}
	return call.Attempt{
		Dest: at, RequestURI: "sip:" + n.Plus() + "@" + at, FromUser: caller.Plus(), From: string(caller), To: string(n), OnNet: true, Local: string(n),
		Headers: map[string]string{loopHeader: s.secret, callerHeader: t.legID, hopsHeader: strconv.Itoa(hops)}, Tag: t.child(n, "", Rate{}),
	}
}

// toNetwork calls by the carriers of the outbound voice profile.
func (s *Service) toNetwork(ctx context.Context, t target, n e164.Number) ([]call.Attempt, error) {
	if s.cfg.Routes == nil {
		return nil, refused("no_route", 404, 3, fault.Newf(fault.NotFound, "no route to %s", n))
	}
	r := RouteRequest{Account: t.account, Profile: t.profile, To: string(n)}
	var err error
	if asked := cmp.Or(t.callerID, t.identity); asked != "" {
		if r.From, err = e164.Parse(asked); err != nil {
			return nil, refused("caller_id", 403, 21, fault.New(fault.CallerID))
		}
	}
	if t.called != "" && t.direction == call.In {
		r.Forwarded, _ = e164.Parse(t.inbound)
		r.Called, _ = e164.Parse(t.called)
	}
	set, err := s.cfg.Routes.Route(ctx, s.db.Read(), r)
	if err != nil {
		return nil, err
	}
	if err := s.affordable(ctx, t.account, set.Rate); err != nil {
		if set.Release != nil {
			set.Release()
		}
		return nil, err
	}
	t.profile = cmp.Or(set.Profile, t.profile)
	out := make([]call.Attempt, 0, len(set.Ways))
	for _, w := range set.Ways {
		out = append(out, t.by(w, set))
	}
	share(out, set.Release)
	return out, nil
}

// share lets a release wait for the last of several attempts: the call keeps its channels while it goes from one carrier to the next.
func share(ways []call.Attempt, release func()) {
	if release == nil {
		return
	}
	left := new(atomic.Int32)
	left.Store(int32(len(ways)))
	for i := range ways {
		ways[i].Release = func() {
			if left.Add(-1) == 0 {
				release()
			}
		}
	}
	if len(ways) == 0 {
		release()
	}
}

// by is the attempt to reach a number by one carrier.
func (t *target) by(w Way, set RouteSet) call.Attempt {
	headers := maps.Clone(w.Headers)
	if set.Own != "" && set.Own != set.From { // a forwarded call shows who forwards it
		if headers == nil {
			headers = map[string]string{}
		}
		own := "<sip:" + set.Own.Plus() + "@" + w.Host + ">"
		headers["Diversion"] = own + ";reason=unconditional"
		headers["History-Info"] = own + ";index=1"
	}
	at := net.JoinHostPort(w.Host, strconv.Itoa(cmp.Or(w.Port, sipPort)))
	child := t.child(set.To, chargeOut, set.Rate)
	if set.Lease != "" {
		child.lease, child.leased, child.tn = set.Lease, nil, set.Own
	}
	return call.Attempt{
		Dest: at, Transport: strings.ToUpper(w.Transport), RequestURI: "sip:" + sip.EscapeUser(cmp.Or(w.User, set.To.Plus())) + "@" + at,
		FromUser: cmp.Or(w.From, set.From.Plus()), Asserted: set.From.Plus(), AuthUser: w.AuthUser, AuthPassword: w.AuthPass, AuthRealm: w.AuthRealm,
		Headers: headers, Codecs: w.Codecs, To: string(set.To), From: string(set.From), Tag: child,
		Admit: w.Admit, Longest: set.MaxDuration, Record: set.Record,
	}
}

// affordable tells whether the account can pay for the first increment (voice-semantics §5 step 9).
func (s *Service) affordable(ctx context.Context, account string, r Rate) error {
	first := r.first()
	if first <= 0 {
		return nil
	}
	available, err := s.cfg.Billing.Available(ctx, s.db.Read(), account)
	if err != nil {
		return refused("internal", 503, 41, err)
	}
	if available < first {
		return refused("no_balance", 402, 21, fault.New(fault.Balance))
	}
	return nil
}

// callerID chooses the number that a call to a number of this platform shows (voice-semantics §5).
func (s *Service) callerID(ctx context.Context, t *target) (e164.Number, error) {
	asked := cmp.Or(t.callerID, t.identity)
	if asked == "" && s.cfg.Routes != nil {
		own, err := s.cfg.Routes.Identity(ctx, s.db.Read(), t.account, t.profile)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return "", refused("internal", 503, 41, err)
		}
		asked = string(own)
	}
	if asked = cmp.Or(asked, t.called); asked == "" && t.parent != nil {
		asked = string(t.parent.tn)
	}
	no := refused("caller_id", 403, 21, fault.New(fault.CallerID))
	n, bad := e164.Parse(asked)
	if bad != nil {
		return "", no
	}
	lease, ok, err := s.cfg.Numbers.ByTN(ctx, s.db.Read(), n)
	switch {
	case err != nil:
		return "", refused("internal", 503, 41, err)
	case ok && lease.Account == t.account:
		return n, nil
	}
	if caller, bad := e164.Parse(t.inbound); bad == nil && caller == n && t.direction == call.In && t.called != "" {
		return n, nil
	}
	return "", no
}
