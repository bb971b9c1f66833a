package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/number"
)

// intake gathers requests that come at the same time: one of their callers accepts all of them in one transaction. It needs no goroutine of its own.
type intake struct {
	mu    sync.Mutex // guards the two below
	queue []*ticket
	busy  bool // somebody leads
}

// ticket is a request for one message that waits to be accepted. All that can be known before is made by its own caller.
type ticket struct {
	d     *draft
	f     *senderFacts
	m     *Message
	body  json.RawMessage
	keep  func(*db.Tx) // of Request.Answer
	err   error
	leads bool          // guarded by intake.mu
	lead  chan struct{} // closed when its caller shall lead
	done  chan struct{} // closed when err is final
}

// errMoved says that a sender's lease is not what the memo had.
var errMoved = errors.New("the sender's lease has changed")

// looksAgain bounds how often a request looks at a lease that changes again and again.
const looksAgain = 3

// sendOne accepts a message from a given number.
func (s *Service) sendOne(ctx context.Context, d *draft) (*Message, error) {
	for try := 1; ; try++ {
		t, err := s.ticket(ctx, d)
		if err != nil {
			return nil, err
		}
		switch err := s.gather(ctx, t); {
		case err == nil:
			s.stats.Accepted.Add(1)
			return t.m, nil
		case !errors.Is(err, errMoved):
			return nil, err
		case try == looksAgain:
			return nil, fault.Wrap(fault.Unavailable, err)
		}
		s.leases.drop()
	}
}

// knownSender is sender from the memo; the transaction that accepts looks whether the lease is still the same.
func (s *Service) knownSender(ctx context.Context, acc string, from e164.Number) (*senderFacts, error) {
	q := s.db.Read()
	l, err := s.leases.get(from, func() (number.Lease, error) {
		l, found, err := s.numbers.ByTN(db.Apart(ctx), q, from)
		if err == nil && !found {
			err = fault.Missing("TN lease")
		}
		return l, err
	})
	if err != nil {
		return nil, err
	}
	if l.Account != acc {
		return s.sender(ctx, q, acc, from)
	}
	return s.factsOf(ctx, q, l)
}

// ticket makes the message with the checks that come before consent.
func (s *Service) ticket(ctx context.Context, d *draft) (*ticket, error) {
	q := s.db.Read()
	f, err := s.knownSender(ctx, d.Account, d.From)
	if err != nil {
		return nil, err
	}
	if d.Profile != "" && f.sub.Profile != d.Profile {
		return nil, fault.Invalid("messaging_profile", "the sender is not a number of this profile", d.Profile)
	}
	m, err := s.newMessage(ctx, d, f, d.To[0])
	if err != nil {
		return nil, err
	}
	if !d.account.SMSTo(m.Country) {
		return nil, fault.New(fault.CountryPermission)
	}
	t := &ticket{d: d, f: f, m: m, lead: make(chan struct{}), done: make(chan struct{})}
	if t.body, _, err = s.body(ctx, q, m, nil); err == nil && d.Answer != nil {
		t.keep, err = d.Answer(ctx, m)
	}
	return t, err
}

// gather waits until a ticket is accepted, or leads those that wait. A caller that gives up while it waits for its turn leaves.
func (s *Service) gather(ctx context.Context, t *ticket) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if db.Joined(ctx) { // it is part of a transaction that others must not write to
		return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			if err := s.acceptAll(ctx, tx, []*ticket{t}); err != nil {
				return err
			}
			return t.err
		})
	}
	leads, err := s.intake.join(t)
	if err != nil {
		return err
	}
	for !leads {
		select {
		case <-t.done:
			return t.err
		case <-t.lead:
			leads = true
		case <-ctx.Done():
			if s.intake.leave(t) {
				return ctx.Err()
			}
			ctx = context.WithoutCancel(ctx)
		}
	}
	defer s.intake.handOver()
	for {
		s.acceptNext(context.WithoutCancel(ctx))
		select {
		case <-t.done:
			return t.err
		default:
		}
	}
}

func (in *intake) join(t *ticket) (leads bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.queue) >= maxGathering {
		return false, fault.New(fault.Unavailable)
	}
	in.queue = append(in.queue, t)
	t.leads = !in.busy
	in.busy = true
	return t.leads, nil
}

// leave takes a ticket out of the queue; false means that it is being accepted, or leads.
func (in *intake) leave(t *ticket) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	i := slices.Index(in.queue, t)
	if i < 0 || t.leads {
		return false
	}
	in.queue = slices.Delete(in.queue, i, i+1)
	return true
}

// take gives the next tickets, oldest first.
func (in *intake) take(most int) []*ticket {
	in.mu.Lock()
	defer in.mu.Unlock()
	n := min(most, len(in.queue))
	out := slices.Clone(in.queue[:n])
	in.queue = slices.Delete(in.queue, 0, n)
	return out
}

// handOver gives the lead to the oldest ticket.
func (in *intake) handOver() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.busy = len(in.queue) > 0; in.busy {
		in.queue[0].leads = true
		close(in.queue[0].lead)
	}
}

// acceptNext accepts the tickets that wait; those that come until the transaction begins are taken along. When it fails for a reason that may be one
// ticket's, each gets a transaction of its own.
func (s *Service) acceptNext(ctx context.Context) {
	list := s.intake.take(gathered)
	defer func() {
		for _, t := range list {
			close(t.done)
		}
	}()
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		list = append(list, s.intake.take(gathered-len(list))...)
		return s.acceptAll(ctx, tx, list)
	})
	if err == nil {
		failpoint.Hit("messaging.accepted")
		return
	}
	alone := len(list) > 1 && !fault.Is(err, fault.Unavailable)
	for _, t := range list {
		t.err = err
		if !alone {
			continue
		}
		if own := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return s.acceptAll(ctx, tx, []*ticket{t}) }); own != nil {
			t.err = own
		}
	}
}

// acceptAll accepts tickets in one transaction, each for itself: consent, campaign, room and money.
func (s *Service) acceptAll(ctx context.Context, tx *db.Tx, list []*ticket) error {
	same, err := s.sameLeases(ctx, tx, list)
	if err != nil {
		return err
	}
	out, err := s.outs(ctx, tx, list)
	if err != nil {
		return err
	}
	for _, t := range list {
		m := t.m
		if t.err = nil; !same[t.f] {
			t.err = errMoved
			continue
		}
		t.err = consents(t.f, out[phoneOut{m.Account, m.To, ""}] || out[phoneOut{m.Account, m.To, m.Profile}])
		if t.err == nil {
			t.err = s.mayQueue(ctx, tx, t.d, m.Price, 1)
		}
	}
	live := filter(list, func(t *ticket) bool { return t.err == nil })
	granted, err := s.billing.HoldAll(ctx, tx, holdsOf(messagesOf(live)))
	if err != nil {
		return err
	}
	for i, t := range live {
		if !granted[i] {
			t.err = fault.New(fault.SMSBalance)
		}
	}
	live = filter(live, func(t *ticket) bool { return t.err == nil })
	if len(live) == 0 {
		return nil
	}
	rows, err := s.inHand(ctx, tx, messagesOf(live))
	if err != nil {
		return err
	}
	if err := s.insertMessages(ctx, tx, rows); err != nil {
		return err
	}
	for _, t := range live {
		if t.keep != nil {
			t.keep(tx)
		}
		if err := s.publish(ctx, tx, t.m, nil, "", t.body); err != nil {
			return err
		}
	}
	return nil
}

// sameLeases tells whose senders are leased as the memo has it.
func (s *Service) sameLeases(ctx context.Context, tx *db.Tx, list []*ticket) (map[*senderFacts]bool, error) {
	same := map[*senderFacts]bool{}
	var tns []e164.Number
	for _, t := range list {
		if _, known := same[t.f]; !known {
			same[t.f] = false
			tns = append(tns, t.f.lease.TN)
		}
	}
	now, err := s.numbers.ByTNs(ctx, tx, tns)
	for f := range same {
		l, found := now[f.lease.TN]
		same[f] = found && l.ID == f.lease.ID && l.Account == f.lease.Account && l.Modified.Equal(f.lease.Modified)
	}
	return same, err
}

func messagesOf(list []*ticket) []*Message {
	out := make([]*Message, len(list))
	for i, t := range list {
		out[i] = t.m
	}
	return out
}

// outs asks once for each account which of the recipients opted out.
func (s *Service) outs(ctx context.Context, tx *db.Tx, list []*ticket) (map[phoneOut]bool, error) {
	phones := map[string]map[string]bool{}
	for _, t := range list {
		if phones[t.m.Account] == nil {
			phones[t.m.Account] = map[string]bool{}
		}
		phones[t.m.Account][t.m.To] = true
	}
	out := map[phoneOut]bool{}
	for account, some := range phones {
		if err := optedOuts(ctx, tx, account, slices.Sorted(maps.Keys(some)), out); err != nil {
			return nil, err
		}
	}
	return out, nil
}
