package number

import (
	"context"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

const (
	quarantine   = 30 * 24 * time.Hour // a released number waits this long for its last owner only
	renewAhead   = 24 * time.Hour
	renewGrace   = 72 * time.Hour // unpaid leases keep working this long after their end
	monthSeconds = 30 * 24 * 3600 // of a feature's share of the rest of a month
)

// Change is a PATCH of a lease; nil members stay.
type Change struct {
	AutoRenew                        *bool
	Voice, SMS, MMS, Fax, Emergency  *bool
	Name                             *string
	App, Connection, Profile, Filter *string // "" clears
}

// Modify changes a lease; switching a feature on charges its one-off part and the monthly part's share of the remaining days.
func (s *Service) Modify(ctx context.Context, account, key string, c Change) (Lease, error) {
	var l Lease
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if l, err = lockByKey(ctx, tx, account, key); err != nil {
			return err
		}
		if err := s.changeTargets(ctx, tx, &l, c); err != nil {
			return err
		}
		if err := s.changeFeatures(ctx, tx, &l, c); err != nil {
			return err
		}
		if c.AutoRenew != nil {
			l.AutoRenew = *c.AutoRenew
			if l.AutoRenew && l.State == Releasing {
				l.State = Active
			}
		}
		if c.Name != nil {
			l.Name = *c.Name
		}
		l.Modified = s.now()
		if err := updateLease(ctx, tx, l); err != nil {
			return err
		}
		return s.leaseEvent(ctx, tx, l, "changed")
	})
	return l, err
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
		l.MessagingProfile = ""
		return removeSubscriptions(ctx, tx, l.ID, "sms")
	}
	_, err := s.enableSMS(ctx, tx, l, *c.Profile, "")
	return err
}

func (s *Service) changeFeatures(ctx context.Context, tx *db.Tx, l *Lease, c Change) error {
	prices, err := s.billing.Prices(ctx, tx, l.Account, l.Plan)
	if err != nil {
		return err
	}
	t, err := s.TN(ctx, tx, l.TN)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name     string
		want     *bool
		on       *bool
		nrc, mrc money.Amount
	}{
		{"voice", c.Voice, &l.On.Voice, prices.VoiceNRC, prices.VoiceMRC},
		{"sms", c.SMS, &l.On.SMS, 0, prices.SMSMRC},
		{"mms", c.MMS, &l.On.MMS, prices.MMSNRC, prices.MMSMRC},
		{"fax", c.Fax, &l.On.Fax, prices.FaxNRC, prices.FaxMRC},
		{"emergency", c.Emergency, &l.On.Emergency, prices.EmergencyNRC, prices.EmergencyMRC},
	} {
		if x.want == nil || *x.want == *x.on {
			continue
		}
		if *x.want && !slices.Contains(t.Features.names(), x.name) {
			return fault.Invalid(x.name, "Feature not offered: "+x.name, true)
		}
		*x.on = *x.want
		if !*x.want {
			continue
		}
		share, err := x.mrc.MulDiv(int64(max(0, min(l.Expires.Sub(s.now()).Seconds(), monthSeconds))), monthSeconds)
		if err != nil {
			return err
		}
		if err := s.charge(ctx, tx, *l, []part{{x.nrc, x.name + "_nrc", x.name + "_nrc"}, {share, x.name + "_mrc", x.name + "_mrc"}}); err != nil {
			return err
		}
	}
	return nil
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

// Release ends leases by uuid or number, all or none: subscriptions end, targets are cleared, the number waits for its last owner. No refund.
func (s *Service) Release(ctx context.Context, account string, keys []string) ([]Lease, error) {
	var out []Lease
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = nil
		for _, key := range keys {
			l, err := lockByKey(ctx, tx, account, key)
			if fault.Is(err, fault.NotFound) && len(keys) > 1 {
				return fault.Newf(fault.NotFound, "TN lease not found: %s", key)
			}
			if err != nil {
				return err
			}
			if l, err = s.release(ctx, tx, l); err != nil {
				return err
			}
			out = append(out, l)
		}
		return nil
	})
	return out, err
}

func (s *Service) release(ctx context.Context, tx *db.Tx, l Lease) (Lease, error) {
	now := s.now()
	l.State, l.App, l.Connection, l.SIPUser, l.MessagingProfile, l.CallerFilter, l.ReleasedOn, l.Modified = Released, "", "", "", "", "", now, now
	if err := removeSubscriptions(ctx, tx, l.ID, ""); err != nil {
		return l, err
	}
	if err := updateLease(ctx, tx, l); err != nil {
		return l, err
	}
	if err := setTNState(ctx, tx, l.TN, "quarantined", l.Account, now.Add(quarantine), now); err != nil {
		return l, err
	}
	return l, s.leaseEvent(ctx, tx, l, "released")
}

// Renew is the hourly run over leases that end within a day: those that shall go on are charged and get another month, those that shall not, or that stayed
// unpaid for 72 hours, are released. It reads them in pages of limit and gives how many it looked at; one that fails is logged and waits for the next run.
func (s *Service) Renew(ctx context.Context, limit int) (n int, err error) {
	at := Lease{Expires: time.UnixMicro(0)}
	for {
		list, err := s.due(ctx, s.db.Read(), s.now().Add(renewAhead), s.now(), at, limit)
		if err != nil || len(list) == 0 {
			return n, err
		}
		for _, l := range list {
			err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return s.renewOne(ctx, tx, l.Account, l.ID) })
			switch {
			case fault.Is(err, fault.Unavailable), ctx.Err() != nil:
				return n, err
			case err != nil:
				s.log.Error("renew lease", "lease", l.ID, "account", l.Account, "error", err)
			}
			n++
		}
		at = list[len(list)-1]
	}
}

func (s *Service) renewOne(ctx context.Context, tx *db.Tx, account, id string) error {
	l, err := lockByKey(ctx, tx, account, id)
	if fault.Is(err, fault.NotFound) {
		return nil // released meanwhile
	}
	if err != nil {
		return err
	}
	now := s.now()
	if l.Expires.After(now.Add(renewAhead)) {
		return nil // renewed meanwhile
	}
	if !l.AutoRenew {
		if now.Before(l.Expires) {
			return nil
		}
		_, err := s.release(ctx, tx, l)
		return err
	}
	prices, err := s.billing.Prices(ctx, tx, account, l.Plan)
	if err != nil {
		return err
	}
	var parts []part
	var sum money.Amount
	for _, p := range startParts(prices, l.On) {
		if len(p.refType) > 4 && p.refType[len(p.refType)-4:] == "_mrc" {
			parts, sum = append(parts, p), sum+p.amount
		}
	}
	available, err := s.billing.Available(ctx, tx, account)
	if err != nil {
		return err
	}
	if available < sum {
		return s.unpaid(ctx, tx, l)
	}
	if err := s.charge(ctx, tx, l, parts); err != nil {
		return err
	}
	l.State, l.Expires, l.Modified = Active, AddMonth(l.Expires), now
	if err := updateLease(ctx, tx, l); err != nil {
		return err
	}
	return s.leaseEvent(ctx, tx, l, "renewed")
}

func (s *Service) unpaid(ctx context.Context, tx *db.Tx, l Lease) error {
	now := s.now()
	if now.After(l.Expires.Add(renewGrace)) {
		_, err := s.release(ctx, tx, l)
		return err
	}
	if l.State == Releasing {
		return nil
	}
	l.State, l.Modified = Releasing, now
	if err := updateLease(ctx, tx, l); err != nil {
		return err
	}
	return s.leaseEvent(ctx, tx, l, "releasing")
}

// EnableSMS switches messages on for a lease; a repeated call changes the subscription. US and Canada numbers pay the plan's sms_nrc once.
func (s *Service) EnableSMS(ctx context.Context, account, key, profile, campaign string) (Subscription, error) {
	var b Subscription
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := lockByKey(ctx, tx, account, key)
		if err != nil {
			return err
		}
		if b, err = s.enableSMS(ctx, tx, &l, profile, campaign); err != nil {
			return err
		}
		return s.leaseEvent(ctx, tx, l, "changed")
	})
	return b, err
}

func (s *Service) enableSMS(ctx context.Context, tx *db.Tx, l *Lease, profile, campaign string) (Subscription, error) {
	if _, err := s.views.ProfileView(ctx, tx, l.Account, profile); err != nil {
		return Subscription{}, err
	}
	now := s.now()
	b, found, err := s.SMS(ctx, tx, l.ID)
	if err != nil {
		return b, err
	}
	if !found {
		b = Subscription{ID: ident.New(), Lease: l.ID, Account: l.Account, Kind: "sms", Created: now}
		if err := s.smsFee(ctx, tx, *l); err != nil {
			return b, err
		}
	}
	b.Profile, b.State, b.Modified = profile, "active", now
	if campaign != "" {
		if b.Campaign, _, err = s.campaigns.Resolve(ctx, tx, l.Account, campaign); err != nil {
			return b, err
		}
	} else if b.Campaign == "" && s.campaigns != nil && l.TN.NANP() && !l.TN.TollFree() {
		if b.Campaign, err = s.campaigns.Ready(ctx, tx, l.Account); err != nil {
			return b, err
		}
	}
	if err := saveSubscription(ctx, tx, b); err != nil {
		return b, err
	}
	l.MessagingProfile, l.On.SMS, l.Modified = profile, true, now
	return b, updateLease(ctx, tx, *l)
}

func (s *Service) smsFee(ctx context.Context, tx *db.Tx, l Lease) error {
	if !l.TN.NANP() {
		return nil
	}
	prices, err := s.billing.Prices(ctx, tx, l.Account, l.Plan)
	if err != nil {
		return err
	}
	return s.charge(ctx, tx, l, []part{{prices.SMSNRC, "sms_nrc", "sms_nrc"}})
}

// Disable switches a service of a lease off and gives the subscription as it was; 404 when it was not on.
func (s *Service) Disable(ctx context.Context, account, key, kind string) (Subscription, error) {
	var b Subscription
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := lockByKey(ctx, tx, account, key)
		if err != nil {
			return err
		}
		list, err := s.Subscriptions(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(b Subscription) bool { return b.Kind == kind })
		if i < 0 {
			return fault.Newf(fault.NotFound, "Subscription not found")
		}
		b = list[i]
		if err := removeSubscriptions(ctx, tx, l.ID, kind); err != nil {
			return err
		}
		if kind == "sms" {
			l.MessagingProfile = ""
		} else {
			l.App, l.Connection, l.SIPUser, l.On.Voice = "", "", "", false
		}
		l.Modified = s.now()
		if err := updateLease(ctx, tx, l); err != nil {
			return err
		}
		return s.leaseEvent(ctx, tx, l, "changed")
	})
	return b, err
}

// EnableVoice switches calls on for a lease and may name its app.
func (s *Service) EnableVoice(ctx context.Context, account, key, app string) (Subscription, error) {
	var b Subscription
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		l, err := lockByKey(ctx, tx, account, key)
		if err != nil {
			return err
		}
		on := true
		if err := s.changeFeatures(ctx, tx, &l, Change{Voice: &on}); err != nil {
			return err
		}
		if app != "" {
			if err := s.changeTargets(ctx, tx, &l, Change{App: &app}); err != nil {
				return err
			}
		}
		now := s.now()
		b = Subscription{ID: ident.New(), Lease: l.ID, Account: account, Kind: "voice", State: "active", Created: now, Modified: now}
		if err := saveSubscription(ctx, tx, b); err != nil {
			return err
		}
		l.Modified = now
		if err := updateLease(ctx, tx, l); err != nil {
			return err
		}
		return s.leaseEvent(ctx, tx, l, "changed")
	})
	return b, err
}
