package messaging

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

const optOutColumns = "uuid, account, phone, profile, is_active, source, keyword, sms, reason, created_on, ended_on"

// optedOut tells whether a phone is out of a profile or of the whole account.
func optedOut(ctx context.Context, q db.Querier, account, profile, phone string) (bool, error) {
	var n int
	err := q.QueryRow(ctx, "SELECT count(*) FROM opt_out WHERE account = $1 AND phone = $2 AND is_active AND COALESCE(profile, '') IN ('', $3)", account, phone, profile).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("consent: %w", err)
	}
	return n > 0, nil
}

// phoneOut names a phone and what it is out of; an empty profile is the whole account.
type phoneOut struct{ account, phone, profile string }

// optedOuts gives those of an account's phones that are out of something.
func optedOuts(ctx context.Context, q db.Querier, account string, phones []string, into map[phoneOut]bool) error {
	err := outsSQL.Query(ctx, q, []any{account}, names(phones), func(scan func(...any) error) error {
		o := phoneOut{account: account}
		err := scan(&o.phone, &o.profile)
		into[o] = true
		return err
	})
	if err != nil {
		return fmt.Errorf("consents: %w", err)
	}
	return nil
}

var outsSQL = db.NewBulk("SELECT phone, COALESCE(profile, '') FROM opt_out WHERE is_active AND account = $1 AND phone {in}", 1, "TEXT")

func scanOptOut(scan func(...any) error) (OptOut, error) {
	var o OptOut
	var profile, keyword, sms, reason db.Text
	var created, ended db.Time
	err := scan(&o.ID, &o.Account, &o.Phone, &profile, &o.Active, &o.Source, &keyword, &sms, &reason, &created, &ended)
	o.Profile, o.Keyword, o.SMS, o.Reason, o.Created, o.Ended = string(profile), string(keyword), string(sms), string(reason), created.Time, ended.Time
	return o, err
}

// saveOptOut writes an entry, or gives the active one of the same scope.
func saveOptOut(ctx context.Context, tx *db.Tx, o OptOut) (OptOut, error) {
	n, err := tx.Exec(ctx, "INSERT INTO opt_out ("+optOutColumns+") VALUES "+db.Values(1, 11)+" ON CONFLICT (account, phone, COALESCE(profile, '')) WHERE is_active DO NOTHING",
		o.ID, o.Account, o.Phone, db.Text(o.Profile), true, o.Source, db.Text(o.Keyword), db.Text(o.SMS), db.Text(o.Reason), db.At(o.Created), nil)
	if err != nil {
		return o, fmt.Errorf("opt out: %w", err)
	}
	if n == 1 {
		return o, nil
	}
	old, err := scanOptOut(tx.QueryRow(ctx, "SELECT "+optOutColumns+" FROM opt_out WHERE account = $1 AND phone = $2 AND COALESCE(profile, '') = $3 AND is_active", o.Account, o.Phone, o.Profile).Scan)
	if err != nil {
		return o, fmt.Errorf("opt out: %w", err)
	}
	return old, nil
}

func loadOptOut(ctx context.Context, q db.Querier, account, id string) (OptOut, error) {
	o, err := scanOptOut(q.QueryRow(ctx, "SELECT "+optOutColumns+" FROM opt_out WHERE uuid = $1 AND account = $2", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return o, fault.Missing("Opt-out")
	}
	if err != nil {
		return o, fmt.Errorf("opt-out: %w", err)
	}
	return o, nil
}

func endOptOut(ctx context.Context, tx *db.Tx, id string, at time.Time) error {
	if _, err := tx.Exec(ctx, "UPDATE opt_out SET is_active = $1, ended_on = $2 WHERE uuid = $3 AND is_active", false, db.At(at), id); err != nil {
		return fmt.Errorf("end opt-out: %w", err)
	}
	return nil
}

// endOptOuts ends what keeps a phone out of a profile, and tells whether there was anything.
func endOptOuts(ctx context.Context, tx *db.Tx, account, profile, phone string, at time.Time) (bool, error) {
	n, err := tx.Exec(ctx, "UPDATE opt_out SET is_active = $1, ended_on = $2 WHERE account = $3 AND phone = $4 AND is_active AND COALESCE(profile, '') IN ('', $5)",
		false, db.At(at), account, phone, profile)
	if err != nil {
		return false, fmt.Errorf("end opt-outs: %w", err)
	}
	return n > 0, nil
}

// OptOuts gives a window of the ledger, and how many entries fit.
func (s *Service) OptOuts(ctx context.Context, f OptOutFilter) ([]OptOut, int, error) {
	w := db.Where{Or: f.Or}
	w.Fix("account = ?", f.Account)
	if f.Phone != "" {
		w.Mask("phone", f.Phone)
	}
	if !f.Profile.none(&w, "profile") {
		w.Add("profile = ?", f.Profile.Name)
	}
	if f.Active != nil {
		w.Add("is_active = ?", *f.Active)
	}
	w.Between("created_on", f.From, f.To)
	w.Between("COALESCE(ended_on, created_on)", f.ModifiedFrom, f.ModifiedTo)
	where, args := w.SQL()
	var total int
	if err := s.db.Read().QueryRow(ctx, "SELECT count(*) FROM opt_out"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count opt-outs: %w", err)
	}
	order := []string{}
	for _, o := range f.Order {
		column := map[string]string{"phone": "phone", "created_on": "created_on", "modified_on": "COALESCE(ended_on, created_on)"}[o.Field]
		if column != "" && o.Desc {
			column += " DESC"
		}
		if column != "" {
			order = append(order, column)
		}
	}
	rows, err := s.db.Read().Query(ctx, "SELECT "+optOutColumns+" FROM opt_out"+where+" ORDER BY "+strings.Join(append(order, "uuid DESC"), ", ")+db.Limit(f.Take, f.Skip), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("opt-outs: %w", err)
	}
	defer rows.Close()
	out := []OptOut{}
	for rows.Next() {
		o, err := scanOptOut(rows.Scan)
		if err != nil {
			return nil, 0, fmt.Errorf("opt-outs: %w", err)
		}
		out = append(out, o)
	}
	return out, total, rows.Err()
}
