package db

import (
	"context"
	"database/sql"
)

// Tx is a transaction as one caller of Update sees it. It must not outlive the caller's function.
type Tx struct {
	d     *DB
	sql   *sql.Tx
	group *group
	dirty bool // this function has written
	items []item
	after []func()
}

// Engine tells which database it is.
func (t *Tx) Engine() Engine { return t.d.engine }

// Exec runs a statement and gives the number of rows it touched.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	t.dirty = true
	var res sql.Result
	var err error
	if st := t.stmt(ctx, query); st != nil {
		res, err = st.ExecContext(ctx, args...)
	} else {
		res, err = t.sql.ExecContext(ctx, query, args...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Query runs a query; writes with RETURNING go through it too.
func (t *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.dirty = t.dirty || writes(query)
	if st := t.stmt(ctx, query); st != nil {
		return st.QueryContext(ctx, args...)
	}
	return t.sql.QueryContext(ctx, query, args...)
}

// QueryRow runs a query for one row.
func (t *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	t.dirty = t.dirty || writes(query)
	if st := t.stmt(ctx, query); st != nil {
		return st.QueryRowContext(ctx, args...)
	}
	return t.sql.QueryRowContext(ctx, query, args...)
}

// stmt gives the prepared statement within this transaction. SQLite has one write connection, which the transaction holds, so a new text is
// prepared on the transaction itself first and kept for the whole connection afterwards (see DB.keep).
func (t *Tx) stmt(ctx context.Context, query string) *sql.Stmt {
	if t.d.engine != SQLite {
		return nil
	}
	if st := t.group.stmts[query]; st != nil {
		return st
	}
	if st := t.d.stmts.peek(query); st != nil {
		bound := t.sql.StmtContext(ctx, st)
		t.group.stmts[query] = bound
		return bound
	}
	t.group.wanted = append(t.group.wanted, query)
	return nil
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
