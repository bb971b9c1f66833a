package number

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
)

const tnColumns = "tn, kind, plan, state, voice, sms, mms, fax, emergency, country, province, city, rate_center, postal_code, source, created_on, modified_on"

func scanTN(scan func(...any) error) (TN, error) {
	var t TN
	var tn int64
	var province, city, center, zip db.Text
	var created, modified db.Time
	err := scan(&tn, &t.Kind, &t.Plan, &t.State, &t.Features.Voice, &t.Features.SMS, &t.Features.MMS, &t.Features.Fax, &t.Features.Emergency, &t.Country, &province, &city, &center, &zip, &t.Source, &created, &modified)
	t.Number, t.Province, t.City, t.RateCenter, t.PostalCode, t.Created, t.Modified = numberOf(tn), string(province), string(city), string(center), string(zip), created.Time, modified.Time
	return t, err
}

// insertTNs adds numbers and passes over those that are there already; it gives how many were new.
func insertTNs(ctx context.Context, tx *db.Tx, list []TN) (added int64, err error) {
	const columns, chunk = 17, 60
	for len(list) > 0 {
		n := min(len(list), chunk)
		args := make([]any, 0, n*columns)
		for _, t := range list[:n] {
			args = append(args, t.Number.Int(), t.Kind, t.Plan, t.State, t.Features.Voice, t.Features.SMS, t.Features.MMS, t.Features.Fax, t.Features.Emergency, t.Country,
				db.Text(t.Province), db.Text(t.City), db.Text(t.RateCenter), db.Text(t.PostalCode), t.Source, t.Created.UnixMicro(), t.Modified.UnixMicro())
		}
		count, err := tx.Exec(ctx, "INSERT INTO tn ("+tnColumns+") VALUES "+db.Values(n, columns)+" ON CONFLICT (tn) DO NOTHING", args...)
		if err != nil {
			return 0, fmt.Errorf("add numbers: %w", err)
		}
		added += count
		list = list[n:]
	}
	return added, nil
}

func inventorySize(ctx context.Context, q db.Querier) (n int, err error) {
	err = q.QueryRow(ctx, "SELECT count(*) FROM tn").Scan(&n)
	return n, err
}

// TN gives a number of the inventory, or a 404 "TN not found".
func (s *Service) TN(ctx context.Context, q db.Querier, n e164.Number) (TN, error) {
	t, err := scanTN(q.QueryRow(ctx, "SELECT "+tnColumns+" FROM tn WHERE tn = $1", n.Int()).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return t, fault.Missing("TN")
	}
	return t, err
}

// claimable is a number with who may order it.
type claimable struct {
	TN
	lastAccount string
	freeOn      time.Time
}

// lockTN reads a number to be ordered and keeps it from others until the transaction ends.
func lockTN(ctx context.Context, tx *db.Tx, n e164.Number) (claimable, bool, error) {
	var c claimable
	if err := tx.Lock(ctx, "tn "+n.Digits(), "SELECT 1 FROM tn WHERE tn = $1", n.Int()); err != nil {
		return c, false, err
	}
	var last db.Text
	var free db.Time
	var err error
	c.TN, err = scanTN(func(dest ...any) error {
		return tx.QueryRow(ctx, "SELECT "+tnColumns+", last_account, free_on FROM tn WHERE tn = $1"+tx.ForUpdate(), n.Int()).Scan(append(dest, &last, &free)...)
	})
	c.lastAccount, c.freeOn = string(last), free.Time
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("number %s: %w", n, err)
	}
	return c, true, nil
}

func setTNState(ctx context.Context, tx *db.Tx, n e164.Number, state, lastAccount string, free, now time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE tn SET state = $1, last_account = $2, free_on = $3, modified_on = $4 WHERE tn = $5", state, db.Text(lastAccount), db.At(free), now.UnixMicro(), n.Int())
	if err != nil {
		return fmt.Errorf("number %s becomes %s: %w", n, state, err)
	}
	return nil
}

// Search chooses numbers that the account may order.
type Search struct {
	Account                      string
	Pattern                      string // mask over ten national digits: * any run, % one digit
	Plan                         string // uuid
	Kind                         string
	Country, Province            string
	City, RateCenter, PostalCode string // masks
	Features                     []string
	Take, Skip                   int
}

var featureColumns = map[string]string{"voice": "voice", "sms": "sms", "mms": "mms", "fax": "fax", "emergency": "emergency"}

// Find gives a window of the numbers that fit, by number, and how many fit.
func (s *Service) Find(ctx context.Context, f Search) ([]TN, int, error) {
	var w db.Where
	w.Fix("(state = 'available' OR (state = 'quarantined' AND (last_account = ? OR free_on <= ?)))", f.Account, s.now().UnixMicro())
	if f.Pattern != "" && f.Pattern != "*" {
		w.Add("CAST(tn AS TEXT) LIKE ? ESCAPE '!'", "1"+db.LikeMask(f.Pattern))
		if low, high, ok := prefixRange(f.Pattern); ok {
			w.Add("(tn >= ? AND tn <= ?)", low, high)
		}
	}
	for _, x := range [][2]string{{"plan", f.Plan}, {"kind", f.Kind}, {"country", f.Country}} {
		if x[1] != "" {
			w.Add(x[0]+" = ?", x[1])
		}
	}
	for _, x := range [][2]string{{"province", f.Province}, {"city", f.City}, {"rate_center", f.RateCenter}, {"postal_code", f.PostalCode}} {
		if x[1] != "" {
			w.Mask(x[0], x[1])
		}
	}
	for _, name := range f.Features {
		w.Add(featureColumns[name])
	}
	where, args := w.SQL()
	var total int
	if err := s.db.Read().QueryRow(ctx, "SELECT count(*) FROM tn"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count numbers: %w", err)
	}
	rows, err := s.db.Read().Query(ctx, "SELECT "+tnColumns+" FROM tn"+where+" ORDER BY tn"+db.Limit(f.Take, f.Skip), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("search numbers: %w", err)
	}
	defer rows.Close()
	var out []TN
	for rows.Next() {
		t, err := scanTN(rows.Scan)
		if err != nil {
			return nil, 0, fmt.Errorf("search numbers: %w", err)
		}
		out = append(out, t)
	}
	return out, total, rows.Err()
}

// prefixRange turns a mask's leading digits into a range of numbers, so that the index is used.
func prefixRange(mask string) (low, high int64, ok bool) {
	digits := mask[:len(mask)-len(strings.TrimLeft(mask, "0123456789"))]
	if digits == "" || len(digits) > 10 {
		return 0, 0, false
	}
	fill := 10 - len(digits)
	low = e164.Number("1" + digits + strings.Repeat("0", fill)).Int()
	return low, e164.Number("1" + digits + strings.Repeat("9", fill)).Int(), true
}

func removeTN(ctx context.Context, tx *db.Tx, n e164.Number) error {
	if _, err := tx.Exec(ctx, "UPDATE tn SET state = 'blocked' WHERE tn = $1", n.Int()); err != nil {
		return fmt.Errorf("withdraw number: %w", err)
	}
	return nil
}
