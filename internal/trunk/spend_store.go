package trunk

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/money"
)

const secondsOfDay = 24 * 60 * 60

// dayOf is the UTC day as days since 1970.
func dayOf(t time.Time) int64 { return t.Unix() / secondsOfDay }

// Spent adds the price of a finished call to the day's spending of its profile; it belongs in the transaction that charges the call. amount is
// positive; at is when the call ended.
func (s *Service) Spent(ctx context.Context, tx *db.Tx, account, profile string, amount money.Amount, at time.Time) error {
	if profile == "" || amount <= 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbound_spend (profile, day, account, amount) VALUES ($1, $2, $3, $4)
		ON CONFLICT (profile, day) DO UPDATE SET amount = outbound_spend.amount + excluded.amount`, profile, dayOf(at), account, int64(amount))
	if err != nil {
		return fmt.Errorf("add to the day's spending: %w", err)
	}
	return nil
}

// spentToday gives what a profile, and all profiles of its account, spent on the present UTC day.
func (s *Service) spentToday(ctx context.Context, q db.Querier, p Profile) (profile, account money.Amount, err error) {
	err = q.QueryRow(ctx, "SELECT CAST(COALESCE(SUM(CASE WHEN profile = $1 THEN amount ELSE 0 END), 0) AS BIGINT), CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM outbound_spend WHERE account = $2 AND day = $3",
		p.ID, p.Account, dayOf(s.now())).Scan(&profile, &account)
	if err != nil {
		return 0, 0, fmt.Errorf("the day's spending: %w", err)
	}
	return profile, account, nil
}
