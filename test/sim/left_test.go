package sim

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// due are the questions for what waits, each with the soonest time to come at which some of it goes on.
var due = []struct{ what, query string }{
	{"messages in the queue", "SELECT count(*), min(CASE WHEN due_on > $1 THEN due_on END) FROM sms WHERE due_on IS NOT NULL"},
	{"messages without end", "SELECT count(*), min(CASE WHEN due_on > $1 THEN due_on END) FROM sms WHERE state IN ('created', 'sending')"},
	{"early receipts", "SELECT count(*), min(CASE WHEN expires_on > $1 THEN expires_on END) FROM sms_receipt WHERE NOT unknown"},
	{"jobs", "SELECT count(*), min(CASE WHEN COALESCE(lease_until, run_at) > $1 THEN COALESCE(lease_until, run_at) END) FROM job"},
	{"events without deliveries", "SELECT h.seq - f.seq, NULL FROM event_head AS h, webhook_fanout AS f"},
	{"endpoints that take nothing", `SELECT count(*), min(CASE WHEN probe_on > $1 THEN probe_on END) FROM webhook_endpoint
		WHERE fails >= 5 AND EXISTS (SELECT 1 FROM webhook_delivery WHERE state = 'pending' AND endpoint IS NOT NULL)`},
	{"notifications", "SELECT count(*), min(CASE WHEN due_on > $1 THEN due_on END) FROM webhook_delivery WHERE state = 'pending'"},
}

// left tells what is still to be done, in words, and when the next of it is due.
func (w *world) left(l *life) (next time.Time, words string, err error) {
	var all []string
	now := time.Now()
	sooner := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if n := w.network.pending.Load(); n > 0 {
		all = append(all, fmt.Sprintf("%d at the carriers", n))
		sooner(now.Add(20 * time.Second))
	}
	for _, q := range due {
		var n int
		var at db.Time
		if err := l.d.Read().QueryRow(context.Background(), q.query, now.UnixMicro()).Scan(&n, &at); err != nil {
			return next, "", fmt.Errorf("%s: %w", q.what, err)
		}
		if n == 0 {
			continue
		}
		all = append(all, fmt.Sprintf("%d %s", n, q.what))
		if !at.IsZero() {
			sooner(at.Time)
		}
	}
	return next, strings.Join(all, ", "), nil
}
