package account

import (
	"context"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// day is the length of an office day, 0..86400 seconds.
const day = 24 * time.Hour

var (
	hoursTypes = []string{"nonworking", "lunchtime", "coffeebreak", "weekends"}
	weekdays   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// OfficeHours is a span of a weekday, in the account's time zone, in which the office is closed for the reason of Type.
type OfficeHours struct {
	ID         string
	Account    string
	Name       string
	Type       string
	Weekday    string
	From, To   time.Duration // since midnight
	CreatedBy  string
	ModifiedBy string
	CreatedOn  time.Time
	ModifiedOn time.Time
}

// HoursPatch makes or changes office hours; nil members stay.
type HoursPatch struct {
	Name, Type, Weekday *string
	From, To            *time.Duration
}

func (h *OfficeHours) apply(p HoursPatch) error {
	var f fault.Fields
	set(p.Name, &h.Name, func(v string) { length(&f, "name", v, 0, maxName) })
	set(p.Type, &h.Type, func(string) {})
	set(p.Weekday, &h.Weekday, func(string) {})
	if p.From != nil {
		h.From = *p.From
	}
	if p.To != nil {
		h.To = *p.To
	}
	if !slices.Contains(hoursTypes, h.Type) {
		f.Add("type", "unknown type", h.Type)
	}
	if !slices.Contains(weekdays, h.Weekday) {
		f.Add("dow", "unknown day of the week", h.Weekday)
	}
	if h.From < 0 || h.From >= h.To {
		f.Add("time_from", "must be before time_to", int64(h.From/time.Second))
	}
	if h.To > day {
		f.Add("time_to", "must be at most 86400", int64(h.To/time.Second))
	}
	return f.Err()
}

// AddHours keeps office hours of the asker's account.
func (s *Service) AddHours(ctx context.Context, by Asker, p HoursPatch) (OfficeHours, error) {
	now := s.now()
	h := OfficeHours{ID: newID(), Account: by.Account, CreatedBy: by.User, CreatedOn: now, ModifiedOn: now}
	if err := h.apply(p); err != nil {
		return OfficeHours{}, err
	}
	return h, s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return insertHours(ctx, tx, &h) })
}

// Hours lists those of an account, newest first; a weekday selects its own.
func (s *Service) Hours(ctx context.Context, account, weekday string) ([]OfficeHours, error) {
	return hoursOf(ctx, s.db.Read(), account, weekday)
}

// OfficeHours reads one entry of the account.
func (s *Service) OfficeHours(ctx context.Context, account, id string) (OfficeHours, error) {
	return hoursEntry(ctx, s.db.Read(), account, id)
}

// ChangeHours changes an entry of the asker's account.
func (s *Service) ChangeHours(ctx context.Context, by Asker, id string, p HoursPatch) (OfficeHours, error) {
	var out OfficeHours
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		h, err := hoursEntry(ctx, tx, by.Account, id)
		if err != nil {
			return err
		}
		if err := h.apply(p); err != nil {
			return err
		}
		h.ModifiedBy, h.ModifiedOn = by.User, s.now()
		out = h
		return saveHours(ctx, tx, &h)
	})
	return out, err
}

// RemoveHours removes an entry of the account and gives it.
func (s *Service) RemoveHours(ctx context.Context, account, id string) (OfficeHours, error) {
	var out OfficeHours
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if out, err = hoursEntry(ctx, tx, account, id); err != nil {
			return err
		}
		return removeHours(ctx, tx, account, id)
	})
	return out, err
}
