package number

import (
	"context"
	"slices"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// feature is one switch of a lease, with what switching it on costs.
type feature struct {
	name     string
	want     *bool
	on       *bool
	nrc, mrc money.Amount
}

// changeFeatures throws the switches of a lease. Switching one on charges its one-off part and the monthly part's share of the remaining days; switching
// messages or calls off ends their subscription too.
func (s *Service) changeFeatures(ctx context.Context, tx *db.Tx, l *Lease, c Change) error {
	prices, err := s.billing.Prices(ctx, tx, l.Account, l.Plan)
	if err != nil {
		return err
	}
	smsOnce := prices.SMSNRC
	if feeWithSubscription(l.TN) {
		smsOnce = 0
	}
	for _, f := range []feature{
		{"voice", c.Voice, &l.On.Voice, prices.VoiceNRC, prices.VoiceMRC},
		{"sms", c.SMS, &l.On.SMS, smsOnce, prices.SMSMRC},
		{"mms", c.MMS, &l.On.MMS, prices.MMSNRC, prices.MMSMRC},
		{"fax", c.Fax, &l.On.Fax, prices.FaxNRC, prices.FaxMRC},
		{"emergency", c.Emergency, &l.On.Emergency, prices.EmergencyNRC, prices.EmergencyMRC},
	} {
		switch {
		case f.want == nil || *f.want == *f.on:
		case *f.want:
			err = s.switchOn(ctx, tx, l, f)
		default:
			err = s.switchOff(ctx, tx, l, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) switchOn(ctx context.Context, tx *db.Tx, l *Lease, f feature) error {
	t, err := s.TN(ctx, tx, l.TN)
	if err != nil {
		return err
	}
	if !slices.Contains(t.Features.names(), f.name) {
		return fault.Invalid(f.name, "Feature not offered: "+f.name, true)
	}
	*f.on = true
	share, err := f.mrc.MulDiv(int64(max(0, min(l.Expires.Sub(s.now()).Seconds(), monthSeconds))), monthSeconds)
	if err != nil {
		return err
	}
	if err := s.charge(ctx, tx, *l, []part{{f.nrc, f.name + "_nrc", f.name + "_nrc"}, {share, f.name + "_mrc", f.name + "_mrc"}}); err != nil {
		return err
	}
	if f.name == "voice" {
		_, err = s.voice(ctx, tx, *l)
	}
	return err
}

func (s *Service) switchOff(ctx context.Context, tx *db.Tx, l *Lease, f feature) error {
	switch f.name {
	case "sms":
		return s.endSMS(ctx, tx, l)
	case "voice":
		return s.endVoice(ctx, tx, l)
	}
	*f.on = false
	return nil
}

// endSMS ends the messages of a number: its subscription, and what still waits to be sent from it.
func (s *Service) endSMS(ctx context.Context, tx *db.Tx, l *Lease) error {
	l.On.SMS, l.MessagingProfile = false, ""
	if err := removeSubscriptions(ctx, tx, l.ID, "sms"); err != nil {
		return err
	}
	return s.endMessages(ctx, tx, *l)
}

// clearProfile ends the sms subscription of a lease that has one; its feature ends too, unless the same change names it.
func (s *Service) clearProfile(ctx context.Context, tx *db.Tx, l *Lease, c Change) error {
	if l.MessagingProfile == "" {
		return nil
	}
	err := s.endSMS(ctx, tx, l)
	l.On.SMS = c.SMS != nil && *c.SMS
	return err
}

func (s *Service) endMessages(ctx context.Context, tx *db.Tx, l Lease) error {
	if s.messages == nil {
		return nil
	}
	return s.messages.NumberEnds(ctx, tx, l.TN)
}

// endVoice ends the calls of a number: its subscription and its target.
func (s *Service) endVoice(ctx context.Context, tx *db.Tx, l *Lease) error {
	l.On.Voice, l.App, l.Connection, l.SIPUser = false, "", "", ""
	return removeSubscriptions(ctx, tx, l.ID, "voice")
}

// EnableSMS switches messages on for a lease; a repeated call changes the subscription. US and Canada numbers pay the plan's sms_nrc with each new one.
func (s *Service) EnableSMS(ctx context.Context, by By, key, profile, campaign string) (Subscription, error) {
	var b Subscription
	_, err := s.change(ctx, by, key, func(ctx context.Context, tx *db.Tx, l *Lease) (err error) {
		b, err = s.enableSMS(ctx, tx, l, profile, campaign)
		return err
	})
	return b, err
}

func (s *Service) enableSMS(ctx context.Context, tx *db.Tx, l *Lease, profile, campaign string) (Subscription, error) {
	if _, err := s.views.ProfileView(ctx, tx, l.Account, profile); err != nil {
		return Subscription{}, err
	}
	on := true
	if err := s.changeFeatures(ctx, tx, l, Change{SMS: &on}); err != nil {
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
		if b.Campaign, _, err = s.messages.Resolve(ctx, tx, l.Account, campaign); err != nil {
			return b, err
		}
	} else if b.Campaign == "" && s.messages != nil && l.TN.NANP() && !l.TN.TollFree() {
		if b.Campaign, err = s.messages.Ready(ctx, tx, l.Account); err != nil {
			return b, err
		}
	}
	l.MessagingProfile = profile
	return b, saveSubscription(ctx, tx, b)
}

func (s *Service) smsFee(ctx context.Context, tx *db.Tx, l Lease) error {
	if !feeWithSubscription(l.TN) {
		return nil
	}
	prices, err := s.billing.Prices(ctx, tx, l.Account, l.Plan)
	if err != nil {
		return err
	}
	return s.charge(ctx, tx, l, []part{smsNRC(prices)})
}

// smsNRC is the one-off part of messages.
func smsNRC(p billing.Prices) part { return part{p.SMSNRC, "sms_nrc", "sms_nrc"} }

// EnableVoice switches calls on for a lease and may name its app; a repeated call changes the app.
func (s *Service) EnableVoice(ctx context.Context, by By, key, app string) (Subscription, Lease, error) {
	var b Subscription
	l, err := s.change(ctx, by, key, func(ctx context.Context, tx *db.Tx, l *Lease) (err error) {
		c := Change{Voice: new(true)}
		if app != "" {
			c.App = &app
		}
		if err := s.changeFeatures(ctx, tx, l, c); err != nil {
			return err
		}
		if err := s.changeTargets(ctx, tx, l, c); err != nil {
			return err
		}
		b, err = s.voice(ctx, tx, *l)
		return err
	})
	return b, l, err
}

// voice gives the voice subscription of a lease whose calls are on, and makes it when there is none.
func (s *Service) voice(ctx context.Context, tx *db.Tx, l Lease) (Subscription, error) {
	list, err := s.Subscriptions(ctx, tx, l.ID)
	if err != nil {
		return Subscription{}, err
	}
	now := s.now()
	b := Subscription{ID: ident.New(), Lease: l.ID, Account: l.Account, Kind: "voice", State: "active", Created: now}
	if i := slices.IndexFunc(list, func(b Subscription) bool { return b.Kind == "voice" }); i >= 0 {
		b = list[i]
	}
	b.Modified = now
	return b, saveSubscription(ctx, tx, b)
}

// Disable switches a service of a lease off and gives the subscription and the lease as they were; 404 when it was not on.
func (s *Service) Disable(ctx context.Context, by By, key, kind string) (b Subscription, was Lease, err error) {
	_, err = s.change(ctx, by, key, func(ctx context.Context, tx *db.Tx, l *Lease) error {
		list, err := s.Subscriptions(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(b Subscription) bool { return b.Kind == kind })
		if i < 0 {
			return fault.Newf(fault.NotFound, "Subscription not found")
		}
		b, was = list[i], *l
		if kind == "sms" {
			return s.endSMS(ctx, tx, l)
		}
		return s.endVoice(ctx, tx, l)
	})
	return b, was, err
}
