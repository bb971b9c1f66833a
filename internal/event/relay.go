package event

import (
	"context"
	"time"
)

// Pace of the relay.
const (
	pollEvery = 500 * time.Millisecond // looks by itself: a nudge of another node may be lost
	chunk     = 500                    // rows read at once
)

// Subscribe hands every event committed from now on to fn, in order, on the relay's goroutine: fn must not block. Cancel ends it.
func (l *Log) Subscribe(fn func(Row)) (cancel func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.next
	l.next++
	l.subs[id] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, id)
	}
}

// Run reads the log from its present head on and serves the subscribers until ctx ends.
func (l *Log) Run(ctx context.Context, ready func()) error {
	last, _, err := l.Head(ctx)
	if err != nil {
		return err
	}
	ready()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.news:
		case <-tick.C:
		}
		if last, err = l.drain(ctx, last); err != nil && ctx.Err() == nil {
			l.log.Warn("event relay", "error", err)
		}
	}
}

// drain hands over all rows after last and gives the new last.
func (l *Log) drain(ctx context.Context, last int64) (int64, error) {
	for {
		rows, err := l.Read(ctx, Query{After: last, Limit: chunk})
		if err != nil {
			return last, err
		}
		for _, r := range rows {
			for _, fn := range l.subscribers() {
				fn(r)
			}
			last = r.Seq
		}
		if len(rows) < chunk {
			return last, nil
		}
	}
}

func (l *Log) subscribers() []func(Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]func(Row), 0, len(l.subs))
	for _, fn := range l.subs {
		out = append(out, fn)
	}
	return out
}
