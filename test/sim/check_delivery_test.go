package sim

import (
	"context"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// sentEvent is a delivery of an event to the endpoint, with what the customer got of it.
type sentEvent struct {
	id       string
	event    string
	seq      int64
	state    string
	attempts []attempt
	got      []*request
}

// checkDeliveries: each event after the endpoint's creation has one delivery, which arrived in the end under the event's own id and with the log's bytes; those about
// one object began in order, none was tried before the endpoint wanted it, and there were never more at once than it may get.
func (r *record) checkDeliveries() {
	w := r.w
	list, after, err := r.loadDeliveries(context.Background())
	if err != nil {
		w.problem("deliveries: %v", err)
		return
	}
	got := w.customer.requests(true)
	bySeq := map[int64]*sentEvent{}
	for _, d := range list {
		if bySeq[d.seq] != nil {
			w.problem("event %d has two deliveries", d.seq)
		}
		bySeq[d.seq] = d
		d.got = got[d.event]
		delete(got, d.event)
		r.checkDelivery(d)
	}
	for id := range got {
		w.problem("the endpoint got %s, which was not sent", id)
	}
	newest := map[string]*sentEvent{} // by object
	for _, e := range r.events {
		d := bySeq[e.Seq]
		switch {
		case e.Seq <= after:
			continue
		case d == nil || d.event != e.UUID:
			w.problem("event %d has no delivery", e.Seq)
			continue
		}
		for _, q := range d.got {
			if q.body != string(e.Body) {
				w.problem("the endpoint got event %d with other bytes than the log's", e.Seq)
			}
		}
		if o := newest[e.RefID]; e.RefID != "" && o != nil && len(o.attempts) > 0 && len(d.attempts) > 0 && d.attempts[0].started.Before(o.attempts[0].started) {
			w.problem("event %d was tried before %d of the same object", d.seq, o.seq)
		}
		newest[e.RefID] = d
	}
	if n := w.customer.most(); n > 20 && w.deaths == 0 { // a dead process leaves requests behind
		w.problem("%d requests at once to the endpoint", n)
	}
}

// loadDeliveries gives those to the endpoint in the order of the log, and the place of the log after which it gets all.
func (r *record) loadDeliveries(ctx context.Context) (out []*sentEvent, after int64, err error) {
	if err := r.l.d.Read().QueryRow(ctx, "SELECT after_seq FROM webhook_endpoint").Scan(&after); err != nil {
		return nil, 0, err
	}
	rows, err := r.l.d.Read().Query(ctx, "SELECT uuid, event, seq, state FROM webhook_delivery WHERE endpoint IS NOT NULL ORDER BY seq")
	out, err = db.List("deliveries", rows, err, func(into func(...any) error) (*sentEvent, error) {
		d := &sentEvent{}
		return d, into(&d.id, &d.event, &d.seq, &d.state)
	})
	if err != nil {
		return nil, 0, err
	}
	byID := map[string]*sentEvent{}
	for _, d := range out {
		byID[d.id] = d
	}
	return out, after, r.loadAttempts(ctx, func(id string, a attempt) {
		if d := byID[id]; d != nil {
			d.attempts = append(d.attempts, a)
		}
	})
}

// checkDelivery: it ended with a good answer that the customer gave, each attempt is there, and none came before the time that the last answer asked for.
func (r *record) checkDelivery(d *sentEvent) {
	w := r.w
	if d.state != "success" {
		w.problem("event %d is %s for the endpoint", d.seq, d.state)
	}
	if !slices.ContainsFunc(d.got, func(q *request) bool { return good(q.status) }) {
		w.problem("event %d never arrived", d.seq)
	}
	var before time.Time
	for i, a := range d.attempts {
		if a.n != i+1 {
			w.problem("event %d: attempt %d is the number %d", d.seq, i+1, a.n)
		}
		if a.started.Before(before) {
			w.problem("event %d: attempt %d came %v before the endpoint wanted it", d.seq, a.n, before.Sub(a.started))
		}
		before = time.Time{}
		if !a.saved {
			continue
		}
		k := slices.IndexFunc(d.got, func(q *request) bool { return q.attempt == a.n && q.status == a.status })
		switch {
		case good(a.status) && k < 0:
			w.problem("event %d: attempt %d has an answer that nobody gave", d.seq, a.n)
		case good(a.status) && a.failure == "" && i+1 < len(d.attempts):
			w.problem("event %d was delivered again after its answer", d.seq)
		case k >= 0:
			before = a.started.Add(d.got[k].after)
		}
	}
}
