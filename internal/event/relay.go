package event

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/failpoint"
)

// Pace of the relay.
const (
	pollEvery = 500 * time.Millisecond // looks by itself: a nudge of another node may be lost
	chunk     = 500                    // rows read at once
	maxFresh  = 8192                   // rows that wait for the relay before it has to read them
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

// hand gives the relay what was just committed, so that it need not read it back. When too much waits, it is dropped: the relay reads the log then.
func (l *Log) hand(rows []Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.behind+len(rows) > maxFresh {
		l.fresh, l.behind = nil, 0
		return
	}
	l.fresh = append(l.fresh, rows)
	l.behind += len(rows)
}

// taken gives all groups that were handed over, in the order of the log: of two writers the later one may report first.
func (l *Log) taken() [][]Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.fresh
	l.fresh, l.behind = nil, 0
	slices.SortFunc(out, func(a, b []Row) int { return cmp.Compare(a[0].Seq, b[0].Seq) })
	return out
}

// drain hands over all rows after last and gives the new last. Groups that follow on are taken as they were committed; where one is missing, because another node
// or a writer that has not reported yet committed it, the log is read.
func (l *Log) drain(ctx context.Context, last int64) (int64, error) {
	for _, group := range l.taken() {
		if group[0].Seq > last+1 {
			break // the log has this one and those before it
		}
		if group[0].Seq == last+1 {
			last = l.deliver(group)
		}
	}
	head, _, err := l.Head(ctx)
	if err != nil || head <= last {
		return last, err
	}
	for {
		rows, err := l.Read(ctx, Query{After: last, Limit: chunk})
		if err != nil {
			return last, err
		}
		if len(rows) > 0 {
			last = l.deliver(rows)
		}
		if len(rows) < chunk {
			return last, nil
		}
	}
}

// deliver gives rows to all subscribers and tells the last one's place.
func (l *Log) deliver(rows []Row) int64 {
	failpoint.Hit("event.relay")
	subs := l.subscribers()
	for _, r := range rows {
		for _, fn := range subs {
			fn(r)
		}
	}
	return rows[len(rows)-1].Seq
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
