package db

import (
	"context"
	"errors"
	"slices"
	"strconv"
)

// joining is the key under which a context names the transaction that it is part of.
type joining struct{}

// place is what stands under it.
type place struct {
	tx   *Tx
	open bool // Update may be called with this context: it runs within tx
}

// Join makes a context whose Update and Read work within tx: an Update becomes a part of tx, with an error it takes back only what it did itself, and a
// read sees what tx has written. It serves a caller that runs code which opens transactions of its own, and wants the whole kept or lost together.
//
// The rules of Update hold for all that code: it may run more than once, and on another goroutine. Only one goroutine at a time may use the
// context, rows must be closed before the next statement, and it counts as an ordinary one once the function of tx has returned.
func Join(ctx context.Context, tx *Tx) context.Context {
	return context.WithValue(ctx, joining{}, place{tx, true})
}

// Apart makes a context that is part of no transaction, for look-ups whose results outlive it, such as those of caches.
func Apart(ctx context.Context) context.Context {
	if _, ok := ctx.Value(joining{}).(place); !ok {
		return ctx
	}
	return context.WithValue(ctx, joining{}, place{})
}

// Joined tells whether an Update with this context becomes a part of another transaction, so that the caller must not hand its work to other goroutines.
func Joined(ctx context.Context) bool {
	p, _ := ctx.Value(joining{}).(place)
	return p.open && !p.tx.root().over.Load()
}

// Then runs fn once what ctx is joined to is on the disk, on the goroutine of the outermost Update and with its context; not at all when that fails. With a
// context that is not joined fn runs at once. It is for what follows an Update in code that may be joined: caches to renew, others to tell.
func Then(ctx context.Context, fn func(ctx context.Context)) {
	if !Joined(ctx) {
		fn(ctx)
		return
	}
	p, _ := ctx.Value(joining{}).(place)
	p.tx.then = append(p.tx.then, fn)
}

// part gives the transaction of this database that ctx is part of, if any.
func (d *DB) part(ctx context.Context) (place, bool) {
	p, _ := ctx.Value(joining{}).(place)
	return p, p.tx != nil && p.tx.d == d && !p.tx.root().over.Load()
}

func (t *Tx) root() *Tx {
	for t.outer != nil {
		t = t.outer
	}
	return t
}

// Changed tells whether this function has written something that was not taken back.
func (t *Tx) Changed() bool { return t.dirty }

// nest runs fn as a part of t.
func (t *Tx) nest(ctx context.Context, fn func(context.Context, *Tx) error) error {
	in := &Tx{d: t.d, sql: t.sql, group: t.group, outer: t}
	err := call(context.WithValue(ctx, joining{}, place{in, false}), fn, in)
	switch {
	case in.waits && in.failed == nil:
		t.waits = true
		t.dirty = t.dirty || in.dirty // what the part wrote before it met the row must be taken back with the rest
		return errLater
	case err == nil && in.failed != nil && t.d.engine == Postgres:
		err = in.failed // PostgreSQL gave up what it did, whatever it says
	}
	bad := in.failed
	if bad == nil && !errors.Is(err, context.DeadlineExceeded) { // that one is of something else the function waited for
		bad = err
	}
	if Down(bad) || retryable(bad) {
		return t.lost(in, bad, err)
	}
	if err != nil {
		return t.takeBack(in, err)
	}
	if in.savepoint != "" {
		if _, err := t.sql.ExecContext(t.group.ctx, "RELEASE SAVEPOINT "+in.savepoint); err != nil {
			return t.note(err)
		}
	}
	t.dirty = t.dirty || in.dirty
	t.items = append(t.items, in.items...)
	t.after = append(t.after, in.after...)
	t.then = append(t.then, in.then...)
	t.locked = append(t.locked, in.locked...)
	return nil
}

// lost is a part after which the whole transaction has to run again, or cannot: nothing more may run in it.
func (t *Tx) lost(in *Tx, bad, err error) error {
	t.dirty = t.dirty || in.dirty
	_ = t.note(bad)
	if err == nil {
		err = bad
	}
	return err
}

// takeBack undoes what a part did before it failed.
func (t *Tx) takeBack(in *Tx, err error) error {
	if in.savepoint == "" {
		if t.d.engine == Postgres && (in.failed != nil || poisoned(err)) {
			_ = t.note(err) // there is nothing to go back to
		}
		return err
	}
	for _, text := range []string{"ROLLBACK TO SAVEPOINT ", "RELEASE SAVEPOINT "} {
		if _, e := t.sql.ExecContext(t.group.ctx, text+in.savepoint); e != nil {
			_ = t.note(e)
			return err
		}
	}
	return err
}

// mark sets the savepoint of a part right before its first statement: what only asks an error of the transaction's functions needs none.
func (t *Tx) mark(writing bool) error {
	if t.outer == nil || t.savepoint != "" || !writing {
		return nil
	}
	if err := t.outer.mark(writing); err != nil {
		return err
	}
	t.group.parts++
	name := "part" + strconv.Itoa(t.group.parts)
	if _, err := t.sql.ExecContext(t.group.ctx, "SAVEPOINT "+name); err != nil {
		return err
	}
	t.savepoint = name
	return nil
}

// holds tells whether this function has locked the row of a key.
func (t *Tx) holds(key string) bool {
	for ; t != nil; t = t.outer {
		if slices.Contains(t.locked, key) {
			return true
		}
	}
	return false
}

// lockless tells whether this function has locked nothing.
func (t *Tx) lockless() bool {
	for ; t != nil; t = t.outer {
		if len(t.locked) > 0 {
			return false
		}
	}
	return true
}
