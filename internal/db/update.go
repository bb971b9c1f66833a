package db

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/fault"
)

// waiter is one caller of Update.
type waiter struct {
	ctx   context.Context
	fn    func(ctx context.Context, tx *Tx) error
	since time.Time
	err   error
	done  chan struct{} // closed when err is final
	lead  chan struct{} // closed when this waiter shall lead the next group
	leads bool          // guarded by DB.mu: it has the lead, from the start or by lead
	later bool          // of the group it is in: it met a row that others hold, and has its turn in another one
	then  []func(context.Context)
}

// Update runs fn in a transaction and returns when its commit is on disk, or with fn's error when nothing of it was kept.
//
// Callers that wait at the same time share one commit. fn may therefore run on another caller's goroutine, and more than once: it must have no
// effect beside the transaction but to set its own results anew on each run, and must not call Update but with a context of Join. ctx ends the wait for a turn; once fn runs it is
// not interrupted, so that a cancelled request never leaves the caller in doubt. An unreachable or full database gives fault.Unavailable, after 45 seconds
// at the most when it does not even refuse; whether a commit whose connection broke was kept is unknown then.
func (d *DB) Update(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	if in, ok := d.part(ctx); ok && in.open {
		return in.tx.nest(ctx, fn)
	} else if ok || ctx.Value(inside{}) == d {
		return errNested
	}
	w := &waiter{ctx: ctx, fn: fn, since: time.Now(), done: make(chan struct{}), lead: make(chan struct{})}
	d.mu.Lock()
	if len(d.queue) >= maxWaiting {
		d.mu.Unlock()
		return fault.New(fault.Unavailable)
	}
	d.queue = append(d.queue, w)
	if w.leads = d.leaders == 0 || d.leaders < d.maxLeaders() && d.crowded(); w.leads {
		d.leaders++
	}
	leads := w.leads
	d.mu.Unlock()
	if leads || d.await(w) {
		d.leadUntil(w)
		<-w.done
	}
	if w.err == nil {
		for _, fn := range w.then {
			fn(ctx)
		}
	}
	return w.err
}

// errNested tells a function that waits for a transaction while it is in one: on SQLite it would wait for itself.
var errNested = errors.New("db: Update within a function of Update")

func (d *DB) maxLeaders() int {
	if d.engine == Postgres {
		return pgWriters
	}
	return 1
}

// crowded tells that another transaction beside those that run is worth its commit; d.mu is held. Fewer and larger groups are quicker as long as nobody
// waits for long: all of them meet at the row that gives the event log its cursors.
func (d *DB) crowded() bool {
	return len(d.queue) >= maxBatch || len(d.queue) > 0 && time.Since(d.queue[0].since) > patience
}

// await waits until w's function is done (false), or until w shall lead (true). A caller that gives up while it waits for its turn leaves the queue.
func (d *DB) await(w *waiter) (leads bool) {
	select {
	case <-w.lead:
		return true
	case <-w.ctx.Done():
		if d.leave(w) {
			return false
		}
		select {
		case <-w.lead:
			return true
		case <-w.done:
		}
	case <-w.done:
	}
	// It may have been given the lead in the moment in which another leader took it into a group: the lead must not end here.
	d.mu.Lock()
	leads = w.leads
	d.mu.Unlock()
	if leads {
		d.handOver()
	}
	return false
}

// leave takes a waiter out of the queue; false means that it leads or is in a group already.
func (d *DB) leave(w *waiter) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.queue, w)
	if i < 0 || w.leads {
		return false
	}
	d.queue = slices.Delete(d.queue, i, i+1)
	w.err = w.ctx.Err()
	return true
}

// leadUntil runs groups until w's own function is done or in another leader's group, then hands the lead to the next waiter.
func (d *DB) leadUntil(w *waiter) {
	defer d.handOver() // also when a function ends this goroutine
	for {
		select {
		case <-w.done:
			return
		default:
		}
		runtime.Gosched() // whoever can come by now shares this commit
		batch := d.take()
		if len(batch) == 0 { // another leader has w in its group
			return
		}
		if later := d.serve(batch); len(later) > 0 {
			d.mu.Lock()
			d.queue = slices.Insert(d.queue, 0, later...)
			d.mu.Unlock()
		}
	}
}

func (d *DB) take() []*waiter {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(len(d.queue), maxBatch)
	batch := append([]*waiter(nil), d.queue[:n]...)
	d.queue = slices.Delete(d.queue, 0, n)
	return batch
}

// handOver gives the lead to the oldest waiter without one, or gives it up.
func (d *DB) handOver() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, next := range d.queue {
		if !next.leads && (d.leaders == 1 || d.crowded()) {
			next.leads = true
			close(next.lead)
			return
		}
	}
	d.leaders--
}

// serve gives every waiter of a batch its result, whatever its functions do, but for those that shall have their turn later.
func (d *DB) serve(batch []*waiter) (later []*waiter) {
	finished := false
	defer func() {
		for _, w := range batch {
			switch {
			case finished && w.later:
				w.later = false
				later = append(later, w)
				continue
			case !finished:
				w.err = errors.New("db: a function of the transaction ended its goroutine")
			}
			close(w.done)
		}
	}()
	d.runBatch(batch)
	finished = true
	return nil
}

// runBatch runs those that still want to. When a group fails for a reason that is not the database's (a collector refuses one's items, a function hides
// that PostgreSQL gave its transaction up), each function gets a transaction of its own, so that only the guilty one fails.
func (d *DB) runBatch(batch []*waiter) {
	live := batch[:0:0]
	for _, w := range batch {
		switch {
		case w.ctx.Err() != nil:
			w.err = w.ctx.Err()
		case time.Since(w.since) > maxWait:
			w.err = fault.New(fault.Unavailable)
		default:
			live = append(live, w)
		}
	}
	if len(live) == 0 {
		return
	}
	err := d.runGroup(live)
	if err == nil {
		return
	}
	alone := len(live) > 1 && !Down(err)
	for _, w := range live {
		w.later = false
		w.err = storageFault(err)
		if alone {
			if own := d.runGroup([]*waiter{w}); own != nil {
				w.err = storageFault(own)
			}
		}
	}
}

// runGroup gives every waiter its result, or reports why the transaction as a whole was not kept. The hopeful way first: all functions without savepoints.
// When one of them fails after it has written, the transaction is taken back and run again with a savepoint around each.
func (d *DB) runGroup(live []*waiter) error {
	savepoints := false
	for try := 1; ; try++ {
		clean, err := d.tryGroup(live, savepoints)
		switch {
		case err == nil && (clean || len(live) == 1): // alone, its own error is final and nothing was kept
			return nil
		case err == nil:
			savepoints = true
		case try >= attempts || !retryable(err):
			return err
		}
	}
}
