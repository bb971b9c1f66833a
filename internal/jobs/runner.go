package jobs

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/failpoint"
)

// Run claims and does jobs until ctx ends; then it waits for the running handlers, whose contexts end at once, and gives back what they left.
func (r *Runner) Run(ctx context.Context, ready func()) error {
	var wg sync.WaitGroup
	for _, q := range r.all() {
		wg.Go(func() { r.dispatch(ctx, q) })
	}
	ready()
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer cancel()
	return r.db.Update(last, func(ctx context.Context, tx *db.Tx) error { return takeBack(ctx, tx, r.node) })
}

// dispatch claims as many jobs as it has idle workers, whenever something is due.
func (r *Runner) dispatch(ctx context.Context, q *queue) {
	var workers sync.WaitGroup
	defer workers.Wait()
	free := make(chan struct{}, q.opt.Workers)
	for range q.opt.Workers {
		free <- struct{}{}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var fires, freed time.Time // when the timer fires; when leases were looked at
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-q.wake:
			if at.After(r.now()) { // only ever sooner: a later time must not put off what the timer is set for
				if at.Before(fires) {
					fires = at
					timer.Reset(at.Sub(r.now()))
				}
				continue
			}
		case <-timer.C:
		}
		if now := r.now(); now.Sub(freed) >= freeEvery {
			freed = now
			r.free(ctx, q)
		}
		fires = r.now().Add(r.round(ctx, q, free, &workers))
		timer.Reset(fires.Sub(r.now()))
	}
}

func (r *Runner) free(ctx context.Context, q *queue) {
	err := r.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return free(ctx, tx, q.name, r.node, r.now()) })
	if err != nil && ctx.Err() == nil {
		r.log.Warn("free jobs", "queue", q.name, "error", err)
	}
}

// round claims and starts jobs until nothing is due or no worker is free, and says when to look again.
func (r *Runner) round(ctx context.Context, q *queue, free chan struct{}, workers *sync.WaitGroup) time.Duration {
	for {
		n := take(ctx, free, q.opt.Workers)
		if n == 0 {
			return 0
		}
		var got []Job
		var now time.Time
		err := r.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			now, got = r.now(), nil
			if err := r.fence(ctx, tx); err != nil {
				return err
			}
			got, err = claim(ctx, tx, q.name, r.node, now, q.opt.lease(), n*q.opt.Batch)
			return err
		})
		if err != nil {
			if ctx.Err() == nil && !db.IsUnique(err) {
				r.log.Warn("claim jobs", "queue", q.name, "error", err)
			}
			got = nil
		}
		busy := 0
		for some := range slices.Chunk(got, q.opt.Batch) {
			busy++
			workers.Go(func() {
				r.doAll(ctx, q, some)
				free <- struct{}{}
				if slices.ContainsFunc(some, func(j Job) bool { return j.Order != "" }) {
					q.nudge(r.now()) // the next of their orders may go
				}
			})
		}
		for range n - busy {
			free <- struct{}{}
		}
		if len(got) < n*q.opt.Batch {
			return r.pause(ctx, q, now, err)
		}
	}
}

// take waits for one idle worker and takes all that are idle.
func take(ctx context.Context, free chan struct{}, most int) int {
	select {
	case <-ctx.Done():
		return 0
	case <-free:
	}
	n := 1
	for n < most {
		select {
		case <-free:
			n++
		default:
			return n
		}
	}
	return n
}

// pause gives the time until the next job is due, at most the polling time. A job that was due but not claimed waits for another of its order, whose
// end will wake us.
func (r *Runner) pause(ctx context.Context, q *queue, claimed time.Time, trouble error) time.Duration {
	if db.IsUnique(trouble) { // another node claimed of the same order at this moment
		return meetPause
	}
	if trouble != nil {
		return pollEvery
	}
	due, err := nextDue(ctx, r.db.Read(), q.name, claimed)
	if err != nil || due.IsZero() {
		return pollEvery
	}
	return max(0, min(due.Sub(r.now()), pollEvery))
}

// doAll runs jobs together, else one after the other.
func (r *Runner) doAll(ctx context.Context, q *queue, list []Job) {
	if len(list) > 1 && r.together(ctx, q, list) {
		return
	}
	for _, j := range list {
		r.do(ctx, q, j)
	}
}

// together runs jobs in one call and ends them in one transaction; false means that they are still to be done.
func (r *Runner) together(ctx context.Context, q *queue, list []Job) bool {
	if !r.holds() {
		return false
	}
	if err := r.callAll(ctx, q, list); err != nil {
		r.log.Debug("jobs are done one by one", "queue", q.name, "jobs", len(list), "error", err)
		return false
	}
	failpoint.Hit("jobs.handled_together")
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer stop()
	if err := r.db.Update(last, func(ctx context.Context, tx *db.Tx) error { return finishAll(ctx, tx, list, r.node) }); err != nil {
		r.log.Warn("end jobs", "queue", q.name, "jobs", len(list), "error", err)
	}
	return true
}

// callAll is call for jobs that are done together.
func (r *Runner) callAll(ctx context.Context, q *queue, list []Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("job handler panicked", "queue", q.name, "jobs", len(list), "panic", p, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, q.opt.Timeout)
	defer cancel()
	return q.opt.Together(ctx, list)
}

// do runs one job and ends it as its outcome says.
func (r *Runner) do(ctx context.Context, q *queue, j Job) {
	out := r.handle(ctx, q, j)
	failpoint.Hit("jobs.handled")
	if out.kind == kept {
		return
	}
	if ctx.Err() != nil && out.kind == again {
		return // stopping: Run gives the lease back, and the job runs again at its time
	}
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer stop()
	err := r.db.Update(last, func(ctx context.Context, tx *db.Tx) error {
		if out.kind == finished {
			return finish(ctx, tx, j, r.node)
		}
		return putOff(ctx, tx, j, r.node, out.at, out.err)
	})
	if err != nil {
		r.log.Warn("end job", "queue", q.name, "job", j.ID, "error", err)
		return
	}
	if out.kind == again {
		q.nudge(out.at)
	}
}

// handle runs the handler, unless the claim may be lost by now.
func (r *Runner) handle(ctx context.Context, q *queue, j Job) Outcome {
	if !r.holds() {
		return Again(r.now().Add(pollEvery), errUnsure)
	}
	ctx = context.WithValue(ctx, runKey{}, run{j.ID, r.node, j.Attempt, q.nudge})
	ctx, cancel := context.WithTimeout(ctx, q.opt.Timeout)
	defer cancel()
	return r.call(ctx, q, j)
}

// call keeps a panicking handler from taking the process with it; its job is tried again later and later.
func (r *Runner) call(ctx context.Context, q *queue, j Job) (out Outcome) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("job handler panicked", "queue", q.name, "job", j.ID, "panic", p, "stack", string(debug.Stack()))
			out = Again(r.now().Add(time.Duration(min(j.Attempt, 60))*time.Minute), errPanic)
		}
	}()
	return q.fn(ctx, j)
}
