package sim

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/messaging"
)

// record is all that the database says at the end.
type record struct {
	w        *world
	l        *life
	events   []event.Row
	payloads []payload // of the events of messages, in order
	messages map[string]*messaging.Message
	byKey    map[string][]*messaging.Message
	charges  map[string][]int64 // amounts of the ledger, by the object
	posts    map[string]int     // adjustments, by the job
}

// payload is what an event tells of a message.
type payload struct {
	seq       int64
	UUID      string `json:"uuid"`
	Type      string `json:"type"`
	State     string `json:"state"`
	Delivered bool   `json:"delivered"`
}

// check holds what the carriers, the customer and the clients saw against the database.
func (w *world) check(l *life) {
	r := &record{w: w, l: l, messages: map[string]*messaging.Message{}, byKey: map[string][]*messaging.Message{}, charges: map[string][]int64{}, posts: map[string]int{}}
	for what, load := range map[string]func(context.Context) error{"events": r.loadEvents, "messages": r.loadMessages, "ledger": r.loadLedger} {
		if err := load(context.Background()); err != nil {
			w.problem("%s: %v", what, err)
			return
		}
	}
	r.checkMoney()
	r.checkSent()
	r.checkSpoken()
	r.checkFates()
	r.checkThreads()
	r.checkTakes()
	r.checkLog()
	r.checkHistories()
	r.checkJobs()
	r.checkNotifications()
	r.checkDeliveries()
}

func (r *record) loadEvents(ctx context.Context) error {
	for {
		after := int64(0)
		if n := len(r.events); n > 0 {
			after = r.events[n-1].Seq
		}
		rows, err := r.l.log.Read(ctx, event.Query{After: after})
		if err != nil || len(rows) == 0 {
			return err
		}
		r.events = append(r.events, rows...)
		for _, row := range rows {
			if row.Type != string(messaging.SMSEvent) {
				continue
			}
			var e struct{ Payload payload }
			if err := json.Unmarshal(row.Body, &e); err != nil {
				return err
			}
			e.Payload.seq = row.Seq
			r.payloads = append(r.payloads, e.Payload)
		}
	}
}

func (r *record) loadMessages(ctx context.Context) error {
	list, _, err := r.l.sms.Search(ctx, messaging.Filter{Account: r.w.stock.Account, Take: 1000})
	slices.Reverse(list)
	for _, m := range list {
		r.messages[m.ID] = m
		r.byKey[keyOf(m.Text)] = append(r.byKey[keyOf(m.Text)], m)
	}
	return err
}

func (r *record) loadLedger(ctx context.Context) error {
	rows, err := r.l.d.Read().Query(ctx, "SELECT COALESCE(ref_uuid, ''), ref_type, COALESCE(description, ''), amount FROM ledger WHERE account = $1 AND created_on >= $2",
		r.w.stock.Account, r.w.start.UnixMicro())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var ref, kind, description string
		var amount int64
		if err := rows.Scan(&ref, &kind, &description, &amount); err != nil {
			return err
		}
		if kind == adjusting {
			r.posts[description]++
			continue
		}
		r.charges[ref] = append(r.charges[ref], amount)
	}
	return rows.Err()
}

// checkMoney: the balance is the sum of the ledger, and nothing is held any more.
func (r *record) checkMoney() {
	ctx := context.Background()
	drift, err := r.l.billing.Drift(ctx, r.w.stock.Account)
	if err != nil || drift != 0 {
		r.w.problem("balance and ledger differ by %s, %v", drift, err)
	}
	_, _, reserved, err := r.l.billing.Balance(ctx, r.l.d.Read(), r.w.stock.Account)
	if err != nil || reserved != 0 {
		r.w.problem("%s are still reserved, %v", reserved, err)
	}
	for ref := range r.charges {
		if r.messages[ref] == nil {
			r.w.problem("a charge for %s, which is no message", ref)
		}
	}
}

// checkSent: what was accepted is there once, in a final state, charged once when it was handed over.
func (r *record) checkSent() {
	for _, s := range r.w.books.sent {
		var out, requests int
		for _, m := range r.byKey[s.key] {
			switch m.Type {
			case messaging.Requests:
				requests++
			case messaging.Outbound:
				out++
				r.checkCharge(m)
			}
			if m.State != messaging.Success && m.State != messaging.Failed {
				r.w.problem("%s %s is %s at the end", s.key, m.ID, m.State)
			}
		}
		wantOut, wantRequests := len(s.to), 0
		if s.bulk || s.from == "" {
			wantRequests = 1
		}
		there := out == wantOut && requests == wantRequests
		nothing := out == 0 && requests == 0
		switch {
		case s.outcome == accepted && !there, s.outcome == doubt && !there && !nothing, s.outcome == refused && !nothing:
			r.w.problem("%s: %d messages and %d requests, outcome %d", s.key, out, requests, s.outcome)
		case s.outcome == accepted && r.messages[s.id] == nil:
			r.w.problem("%s: the accepted %s is not there", s.key, s.id)
		}
		if s.canceled == accepted && !s.bulk {
			if m := r.messages[s.id]; m.Error != "canceled" || !m.Sent.IsZero() {
				r.w.problem("%s was canceled, and is %s %s", s.key, m.State, m.Error)
			}
		}
	}
}

// checkCharge: a message that was handed over is charged once with its price, any other is not.
func (r *record) checkCharge(m *messaging.Message) {
	got := r.charges[m.ID]
	if m.Sent.IsZero() {
		if len(got) > 0 {
			r.w.problem("%s was never handed over, and is charged %v", keyOf(m.Text), got)
		}
		return
	}
	if len(got) != 1 || got[0] != -int64(m.Price) {
		r.w.problem("%s costs %d, and is charged %v", keyOf(m.Text), int64(m.Price), got)
	}
	taken := slices.ContainsFunc(r.w.network.takes, func(t *taking) bool { return t.message == m.ID })
	if !taken {
		r.w.problem("%s is charged, and no carrier took it", keyOf(m.Text))
	}
}

// checkSpoken: what a carrier brought and was acknowledged is there once, charged once.
func (r *record) checkSpoken() {
	for key, text := range r.w.books.spoken {
		list := r.byKey[key]
		if len(list) != 1 {
			r.w.problem("%s is there %d times", key, len(list))
		}
		for _, m := range list {
			if m.Text != text {
				r.w.problem("%s says %q", key, m.Text)
			}
			if m.Type != messaging.Inbound || len(r.charges[m.ID]) != 1 {
				r.w.problem("%s is a %s with charges %v", key, m.Type, r.charges[m.ID])
			}
		}
	}
}

// checkThreads: of two messages of a thread the carriers decided about that one first whose acceptance was known before the other was asked for. A refusal for good
// counts too: it lets the next message go, and may be lost with its process, so that the carrier is asked once more and takes what it did not want.
func (r *record) checkThreads() {
	decided := r.w.network.decided
	for _, a := range r.w.books.sent {
		for _, b := range r.w.books.sent {
			if a.outcome != accepted || b.outcome != accepted || a.got > b.asked || a == b {
				continue
			}
			for _, m := range r.byKey[a.key] {
				for _, n := range r.byKey[b.key] {
					if m.Thread == "" || m.Thread != n.Thread || decided[m.ID] == 0 || decided[n.ID] == 0 {
						continue
					}
					if decided[n.ID] < decided[m.ID] {
						r.w.problem("%s was handed over before %s of the same thread", b.key, a.key)
					}
				}
			}
		}
	}
}

// checkTakes: a carrier gets a message again only when the platform could not know, or could not write, that it was taken.
func (r *record) checkTakes() {
	if !r.w.quiet() {
		return
	}
	answered := map[string]bool{}
	for _, t := range r.w.network.takes {
		if answered[t.message] {
			r.w.problem("%s was handed over again after its answer", t.key)
		}
		answered[t.message] = answered[t.message] || t.answered
	}
}

// troubled tells whether the process was away or paused at some time between two.
func (w *world) troubled(from, to time.Time) bool {
	for _, s := range w.idle {
		if s.from.Before(to) && s.to.After(from) {
			return true
		}
	}
	return false
}
