package sim

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/messaging"
)

// checkLog: cursors have no gaps, no event is there twice, and whoever read on from a cursor or listened live got the same rows.
func (r *record) checkLog() {
	w := r.w
	known := map[string]bool{}
	bySeq := map[int64]event.Row{}
	for i, e := range r.events {
		if e.Seq != r.events[0].Seq+int64(i) {
			w.problem("the log has a gap before %d", e.Seq)
		}
		if known[e.UUID] {
			w.problem("event %s is in the log twice", e.UUID)
		}
		known[e.UUID] = true
		bySeq[e.Seq] = e
		if !bytes.Contains(e.Body, []byte(e.Cursor())) {
			w.problem("event %d does not tell its cursor", e.Seq)
		}
	}
	for before := int64(-1); before != w.books.cursor; {
		before = w.books.cursor
		if err := w.books.readOn(context.Background(), r.l, event.MaxRead); err != nil {
			w.problem("read on: %v", err)
			return
		}
	}
	r.compare("the customer with a cursor", w.books.read, bySeq)
	if n := len(w.books.read); n != len(r.events) {
		w.problem("the customer with a cursor read %d of %d events", n, len(r.events))
	}
	for _, l := range w.lives {
		for _, rows := range l.rows {
			r.compare(fmt.Sprintf("the subscriber of process %d", l.n), rows, bySeq)
		}
	}
	last := r.l.rows[len(r.l.rows)-1]
	if n := len(r.events); len(last) > 0 && last[len(last)-1].Seq != r.events[n-1].Seq {
		w.problem("the last subscriber was given events up to %d of %d", last[len(last)-1].Seq, r.events[n-1].Seq)
	}
}

// compare holds what a reader got against the log.
func (r *record) compare(who string, rows []event.Row, log map[int64]event.Row) {
	for i, row := range rows {
		if i > 0 && row.Seq != rows[i-1].Seq+1 {
			r.w.problem("%s got %d after %d", who, row.Seq, rows[i-1].Seq)
		}
		if e, ok := log[row.Seq]; !ok || e.UUID != row.UUID || !bytes.Equal(e.Body, row.Body) {
			r.w.problem("%s got an event %d that is not the log's", who, row.Seq)
		}
	}
}

// legal are the histories of an outbound message.
var legal = []string{"created failed", "created success", "created success delivered", "created success failed"}

// checkHistories: the events of a message tell a legal history, each step once, and end with what the message is.
func (r *record) checkHistories() {
	steps := map[string][]string{}
	for _, p := range r.payloads {
		step := p.State
		if p.State == messaging.Success && p.Delivered {
			step = "delivered"
		}
		steps[p.UUID] = append(steps[p.UUID], step)
	}
	for id, m := range r.messages {
		words := strings.Join(steps[id], " ")
		key := keyOf(m.Text)
		end := m.State
		if m.State == messaging.Success && m.Delivered {
			end = "delivered"
		}
		if n := len(steps[id]); n == 0 || steps[id][n-1] != end {
			r.w.problem("%s (%s) is %s, its events say %q", key, m.Type, end, words)
			continue
		}
		switch {
		case m.Type == messaging.Outbound && !slices.Contains(legal, words),
			m.Type == messaging.Inbound && words != "delivered",
			m.Type == messaging.Requests && words != "created failed" && words != "created success":
			r.w.problem("%s (%s) has the history %q", key, m.Type, words)
		}
		delete(steps, id)
	}
	for id := range steps {
		r.w.problem("events of %s, which is no message", id)
	}
}

// checkJobs: each job was done, those with an effect in their own transaction exactly once, in the order in which they were asked for.
func (r *record) checkJobs() {
	for _, t := range r.w.books.tasks {
		posts := r.posts[t.key]
		switch {
		case t.outcome == refused:
			r.w.problem("job %s was refused", t.key)
		case t.posts && (posts > 1 || posts == 0 && t.outcome == accepted):
			r.w.problem("job %s changed the ledger %d times, outcome %d", t.key, posts, t.outcome)
		case !t.posts && len(t.done) == 0 && t.outcome == accepted:
			r.w.problem("job %s was never done", t.key)
		case len(t.done) > 1 && r.w.quiet():
			r.w.problem("job %s was done %d times", t.key, len(t.done))
		}
		for _, later := range r.w.books.tasks {
			if t.order == "" || t.order != later.order || t.outcome != accepted || later.outcome != accepted || t.got > later.asked || len(t.done) == 0 || len(later.done) == 0 {
				continue
			}
			if later.done[0] < t.done[0] {
				r.w.problem("job %s was done before %s of the same order", later.key, t.key)
			}
		}
	}
}
