package billing

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

var (
	holdsSQL   = db.NewBulk("INSERT INTO hold (id, account, kind, amount, expires_on) {values} ON CONFLICT (id) DO NOTHING", 0, "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT")
	takeSQL    = db.NewBulk("DELETE FROM hold WHERE id {in} RETURNING id, account, amount", 0, "TEXT")
	entriesSQL = db.NewBulk("INSERT INTO ledger ("+ledgerColumns+") {values}", 0,
		"TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "BIGINT")
)

// insertHolds writes many holds of one account.
func insertHolds(ctx context.Context, tx *db.Tx, list []Hold) error {
	args := make([]any, 0, 5*len(list))
	for i := range list {
		h := &list[i]
		args = append(args, h.ID, h.Account, h.Kind, int64(h.Amount), h.Expires.UnixMicro())
	}
	n, err := holdsSQL.Exec(ctx, tx, nil, args)
	if err != nil {
		return fmt.Errorf("holds: %w", err)
	}
	if n != int64(len(list)) {
		return fault.Newf(fault.Conflict, "money is held for this already")
	}
	return nil
}

// takeHolds ends holds of an account and gives what each held.
func takeHolds(ctx context.Context, tx *db.Tx, account string, ids []string) (map[string]money.Amount, error) {
	out := make(map[string]money.Amount, len(ids))
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	err := takeSQL.Query(ctx, tx, nil, args, func(scan func(...any) error) error {
		var id, owner string
		var amount int64
		if err := scan(&id, &owner, &amount); err != nil {
			return err
		}
		if owner != account {
			return foreignHold(id, owner, account)
		}
		out[id] = money.Amount(amount)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("end holds: %w", err)
	}
	return out, nil
}

// insertEntries adds ledger rows that follow each other.
func insertEntries(ctx context.Context, tx *db.Tx, list []Transaction) error {
	args := make([]any, 0, 10*len(list))
	for i := range list {
		t := &list[i]
		args = append(args, t.UUID, t.Account, int64(t.Amount), int64(t.Before), int64(t.After), t.RefType, db.Text(t.RefUUID), t.Action, db.Text(t.Description), t.At.UnixMicro())
	}
	if _, err := entriesSQL.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("ledger entries: %w", err)
	}
	return nil
}
