package messaging

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// parallelThreads bounds the threads of one batch that a driver without batches gets at once.
const parallelThreads = 64

// nudge tells the submitters of new work.
func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run hands due messages to carriers until ctx ends; a batch in hand is finished first. The links' drivers are run by their owner.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return takeBack(ctx, tx, s.node, s.now()) }); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range submitters {
		wg.Go(func() { s.submitter(ctx) })
	}
	wg.Go(func() { s.sweeper(ctx) })
	ready()
	wg.Wait()
	return nil
}

// submitter claims and hands over, batch by batch. A full batch wakes the next submitter.
func (s *Service) submitter(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		for ctx.Err() == nil {
			n, err := s.round(ctx)
			if err != nil {
				s.log.Warn("hand over messages", "error", err)
				break
			}
			if n == 0 {
				break
			}
		}
		timer.Reset(s.pause(ctx))
	}
}

// pause is the time until the next message is due, at most the polling time.
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

// round claims a batch, hands it over and saves what came of it; it gives how many were claimed.
func (s *Service) round(ctx context.Context) (int, error) {
	var list []*Message
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		list, err = claim(ctx, tx, s.node, s.now(), batch)
		return err
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	if len(list) == batch {
		s.nudge()
	}
	slices.SortFunc(list, func(a, b *Message) int { return strings.Compare(a.ID, b.ID) })
	// What is in hand is finished also while the server stops: a carrier may have it already.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout)
	defer cancel()
	results := s.handOver(work, list)
	if err := s.db.Update(work, func(ctx context.Context, tx *db.Tx) error { return s.saveResults(ctx, tx, list, results) }); err != nil {
		return 0, fmt.Errorf("save results: %w", err)
	}
	s.nudge() // what waited behind these in their threads
	return len(list), nil
}

// result is what came of one message of a batch.
type result struct {
	carrier.Result
	link string
	wait time.Duration // not tried: no token, or behind another of its thread
}

// handOver gives messages to the links they are routed to, in order within each thread.
func (s *Service) handOver(ctx context.Context, list []*Message) map[string]result {
	out := make(map[string]result, len(list))
	blocked := map[string]bool{} // threads whose message was put off
	byLink := map[int][]*Message{}
	now := s.now()
	for _, m := range list {
		i, r, ok := s.route(m, blocked, now)
		if !ok {
			out[m.ID] = r
			continue
		}
		byLink[i] = append(byLink[i], m)
	}
	for i, mine := range byLink {
		for k, r := range s.submit(ctx, s.links[i], mine) {
			out[mine[k].ID] = result{Result: r, link: s.links[i].Name}
		}
	}
	return out
}

// route chooses a link and takes a token of each bucket; ok is false when the message cannot go now, with the reason.
func (s *Service) route(m *Message, blocked map[string]bool, now time.Time) (link int, r result, ok bool) {
	if !now.Before(m.Expires) {
		return 0, result{Result: carrier.Result{Err: &carrier.Refusal{Kind: carrier.Permanent, Code: "queue_timeout", Reason: errorTitles["queue_timeout"]}}}, false
	}
	if blocked[m.Thread] {
		return 0, result{wait: time.Millisecond}, false
	}
	link = s.linkFor(m)
	if link < 0 {
		blocked[m.Thread] = true
		return 0, result{Result: carrier.Result{Err: &carrier.Refusal{Kind: carrier.LinkDown, Reason: "No carrier for this number"}}}, false
	}
	l := s.links[link]
	from := e164.Number(m.From)
	perNumber := l.LongCode
	if from.TollFree() {
		perNumber = l.TollFree
	}
	keys := []bucketKey{{"link:" + l.Name, l.PerSec}, {"tn:" + m.From, perNumber}, {"account:" + m.Account, s.accountRate(m.Account)}}
	if wait, ok := s.buckets.take(keys, now); !ok {
		blocked[m.Thread] = true
		return 0, result{wait: max(wait, time.Millisecond)}, false
	}
	return link, result{}, true
}

// accountRate is the account's messages a second; zero is no limit, also for an account that cannot be read now.
func (s *Service) accountRate(account string) float64 {
	a, err := s.accounts.Cached(context.Background(), account)
	if err != nil {
		return 0
	}
	return a.Limits.SMSPerSecond
}

// linkFor chooses by the number of tries: each next try may take the next link that fits. Messages of the sandbox's campaign stay in the sandbox.
func (s *Service) linkFor(m *Message) int {
	var fits []int
	for i, l := range s.links {
		if (m.Campaign == ReadyCampaign) != l.Sandbox && len(s.links) > 1 {
			continue
		}
		if len(l.Prefixes) == 0 || slices.ContainsFunc(l.Prefixes, func(p string) bool { return strings.HasPrefix(m.To, p) }) {
			fits = append(fits, i)
		}
	}
	if len(fits) == 0 {
		return -1
	}
	return fits[m.Attempt%len(fits)]
}

// submit gives messages to one link.
func (s *Service) submit(ctx context.Context, l Link, list []*Message) []carrier.Result {
	wire := make([]carrier.Message, len(list))
	for i, m := range list {
		wire[i] = carrier.Message{ID: m.ID, From: m.From, To: m.To, Text: m.Text, Encoding: gsm.Encoding(m.Encoding), Segments: gsm.Split(m.Text, reference(m)), Expires: m.Expires}
	}
	if b, ok := l.Driver.(carrier.Batcher); ok {
		return b.SubmitAll(ctx, wire)
	}
	out := make([]carrier.Result, len(list))
	threads := map[string][]int{}
	for i, m := range list {
		threads[m.Thread] = append(threads[m.Thread], i)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelThreads)
	for _, mine := range threads {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for n, i := range mine {
				out[i].Submitted, out[i].Err = l.Driver.Submit(ctx, wire[i])
				if out[i].Err != nil && carrier.RefusalOf(out[i].Err).Kind != carrier.Permanent {
					for _, later := range mine[n+1:] {
						out[later].Err = carrier.ErrBehind
					}
					return
				}
			}
		})
	}
	wg.Wait()
	return out
}

// reference is the 8-bit reference of a message's segments: it differs from that of the thread's messages before and after.
func reference(m *Message) byte {
	var n byte
	for i := range len(m.ID) {
		n = n*31 + m.ID[i]
	}
	return n
}

// saveResults writes what came of a batch: states, charges, events, callbacks, and receipts that were early.
func (s *Service) saveResults(ctx context.Context, tx *db.Tx, claimed []*Message, results map[string]result) error {
	list := make([]*Message, len(claimed))
	var segments []part
	for i, old := range claimed {
		m := *old // this function may run again
		list[i] = &m
		segments = append(segments, s.apply(&m, results[m.ID])...)
	}
	if err := insertParts(ctx, tx, segments); err != nil {
		return err
	}
	touched, err := saveHandled(ctx, tx, s.node, list)
	if err != nil {
		return err
	}
	list = filter(list, func(m *Message) bool { return touched[m.ID] })
	if err := s.settle(ctx, tx, list); err != nil {
		return err
	}
	var sent, ended []*Message
	for _, m := range list {
		switch m.State {
		case Success:
			sent = append(sent, m)
			ended = append(ended, m)
			err = s.announce(ctx, tx, m, nil, smsSent)
		case Failed:
			ended = append(ended, m)
			err = s.announce(ctx, tx, m, nil, smsSendFails)
		}
		if err != nil {
			return err
		}
	}
	if err := s.itemsDone(ctx, tx, ended); err != nil {
		return err
	}
	if err := s.noteContacts(ctx, tx, sent); err != nil {
		return err
	}
	tx.After(func() { s.stats.Sent.Add(int64(len(sent))) })
	return s.unpark(ctx, tx, sent, segments)
}

// apply changes a message by its result and gives its segments when there are several.
func (s *Service) apply(m *Message, r result) []part {
	now := s.now()
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

// settle charges what was handed over and frees the money of what failed; accounts in one order, so that nodes do not wait for each other in a circle.
func (s *Service) settle(ctx context.Context, tx *db.Tx, list []*Message) error {
	ordered := slices.Clone(list)
	slices.SortStableFunc(ordered, func(a, b *Message) int { return strings.Compare(a.Account, b.Account) })
	moved := ""
	for _, m := range ordered {
		var err error
		switch {
		case m.State == Success || m.State == Failed && !m.Sent.IsZero():
			_, err = s.billing.Settle(ctx, tx, m.ID, billing.Entry{
				Account: m.Account, Amount: -m.Price, RefType: "sms_outgoing", RefUUID: m.ID, Action: "sms_per_send", Description: "SMS to " + m.To, At: m.Modified})
		case m.State == Failed:
			err = s.billing.Release(ctx, tx, m.ID)
		default:
			continue
		}
		if err != nil {
			return err
		}
		if moved != "" && moved != m.Account {
			err = s.renewOwner(ctx, tx, moved)
		}
		if moved = m.Account; err != nil {
			return err
		}
	}
	if moved == "" {
		return nil
	}
	return s.renewOwner(ctx, tx, moved)
}

// noteContacts remembers who talked with whom, for profiles with sticky senders.
func (s *Service) noteContacts(ctx context.Context, tx *db.Tx, list []*Message) error {
	for _, m := range list {
		if err := s.noteContact(ctx, tx, m, m.To, m.From); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) noteContact(ctx context.Context, tx *db.Tx, m *Message, far, near string) error {
	p, err := s.cachedProfile(ctx, m.Account, m.Profile)
	if err != nil || p == nil || !p.Sticky {
		return err
	}
	return saveContact(ctx, tx, p.ID, far, near, m.Modified)
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
		if err := s.settle(ctx, tx, gone); err != nil {
			return err
		}
		for _, g := range gone {
			if err := s.announce(ctx, tx, g, nil, smsSendFails); err != nil {
				return err
			}
		}
		if err := s.itemsDone(ctx, tx, gone); err != nil {
			return err
		}
		m, err = loadMessage(ctx, tx, account, id)
		return err
	})
	return m, err
}
