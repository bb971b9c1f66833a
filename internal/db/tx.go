package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
)

// Tx is a transaction as one caller of Update sees it. It must not outlive the caller's function.
//
// Its statements end with the transaction's own time limit, whatever context they are given: one caller's end must not break the others' transaction.
type Tx struct {
	d     *DB
	sql   *sql.Tx
	group *group
	dirty bool // this function has written
	// failed is the first error of a statement, whatever the function made of it.
	failed error
	locked []string // keys of the rows that Lock got
	waits  bool     // Lock met a row that others hold
	items  []item
	after  []func()
	then   []func(context.Context) // of db.Then

	outer     *Tx         // of a part: what it is part of (join.go)
	savepoint string      // of a part that has written
	over      atomic.Bool // of a whole function: it has returned
}

// Engine tells which database it is.
func (t *Tx) Engine() Engine { return t.d.engine }

// Exec runs a statement and gives the number of rows it touched.
func (t *Tx) Exec(_ context.Context, query string, args ...any) (int64, error) {
	if err := errors.Join(t.mark(true), t.d.trouble(Statement)); err != nil {
		return 0, t.note(err)
	}
	t.dirty = true
	var res sql.Result
	var err error
	text, p := t.prepared(query)
	args = arrange(p.order, args)
	if p.st != nil {
		res, err = p.st.ExecContext(t.group.ctx, args...)
	} else {
		res, err = t.sql.ExecContext(t.group.ctx, text, args...)
	}
	if err != nil {
		return 0, t.note(err)
	}
	return res.RowsAffected()
}

// note remembers the first error of a statement.
func (t *Tx) note(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// Query runs a query; writes with RETURNING go through it too.
func (t *Tx) Query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	writing := writes(query)
	if err := errors.Join(t.mark(writing), t.d.trouble(Statement)); err != nil {
		return nil, t.note(err)
	}
	t.dirty = t.dirty || writing
	var rows *sql.Rows
	var err error
	text, p := t.prepared(query)
	args = arrange(p.order, args)
	if p.st != nil {
		rows, err = p.st.QueryContext(t.group.ctx, args...)
	} else {
		rows, err = t.sql.QueryContext(t.group.ctx, text, args...)
	}
	return rows, t.note(err)
}

// QueryRow runs a query for one row.
func (t *Tx) QueryRow(_ context.Context, query string, args ...any) *sql.Row {
	writing := writes(query)
	if err := t.mark(writing); err != nil {
		_ = t.note(err) // the query will say the same
	}
	t.dirty = t.dirty || writing
	var row *sql.Row
	text, p := t.prepared(query)
	args = arrange(p.order, args)
	if p.st != nil {
		row = p.st.QueryRowContext(t.group.ctx, args...)
	} else {
		row = t.sql.QueryRowContext(t.group.ctx, text, args...)
	}
	_ = t.note(row.Err())
	return row
}

// prepared gives the text to run and, for SQLite, its statement within this transaction. SQLite has one write connection, which the transaction holds, so a
// new text is run as it is first and prepared for the connection after the commit.
func (t *Tx) prepared(query string) (text string, p prepared) {
	if t.d.engine != SQLite {
		return query, prepared{}
	}
	if p = t.group.stmts[query]; p.st != nil {
		return "", p
	}
	if p = t.d.stmts.peek(query); p.st != nil {
		p.st = t.sql.StmtContext(t.group.ctx, p.st)
		t.group.stmts[query] = p
		return "", p
	}
	t.group.wanted = append(t.group.wanted, query)
	text, p.order = positional(query)
	return text, p
}

// writes tells a query that changes rows by its first word.
func writes(query string) bool {
	for i := range len(query) {
		switch c := query[i] | 0x20; c {
		case ' ' | 0x20, '\n' | 0x20, '\t' | 0x20:
			continue
		default:
			return c != 's' // SELECT
		}
	}
	return false
}

// After registers a function that runs once the transaction is on disk, on the goroutine that committed: it must not block.
func (t *Tx) After(fn func()) { t.after = append(t.after, fn) }

// SkipLocked is what a SELECT of rows to claim ends with: nodes on PostgreSQL pass over each other's rows, SQLite has one writer anyway.
func (t *Tx) SkipLocked() string {
	if t.d.engine == Postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// ForUpdate is what a SELECT of a row to change ends with.
func (t *Tx) ForUpdate() string {
	if t.d.engine == Postgres {
		return " FOR UPDATE"
	}
	return ""
}

// errLater is what a function gets that shall run in a later group.
var errLater = errors.New("db: row is held by another transaction")

// Lock locks a row that many transactions change, the same one for equal keys; query selects it by its key. A function that changes such rows had better
// lock them before its first write, or its whole group may have to run again.
//
// It is what lets functions share a transaction on PostgreSQL: each group holds the rows of all its functions, in any order, until its commit, so a group
// never waits for a row while it holds others. Its function is put off instead, by an error that it must return, and runs again.
func (t *Tx) Lock(ctx context.Context, key, query string, args ...any) error {
	if t.d.engine != Postgres || !t.group.many || t.group.locked[key] || t.holds(key) {
		return nil
	}
	query += " FOR UPDATE"
	wait := t.group.first && t.lockless()
	if !wait {
		query += " SKIP LOCKED"
	}
	rows, err := t.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("lock %s: %w", key, err)
	}
	got := rows.Next()
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("lock %s: %w", key, t.note(err))
	}
	if !got && !wait {
		t.waits = true
		return errLater
	}
	t.locked = append(t.locked, key)
	return nil
}
