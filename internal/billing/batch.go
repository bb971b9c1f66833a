package billing

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// Lock takes the balance rows of accounts, which must be sorted, before anything else is written: a function that moves money after other writes begins
// with it.
func (s *Service) Lock(ctx context.Context, tx *db.Tx, accounts ...string) error {
	for _, a := range accounts {
		if err := lock(ctx, tx, a); err != nil {
			return err
		}
	}
	return nil
}

// HoldAll sets money aside for many objects with few statements for each account. granted tells for each whether there was money for it, decided in their
// order: a small one behind a large one that was refused may still be granted.
func (s *Service) HoldAll(ctx context.Context, tx *db.Tx, list []Hold) (granted []bool, err error) {
	granted = make([]bool, len(list))
	for _, mine := range perAccount(list, func(h Hold) string { return h.Account }) {
		if err := s.holdMany(ctx, tx, list, mine, granted); err != nil {
			return nil, err
		}
	}
	return granted, nil
}

// holdMany is HoldAll for the holds of one account.
func (s *Service) holdMany(ctx context.Context, tx *db.Tx, list []Hold, mine []int, granted []bool) error {
	account := list[mine[0]].Account
	if err := lock(ctx, tx, account); err != nil {
		return err
	}
	var sum money.Amount
	for _, i := range mine {
		if list[i].Amount < 0 {
			return fault.Newf(fault.Internal, "negative hold")
		}
		var err error
		if sum, err = sum.Add(list[i].Amount); err != nil {
			return err
		}
	}
	_, all, err := moveBalance(ctx, tx, account, 0, sum)
	if err != nil {
		return err
	}
	left := sum
	if !all {
		if left, err = lockedAvailable(ctx, tx, account); err != nil {
			return err
		}
	}
	var rows []Hold
	sum = 0
	for _, i := range mine {
		if list[i].Amount > left {
			continue
		}
		left -= list[i].Amount
		sum += list[i].Amount
		granted[i] = true
		rows = append(rows, list[i])
	}
	if len(rows) == 0 {
		return nil
	}
	if !all {
		if _, ok, err := moveBalance(ctx, tx, account, 0, sum); err != nil || !ok {
			return movedUnderLock(account, err)
		}
	}
	return insertHolds(ctx, tx, rows)
}

func movedUnderLock(account string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("balance of account %s changed under its lock", account)
}

// SettleAll is Settle for many holds with few statements for each account; a charge of zero releases its hold. The transactions have the order of the list.
func (s *Service) SettleAll(ctx context.Context, tx *db.Tx, list []Settlement) ([]Transaction, error) {
	out := make([]Transaction, len(list))
	for _, mine := range perAccount(list, func(x Settlement) string { return x.Entry.Account }) {
		if err := s.settleMany(ctx, tx, list, mine, out); err != nil {
			return nil, err
		}
	}
	failpoint.Hit("billing.settled")
	return out, nil
}

// settleMany is SettleAll for the holds of one account. When a charge is beyond its hold they are settled one after the other: it may have to be capped.
func (s *Service) settleMany(ctx context.Context, tx *db.Tx, list []Settlement, mine []int, out []Transaction) error {
	account := list[mine[0]].Entry.Account
	if err := lock(ctx, tx, account); err != nil {
		return err
	}
	ids := make([]string, len(mine))
	for k, i := range mine {
		ids[k] = list[i].Hold
	}
	taken, err := takeHolds(ctx, tx, account, ids)
	if err != nil {
		return err
	}
	held := make([]money.Amount, len(mine))
	covered := true
	var sum, freed money.Amount
	for k, i := range mine {
		held[k] = taken[list[i].Hold]
		delete(taken, list[i].Hold)
		freed += held[k]
		covered = covered && list[i].Entry.Amount <= 0 && -list[i].Entry.Amount <= held[k]
		sum += list[i].Entry.Amount // within freed as long as covered
	}
	if !covered {
		return s.settleEach(ctx, tx, list, mine, held, out)
	}
	if freed == 0 {
		for _, i := range mine {
			out[i].Entry = list[i].Entry
		}
		return nil
	}
	row, ok, err := moveBalance(ctx, tx, account, sum, -freed)
	if err != nil || !ok {
		return movedUnderLock(account, err)
	}
	return s.writeAll(ctx, tx, row, list, mine, out, sum)
}

// settleEach charges one after the other what was taken out of the holds already, as Settle does.
func (s *Service) settleEach(ctx context.Context, tx *db.Tx, list []Settlement, mine []int, held []money.Amount, out []Transaction) error {
	for k, i := range mine {
		t, err := s.charge(ctx, tx, list[i].Entry, held[k])
		if err != nil {
			return err
		}
		out[i] = t
	}
	return nil
}

// writeAll adds the ledger rows of charges by which a balance was moved already, and one event for all of them.
func (s *Service) writeAll(ctx context.Context, tx *db.Tx, row balanceRow, list []Settlement, mine []int, out []Transaction, sum money.Amount) error {
	at := row.balance - sum
	var rows []Transaction
	for _, i := range mine {
		e := list[i].Entry
		if e.At.IsZero() {
			e.At = s.now()
		}
		out[i] = Transaction{Entry: e}
		if e.Amount == 0 {
			continue
		}
		out[i].UUID, out[i].Before, out[i].After = ident.New(), at, at+e.Amount
		at += e.Amount
		rows = append(rows, out[i])
	}
	if len(rows) == 0 {
		return nil
	}
	if err := insertEntries(ctx, tx, rows); err != nil {
		return err
	}
	return s.notify(ctx, tx, row, rows[len(rows)-1])
}

// perAccount gives the places of each account's items, accounts in one order: nobody waits for another in a circle.
func perAccount[T any](list []T, account func(T) string) [][]int {
	places := map[string][]int{}
	for i, v := range list {
		places[account(v)] = append(places[account(v)], i)
	}
	out := make([][]int, 0, len(places))
	for _, name := range slices.Sorted(maps.Keys(places)) {
		out = append(out, places[name])
	}
	return out
}
