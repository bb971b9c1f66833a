package billing

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// balanceRow is what a move of a balance leaves behind.
type balanceRow struct {
	before   money.Amount
	balance  money.Amount
	low      *money.Amount // a balance that falls below this is told of
	notified time.Time
	pending  bool
}

func insertBalance(ctx context.Context, tx *db.Tx, account string) error {
	_, err := tx.Exec(ctx, "INSERT INTO balance (account, balance, reserved, credit_limit, notified_on, notify_pending) VALUES ($1, 0, 0, 0, 0, $2)", account, false)
	if err != nil {
		return fmt.Errorf("open balance: %w", err)
	}
	return nil
}

// lock takes the row of an account's balance before anything else of the account is changed: holds and ledger follow it.
func lock(ctx context.Context, tx *db.Tx, account string) error {
	return tx.Lock(ctx, "balance "+account, "SELECT 1 FROM balance WHERE account = $1", account)
}

// moveBalance changes balance and reservation of an account in one statement; ok is false, and nothing changed, when that would pass the limit. Money
// coming in and holds going out always pass.
func moveBalance(ctx context.Context, tx *db.Tx, account string, amount, reserve money.Amount) (row balanceRow, ok bool, err error) {
	var after int64
	var low sql.NullInt64
	var notified db.Time
	err = tx.QueryRow(ctx, `UPDATE balance SET balance = balance + $1, reserved = reserved + $2
		WHERE account = $3 AND (balance + credit_limit - reserved + $1 - $2 >= 0)
		RETURNING balance, notified_on, notify_pending, low_at`, int64(amount), int64(reserve), account).Scan(&after, &notified, &row.pending, &low)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, exists(ctx, tx, account)
	}
	if err != nil {
		return row, false, fmt.Errorf("move balance: %w", err)
	}
	row.balance, row.notified = money.Amount(after), notified.Time
	row.before = row.balance - amount
	if low.Valid {
		at := money.Amount(low.Int64)
		row.low = &at
	}
	return row, true, nil
}

// exists gives an error when the account has no balance at all: that is a fault of the program, not of the customer.
func exists(ctx context.Context, q db.Querier, account string) error {
	_, _, _, err := readBalance(ctx, q, account)
	return err
}

func readBalance(ctx context.Context, q db.Querier, account string) (balance, credit, reserved money.Amount, err error) {
	var b, c, r int64
	err = q.QueryRow(ctx, "SELECT balance, credit_limit, reserved FROM balance WHERE account = $1", account).Scan(&b, &c, &r)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("balance of account %s: %w", account, err)
	}
	return money.Amount(b), money.Amount(c), money.Amount(r), nil
}

func availableOf(ctx context.Context, q db.Querier, account string) (money.Amount, error) {
	b, c, r, err := readBalance(ctx, q, account)
	return b + c - r, err
}

func setCredit(ctx context.Context, tx *db.Tx, account string, limit money.Amount) (bool, error) {
	n, err := tx.Exec(ctx, "UPDATE balance SET credit_limit = $1 WHERE account = $2 AND balance + $1 - reserved >= 0", int64(limit), account)
	if err != nil {
		return false, fmt.Errorf("set credit limit: %w", err)
	}
	return n == 1, nil
}

func setLow(ctx context.Context, tx *db.Tx, account string, at *money.Amount) error {
	var low any
	if at != nil {
		low = int64(*at)
	}
	if _, err := tx.Exec(ctx, "UPDATE balance SET low_at = $1 WHERE account = $2", low, account); err != nil {
		return fmt.Errorf("set low balance: %w", err)
	}
	return nil
}

func insertHold(ctx context.Context, tx *db.Tx, h Hold) error {
	_, err := tx.Exec(ctx, "INSERT INTO hold (id, account, kind, amount, expires_on) VALUES ($1, $2, $3, $4, $5)", h.ID, h.Account, h.Kind, int64(h.Amount), h.Expires.UnixMicro())
	if db.IsUnique(err) {
		return fault.Newf(fault.Conflict, "money is held for this already")
	}
	if err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	return nil
}

func growHold(ctx context.Context, tx *db.Tx, h Hold) error {
	n, err := tx.Exec(ctx, "UPDATE hold SET amount = amount + $1, expires_on = $2 WHERE id = $3", int64(h.Amount), h.Expires.UnixMicro(), h.ID)
	if err != nil {
		return fmt.Errorf("extend hold: %w", err)
	}
	if n == 0 {
		return insertHold(ctx, tx, h)
	}
	return nil
}

// lockedAvailable is availableOf of a row that stays as it is until the transaction ends.
func lockedAvailable(ctx context.Context, tx *db.Tx, account string) (money.Amount, error) {
	var available int64
	err := tx.QueryRow(ctx, "SELECT balance + credit_limit - reserved FROM balance WHERE account = $1"+tx.ForUpdate(), account).Scan(&available)
	if err != nil {
		return 0, fmt.Errorf("balance of account %s: %w", account, err)
	}
	return money.Amount(available), nil
}

// holder names the account of a hold; empty when there is none.
func holder(ctx context.Context, tx *db.Tx, id string) (account string, err error) {
	err = tx.QueryRow(ctx, "SELECT account FROM hold WHERE id = $1", id).Scan(&account)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hold: %w", err)
	}
	return account, nil
}

func takeHold(ctx context.Context, tx *db.Tx, id string) (account string, amount money.Amount, found bool, err error) {
	return endHold(tx.QueryRow(ctx, "DELETE FROM hold WHERE id = $1 RETURNING account, amount", id))
}

func takeExpired(ctx context.Context, tx *db.Tx, id string, now time.Time) (account string, amount money.Amount, found bool, err error) {
	return endHold(tx.QueryRow(ctx, "DELETE FROM hold WHERE id = $1 AND expires_on < $2 RETURNING account, amount", id, now.UnixMicro()))
}

func endHold(row *sql.Row) (account string, amount money.Amount, found bool, err error) {
	var a int64
	err = row.Scan(&account, &a)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, false, nil
	}
	if err != nil {
		return "", 0, false, fmt.Errorf("end hold: %w", err)
	}
	return account, money.Amount(a), true, nil
}

// expiredHolds gives the account with the oldest expired hold, and those of its holds that are expired.
func expiredHolds(ctx context.Context, tx *db.Tx, now time.Time, limit int) (account string, ids []string, err error) {
	err = tx.QueryRow(ctx, "SELECT account FROM hold WHERE expires_on < $1 ORDER BY expires_on LIMIT 1", now.UnixMicro()).Scan(&account)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("expired holds: %w", err)
	}
	rows, err := tx.Query(ctx, "SELECT id FROM hold WHERE expires_on < $1 AND account = $2 ORDER BY expires_on"+db.Limit(limit, 0), now.UnixMicro(), account)
	if err != nil {
		return "", nil, fmt.Errorf("expired holds: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return "", nil, err
		}
		ids = append(ids, id)
	}
	return account, ids, rows.Err()
}

// insertEntry adds the ledger row of a balance that stands at after now.
func insertEntry(ctx context.Context, tx *db.Tx, e Entry, after money.Amount) (Transaction, error) {
	t := Transaction{UUID: ident.New(), Before: after - e.Amount, After: after, Entry: e}
	_, err := tx.Exec(ctx, `INSERT INTO ledger (uuid, account, amount, balance_before, balance_after, ref_type, ref_uuid, source_action, description, created_on)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		t.UUID, e.Account, int64(e.Amount), int64(t.Before), int64(t.After), e.RefType, db.Text(e.RefUUID), e.Action, db.Text(e.Description), e.At.UnixMicro())
	if err != nil {
		return Transaction{}, fmt.Errorf("ledger entry: %w", err)
	}
	return t, nil
}

const ledgerColumns = "uuid, account, amount, balance_before, balance_after, ref_type, ref_uuid, source_action, description, created_on"

func scanEntry(scan func(...any) error) (Transaction, error) {
	var t Transaction
	var amount, before, after int64
	var ref, desc db.Text
	var at db.Time
	err := scan(&t.UUID, &t.Account, &amount, &before, &after, &t.RefType, &ref, &t.Action, &desc, &at)
	t.Amount, t.Before, t.After = money.Amount(amount), money.Amount(before), money.Amount(after)
	t.RefUUID, t.Description, t.At = string(ref), string(desc), at.Time
	return t, err
}

func newestEntry(ctx context.Context, q db.Querier, account string) (Transaction, error) {
	return scanEntry(q.QueryRow(ctx, "SELECT "+ledgerColumns+" FROM ledger WHERE account = $1 ORDER BY created_on DESC, uuid DESC LIMIT 1", account).Scan)
}

// markNotified notes that the account's event was written, or that one waits.
func markNotified(ctx context.Context, tx *db.Tx, account string, at time.Time, pending bool) error {
	_, err := tx.Exec(ctx, "UPDATE balance SET notified_on = $1, notify_pending = $2 WHERE account = $3", at.UnixMicro(), pending, account)
	if err != nil {
		return fmt.Errorf("mark balance event: %w", err)
	}
	return nil
}

// Drift is the difference between an account's balance and the sum of its ledger: zero, or something is broken.
func (s *Service) Drift(ctx context.Context, account string) (money.Amount, error) {
	var drift int64
	err := s.db.Read().QueryRow(ctx, "SELECT balance - (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM ledger WHERE account = $1) FROM balance WHERE account = $1", account).Scan(&drift)
	if err != nil {
		return 0, fmt.Errorf("drift of account %s: %w", account, err)
	}
	return money.Amount(drift), nil
}
