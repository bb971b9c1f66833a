package webhook

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fetch"
)

// maxHold is how long a node may have a delivery in hand: the longest request with all its redirects.
const maxHold = fetch.MaxTimeout*(fetch.MaxRedirects+1) + leaseMargin

var errStopped = errors.New("server stops")

// Run sends due notifications until ctx ends. Requests under way then end too, and are made again by the next Run.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return takeBack(ctx, tx, s.node, s.now()) }); err != nil {
		return err
	}
	ready()
	s.dispatch(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer cancel()
	return s.db.Update(last, func(ctx context.Context, tx *db.Tx) error { return takeBack(ctx, tx, s.node, s.now()) })
}

// dispatch claims as many deliveries as there are idle workers, whenever something is due.
func (s *Service) dispatch(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, workers)
	for range workers {
		free <- struct{}{}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		for s.round(ctx, free, &wg) {
		}
		timer.Reset(s.pause(ctx))
	}
}

// round starts what is due on idle workers and tells whether there may be more.
func (s *Service) round(ctx context.Context, free chan struct{}, wg *sync.WaitGroup) (more bool) {
	n := take(ctx, free)
	if n == 0 {
		return false
	}
	var list []*delivery
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		list, err = s.claim(ctx, tx, n, s.now())
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("claim deliveries", "error", err)
		}
		list = nil
	}
	for range n - len(list) {
		free <- struct{}{}
	}
	for _, d := range list {
		wg.Go(func() {
			s.deliver(ctx, d)
			free <- struct{}{}
			s.nudge() // the next of its key may go
		})
	}
	return len(list) == n
}

// take waits for one idle worker and takes all that are idle.
func take(ctx context.Context, free chan struct{}) int {
	select {
	case <-ctx.Done():
		return 0
	case <-free:
	}
	for n := 1; ; n++ {
		select {
		case <-free:
		default:
			return n
		}
	}
}

// pause is the time until the next delivery is due, at most the polling time.
func (s *Service) pause(ctx context.Context) time.Duration {
	at, err := nextDue(ctx, s.db.Read())
	if err != nil || at.IsZero() {
		return pollEvery
	}
	if d := at.Sub(s.now()); d > 0 && d < pollEvery {
		return d
	}
	return pollEvery
}

// deliver makes one request and writes what came of it.
func (s *Service) deliver(ctx context.Context, d *delivery) {
	o, err := s.send(ctx, d)
	if errors.Is(err, errStopped) {
		return // Run takes it back
	}
	save := context.WithoutCancel(ctx)
	if err := s.db.Update(save, func(ctx context.Context, tx *db.Tx) error { return s.finish(ctx, tx, d, o) }); err != nil {
		s.log.Warn("save delivery", "delivery", d.id, "error", err)
	}
	s.log.Info("notification", "delivery", d.id, "account", d.notice.Account, "event", d.notice.Trigger, "attempt", d.tries, "status", o.status, "cause", o.err)
}

func (s *Service) send(ctx context.Context, d *delivery) (outcome, error) {
	n := d.notice
	r := fetch.Request{Method: n.Method, URL: d.url(), Header: map[string][]string{}, Timeout: n.Timeout, RedirectLimit: schedules[n.Schedule].redirects, MaxBody: keptBody}
	if n.Timeout < 0 {
		r.Timeout = fetch.NoTimeout
	}
	for k, v := range n.Header {
		r.Header.Set(k, v)
	}
	r.Header.Set("X-Opentact-Event", n.Trigger)
	r.Header.Set("X-Opentact-Attempt", strconv.Itoa(d.tries))
	if n.Method != "GET" {
		r.Body = n.Body
		r.Header.Set("Content-Type", "application/json")
	}
	if n.Secret != "" {
		sign(r.Header.Set, n.Secret, "msg_"+d.id, s.now(), r.Body)
	}
	a, err := s.fetch.Do(ctx, r)
	o := outcome{status: a.Status, took: a.Duration, response: plain(a.Body)}
	if err == nil {
		if !o.good() {
			o.err = "Status " + strconv.Itoa(a.Status)
		}
		return o, nil
	}
	if fetch.KindOf(err) == fetch.Canceled && ctx.Err() != nil {
		return o, errStopped
	}
	o.status, o.err = 0, err.Error()
	return o, nil
}

// plain makes bytes of a stranger into a text that every database takes.
func plain(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "?"), "\x00", "?")
}
