package app

import (
	"context"
	"time"
)

// task is recurring work. All tasks are safe to run on several nodes at once: they claim rows, or do what is done already.
type task struct {
	name  string
	every time.Duration
	run   func(ctx context.Context) error
}

// Limits of the recurring work.
const (
	eventLife  = 7 * 24 * time.Hour
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
			for {
				n, err := m.events.Trim(ctx, a.now().Add(-eventLife), trimChunk)
				if err != nil || n < trimChunk {
					return err
				}
			}
		}},
		{"expired_holds", time.Minute, func(ctx context.Context) error { _, err := m.billing.ExpireHolds(ctx, holdChunk); return err }},
		{"tn_leases_autorenew", time.Hour, func(ctx context.Context) error { _, err := m.numbers.Renew(ctx, renewChunk); return err }},
		{"expired_tokens", time.Hour, func(ctx context.Context) error { _, err := m.accounts.RemoveExpired(ctx); return err }},
		{"recordings", time.Hour, func(ctx context.Context) error { _, err := a.calls.voice.Expire(ctx, recordChunk); return err }},
		{"webhook_deliveries", time.Hour, func(ctx context.Context) error {
			_, err := m.webhooks.Trim(ctx, a.now().Add(-deliveryLife), trimChunk)
			return err
		}},
		{"idempotency_keys", time.Hour, answers{a.db, a.now}.expire},
	}
}

// schedule runs the tasks, each at its pace, one at a time, until ctx ends.
func (a *App) schedule(ctx context.Context, ready func()) error {
	ready()
	tasks := a.tasks()
	due := make([]time.Time, len(tasks))
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	for {
		for i, t := range tasks {
			if now := a.now(); ctx.Err() == nil && !now.Before(due[i]) {
				due[i] = now.Add(t.every)
				if err := t.run(ctx); err != nil && ctx.Err() == nil {
					a.log.Warn("scheduled work", "task", t.name, "error", err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
