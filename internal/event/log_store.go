package event

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// MaxRead is the most rows one Read gives.
const MaxRead = 1000

// takeCursors reserves n cursors and gives the last of them. The row stays locked until the commit: readers that see a cursor see all before it.
func takeCursors(ctx context.Context, tx *db.Tx, n int) (last int64, err error) {
	err = tx.QueryRow(ctx, "UPDATE event_head SET seq = seq + $1 WHERE one = 1 RETURNING seq", int64(n)).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("take event cursors: %w", err)
	}
	return last, nil
}

// insertRows writes rows in chunks, so that their statements stay prepared: SQLite keeps few, PostgreSQL is far away and gets as much as it can at once.
func insertRows(ctx context.Context, tx *db.Tx, rows []Row) error {
	for len(rows) > 0 {
		n := min(len(rows), 128)
		if tx.Engine() == db.SQLite {
			n = chunkOf(len(rows))
		}
		args := make([]any, 0, n*7)
		for _, r := range rows[:n] {
			// The bytes are never changed once they are rendered, and drivers copy them: a string of them needs no copy of its own.
			args = append(args, r.Seq, r.UUID, r.Account, r.Type, r.RefID, r.At.UnixMicro(), unsafe.String(unsafe.SliceData(r.Body), len(r.Body)))
		}
		if _, err := tx.Exec(ctx, "INSERT INTO event (seq, uuid, account, type, ref_id, created_on, body) VALUES "+db.Values(n, 7), args...); err != nil {
			return fmt.Errorf("append events: %w", err)
		}
		rows = rows[n:]
	}
	return nil
}

// chunkOf gives the largest of a few sizes that fits.
func chunkOf(rows int) int {
	for _, size := range []int{64, 16, 4} {
		if rows >= size {
			return size
		}
	}
	return 1
}

// Query chooses rows of the log, oldest first.
type Query struct {
	Account  string // empty: all accounts, for the relay
	After    int64
	Until    int64    // inclusive; zero: no end
	Types    []string // empty: all
	RefID    string
	From, To time.Time
	Limit    int // 0: MaxRead
}

// Read gives the rows after a place. Whether the place was trimmed away is for the caller to ask with Head.
func (l *Log) Read(ctx context.Context, q Query) ([]Row, error) {
	var w db.Where
	w.Fix("seq > ?", q.After)
	if q.Account != "" {
		w.Fix("account = ?", q.Account)
	}
	if q.Until > 0 {
		w.Fix("seq <= ?", q.Until)
	}
	if len(q.Types) > 0 {
		w.In("type", q.Types)
	}
	if q.RefID != "" {
		w.Add("ref_id = ?", q.RefID)
	}
	w.Between("created_on", q.From, q.To)
	limit := q.Limit
	if limit <= 0 || limit > MaxRead {
		limit = MaxRead
	}
	where, args := w.SQL()
	rows, err := l.db.Read().Query(ctx, "SELECT seq, uuid, account, type, ref_id, created_on, body FROM event"+where+" ORDER BY seq"+db.Limit(limit, 0), args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	var out []Row
	for rows.Next() {
		r, err := scanRow(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func scanRow(scan func(...any) error) (Row, error) {
	var r Row
	var at db.Time
	err := scan(&r.Seq, &r.UUID, &r.Account, &r.Type, &r.RefID, &at, &r.Body)
	r.At = at.Time
	return r, err
}

// Get gives one event of an account by its uuid, or a 404.
func (l *Log) Get(ctx context.Context, account, uuid string) (Row, error) {
	row := l.db.Read().QueryRow(ctx, "SELECT seq, uuid, account, type, ref_id, created_on, body FROM event WHERE uuid = $1 AND account = $2", uuid, account)
	r, err := scanRow(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, fault.Missing("Event")
	}
	return r, err
}

// Head gives the newest cursor and the newest one that the retention removed.
func (l *Log) Head(ctx context.Context) (seq, removed int64, err error) {
	err = l.db.Read().QueryRow(ctx, "SELECT seq, removed FROM event_head WHERE one = 1").Scan(&seq, &removed)
	return seq, removed, err
}

// Check tells a cursor that cannot be resumed from: one of the future is a 404, one older than the retention a 410.
func (l *Log) Check(ctx context.Context, seq int64) error {
	head, removed, err := l.Head(ctx)
	switch {
	case err != nil:
		return err
	case seq > head:
		return fault.Newf(fault.NotFound, "Cursor not found")
	case seq < removed:
		return fault.New(fault.CursorExpired)
	}
	return nil
}

// Trim removes events older than a time from the beginning of the log, at most limit of them, and remembers how far. It stops at the first that is not
// older: one that reports something of long ago must not take newer ones with it.
func (l *Log) Trim(ctx context.Context, before time.Time, limit int) (removed int64, err error) {
	err = l.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		removed = 0
		last, err := oldPrefix(ctx, tx, before, limit)
		if err != nil || last == 0 {
			return err
		}
		if removed, err = tx.Exec(ctx, "DELETE FROM event WHERE seq <= $1", last); err != nil {
			return fmt.Errorf("trim events: %w", err)
		}
		tx.Collect(trimmer{}, last)
		return nil
	})
	return removed, err
}

// oldPrefix gives the last of the oldest events that are older than a time; zero when the oldest is not.
func oldPrefix(ctx context.Context, tx *db.Tx, before time.Time, limit int) (int64, error) {
	var newest, firstYoung sql.NullInt64
	err := tx.QueryRow(ctx, `SELECT max(seq), min(CASE WHEN created_on >= $1 THEN seq END)
		FROM (SELECT seq, created_on FROM event ORDER BY seq`+db.Limit(limit, 0)+`) AS oldest`, before.UnixMicro()).Scan(&newest, &firstYoung)
	if err != nil {
		return 0, fmt.Errorf("trim events: %w", err)
	}
	if firstYoung.Valid {
		return firstYoung.Int64 - 1, nil
	}
	return newest.Int64, nil
}

// trimmer notes how far the log was trimmed at the end of the transaction, where everybody meets the row of the head.
type trimmer struct{}

// Flush notes the highest place.
func (trimmer) Flush(ctx context.Context, tx *db.Tx, items []any) error {
	var last int64
	for _, it := range items {
		last = max(last, it.(int64))
	}
	if _, err := tx.Exec(ctx, "UPDATE event_head SET removed = $1 WHERE one = 1 AND removed < $1", last); err != nil {
		return fmt.Errorf("trim events: %w", err)
	}
	return nil
}

// Committed has nothing to tell anybody.
func (trimmer) Committed() {}
