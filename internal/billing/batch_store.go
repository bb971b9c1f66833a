package billing

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// sizes are the lengths of lists in statements, so that these are few and stay prepared; a list is filled up with its last item to the next of them.
var sizes = []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128}

// filled calls fn with pieces of a list, each with the length that its statement has: what is beyond the piece repeats its last item.
func filled[T any](list []T, fn func(piece []T, size int) error) error {
	most := sizes[len(sizes)-1]
	for len(list) > 0 {
		n := min(len(list), most)
		size := most
		for _, s := range sizes {
			if s >= n {
				size = s
				break
			}
		}
		if err := fn(list[:n], size); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// texts are the statements of one kind by the length of their list.
type texts map[int]string

// rowsOf makes the statements with a list of rows of columns between head and tail.
func rowsOf(head string, columns int, tail string) texts {
	out := texts{}
	for _, size := range sizes {
		out[size] = head + db.Values(size, columns) + tail
	}
	return out
}

// oneRowOf makes the statements with one row as long as the list.
func oneRowOf(head, tail string) texts {
	out := texts{}
	for _, size := range sizes {
		out[size] = head + db.Values(1, size) + tail
	}
	return out
}

var (
	holdsSQL   = rowsOf("INSERT INTO hold (id, account, kind, amount, expires_on) VALUES ", 5, " ON CONFLICT (id) DO NOTHING")
	takeSQL    = oneRowOf("DELETE FROM hold WHERE id IN ", " RETURNING id, account, amount")
	entriesSQL = rowsOf("INSERT INTO ledger ("+ledgerColumns+") VALUES ", 10, " ON CONFLICT (uuid) DO NOTHING")
)

// insertHolds writes many holds of one account.
func insertHolds(ctx context.Context, tx *db.Tx, list []Hold) error {
	return filled(list, func(piece []Hold, size int) error {
		args := make([]any, 0, 5*size)
		for i := range size {
			h := &piece[min(i, len(piece)-1)]
			args = append(args, h.ID, h.Account, h.Kind, int64(h.Amount), h.Expires.UnixMicro())
		}
		n, err := tx.Exec(ctx, holdsSQL[size], args...)
		if err != nil {
			return fmt.Errorf("holds: %w", err)
		}
		if n != int64(len(piece)) {
			return fault.Newf(fault.Conflict, "money is held for this already")
		}
		return nil
	})
}

// takeHolds ends holds of an account and gives what each held.
func takeHolds(ctx context.Context, tx *db.Tx, account string, ids []string) (map[string]money.Amount, error) {
	out := make(map[string]money.Amount, len(ids))
	err := filled(ids, func(piece []string, size int) error {
		args := make([]any, size)
		for i := range size {
			args[i] = piece[min(i, len(piece)-1)]
		}
		rows, err := tx.Query(ctx, takeSQL[size], args...)
		if err != nil {
			return fmt.Errorf("end holds: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var id, owner string
			var amount int64
			if err := rows.Scan(&id, &owner, &amount); err != nil {
				return fmt.Errorf("end holds: %w", err)
			}
			if owner != account {
				return foreignHold(id, owner, account)
			}
			out[id] = money.Amount(amount)
		}
		return rows.Err()
	})
	return out, err
}

// insertEntries adds ledger rows that follow each other.
func insertEntries(ctx context.Context, tx *db.Tx, list []Transaction) error {
	return filled(list, func(piece []Transaction, size int) error {
		args := make([]any, 0, 10*size)
		for i := range size {
			t := &piece[min(i, len(piece)-1)]
			args = append(args, t.UUID, t.Account, int64(t.Amount), int64(t.Before), int64(t.After), t.RefType, db.Text(t.RefUUID), t.Action, db.Text(t.Description), t.At.UnixMicro())
		}
		n, err := tx.Exec(ctx, entriesSQL[size], args...)
		if err == nil && n != int64(len(piece)) {
			err = fmt.Errorf("%d of %d were new", n, len(piece))
		}
		if err != nil {
			return fmt.Errorf("ledger entries: %w", err)
		}
		return nil
	})
}
