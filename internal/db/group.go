package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/opentact/opentact/internal/failpoint"
)

// group is one transaction with the functions that share it.
type group struct {
	d      *DB
	ctx    context.Context // ends when the transaction took too long
	sql    *sql.Tx
	stmts  map[string]prepared
	wanted []string
	items  []item
	after  []func()
	many   bool            // more than one function shares it
	first  bool            // the function that runs is its first: nothing is locked yet
	parts  int             // savepoints of joined functions so far
	locked map[string]bool // rows that Tx.Lock got
}

// inside is the key under which a function's context names its database.
type inside struct{}

// turn is the context of a function: the values of its caller's, the end of the group's.
type turn struct {
	context.Context
	values context.Context
	d      *DB
}

// Value gives what the caller's context holds.
func (t turn) Value(key any) any {
	switch key {
	case inside{}:
		return t.d
	case joining{}:
		return nil
	}
	return t.values.Value(key)
}

// tryGroup runs the functions and commits. clean false means that one failed after writing and everything was rolled back; err is trouble of the
// transaction itself.
func (d *DB) tryGroup(live []*waiter, savepoints bool) (clean bool, err error) {
	g := &group{d: d, ctx: context.Background(), stmts: map[string]prepared{}, locked: map[string]bool{}, many: len(live) > 1}
	if d.engine == Postgres { // SQLite has busyTimeout, and a context that may end costs it a goroutine per statement
		var cancel context.CancelFunc
		g.ctx, cancel = context.WithTimeout(g.ctx, maxTransaction)
		defer cancel()
	}
	if err := d.trouble(Begin); err != nil {
		return false, err
	}
	if g.sql, err = d.begin(g.ctx); err != nil {
		return false, err
	}
	defer g.sql.Rollback() //nolint:errcheck // after a commit it does nothing
	for i, w := range live {
		g.first = i == 0
		if ok, err := g.runOne(w, savepoints); !ok {
			return false, err
		}
	}
	if err := g.flush(g.ctx); err != nil {
		return false, fmt.Errorf("end of transaction: %w", err)
	}
	failpoint.Hit("db.before_commit")
	if err := d.trouble(Commit); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	if err := g.sql.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	if err := d.trouble(Committed); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	failpoint.Hit("db.committed")
	d.committed.Add(1)
	for _, w := range live {
		if w.err == nil && !w.later {
			d.joined.Add(1)
		}
	}
	for _, fn := range g.after {
		d.guard(fn)
	}
	for _, q := range g.wanted {
		d.stmts.get(g.ctx, d.write, q)
	}
	return true, nil
}

// begin starts a transaction. The first statement on a connection that broke while it was idle fails without having done anything: another one is tried.
func (d *DB) begin(ctx context.Context) (tx *sql.Tx, err error) {
	for range attempts {
		if tx, err = d.write.BeginTx(ctx, nil); err == nil || refused(err) || ctx.Err() != nil {
			return tx, err
		}
	}
	return nil, err
}

// guard keeps a panic of one caller's After function from ending the others' goroutine: the commit stands.
func (d *DB) guard(fn func()) {
	defer func() {
		if r := recover(); r != nil {
			d.log.Error("panic after a transaction", "panic", r, "stack", string(debug.Stack()))
		}
	}()
	fn()
}

// runOne runs one function. ok false: the whole transaction must be taken back.
func (g *group) runOne(w *waiter, savepoint bool) (ok bool, err error) {
	ctx := turn{g.ctx, context.WithoutCancel(w.ctx), g.d}
	if savepoint {
		if _, err := g.sql.ExecContext(ctx, "SAVEPOINT one"); err != nil {
			return false, err
		}
	}
	tx := &Tx{d: g.d, sql: g.sql, group: g}
	w.later, w.then = false, nil
	w.err = call(ctx, w.fn, tx)
	tx.over.Store(true)
	if tx.waits && tx.failed == nil {
		w.later, w.err = true, errLater
	}
	if w.err == nil && tx.failed != nil && g.d.engine == Postgres {
		w.err = tx.failed // PostgreSQL gave up what it did, whatever it says
	}
	bad := tx.failed
	if own := w.err; bad == nil && !errors.Is(own, context.DeadlineExceeded) { // that one is of something else the function waited for
		bad = own
	}
	if Down(bad) || retryable(bad) {
		return false, bad // SQLite may have ended the transaction already: nothing more may run in it
	}
	switch {
	case w.err == nil && !savepoint:
		g.keep(w, tx)
		return true, nil
	case savepoint:
		return g.endSavepoint(ctx, w, tx)
	case !tx.dirty && tx.failed == nil && !poisoned(w.err):
		return true, nil // it only read, and said no or shall run later: the others go on
	default:
		return false, nil
	}
}

// endSavepoint keeps or takes back what a function did.
func (g *group) endSavepoint(ctx context.Context, w *waiter, tx *Tx) (ok bool, err error) {
	if w.err != nil {
		if _, err := g.sql.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); err != nil {
			return false, err
		}
	}
	if _, err := g.sql.ExecContext(ctx, "RELEASE SAVEPOINT one"); err != nil {
		return false, err
	}
	if w.err == nil {
		g.keep(w, tx)
	}
	return true, nil
}

// keep takes over what a function left for the end of the transaction.
func (g *group) keep(w *waiter, tx *Tx) {
	w.then = tx.then
	g.items = append(g.items, tx.items...)
	g.after = append(g.after, tx.after...)
	for _, key := range tx.locked {
		g.locked[key] = true
	}
}

// call keeps a panic of one function from taking the others with it.
func call(ctx context.Context, fn func(context.Context, *Tx) error, tx *Tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			tx.dirty = true
			err = fmt.Errorf("panic in a transaction: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(ctx, tx)
}
