package trunk

import (
	"context"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/number"
)

// callerFor is step 4: it chooses the caller ID and gives the price plan of the number that stands for it.
func (s *Service) callerFor(ctx context.Context, q db.Querier, req RouteRequest, r *Route) (plan string, err error) {
	if req.From != "" {
		own, ok, err := s.owned(ctx, q, req.Account, req.From)
		if err != nil {
			return "", err
		}
		if ok {
			return r.show(req.From, own), nil
		}
		if req.From != req.Forwarded && !req.Asserted {
			return "", callerRefused()
		}
	}
	own, ok, err := s.standIn(ctx, q, req, r.Profile)
	switch {
	case err != nil:
		return "", err
	case req.From != "" && req.From == req.Forwarded:
		return r.show(req.From, own), nil // own may be the zero lease: the caller is shown all the same
	case !ok:
		return "", callerRefused()
	}
	return r.show(own.TN, own), nil
}

// show notes caller ID and lease and gives the lease's plan.
func (r *Route) show(from e164.Number, own number.Lease) string {
	r.From, r.Own, r.Lease = from, own.TN, own.ID
	return own.Plan
}

// standIn finds the own number that a call shows without a better one: the profile's, else the called number of the call that it comes from. For a
// forwarded call it is the other way round: the number that forwards says so.
func (s *Service) standIn(ctx context.Context, q db.Querier, req RouteRequest, p Profile) (number.Lease, bool, error) {
	if req.Called != "" && req.From != "" && req.From == req.Forwarded {
		if l, ok, err := s.owned(ctx, q, req.Account, req.Called); ok || err != nil {
			return l, ok, err
		}
	}
	if p.Lease != "" {
		l, err := s.numbers.ByKey(ctx, q, req.Account, p.Lease)
		if err == nil && l.State != number.Released {
			return l, true, nil
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			return l, false, err
		}
	}
	if req.Called == "" {
		return number.Lease{}, false, nil
	}
	return s.owned(ctx, q, req.Account, req.Called)
}

// Identity gives the number of the profile's own lease, or "" when it has none. An empty profile is the account's oldest active one.
func (s *Service) Identity(ctx context.Context, q db.Querier, account, profile string) (e164.Number, error) {
	req := RouteRequest{Account: account, Profile: profile}
	p, err := s.profileFor(ctx, q, req)
	if err != nil {
		return "", err
	}
	own, _, err := s.standIn(ctx, q, req, p)
	return own.TN, err
}

// owned finds the account's lease of a number.
func (s *Service) owned(ctx context.Context, q db.Querier, account string, n e164.Number) (number.Lease, bool, error) {
	l, ok, err := s.numbers.ByTN(ctx, q, n)
	if err != nil || !ok || l.Account != account {
		return number.Lease{}, false, err
	}
	return l, true, nil
}

func callerRefused() error { return &Refusal{ReasonCallerID, 403, fault.New(fault.CallerID)} }
