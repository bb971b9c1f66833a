package trunk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
)

// rateRows is how many rows one statement writes; PostgreSQL takes at most 65535 arguments, SQLite 32766.
const rateRows = 500

// rateIn finds the row of the longest prefix that is in force. used tells whether the table has any row at all.
func rateIn(ctx context.Context, q db.Querier, table int, to e164.Number, at time.Time) (r Rate, found, used bool, err error) {
	if table == 0 {
		return r, false, false, nil
	}
	var w db.Where
	w.Fix("rate_table = ?", table)
	w.Fix("effective_on <= ?", at.UnixMicro())
	w.In("prefix", prefixesOf(to))
	cond, args := w.SQL()
	var country db.Text
	var effective db.Time
	err = q.QueryRow(ctx, "SELECT rate_table, prefix, effective_on, country, per_min, setup, min_time, step, grace FROM rate"+cond+
		" ORDER BY length(prefix) DESC, effective_on DESC LIMIT 1", args...).
		Scan(&r.Table, &r.Prefix, &effective, &country, &r.PerMin, &r.Setup, &r.MinTime, &r.Interval, &r.Grace)
	if err == nil {
		r.Country, r.Effective = string(country), effective.Time
		return r, true, true, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return r, false, false, fmt.Errorf("rate: %w", err)
	}
	if err = q.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM rate WHERE rate_table = $1)", table).Scan(&used); err != nil {
		return r, false, false, fmt.Errorf("rate table: %w", err)
	}
	return r, false, used, nil
}

func putRates(ctx context.Context, tx *db.Tx, list []Rate) error {
	for len(list) > 0 {
		part := list[:min(rateRows, len(list))]
		list = list[len(part):]
		var args []any
		for _, r := range part {
			args = append(args, r.Table, r.Prefix, r.Effective.UnixMicro(), db.Text(r.Country), int64(r.PerMin), int64(r.Setup), r.MinTime, r.Interval, r.Grace)
		}
		_, err := tx.Exec(ctx, "INSERT INTO rate (rate_table, prefix, effective_on, country, per_min, setup, min_time, step, grace) VALUES "+db.Values(len(part), 9)+
			` ON CONFLICT (rate_table, prefix, effective_on) DO UPDATE SET country = excluded.country, per_min = excluded.per_min, setup = excluded.setup,
			min_time = excluded.min_time, step = excluded.step, grace = excluded.grace`, args...)
		if err != nil {
			return fmt.Errorf("save rates: %w", err)
		}
	}
	return nil
}
