package webhook

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// mask stands for what is not shown.
const mask = "***"

// Subscription is an event subscription of the channel webhook: one more type for an endpoint.
type Subscription struct {
	ID, Account, User string
	Endpoint          string
	URL               string
	Type              string
	Active            bool
	Expires           time.Time // zero: never
	Filter            *event.Filter
	After             int64 // it counts for events after this place of the log
	Created, Modified time.Time
}

// Endpoint is an address that gets signed events of an account.
type Endpoint struct {
	ID, Account, URL, Description string
	Own                           bool // made as an endpoint, else by a subscription
	Types                         []string
	Filter                        *event.Filter
	Active                        bool
	Disabled                      time.Time
	Reason                        string // why it was disabled
	Secret, OldSecret             string
	OldUntil                      time.Time // the old secret signs too
	After                         int64     // it gets events after this place of the log
	Health
	Created, Modified time.Time
	Subscriptions     []Subscription
}

// State is ok, failing or disabled.
func (e *Endpoint) State() string {
	switch {
	case !e.Active:
		return "disabled"
	case e.Fails > 0:
		return "failing"
	}
	return "ok"
}

// AllTypes are the types of the endpoint with those of its subscriptions, each once.
func (e *Endpoint) AllTypes(now time.Time) []string {
	out := slices.Clone(e.Types)
	for _, s := range e.Subscriptions {
		if s.live(now) && !slices.Contains(out, s.Type) {
			out = append(out, s.Type)
		}
	}
	return out
}

func (s Subscription) live(now time.Time) bool {
	return s.Active && (s.Expires.IsZero() || now.Before(s.Expires))
}

// wants tells whether the endpoint gets an event. What was switched on after the event does not count for it.
func (e *Endpoint) wants(r event.Row) bool {
	if r.Seq <= e.After {
		return false
	}
	if (slices.Contains(e.Types, r.Type) || slices.Contains(e.Types, "*")) && e.Filter.Passes(r.Body) {
		return true
	}
	return slices.ContainsFunc(e.Subscriptions, func(s Subscription) bool {
		return r.Seq > s.After && s.live(r.At) && (s.Type == r.Type || s.Type == "*") && s.Filter.Passes(r.Body)
	})
}

// secrets are those that sign at a time, the present one first.
func (e *Endpoint) secrets(at time.Time) []string {
	if e.OldSecret != "" && at.Before(e.OldUntil) {
		return []string{e.Secret, e.OldSecret}
	}
	return []string{e.Secret}
}

// rotate puts another secret in the place of the present one, which signs too for a day.
func (e *Endpoint) rotate(secret string, now time.Time) {
	if secret != e.Secret {
		e.OldSecret, e.OldUntil, e.Secret = e.Secret, now.Add(oldSecretLife), secret
	}
}

func (e *Endpoint) disable(reason string, now time.Time) {
	e.Active, e.Disabled, e.Reason, e.Modified = false, now, reason, now
}

// enable lets the endpoint start afresh; what waits for it goes at once.
func (e *Endpoint) enable(now time.Time) {
	e.Active, e.Disabled, e.Reason = true, time.Time{}, ""
	e.Health = Health{LastSuccess: e.LastSuccess, LastFailure: e.LastFailure, ReleasedOn: now}
}

// CheckURL refuses an address that the platform never sends to: of another form, or not of the public Internet, also behind its name. A name that cannot be
// looked up now is taken: it is looked up again for each request.
func (s *Service) CheckURL(ctx context.Context, address string) error {
	if len(address) > 2048 {
		return fault.Invalid("url", "must be at most 2048 characters", address[:64])
	}
	if err := s.fetch.CheckURL(address); err != nil {
		return fault.Invalid("url", err.Error(), redacted(address))
	}
	u, err := url.Parse(address)
	if err != nil {
		return fault.Invalid("url", "invalid URL", nil)
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if _, err := netip.ParseAddr(host); err == nil || db.Joined(ctx) {
		return nil // fetch saw the address; and a transaction must not wait for a name server: httpapi.Op.Ahead was there before it
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	found, err := s.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for _, a := range found {
		if err := s.fetch.Check(a); err != nil {
			return fault.Invalid("url", err.Error(), redacted(address))
		}
	}
	return nil
}

// NewEndpoint is what a customer gives for an endpoint.
type NewEndpoint struct {
	Account, URL, Description string
	Types                     []string
	Filter                    *event.Filter
	Secret                    string // empty: made
	Inactive                  bool
}

// CreateEndpoint makes an endpoint; it gets the events after its creation. One that subscriptions made before becomes the customer's own.
func (s *Service) CreateEndpoint(ctx context.Context, n NewEndpoint) (*Endpoint, error) {
	if err := s.CheckURL(ctx, n.URL); err != nil {
		return nil, err
	}
	var e *Endpoint
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := s.now()
		old, found, err := endpointByURL(ctx, tx, n.Account, n.URL)
		if err != nil {
			return err
		}
		if found && old.Own {
			return fault.Taken("Webhook")
		}
		if e = old; !found {
			if e, err = s.newEndpoint(ctx, tx, n.Account, n.URL, n.Secret, now); err != nil {
				return err
			}
		} else if n.Secret != "" {
			e.rotate(n.Secret, now)
		}
		e.Own, e.Types, e.Filter, e.Description, e.Modified = true, n.Types, n.Filter, n.Description, now
		if n.Inactive {
			e.disable("", now)
		}
		if err := saveEndpoint(ctx, tx, e); err != nil {
			return err
		}
		return s.changed(ctx, tx, e.ID)
	})
	return e, err
}

// newEndpoint inserts an endpoint without types.
func (s *Service) newEndpoint(ctx context.Context, tx *db.Tx, account, address, secret string, now time.Time) (*Endpoint, error) {
	n, err := countEndpoints(ctx, tx, account)
	if err != nil {
		return nil, err
	}
	if n >= maxEndpoints {
		return nil, fault.Newf(fault.Conflict, "An account may have %d webhooks", maxEndpoints)
	}
	if secret == "" {
		secret = MakeSecret()
	}
	e := &Endpoint{ID: ident.New(), Account: account, URL: address, Types: []string{}, Active: true, Secret: secret, Created: now, Modified: now}
	return e, insertEndpoint(ctx, tx, e)
}

// UpdateEndpoint changes an endpoint by change, which may run more than once. address is its new URL; empty: as it is.
func (s *Service) UpdateEndpoint(ctx context.Context, account, id, address string, change func(e *Endpoint, now time.Time)) (*Endpoint, error) {
	if address != "" {
		if err := s.CheckURL(ctx, address); err != nil {
			return nil, err
		}
	}
	var e *Endpoint
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if _, _, err := lockEndpoint(ctx, tx, id); err != nil {
			return err
		}
		if e, err = ownedEndpoint(ctx, tx, account, id); err != nil {
			return err
		}
		if address != "" && address != e.URL {
			if _, taken, err := endpointByURL(ctx, tx, account, address); err != nil || taken {
				return cmpErr(err, fault.Taken("Webhook"))
			}
			e.URL = address
		}
		e.Modified = s.now()
		change(e, e.Modified)
		if err := saveEndpoint(ctx, tx, e); err != nil {
			return err
		}
		return s.changed(ctx, tx, e.ID)
	})
	return e, err
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// SetActive switches an endpoint on or off.
func (e *Endpoint) SetActive(on bool, now time.Time) {
	switch {
	case on && !e.Active:
		e.enable(now)
	case !on && e.Active:
		e.disable("", now)
	}
}

// Rotate gives an endpoint another secret; empty: a new one is made.
func (s *Service) Rotate(ctx context.Context, account, id, secret string) (*Endpoint, error) {
	made := MakeSecret() // not in the transaction, which may run twice
	if secret == "" {
		secret = made
	}
	return s.UpdateEndpoint(ctx, account, id, "", func(e *Endpoint, now time.Time) { e.rotate(secret, now) })
}

// RemoveEndpoint ends an endpoint with its subscriptions and cancels what was not sent.
func (s *Service) RemoveEndpoint(ctx context.Context, account, id string) (*Endpoint, error) {
	var e *Endpoint
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if e, err = ownedEndpoint(ctx, tx, account, id); err != nil {
			return err
		}
		return s.remove(ctx, tx, e.ID)
	})
	return e, err
}

func (s *Service) remove(ctx context.Context, tx *db.Tx, id string) error {
	if err := cancelPending(ctx, tx, id, "canceled", s.now()); err != nil {
		return err
	}
	if err := deleteEndpoint(ctx, tx, id); err != nil {
		return err
	}
	return s.changed(ctx, tx, id)
}

// Endpoint reads an endpoint of an account, or a 404.
func (s *Service) Endpoint(ctx context.Context, account, id string) (*Endpoint, error) {
	return ownedEndpoint(ctx, s.db.Read(), account, id)
}

// Endpoints lists an account's endpoints, newest first.
func (s *Service) Endpoints(ctx context.Context, account string) ([]*Endpoint, error) {
	return endpointsOf(ctx, s.db.Read(), account)
}

// changed tells all nodes of a change among the endpoints, and this node's dispatcher of their lanes.
func (s *Service) changed(ctx context.Context, tx *db.Tx, ids ...string) error {
	tx.After(func() {
		s.hint(ids...)
		nudge(s.news)
	})
	return growVersion(ctx, tx)
}
