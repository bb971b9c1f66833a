package event

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

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

const eventColumns = "seq, uuid, account, type, ref_id, created_on, block"

var insertSQL = db.NewBulk("INSERT INTO event ("+eventColumns+") {values}", 0, "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT")

// insertRows writes rows, and their envelopes in blocks.
func insertRows(ctx context.Context, tx *db.Tx, p *packer, rows []Row) error {
	args := make([]any, 0, len(rows)*7)
	for _, part := range blocks(rows) {
		block := part[len(part)-1].Seq
		if _, err := tx.Exec(ctx, "INSERT INTO event_block (seq, body) VALUES ($1, $2)", block, p.pack(part)); err != nil {
			return fmt.Errorf("append envelopes: %w", err)
		}
		for _, r := range part {
			args = append(args, r.Seq, r.UUID, r.Account, r.Type, r.RefID, r.At.UnixMicro(), block)
		}
	}
	if _, err := insertSQL.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	return nil
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
	rows, err := l.db.Read().Query(ctx, "SELECT "+eventColumns+" FROM event"+where+" ORDER BY seq"+db.Limit(limit, 0), args...)
	found, err := db.List("read events", rows, err, scanRow)
	if err != nil {
		return nil, err
	}
	return l.withBodies(ctx, found)
}

// located is a row whose envelope is still in its block.
type located struct {
	Row
	block int64
}

func scanRow(scan func(...any) error) (located, error) {
	var r located
	var at db.Time
	err := scan(&r.Seq, &r.UUID, &r.Account, &r.Type, &r.RefID, &at, &r.block)
	r.At = at.Time
	return r, err
}

var blockSQL = db.NewBulk("SELECT seq, body FROM event_block WHERE seq {in} ORDER BY seq", 0, "BIGINT")

// withBodies reads the envelopes of rows, which are in order. Rows whose block the retention removed in this moment are left out.
func (l *Log) withBodies(ctx context.Context, list []located) ([]Row, error) {
	var places []any // of blocks, each once
	for i, r := range list {
		if i == 0 || r.block != list[i-1].block {
			places = append(places, r.block)
		}
	}
	out := make([]Row, 0, len(list))
	err := blockSQL.Query(ctx, l.db.Read(), nil, places, func(scan func(...any) error) (err error) {
		out, list, err = fromBlock(out, list, scan)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read envelopes: %w", err)
	}
	return out, nil
}

// fromBlock appends the rows of one block and gives the list behind them.
func fromBlock(out []Row, list []located, scan func(...any) error) ([]Row, []located, error) {
	var last int64
	var packed sql.RawBytes
	if err := scan(&last, &packed); err != nil {
		return out, list, err
	}
	bodies, err := unpack(packed)
	if err != nil {
		return out, list, fmt.Errorf("block %d: %w", last, err)
	}
	first := last - int64(len(bodies)) + 1
	for ; len(list) > 0 && list[0].block <= last; list = list[1:] {
		r := list[0]
		if r.block < last {
			continue
		}
		if r.Seq < first {
			return out, list, fmt.Errorf("block %d: %w", last, errBlock)
		}
		r.Body = bytes.Clone(bodies[r.Seq-first]) // one of them must not keep them all in memory
		out = append(out, r.Row)
	}
	return out, list, nil
}

// Get gives one event of an account by its uuid, or a 404.
func (l *Log) Get(ctx context.Context, account, uuid string) (Row, error) {
	found, err := scanRow(l.db.Read().QueryRow(ctx, "SELECT "+eventColumns+" FROM event WHERE uuid = $1 AND account = $2", uuid, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, fault.Missing("Event")
	}
	if err != nil {
		return Row{}, fmt.Errorf("read event: %w", err)
	}
	rows, err := l.withBodies(ctx, []located{found})
	if err == nil && len(rows) == 0 {
		err = fault.Missing("Event")
	}
	if err != nil {
		return Row{}, err
	}
	return rows[0], nil
}

// Head gives the newest cursor and the newest one that the retention removed.
func (l *Log) Head(ctx context.Context) (seq, removed int64, err error) {
	err = l.db.Read().QueryRow(ctx, "SELECT seq, removed FROM event_head WHERE one = 1").Scan(&seq, &removed)
	return seq, removed, err
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
		if _, err = tx.Exec(ctx, "DELETE FROM event_block WHERE seq <= $1", last); err != nil {
			return fmt.Errorf("trim envelopes: %w", err)
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
