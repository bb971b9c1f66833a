package account

import (
	"context"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// Notification says what an account wants to be told of. BalanceChanged gates balance events on every channel, the others are e-mail notices.
type Notification struct {
	BalanceChanged   bool
	SMSReceived      bool
	SMSSent          bool
	SMSDelivered     bool
	SMSSendFails     bool
	SMSDeliveryFails bool
	OrderProcessed   bool
	LeasesReleased   bool
	LeasesReleasing  bool
	LowBalance       *money.Amount // threshold; nil: no notice
}

func defaultNotification() Notification {
	return Notification{OrderProcessed: true, LeasesReleased: true, LeasesReleasing: true}
}

// Notification reads the account's settings.
func (s *Service) Notification(ctx context.Context, q db.Querier, account string) (Notification, error) {
	n, err := notification(ctx, q, account)
	if err != nil || n == nil {
		return defaultNotification(), err
	}
	return *n, nil
}

// UpdateNotification changes the settings by change, which may run more than once.
func (s *Service) UpdateNotification(ctx context.Context, account string, change func(*Notification)) (Notification, error) {
	var out Notification
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := lockAccount(ctx, tx, account); err != nil {
			return err
		}
		n, err := s.Notification(ctx, tx, account)
		if err != nil {
			return err
		}
		change(&n)
		if n.LowBalance != nil && *n.LowBalance < 0 {
			return fault.Invalid("low_balance_threshold", "must not be negative", n.LowBalance.String())
		}
		out = n
		if s.parts.Thresholds != nil {
			if err := s.parts.Thresholds.SetLowBalance(ctx, tx, account, n.LowBalance); err != nil {
				return err
			}
		}
		return saveNotification(ctx, tx, account, n)
	})
	return out, err
}

// BalanceNotices tells whether the account switched balance events on.
func (s *Service) BalanceNotices(ctx context.Context, q db.Querier, account string) (bool, error) {
	n, err := s.Notification(ctx, q, account)
	return n.BalanceChanged, err
}
