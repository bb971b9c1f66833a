package billing

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// Filter chooses entries of an account's ledger.
type Filter struct {
	Account                  string
	Or                       bool
	RefType, RefUUID         string
	Description              string // mask
	Before, After, Amount    *money.Amount
	From, To                 time.Time
	ModifiedFrom, ModifiedTo time.Time
	Order                    []Order
	Take, Skip               int
}

// Order is one field of a sort order, by its wire name.
type Order struct {
	Field string
	Desc  bool
}

var orderColumns = map[string]string{"account_balance_before": "balance_before", "account_balance_after": "balance_after", "amount": "amount", "ref_type": "ref_type", "created_on": "created_on", "modified_on": "created_on"}

// Search gives a window of the entries that fit, and how many fit.
func (s *Service) Search(ctx context.Context, f Filter) ([]Transaction, int, error) {
	w := db.Where{Or: f.Or}
	w.Fix("account = ?", f.Account)
	if f.RefType != "" {
		w.Add("ref_type = ?", f.RefType)
	}
	if f.RefUUID != "" {
		w.Add("ref_uuid = ?", f.RefUUID)
	}
	if f.Description != "" {
		w.Mask("description", f.Description)
	}
	for _, x := range []struct { // in one order, so that the same search has the same text
		column string
		v      *money.Amount
	}{{"balance_before", f.Before}, {"balance_after", f.After}, {"amount", f.Amount}} {
		if x.v != nil {
			w.Add(x.column+" = ?", int64(*x.v))
		}
	}
	w.Between("created_on", f.From, f.To)
	w.Between("created_on", f.ModifiedFrom, f.ModifiedTo)
	where, args := w.SQL()
	var total int
	if err := s.db.Read().QueryRow(ctx, "SELECT count(*) FROM ledger"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count ledger: %w", err)
	}
	order := " ORDER BY "
	for _, o := range f.Order {
		if column := orderColumns[o.Field]; column != "" {
			order += column + map[bool]string{true: " DESC, ", false: ", "}[o.Desc]
		}
	}
	if len(f.Order) == 0 {
		order += "created_on DESC, "
	}
	rows, err := s.db.Read().Query(ctx, "SELECT "+ledgerColumns+" FROM ledger"+where+order+"uuid DESC"+db.Limit(f.Take, f.Skip), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("search ledger: %w", err)
	}
	defer rows.Close()
	var out []Transaction
	for rows.Next() {
		t, err := scanEntry(rows.Scan)
		if err != nil {
			return nil, 0, fmt.Errorf("search ledger: %w", err)
		}
		out = append(out, t)
	}
	return out, total, rows.Err()
}

// Entry gives one entry of an account, or a 404 "Transaction not found".
func (s *Service) Entry(ctx context.Context, account, id string) (Transaction, error) {
	t, err := scanEntry(s.db.Read().QueryRow(ctx, "SELECT "+ledgerColumns+" FROM ledger WHERE uuid = $1 AND account = $2", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return t, fault.Missing("Transaction")
	}
	return t, err
}

// Sum is a total of a report.
type Sum struct {
	RefType string
	Day     time.Time
	Count   int
	Amount  money.Amount
}

// SumsByType gives the total of each kind of charge in a closed range.
func (s *Service) SumsByType(ctx context.Context, account string, from, to time.Time) ([]Sum, error) {
	return s.sums(ctx, "SELECT ref_type, 0, count(*), CAST(sum(amount) AS BIGINT) FROM ledger WHERE account = $1 AND created_on >= $2 AND created_on <= $3 GROUP BY ref_type ORDER BY ref_type",
		account, from.UnixMicro(), to.UnixMicro())
}

const dayMicros = int64(24 * time.Hour / time.Microsecond)

// SumsByDay gives count and total of one kind of charge for each UTC day of a closed range, days without entries included. Ranges are at most 1000 days.
func (s *Service) SumsByDay(ctx context.Context, account, refType string, from, to time.Time) ([]Sum, error) {
	if to.Sub(from) > 1000*24*time.Hour {
		return nil, fault.Invalid("from", "range is longer than 1000 days", from)
	}
	found, err := s.sums(ctx, "SELECT ref_type, created_on / $4, count(*), CAST(sum(amount) AS BIGINT) FROM ledger WHERE account = $1 AND created_on >= $2 AND created_on <= $3 AND ref_type = $5 GROUP BY ref_type, created_on / $4",
		account, from.UnixMicro(), to.UnixMicro(), dayMicros, refType)
	if err != nil {
		return nil, err
	}
	byDay := map[time.Time]Sum{}
	for _, f := range found {
		byDay[f.Day] = f
	}
	var out []Sum
	for d := from.UTC().Truncate(24 * time.Hour); !d.After(to); d = d.Add(24 * time.Hour) {
		sum := byDay[d]
		sum.Day = d
		out = append(out, sum)
	}
	return out, nil
}

func (s *Service) sums(ctx context.Context, query string, args ...any) ([]Sum, error) {
	rows, err := s.db.Read().Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("ledger report: %w", err)
	}
	defer rows.Close()
	var out []Sum
	for rows.Next() {
		var sum Sum
		var day, amount int64
		if err := rows.Scan(&sum.RefType, &day, &sum.Count, &amount); err != nil {
			return nil, fmt.Errorf("ledger report: %w", err)
		}
		sum.Day, sum.Amount = time.UnixMicro(day*dayMicros).UTC(), money.Amount(amount)
		out = append(out, sum)
	}
	return out, rows.Err()
}

// Objects shows what a ledger entry is about, by its kind; nil knows nothing.
type Objects interface {
	RefObject(ctx context.Context, refType, account, id string) (json.RawMessage, error)
}

// ShowObjects names who shows what entries are about; products are made after billing.
func (s *Service) ShowObjects(o Objects) { s.objects = o }

func (s *Service) object(ctx context.Context, t Transaction) (json.RawMessage, error) {
	if s.objects == nil || t.RefUUID == "" {
		return json.RawMessage("null"), nil
	}
	return s.objects.RefObject(ctx, t.RefType, t.Account, t.RefUUID)
}

// mergePrices changes the named price members.
func mergePrices(p *Prices, change map[string]json.RawMessage) error {
	if len(change) == 0 {
		return nil
	}
	var known map[string]json.RawMessage
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &known); err != nil {
		return err
	}
	var fields fault.Fields
	for name, v := range change {
		if _, ok := known[name]; !ok {
			continue // unknown members are ignored
		}
		var a money.Amount
		if err := json.Unmarshal(v, &a); err != nil || a < 0 {
			fields.Add("prices."+name, "not an amount of money", string(v))
		}
		known[name] = v
	}
	if err := fields.Err(); err != nil {
		return err
	}
	if b, err = json.Marshal(known); err != nil {
		return err
	}
	return json.Unmarshal(b, p)
}
