package number

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const (
	quarantine   = 30 * 24 * time.Hour // a released number waits this long for its last owner only
	monthSeconds = 30 * 24 * 3600      // of a feature's share of the rest of a month
)

// Change is a PATCH of a lease; nil members stay.
type Change struct {
	AutoRenew                        *bool
	Voice, SMS, MMS, Fax, Emergency  *bool
	Name                             *string
	App, Connection, Profile, Filter *string // "" clears
}

// By is who changes something: a user of an account, or the server itself when there is no user.
type By struct{ Account, User string }

// Modify changes a lease; switching a feature on charges its one-off part and the monthly part's share of the remaining days.
func (s *Service) Modify(ctx context.Context, by By, key string, c Change) (Lease, error) {
	return s.change(ctx, by, key, func(ctx context.Context, tx *db.Tx, l *Lease) error {
		if err := s.changeFeatures(ctx, tx, l, c); err != nil {
			return err
		}
		if err := s.changeTargets(ctx, tx, l, c); err != nil {
			return err
		}
		if c.Name != nil {
			l.Name = *c.Name
		}
		if c.AutoRenew == nil || *c.AutoRenew == l.AutoRenew {
			return nil
		}
		l.AutoRenew = *c.AutoRenew
		if l.AutoRenew {
			l.State, l.Notice, l.RetryOn = Active, 0, time.Time{}
		}
		return nil
	})
}

// change is the frame of every change of a lease: it is locked, changed, written back and reported.
func (s *Service) change(ctx context.Context, by By, key string, how func(context.Context, *db.Tx, *Lease) error) (l Lease, err error) {
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if l, err = lockByKey(ctx, tx, by.Account, key); err != nil {
			return err
		}
		if err := how(ctx, tx, &l); err != nil {
			return err
		}
		return s.changed(ctx, tx, by, &l)
	})
	return l, err
}

// changed writes a lease back and reports it.
func (s *Service) changed(ctx context.Context, tx *db.Tx, by By, l *Lease) error {
	l.Modified, l.ModifiedBy = s.now(), by.User
	if err := updateLease(ctx, tx, *l); err != nil {
		return err
	}
	return s.leaseEvent(ctx, tx, *l, "changed")
}

func (s *Service) changeTargets(ctx context.Context, tx *db.Tx, l *Lease, c Change) error {
	if c.App != nil {
		if _, err := s.views.AppView(ctx, tx, l.Account, *c.App); err != nil {
			return err
		}
		if l.App = *c.App; l.App != "" {
			l.Connection, l.SIPUser = "", ""
		}
	}
	if c.Connection != nil && *c.Connection == "" {
		l.Connection = ""
	} else if c.Connection != nil {
		return fault.Missing("SIP connection")
	}
	if c.Filter != nil && *c.Filter == "" {
		l.CallerFilter = ""
	} else if c.Filter != nil {
		return fault.Missing("TN profile")
	}
	if c.Profile == nil {
		return nil
	}
	if *c.Profile == "" {
		return s.clearProfile(ctx, tx, l, c)
	}
	_, err := s.enableSMS(ctx, tx, l, *c.Profile, "")
	return err
}

// Release ends leases by uuid or number, all or none: subscriptions end, targets are cleared, the number waits for its last owner. No refund. It shows the
// leases as they were (rest-conventions §2).
func (s *Service) Release(ctx context.Context, by By, keys []string) ([]leaseView, error) {
	var out []leaseView
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = nil
		done := map[string]bool{}
		for _, key := range keys {
			if done[canonical(key)] { // named twice
				continue
			}
			l, err := lockByKey(ctx, tx, by.Account, key)
			if fault.Is(err, fault.NotFound) && len(keys) > 1 {
				return fault.Newf(fault.NotFound, "TN lease not found: %s", key)
			}
			if err != nil {
				return err
			}
			v, err := s.release(ctx, tx, by, l)
			if err != nil {
				return err
			}
			out = append(out, v)
			done[l.ID], done[l.TN.Digits()] = true, true
		}
		return nil
	})
	return out, err
}

// canonical is the one spelling of a lease's uuid or number; what is neither stays.
func canonical(key string) string {
	if id, err := ident.Parse(key); err == nil {
		return id
	}
	if tn, err := e164.Parse(key); err == nil {
		return tn.Digits()
	}
	return key
}

// release ends a lease, reports it, and shows it as it was but for its state.
func (s *Service) release(ctx context.Context, tx *db.Tx, by By, l Lease) (leaseView, error) {
	now := s.now()
	l.State, l.ReleasedOn, l.Modified, l.ModifiedBy = Released, now, now, by.User
	view, err := s.viewLease(ctx, tx, l)
	if err != nil {
		return view, err
	}
	l.App, l.Connection, l.SIPUser, l.MessagingProfile, l.CallerFilter = "", "", "", "", ""
	if err := removeSubscriptions(ctx, tx, l.ID, ""); err != nil {
		return view, err
	}
	if err := updateLease(ctx, tx, l); err != nil {
		return view, err
	}
	if err := setTNState(ctx, tx, l.TN, "quarantined", l.Account, now.Add(quarantine), now); err != nil {
		return view, err
	}
	if err := s.endMessages(ctx, tx, l); err != nil {
		return view, err
	}
	if err := s.letter(ctx, tx, l.Account, MailReleased, leaseVars(l)); err != nil {
		return view, err
	}
	return view, s.announce(ctx, tx, l, view, "released")
}

func (s *Service) charge(ctx context.Context, tx *db.Tx, l Lease, parts []part) error {
	for _, p := range parts {
		if p.amount == 0 {
			continue
		}
		if _, err := s.billing.Post(ctx, tx, billing.Entry{Account: l.Account, Amount: -p.amount, RefType: p.refType, RefUUID: l.ID, Action: p.action, Description: "TN " + l.TN.Digits()}); err != nil {
			return err
		}
	}
	return nil
}
