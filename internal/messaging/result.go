package messaging

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// saveResults writes what came of a batch: states, charges, events, callbacks, and receipts that were early. It gives when those that were put off are due.
func (s *Service) saveResults(ctx context.Context, tx *db.Tx, claimed []*Message, results map[string]result) (due []time.Time, err error) {
	if err := s.lockOwners(ctx, tx, claimed); err != nil {
		return nil, err
	}
	list := make([]*Message, len(claimed))
	now := s.now()
	var segments []part
	for i, old := range claimed {
		m := *old // this function may run again
		list[i] = &m
		segments = append(segments, s.apply(&m, results[m.ID], now)...)
	}
	if err := insertParts(ctx, tx, segments); err != nil {
		return nil, err
	}
	touched, err := saveHandled(ctx, tx, s.node, list)
	if err != nil {
		return nil, err
	}
	list = filter(list, func(m *Message) bool { return touched[m.ID] })
	if err := s.settle(ctx, tx, list); err != nil {
		return nil, err
	}
	var sent, ended []*Message
	for _, m := range list {
		switch m.State {
		case Created:
			due = append(due, m.Due)
		case Success:
			sent = append(sent, m)
			ended = append(ended, m)
			err = s.announce(ctx, tx, m, nil, smsSent)
		case Failed:
			ended = append(ended, m)
			err = s.announce(ctx, tx, m, nil, smsSendFails)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := s.itemsDone(ctx, tx, ended); err != nil {
		return nil, err
	}
	if err := s.noteContacts(ctx, tx, sent); err != nil {
		return nil, err
	}
	tx.After(func() {
		s.stats.Sent.Add(int64(len(sent)))
		s.sent.put(sent)
	})
	return due, s.unpark(ctx, tx, sent, segments)
}

// apply changes a message by its result and gives its segments when there are several.
func (s *Service) apply(m *Message, r result, now time.Time) []part {
	m.Modified = now
	switch {
	case r.wait > 0 || r.Err == carrier.ErrBehind:
		m.State, m.Due = Created, now.Add(r.wait)
		return nil
	case r.Err == nil:
		m.State, m.Sent, m.Due, m.Link = Success, now, time.Time{}, r.link
		m.Reason = "[SMSO][" + m.ID + "]: tn: " + m.From + ", sms_campaign: " + m.Campaign + ", sending..."
		m.ReferenceID, m.Ref = r.ID, s.ref(r.link, r.ID)
		return s.partsOf(m, r)
	}
	refusal := carrier.RefusalOf(r.Err)
	if refusal.Kind == carrier.Permanent {
		segments := s.partsOf(m, r)
		m.fail(refusal.Code, refusal.Reason)
		if m.Error == "" {
			m.Error = "carrier_rejected"
		}
		if n := len(r.Parts); n > 0 && m.Segments > 0 { // the taken segments are charged
			price, err := m.Price.MulDiv(int64(n), int64(m.Segments))
			if err == nil {
				m.Price, m.Sent, m.Link = price, now, r.link
			}
		}
		return segments
	}
	wait := refusal.RetryAfter
	if wait <= 0 {
		wait = retryAfter[min(m.Attempt, len(retryAfter)-1)]
	}
	m.Attempt++
	m.State, m.Reason, m.Due = Created, refusal.Reason, now.Add(wait)
	if m.Due.After(m.Expires) {
		m.Due = m.Expires
	}
	return nil
}

func (s *Service) partsOf(m *Message, r result) []part {
	if len(r.Parts) < 2 {
		return nil
	}
	m.Ref = ""
	out := make([]part, len(r.Parts))
	for i, id := range r.Parts {
		out[i] = part{s.ref(r.link, id), m.ID}
	}
	return out
}

// lockOwners locks the balances of messages' accounts: before anything else is written, as everybody does it.
func (s *Service) lockOwners(ctx context.Context, tx *db.Tx, list []*Message) error {
	owners := map[string]bool{}
	for _, m := range list {
		owners[m.Account] = true
	}
	return s.billing.Lock(ctx, tx, slices.Sorted(maps.Keys(owners))...)
}

// settle charges what was handed over and frees the money of what failed.
func (s *Service) settle(ctx context.Context, tx *db.Tx, list []*Message) error {
	var all []billing.Settlement
	moved := map[string]bool{}
	for _, m := range list {
		x := billing.Settlement{Hold: m.ID, Entry: billing.Entry{Account: m.Account, RefType: "sms_outgoing", RefUUID: m.ID, Action: "sms_per_send", At: m.Modified}}
		switch {
		case m.State == Success || m.State == Failed && !m.Sent.IsZero():
			x.Entry.Amount, x.Entry.Description = -m.Price, "SMS to "+m.To
		case m.State != Failed:
			continue
		}
		all = append(all, x)
		moved[m.Account] = true
	}
	if _, err := s.billing.SettleAll(ctx, tx, all); err != nil {
		return err
	}
	for _, account := range slices.Sorted(maps.Keys(moved)) {
		if err := s.renewOwner(ctx, tx, account); err != nil {
			return err
		}
	}
	return nil
}

// itemsDone tells the requests of messages that left the queue: a request for one recipient ends with its message, a bulk one with its last.
func (s *Service) itemsDone(ctx context.Context, tx *db.Tx, list []*Message) error {
	finished := map[string][]*Message{}
	var parents []string
	for _, m := range list {
		if m.Parent == "" {
			continue
		}
		if finished[m.Parent] == nil {
			parents = append(parents, m.Parent)
		}
		finished[m.Parent] = append(finished[m.Parent], m)
	}
	slices.Sort(parents)
	for _, id := range parents {
		req, err := lockParent(ctx, tx, id)
		if err != nil {
			return err
		}
		if req.Bulk() {
			err = s.bulkDone(ctx, tx, req, len(finished[id]))
		} else {
			err = s.requestDone(ctx, tx, req, finished[id][0])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) requestDone(ctx context.Context, tx *db.Tx, req, m *Message) error {
	req.State, req.Reason, req.Error, req.Sent, req.Price, req.Modified = m.State, m.Reason, m.Error, m.Sent, m.Price, m.Modified
	if err := updateParent(ctx, tx, req); err != nil {
		return err
	}
	trigger := ""
	if req.State == Failed {
		trigger = smsSendFails
	}
	return s.announce(ctx, tx, req, m, trigger)
}

// bulkDone writes an event for each hundred finished messages and at the end.
func (s *Service) bulkDone(ctx context.Context, tx *db.Tx, req *Message, n int) error {
	c, err := countStates(ctx, tx, req.ID)
	if err != nil {
		return err
	}
	trigger := ""
	switch {
	case req.State != Created:
		return nil
	case c.done() == c.Total:
		req.State, req.Modified = Success, s.now()
		if c.Success == 0 {
			req.State, req.Reason, trigger = Failed, "No message was sent", smsSendFails
		}
		if err := updateParent(ctx, tx, req); err != nil {
			return err
		}
	case c.done()/100 == (c.done()-n)/100:
		return nil
	}
	return s.announce(ctx, tx, req, nil, trigger)
}

// Cancel fails a message that still waits, or all waiting messages of a bulk request; fault.Conflict when nothing waits any more.
func (s *Service) Cancel(ctx context.Context, account, id string) (*Message, error) {
	var m *Message
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		var err error
		if m, err = loadMessage(ctx, tx, account, id, Outbound, Requests); err != nil {
			return err
		}
		gone, err := cancel(ctx, tx, id, s.now())
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			return fault.Newf(fault.Conflict, "SMS was handed over already")
		}
		if err := s.dropped(ctx, tx, gone); err != nil {
			return err
		}
		m, err = loadMessage(ctx, tx, account, id)
		return err
	})
	return m, err
}

// NumberEnds fails what still waits to be sent from a number that sends no more. What a carrier has in hand goes its way.
func (s *Service) NumberEnds(ctx context.Context, tx *db.Tx, tn e164.Number) error {
	gone, err := cancelSender(ctx, tx, tn.Digits(), s.now())
	if err != nil {
		return err
	}
	return s.dropped(ctx, tx, gone)
}

// dropped frees the money of messages that failed before a carrier had them, and tells of them.
func (s *Service) dropped(ctx context.Context, tx *db.Tx, gone []*Message) error {
	if len(gone) == 0 {
		return nil
	}
	if err := s.settle(ctx, tx, gone); err != nil {
		return err
	}
	for _, m := range gone {
		if err := s.announce(ctx, tx, m, nil, smsSendFails); err != nil {
			return err
		}
	}
	return s.itemsDone(ctx, tx, gone)
}
