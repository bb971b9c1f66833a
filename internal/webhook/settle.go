package webhook

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// finish writes what came of attempts: the end of each delivery or its next try, and the health of their endpoints.
func (s *Service) finish(ctx context.Context, tx *db.Tx, list []result) error {
	if err := s.fence(ctx, tx); err != nil {
		return err
	}
	now := s.now()
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b result) int { return cmp.Compare(a.d.id, b.d.id) }) // nodes and groups lock rows in one order
	if err := saveAttempts(ctx, tx, list); err != nil {
		return err
	}
	var good []result
	var t tally
	ends := map[string][]result{}
	for _, r := range list {
		if r.d.endpoint != nil {
			ends[r.d.endpoint.ID] = append(ends[r.d.endpoint.ID], r)
		}
		if r.o.good() {
			good = append(good, r)
			t.success++
			continue
		}
		n := next(r, now)
		if n.due.IsZero() {
			t.failed++
		} else {
			t.again++
		}
		if err := s.saveFailure(ctx, tx, r.d, n, now); err != nil {
			return err
		}
		if n.lane != r.d.lane {
			tx.After(func() { s.hint(n.lane) })
		}
	}
	if err := s.saveSuccesses(ctx, tx, good, now); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(ends)) {
		if err := s.finishEndpoint(ctx, tx, id, ends[id], now); err != nil {
			return err
		}
	}
	tx.After(func() {
		s.counters.add(t)
		s.report(list)
	})
	return nil
}

// again is how a delivery goes on after a failure.
type again struct {
	lane      string
	failures  int       // the place in the schedule
	due       time.Time // of the next try; zero: there is none
	notBefore time.Time // the answer asked for no other try until then; zero: it did not
}

// next tells how a delivery goes on whose attempt failed.
func next(r result, now time.Time) again {
	d := r.d
	n := again{lane: d.lane, failures: d.failures}
	if r.o.lost {
		return n
	}
	if r.o.later.After(now) && d.endpoint != nil {
		n.notBefore = r.o.later
	}
	if d.extra() {
		n.due = later(d.planned, n.notBefore)
		return n
	}
	n.failures++
	urls := max(len(d.notice.URLs), 1)
	url, wait, more := schedules[d.notice.Schedule].step(n.failures, urls)
	if !more || r.o.gone() && d.endpoint != nil {
		n.notBefore = time.Time{}
		return n
	}
	if d.endpoint == nil {
		n.lane, n.due = hostLane(d.notice.Account, d.notice.URLs[min(url, urls-1)]), now.Add(wait)
		return n
	}
	if n.due = n.notBefore; n.due.IsZero() {
		n.due = now.Add(jitter(d.ord, n.failures, wait))
	}
	return n
}

// finishEndpoint updates the health of an endpoint after attempts, and disables it when it is gone or fails for too long.
func (s *Service) finishEndpoint(ctx context.Context, tx *db.Tx, id string, list []result, now time.Time) error {
	if !slices.ContainsFunc(list, func(r result) bool {
		return !r.o.good() || r.d.endpoint.Fails > 0 || now.Sub(r.d.endpoint.LastSuccess) > noteEvery
	}) {
		return nil // it went well before
	}
	e, found, err := lockEndpoint(ctx, tx, id)
	if err != nil || !found {
		return err
	}
	slices.SortStableFunc(list, func(a, b result) int { return a.d.started.Add(a.o.took).Compare(b.d.started.Add(b.o.took)) })
	old, active := e.Health, e.Active
	gone := false
	for _, r := range list {
		e.Health = e.after(r, now)
		gone = gone || r.o.gone()
	}
	if e.Active && gone {
		e.disable("gone", now)
		if err := cancelPending(ctx, tx, id, "canceled", now); err != nil {
			return err
		}
	}
	if e.Active && !e.FailingSince.IsZero() && now.Sub(e.FailingSince) >= failingLimit {
		e.disable("failing", now)
		if err := cancelPending(ctx, tx, id, "failed", now); err != nil {
			return err
		}
	}
	if e.Active != active {
		if err := saveEndpoint(ctx, tx, e); err != nil {
			return err
		}
		if s.alerts != nil && !gone { // one that is gone wanted to
			if err := s.alerts.EndpointDisabled(ctx, tx, e.Account, redacted(e.URL), e.Reason); err != nil {
				return err
			}
		}
		return s.changed(ctx, tx)
	}
	if e.Health == old {
		return nil
	}
	return saveHealth(ctx, tx, id, e.Health)
}

// report writes one line for each delivery that ended.
func (s *Service) report(list []result) {
	for _, r := range list {
		args := []any{"delivery", r.d.id, "account", r.d.notice.Account, "event", r.d.notice.Trigger, "attempt", r.d.tries, "status", r.o.status, "cause", r.o.err}
		if r.o.good() {
			s.log.Debug("notification", args...)
		} else {
			s.log.Info("notification", args...)
		}
	}
}
