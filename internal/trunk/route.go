package trunk

import (
	"context"
	"slices"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
)

// Reasons of refusals, as call records name them (ECallReason).
const (
	ReasonNoRoute  = "no_route"
	ReasonCountry  = "country"
	ReasonCallerID = "caller_id"
	ReasonRate     = "limit_rate"
	ReasonDaily    = "limit_daily"
	ReasonChannels = "limit_channels"
	ReasonCPS      = "limit_cps"
)

// Refusal says why a call to the public network is not placed. Its fault is what REST answers, Status what a SIP caller gets, Reason what the call
// record says (voice-semantics §5).
type Refusal struct {
	Reason string
	Status int // of SIP
	Fault  *fault.Error
}

// Error gives reason and fault, for logs.
func (r *Refusal) Error() string { return r.Reason + ": " + r.Fault.Error() }

// Unwrap gives the fault.
func (r *Refusal) Unwrap() error { return r.Fault }

// RouteRequest asks for the way of one call to the public network.
type RouteRequest struct {
	Account string
	Profile string // uuid; empty: the account's oldest active profile
	To      string // as dialled

	From      e164.Number // caller ID that was asked for; empty: the profile's, else Called
	Asserted  bool        // From is what a phone or switch wrote of itself: one that is not leased gives way to the profile's instead of a refusal
	Forwarded e164.Number // caller of the inbound call that is forwarded: From may be it
	Called    e164.Number // called number of that call, the last resort for a caller ID
}

// Route is the way of a call that may be placed.
type Route struct {
	Profile  Profile
	Limits   account.Limits // of the account
	To       e164.Number
	Country  string      // of To, ISO 3166-1 alpha-2
	From     e164.Number // caller ID to show
	Own      e164.Number // leased number that stands for it: From, or the one that forwards a foreign From
	Lease    string      // of Own
	Rate     Rate
	Attempts []Attempt // in the order to be tried; at most three
}

// Attempt is one try at one address of a carrier.
type Attempt struct {
	Carrier   string // uuid
	Name      string
	Host      string
	Port      int
	Transport string // udp, tcp, tls
	User      string // of the request URI: the called number in the carrier's form
	From      string // the caller ID in the carrier's form
	Login     string // digest credentials, empty without
	Password  string
	Codecs    []string
	Sandbox   bool // the carrier in the box
}

// Route goes through steps 1 to 5 and 8 of voice-semantics §5 and chooses the carriers. What is refused is a *Refusal; other errors are failures.
func (s *Service) Route(ctx context.Context, q db.Querier, req RouteRequest) (Route, error) {
	acc, err := s.accounts.Cached(ctx, req.Account)
	if err != nil {
		return Route{}, err
	}
	r := Route{Limits: acc.Limits}
	if r.Profile, err = s.profileFor(ctx, q, req); err != nil {
		return r, err
	}
	if r.To, err = dialled(req.To); err != nil {
		return r, err
	}
	if r.Country, err = countryFor(r.To, r.Profile, acc); err != nil {
		return r, err
	}
	plan, err := s.callerFor(ctx, q, req, &r)
	if err != nil {
		return r, err
	}
	if err := s.rateFor(ctx, q, &r, plan); err != nil {
		return r, err
	}
	if err := s.dailyFor(ctx, q, r); err != nil {
		return r, err
	}
	r.Attempts, err = s.choose(ctx, q, r)
	return r, err
}

// profileFor is step 1.
func (s *Service) profileFor(ctx context.Context, q db.Querier, req RouteRequest) (p Profile, err error) {
	if req.Profile == "" {
		p, err = oldestProfile(ctx, q, req.Account)
	} else {
		p, err = profileByID(ctx, q, req.Account, req.Profile, "")
	}
	if fault.Is(err, fault.NotFound) || err == nil && !p.Active {
		return p, &Refusal{ReasonNoRoute, 403, fault.Missing("Outbound voice profile")}
	}
	return p, err
}

// dialled is step 2. No setting allows premium numbers.
func dialled(s string) (e164.Number, error) {
	refuse := func(text string) error { return &Refusal{ReasonNoRoute, 484, fault.Invalid("to", text, s)} }
	if e164.Emergency(s) {
		return "", refuse("emergency numbers cannot be called")
	}
	n, err := e164.Parse(s)
	switch {
	case err != nil:
		return "", refuse(err.Error())
	case n.Premium():
		return "", refuse("premium numbers cannot be called")
	}
	return n, nil
}

// countryFor is step 3.
func countryFor(to e164.Number, p Profile, acc account.Account) (string, error) {
	c := to.Country()
	allowed := p.Countries
	if allowed == nil {
		allowed = acc.Countries.Voice
	}
	if c == "" || !slices.Contains(allowed, c) {
		return c, &Refusal{ReasonCountry, 403, fault.New(fault.Country)}
	}
	return c, nil
}

// rateFor is step 5.
func (s *Service) rateFor(ctx context.Context, q db.Querier, r *Route, plan string) error {
	if plan == "" {
		plan = billing.DefaultPlan
	}
	rate, found, err := s.rateOf(ctx, q, r, plan)
	switch {
	case err != nil:
		return err
	case !found:
		return &Refusal{ReasonRate, 403, fault.Newf(fault.AccessDenied, "no rate for this destination")}
	case r.Profile.MaxRate != nil && rate.PerMin > *r.Profile.MaxRate:
		return &Refusal{ReasonRate, 403, fault.Newf(fault.AccessDenied, "rate %s is above the profile's max_rate", rate.PerMin)}
	}
	r.Rate = rate
	return nil
}

// dailyFor is step 8, for the profile and for the account.
func (s *Service) dailyFor(ctx context.Context, q db.Querier, r Route) error {
	if r.Profile.DailyLimit == nil && r.Limits.DailySpend == 0 {
		return nil
	}
	profile, whole, err := s.spentToday(ctx, q, r.Profile)
	switch {
	case err != nil:
		return err
	case r.Profile.DailyLimit != nil && profile >= *r.Profile.DailyLimit:
		return &Refusal{ReasonDaily, 403, fault.Newf(fault.Balance, "daily spend limit of the profile is reached")}
	case r.Limits.DailySpend != 0 && whole >= r.Limits.DailySpend:
		return &Refusal{ReasonDaily, 403, fault.Newf(fault.Balance, "daily spend limit of the account is reached")}
	}
	return nil
}

// written gives a number in a carrier's form.
func written(n e164.Number, format string) string {
	switch format {
	case "e164":
		return n.Plus()
	case "national":
		return n.National()
	}
	return n.Digits()
}
