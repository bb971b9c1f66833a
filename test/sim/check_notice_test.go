package sim

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/messaging"
)

// wait is what the contract says of the time before a try after so many failures (webhooks.md §3); ok false: it is given up.
func wait(failures, addresses int) (d time.Duration, ok bool) {
	quick := []time.Duration{0, 5 * time.Second, 25 * time.Second}
	late := []time.Duration{5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour}
	if n := len(quick) * addresses; failures < n {
		return quick[failures%len(quick)], true
	} else {
		failures -= n
	}
	switch {
	case failures >= len(late)*addresses:
		return 0, false
	case failures%addresses > 0:
		return 0, true
	}
	return late[failures/addresses], true
}

// slack is how much later than due a request may be made: the platform looks once a second.
const slack = 2500 * time.Millisecond

// attempt is a request as the platform wrote it down.
type attempt struct {
	n       int
	started time.Time
	took    time.Duration
	status  int
	failure string
	saved   bool // its end was written
}

// notice is a notification with what the customer got of it.
type notice struct {
	id        string
	trigger   string
	state     string
	order     string
	addresses int
	created   time.Time
	attempts  []attempt
	got       []*request
	message   *messaging.Message
	end       time.Time // of its last try
}

// loadNotices gives the notifications in the order in which they were made.
func (r *record) loadNotices(ctx context.Context) ([]*notice, error) {
	rows, err := r.l.d.Read().Query(ctx, "SELECT uuid, trigger_name, state, COALESCE(ord, ''), urls, created_on FROM webhook_delivery WHERE endpoint IS NULL ORDER BY uuid")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	byID := map[string]*notice{}
	var out []*notice
	for rows.Next() {
		n := &notice{}
		var urls db.JSON[[]string]
		var created db.Time
		if err := rows.Scan(&n.id, &n.trigger, &n.state, &n.order, &urls, &created); err != nil {
			return nil, err
		}
		n.addresses, n.created = len(urls.V), created.Time
		byID[n.id] = n
		out = append(out, n)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, r.loadAttempts(ctx, func(id string, a attempt) {
		if n := byID[id]; n != nil {
			n.attempts = append(n.attempts, a)
			n.end = a.started.Add(a.took)
		}
	})
}

// loadAttempts gives the attempts of all deliveries, those of one in their order.
func (r *record) loadAttempts(ctx context.Context, add func(delivery string, a attempt)) error {
	rows, err := r.l.d.Read().Query(ctx, "SELECT delivery, n, started_on, COALESCE(duration_ms, 0), COALESCE(status, 0), COALESCE(error, ''), duration_ms IS NOT NULL FROM webhook_attempt ORDER BY delivery, n")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var a attempt
		var started db.Time
		var ms int64
		if err := rows.Scan(&id, &a.n, &started, &ms, &a.status, &a.failure, &a.saved); err != nil {
			return err
		}
		a.started, a.took = started.Time, time.Duration(ms)*time.Millisecond
		add(id, a)
	}
	return rows.Err()
}

// checkNotifications: each event of a message that calls for one has one notification, tried as the schedule says until it was taken or given up.
func (r *record) checkNotifications() {
	list, err := r.loadNotices(context.Background())
	if err != nil {
		r.w.problem("notifications: %v", err)
		return
	}
	got := r.w.customer.requests(false)
	want, have := r.triggers(), map[string]int{}
	seen := map[string]bool{}
	threads := map[string][]*notice{}
	for _, n := range list {
		n.got = got[n.id]
		delete(got, n.id)
		have[n.trigger]++
		r.identify(n)
		if n.message != nil {
			what := n.message.ID + n.trigger
			if seen[what] {
				r.w.problem("two notifications %s of %s", n.trigger, keyOf(n.message.Text))
			}
			seen[what] = true
		}
		r.checkNotice(n)
		r.checkPace(n, threads[n.order])
		threads[n.order] = append(threads[n.order], n)
	}
	for trigger, n := range want {
		if have[trigger] != n {
			r.w.problem("%d notifications %s for %d events", have[trigger], trigger, n)
		}
	}
	for id := range got {
		r.w.problem("the customer got a notification %s that is not there", id)
	}
}

// triggers counts the events that customers are told of.
func (r *record) triggers() map[string]int {
	out := map[string]int{"sms_sent": 0, "sms_delivered": 0, "sms_send_fails": 0, "sms_delivery_fails": 0, "smsi_received": 0}
	handed := map[string]bool{}
	for _, p := range r.payloads {
		switch {
		case p.Type == messaging.Inbound:
			out["smsi_received"]++
		case p.State == messaging.Failed && handed[p.UUID]:
			out["sms_delivery_fails"]++
		case p.State == messaging.Failed:
			out["sms_send_fails"]++
		case p.Type == messaging.Outbound && p.State == messaging.Success && p.Delivered:
			out["sms_delivered"]++
		case p.Type == messaging.Outbound && p.State == messaging.Success:
			out["sms_sent"]++
			handed[p.UUID] = true
		}
	}
	return out
}

// identify finds the message of a notification in its body.
func (r *record) identify(n *notice) {
	for i, q := range n.got {
		var b struct{ UUID string }
		if err := json.Unmarshal([]byte(q.body), &b); err != nil {
			r.w.problem("body of a notification: %v", err)
			return
		}
		if i > 0 && q.body != n.got[0].body {
			r.w.problem("a notification %s of %s has two bodies", n.trigger, keyOf(q.body))
		}
		if n.message = r.messages[b.UUID]; n.message == nil {
			r.w.problem("a notification of %s, which is no message", b.UUID)
		}
	}
}

// name tells a notification in words.
func (n *notice) name() string {
	if n.message == nil {
		return n.trigger
	}
	return n.trigger + " of " + keyOf(n.message.Text)
}

func good(status int) bool { return status >= 200 && status < 300 }

// quiet tells a world in which nothing kept the process from writing what it knew.
func (w *world) quiet() bool {
	return w.deaths == 0 && !w.disk.failed() && !w.declared.Load() && w.mood.doubt == 0
}

// checkNotice: it ended with an answer that the customer gave, or after as many failures as the schedule has.
func (r *record) checkNotice(n *notice) {
	w, failures := r.w, 0
	quiet := w.quiet() && len(w.idle) == 0
	for i, a := range n.attempts {
		if a.n != i+1 {
			w.problem("%s: attempt %d is the number %d", n.name(), i+1, a.n)
		}
		switch {
		case !a.saved && quiet:
			w.problem("%s: the end of attempt %d was lost", n.name(), a.n)
		case !a.saved:
		case a.failure != "" || !good(a.status):
			failures++
		case i+1 < len(n.attempts) || n.state != "success":
			w.problem("%s: %s after an attempt with %d", n.name(), n.state, a.status)
		case !slices.ContainsFunc(n.got, func(q *request) bool { return q.attempt == a.n && q.status == a.status }):
			w.problem("%s: attempt %d has an answer that nobody gave", n.name(), a.n)
		}
	}
	switch n.state {
	case "failed":
		if _, more := wait(failures, n.addresses); more {
			w.problem("%s: given up after %d failures", n.name(), failures)
		}
	case "success":
		if last := len(n.attempts) - 1; last < 0 || !good(n.attempts[last].status) {
			w.problem("%s: success without a good answer", n.name())
		}
	default:
		w.problem("%s is %s", n.name(), n.state)
	}
	for _, q := range n.got {
		if good(q.status) && q.attempt < len(n.attempts) && quiet {
			w.problem("%s: sent again after the answer to attempt %d", n.name(), q.attempt)
		}
	}
}

// checkPace: no attempt comes before its time, nor late while nothing was in its way.
func (r *record) checkPace(n *notice, older []*notice) {
	w := r.w
	due, failures := n.created, 0
	for i, a := range n.attempts {
		if a.started.Before(due.Add(-time.Millisecond)) {
			w.problem("%s: attempt %d came %v before its time", n.name(), a.n, due.Sub(a.started))
		}
		blocked := slices.ContainsFunc(older, func(o *notice) bool { return !o.end.Before(due) })
		if late := a.started.Sub(due); late > slack && !blocked && !w.disk.failed() && !w.troubled(due, a.started) && (i == 0 || n.attempts[i-1].saved) {
			w.problem("%s: attempt %d came %v late", n.name(), a.n, late)
		}
		due = a.started
		if a.saved && (a.failure != "" || !good(a.status)) {
			failures++
			pause, _ := wait(failures, n.addresses)
			due = a.started.Add(a.took + pause)
		}
	}
	for _, o := range older {
		if n.order != "" && len(o.attempts) > 0 && len(n.attempts) > 0 && n.attempts[0].started.Before(o.attempts[0].started) {
			w.problem("%s was tried before %s, which is older and of the same thread", n.name(), o.name())
		}
	}
}
