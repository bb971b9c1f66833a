package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/opentact/opentact/internal/fault"
)

// waiter is one caller of Update.
type waiter struct {
	ctx  context.Context
	fn   func(ctx context.Context, tx *Tx) error
	err  error
	done chan struct{} // closed when err is final
	lead chan struct{} // closed when this waiter shall lead the next group
}

// group is one transaction with the functions that share it.
type group struct {
	d      *DB
	sql    *sql.Tx
	stmts  map[string]*sql.Stmt
	wanted []string
	items  []item
	after  []func()
}

// Update runs fn in a transaction and returns when its commit is on disk, or with fn's error when nothing of it was kept.
//
// Callers that wait at the same time share one commit. fn may therefore run on another caller's goroutine, and more than once: it must have no
// effect beside the transaction but to set its own results anew on each run. ctx is looked at before fn starts; once it runs it is not interrupted,
// so that a cancelled request never leaves the caller in doubt. An unreachable or full database gives fault.Unavailable.
func (d *DB) Update(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	w := &waiter{ctx: ctx, fn: fn, done: make(chan struct{}), lead: make(chan struct{})}
	d.mu.Lock()
	if len(d.queue) >= maxWaiting {
		d.mu.Unlock()
		return fault.New(fault.Unavailable)
	}
	d.queue = append(d.queue, w)
	start := d.leaders < d.maxLeaders()
	if start {
		d.leaders++
	}
	d.mu.Unlock()
	if !start {
		select {
		case <-w.done:
			return w.err
		case <-w.lead:
		}
	}
	d.leadUntil(w)
	return w.err
}

func (d *DB) maxLeaders() int {
	if d.engine == Postgres {
		return pgWriters
	}
	return 1
}

// leadUntil runs groups until w's own function is done, then hands the lead to the next waiter.
func (d *DB) leadUntil(w *waiter) {
	for {
		batch := d.take()
		if len(batch) > 0 {
			d.runGroup(batch)
			for _, b := range batch {
				close(b.done)
			}
		}
		select {
		case <-w.done:
			d.handOver()
			return
		default:
		}
		if len(batch) == 0 { // another leader has w in its group
			d.handOver()
			<-w.done
			return
		}
	}
}

func (d *DB) take() []*waiter {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.queue), maxBatch)
	batch := append([]*waiter(nil), d.queue[:n]...)
	d.queue = append(d.queue[:0], d.queue[n:]...)
	return batch
}

// handOver gives the lead to the oldest waiter, or gives it up.
func (d *DB) handOver() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, next := range d.queue {
		select {
		case <-next.lead: // leads already
		default:
			close(next.lead)
			return
		}
	}
	d.leaders--
}

// runGroup gives every waiter its result. The hopeful way first: all functions in one transaction without savepoints. When one of them fails after it has
// written, the transaction is taken back and run again with a savepoint around each.
func (d *DB) runGroup(batch []*waiter) {
	live := batch[:0:0]
	for _, w := range batch {
		if w.err = w.ctx.Err(); w.err == nil {
			live = append(live, w)
		}
	}
	if len(live) == 0 {
		return
	}
	savepoints := false
	for try := 1; ; try++ {
		clean, err := d.tryGroup(live, savepoints)
		if clean && err == nil {
			return
		}
		if err != nil && (try >= attempts || !retryable(err)) {
			for _, w := range live {
				w.err = storageFault(err)
			}
			return
		}
		if err == nil {
			if len(live) == 1 {
				return // its own error is final and nothing was kept
			}
			savepoints = true
		}
	}
}

// tryGroup runs the functions and commits. clean false means that one failed after writing and everything was rolled back; err is trouble of the
// transaction itself.
func (d *DB) tryGroup(live []*waiter, savepoints bool) (clean bool, err error) {
	ctx := context.Background()
	stx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	g := &group{d: d, sql: stx, stmts: map[string]*sql.Stmt{}}
	for _, w := range live {
		if ok, err := g.runOne(w, savepoints); !ok {
			_ = stx.Rollback()
			return false, err
		}
	}
	if err := g.flush(ctx); err != nil {
		_ = stx.Rollback()
		return false, err
	}
	if err := stx.Commit(); err != nil {
		_ = stx.Rollback()
		return false, err
	}
	d.committed.Add(1)
	for _, w := range live {
		if w.err == nil {
			d.joined.Add(1)
		}
	}
	for _, fn := range g.after {
		fn()
	}
	for _, q := range g.wanted {
		d.stmts.get(ctx, d.write, q)
	}
	return true, nil
}

// runOne runs one function. ok false: the whole transaction must be taken back.
func (g *group) runOne(w *waiter, savepoint bool) (ok bool, err error) {
	ctx := context.WithoutCancel(w.ctx)
	if savepoint {
		if _, err := g.sql.ExecContext(ctx, "SAVEPOINT one"); err != nil {
			return false, err
		}
	}
	tx := &Tx{d: g.d, sql: g.sql, group: g}
	w.err = call(ctx, w.fn, tx)
	switch {
	case w.err == nil:
		if savepoint {
			if _, err := g.sql.ExecContext(ctx, "RELEASE SAVEPOINT one"); err != nil {
				return false, err
			}
		}
		g.items = append(g.items, tx.items...)
		g.after = append(g.after, tx.after...)
		return true, nil
	case retryable(w.err):
		return false, w.err
	case savepoint:
		if _, err := g.sql.ExecContext(ctx, "ROLLBACK TO SAVEPOINT one"); err != nil {
			return false, err
		}
		_, err := g.sql.ExecContext(ctx, "RELEASE SAVEPOINT one")
		w.err = storageFault(w.err)
		return err == nil, err
	case !tx.dirty && !poisoned(w.err):
		return true, nil // it only read, and said no: the others go on
	default:
		w.err = storageFault(w.err)
		return false, nil
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

// poisoned: PostgreSQL refuses every statement after a failed one until the transaction is rolled back.
func poisoned(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg)
}

// retryable tells deadlocks and serialization failures, after which the same work may pass.
func retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}

// storageFault gives trouble with the storage itself its public meaning: 503, try again.
func storageFault(err error) error {
	if err == nil || fault.Of(err) != nil {
		return err
	}
	if Down(err) {
		return &fault.Error{Code: fault.Unavailable, Cause: err}
	}
	return err
}

// Down tells errors that mean "the database cannot take work now": gone, full, or read-only, as opposed to a wrong statement.
func Down(err error) bool {
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "58":
			return true
		}
		return pg.Code == "25006"
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) || errors.Is(err, sql.ErrConnDone) {
		return true
	}
	s := err.Error()
	for _, sign := range []string{"disk is full", "SQLITE_FULL", "(13)", "disk I/O error", "database is locked", "unable to open database", "readonly database", "read-only", "connection refused", "broken pipe", "unexpected EOF", "conn closed", "bad connection", "connection reset"} {
		if strings.Contains(s, sign) {
			return true
		}
	}
	return false
}

// IsUnique tells a violated uniqueness, on both engines.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	return err != nil && strings.Contains(err.Error(), "UNIQUE constraint failed")
}
