package app

import (
	"context"
	"errors"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// task is recurring work. One node does it in each period. All tasks are safe to run on several nodes at once: they claim rows, or do what is done already.
type task struct {
	name  string
	every time.Duration
	run   func(ctx context.Context) error
}

// Limits of the recurring work.
const (
	taskTick   = 15 * time.Second // each task is looked at so often
	trimChunk  = 5000
	renewChunk = 500
	holdChunk  = 500

	recordChunk  = 200
	deliveryLife = 30 * 24 * time.Hour
)

func (a *App) tasks() []task {
	m := a.domains
	return []task{
		{"event_trim", 10 * time.Minute, func(ctx context.Context) error {
			before := a.now().Add(-a.cfg.EventRetention)
			if err := m.webhooks.Keep(ctx, before); err != nil { // what may be sent again
				return err
			}
			for {
				n, err := m.events.Trim(ctx, before, trimChunk)
				if err != nil || n < trimChunk {
					return err
				}
			}
		}},
		{"expired_holds", time.Minute, func(ctx context.Context) error { _, err := m.billing.ExpireHolds(ctx, holdChunk); return err }},
		{"tn_leases_autorenew", time.Hour, func(ctx context.Context) error { _, err := m.numbers.Renew(ctx, renewChunk); return err }},
		{"tn_leases_release_notification", time.Hour, func(ctx context.Context) error { _, err := m.numbers.Warn(ctx, renewChunk); return err }},
		{"expired_tokens", time.Hour, func(ctx context.Context) error { _, err := m.accounts.RemoveExpired(ctx); return err }},
		{"recordings", time.Hour, func(ctx context.Context) error { _, err := a.calls.voice.Expire(ctx, recordChunk); return err }},
		{"webhook_deliveries", time.Hour, func(ctx context.Context) error {
			_, err := m.webhooks.Trim(ctx, a.now().Add(-deliveryLife), trimChunk)
			return err
		}},
		{"idempotency_keys", time.Hour, m.answers.Expire},
	}
}

// schedule runs the tasks until ctx ends.
func (a *App) schedule(ctx context.Context, ready func()) error {
	ready()
	a.repeat(ctx, a.tasks())
	return nil
}

// repeat runs tasks, each at its pace, one at a time, until ctx ends.
func (a *App) repeat(ctx context.Context, tasks []task) {
	due := make([]time.Time, len(tasks))
	tick := time.NewTicker(taskTick)
	defer tick.Stop()
	for {
		for i, t := range tasks {
			if ctx.Err() != nil || a.now().Before(due[i]) {
				continue
			}
			next, err := a.runTask(ctx, t)
			if due[i] = next; err != nil && ctx.Err() == nil {
				a.log.Warn("scheduled work", "task", t.name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-a.freed:
			clear(due) // the periods that others had begun may be over
		case <-tick.C:
		}
	}
}

// takeBackTasks frees what a dead node had in hand in the transaction that declares it dead; this node looks at it at once.
func (a *App) takeBackTasks(ctx context.Context, tx *db.Tx, node string) error {
	n, err := freeTasks(ctx, tx, node)
	if err != nil || n == 0 {
		return err
	}
	tx.After(func() {
		select {
		case a.freed <- struct{}{}:
		default: // it is about to look anyway
		}
	})
	return nil
}

// runTask does a task if this is the node that does it in this period, and tells when the next period begins.
func (a *App) runTask(ctx context.Context, t task) (next time.Time, err error) {
	var mine bool
	node := a.domains.node
	err = a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if err := node.Fence(ctx, tx); err != nil { // nobody would free what a dead node claims
			return err
		}
		mine, next, err = claimTask(ctx, tx, t.name, node.ID(), a.now(), t.every)
		return err
	})
	if err != nil {
		return a.now().Add(taskTick), err
	}
	if !mine {
		return next, nil
	}
	if err = t.run(ctx); ctx.Err() != nil {
		return next, err // cut off: whoever buries this node takes it
	}
	return next, errors.Join(err, a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return endTask(ctx, tx, t.name, node.ID()) }))
}
