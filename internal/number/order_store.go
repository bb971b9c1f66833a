package number

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

const orderColumns = "uuid, account, created_by, state, total, success, processing, failed, price, request, items, errors, oldest_form, created_on, modified_on"

func insertOrder(ctx context.Context, tx *db.Tx, o Order) error {
	var price any
	if o.Price != nil {
		price = int64(*o.Price)
	}
	_, err := tx.Exec(ctx, "INSERT INTO tn_order ("+orderColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		o.ID, o.Account, db.Text(o.CreatedBy), o.State, o.Total, o.Success, o.Processing, o.Failed, price, db.Text(o.Request), db.JSONOf(nonNil(o.Items)), db.JSONOf(nonNil(o.Errors)), o.OldestForm, o.Created.UnixMicro(), o.Modified.UnixMicro())
	if err != nil {
		return fmt.Errorf("store order: %w", err)
	}
	return nil
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func scanOrder(scan func(...any) error) (Order, error) {
	var o Order
	var by, request db.Text
	var price sql.NullInt64
	var items db.JSON[[]Item]
	var errs db.JSON[[]ItemError]
	var created, modified db.Time
	err := scan(&o.ID, &o.Account, &by, &o.State, &o.Total, &o.Success, &o.Processing, &o.Failed, &price, &request, &items, &errs, &o.OldestForm, &created, &modified)
	if price.Valid {
		p := money.Amount(price.Int64)
		o.Price = &p
	}
	o.CreatedBy, o.Items, o.Errors, o.Created, o.Modified = string(by), items.V, errs.V, created.Time, modified.Time
	if request != "" {
		o.Request = json.RawMessage(request)
	}
	return o, err
}

// OrderByID gives an order, or a 404 "Order not found".
func (s *Service) OrderByID(ctx context.Context, q db.Querier, account, id string) (Order, error) {
	o, err := scanOrder(q.QueryRow(ctx, "SELECT "+orderColumns+" FROM tn_order WHERE uuid = $1 AND account = $2", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return o, fault.Missing("Order")
	}
	return o, err
}

// OrderFilter chooses orders.
type OrderFilter struct {
	Account                                string
	State                                  string
	Or                                     bool
	CreatedFrom, CreatedTo, ModFrom, ModTo time.Time
	Order                                  []Sort
	Take, Skip                             int
}

// Sort is one field of a sort order, by its wire name.
type Sort struct {
	Field string
	Desc  bool
}

// orderBy writes an ORDER BY of known columns, with the uuid as the last word.
func orderBy(sort []Sort, columns map[string]string) string {
	s := " ORDER BY "
	for _, o := range sort {
		if c := columns[o.Field]; c != "" {
			s += c + map[bool]string{true: " DESC, ", false: ", "}[o.Desc]
		}
	}
	if len(sort) == 0 {
		s += "created_on DESC, "
	}
	return s + "uuid DESC"
}

// Orders gives a window of the orders that fit, and how many fit.
func (s *Service) Orders(ctx context.Context, f OrderFilter) ([]Order, int, error) {
	w := db.Where{Or: f.Or}
	w.Fix("account = ?", f.Account)
	if f.State != "" {
		w.Add("state = ?", f.State)
	}
	w.Between("created_on", f.CreatedFrom, f.CreatedTo)
	w.Between("modified_on", f.ModFrom, f.ModTo)
	where, args := w.SQL()
	var total int
	if err := s.db.Read().QueryRow(ctx, "SELECT count(*) FROM tn_order"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count orders: %w", err)
	}
	order := orderBy(f.Order, map[string]string{"created_on": "created_on", "modified_on": "modified_on", "state": "state"})
	rows, err := s.db.Read().Query(ctx, "SELECT "+orderColumns+" FROM tn_order"+where+order+db.Limit(f.Take, f.Skip), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("search orders: %w", err)
	}
	defer rows.Close()
	var out []Order
	for rows.Next() {
		o, err := scanOrder(rows.Scan)
		if err != nil {
			return nil, 0, fmt.Errorf("search orders: %w", err)
		}
		out = append(out, o)
	}
	return out, total, rows.Err()
}
