package number

import (
	"context"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// Times of the end of a lease (numbers-and-money §3).
const (
	renewAhead = 24 * time.Hour
	renewAgain = 6 * time.Hour  // between the attempts to renew an unpaid lease
	renewGrace = 72 * time.Hour // unpaid leases keep working this long after their end
)

// Renew is the hourly run over leases that end within a day: those that shall go on are charged and get another month, those that shall not, or that stayed
// unpaid for 72 hours, are released. It reads them in pages of limit and gives how many it looked at; one that fails is logged and waits for the next run.
func (s *Service) Renew(ctx context.Context, limit int) (n int, err error) {
	return s.each(ctx, s.renewOne, func(after Lease) ([]Lease, error) {
		return s.due(ctx, s.db.Read(), s.now().Add(renewAhead), s.now(), after, limit)
	})
}

// each does something to leases that next gives in pages, by their end, each in a transaction of its own.
func (s *Service) each(ctx context.Context, do func(ctx context.Context, tx *db.Tx, account, id string) error, next func(after Lease) ([]Lease, error)) (n int, err error) {
	at := Lease{Expires: time.UnixMicro(0)}
	for {
		list, err := next(at)
		if err != nil || len(list) == 0 {
			return n, err
		}
		for _, l := range list {
			err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return do(ctx, tx, l.Account, l.ID) })
			switch {
			case fault.Is(err, fault.Unavailable), ctx.Err() != nil:
				return n, err
			case err != nil:
				s.log.Error("end of lease", "lease", l.ID, "account", l.Account, "error", err)
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
	end := l.Expires.Add(renewGrace)
	switch {
	case l.Expires.After(now.Add(renewAhead)): // renewed meanwhile
		return nil
	case !l.AutoRenew && now.Before(l.Expires):
		return nil
	case !l.AutoRenew:
		_, err := s.release(ctx, tx, By{Account: account}, l)
		return err
	case now.Before(l.RetryOn) && !now.After(end):
		return nil
	}
	prices, err := s.billing.Prices(ctx, tx, account, l.Plan)
	if err != nil {
		return err
	}
	var parts []part
	var sum money.Amount
	for _, p := range startParts(prices, l.TN, l.On) {
		if strings.HasSuffix(p.refType, "_mrc") {
			parts, sum = append(parts, p), sum+p.amount
		}
	}
	available, err := s.billing.Available(ctx, tx, account)
	if err != nil {
		return err
	}
	switch {
	case available >= sum:
		return s.renew(ctx, tx, l, parts)
	case now.After(end):
		_, err := s.release(ctx, tx, By{Account: account}, l)
		return err
	}
	return s.unpaid(ctx, tx, l)
}

func (s *Service) renew(ctx context.Context, tx *db.Tx, l Lease, parts []part) error {
	if err := s.charge(ctx, tx, l, parts); err != nil {
		return err
	}
	l.State, l.Expires, l.RetryOn, l.Notice, l.Modified, l.ModifiedBy = Active, AddMonth(l.Expires), time.Time{}, 0, s.now(), ""
	if err := updateLease(ctx, tx, l); err != nil {
		return err
	}
	return s.leaseEvent(ctx, tx, l, "renewed")
}

// unpaid leaves a lease for the next attempt, and says so the first time.
func (s *Service) unpaid(ctx context.Context, tx *db.Tx, l Lease) error {
	told := l.State == Releasing
	now := s.now()
	l.RetryOn = now.Add(renewAgain)
	if told {
		return updateLease(ctx, tx, l)
	}
	return s.releasing(ctx, tx, l)
}

// releasing says that a lease will end.
func (s *Service) releasing(ctx context.Context, tx *db.Tx, l Lease) error {
	l.State, l.Modified, l.ModifiedBy = Releasing, s.now(), ""
	if err := updateLease(ctx, tx, l); err != nil {
		return err
	}
	if err := s.letter(ctx, tx, l.Account, MailReleasing, leaseVars(l)); err != nil {
		return err
	}
	return s.leaseEvent(ctx, tx, l, "releasing")
}

// notices are the days before its end on which the owner of a lease that will not be renewed hears of it, the last one first.
var notices = []int{1, 3, 7}

// noticeOf is the notice that a lease with this much time left must have had.
func noticeOf(left time.Duration) int {
	for _, days := range notices {
		if left <= time.Duration(days)*24*time.Hour {
			return days
		}
	}
	return 0
}

// Warn is the recurring run over leases that will end without renewal: their owners hear of it 7, 3 and 1 days before, once each. It reads them in pages
// of limit and gives how many it looked at.
func (s *Service) Warn(ctx context.Context, limit int) (n int, err error) {
	return s.each(ctx, s.warnOne, func(after Lease) ([]Lease, error) {
		return s.ending(ctx, s.db.Read(), s.now(), after, limit)
	})
}

func (s *Service) warnOne(ctx context.Context, tx *db.Tx, account, id string) error {
	l, err := lockByKey(ctx, tx, account, id)
	if fault.Is(err, fault.NotFound) {
		return nil // released meanwhile
	}
	if err != nil {
		return err
	}
	days := noticeOf(l.Expires.Sub(s.now()))
	if l.AutoRenew || days == 0 || l.Notice != 0 && l.Notice <= days {
		return nil
	}
	l.Notice = days
	return s.releasing(ctx, tx, l)
}
