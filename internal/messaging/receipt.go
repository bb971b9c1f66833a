package messaging

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// failures maps final states of receipts to ESmsError; Delivered is not among them.
var failures = map[carrier.State]string{
	carrier.Expired: "expired", carrier.Undeliverable: "undeliverable", carrier.Rejected: "carrier_rejected", carrier.Deleted: "undeliverable", carrier.Unknown: "undeliverable",
}

// ref names a message at a carrier: link and id, written the same way in submit answers and receipts (messaging-semantics §6).
func (s *Service) ref(link, id string) string {
	if id == "" {
		return ""
	}
	for i := range s.links {
		if s.links[i].Name == link {
			return link + "/" + normalID(s.links[i].IDFormat, id)
		}
	}
	return link + "/" + normalID(carrier.Text, id)
}

// normalID drops what carriers write differently: case, leading zeros, and for numbers the base.
func normalID(f carrier.IDFormat, id string) string {
	switch f {
	case carrier.Decimal:
		if n, err := strconv.ParseUint(id, 10, 64); err == nil {
			return strconv.FormatUint(n, 10)
		}
	case carrier.Hexadecimal:
		if n, err := strconv.ParseUint(id, 16, 64); err == nil {
			return strconv.FormatUint(n, 10)
		}
	}
	if t := strings.TrimLeft(id, "0"); t != "" {
		return t
	}
	return id
}

// receiptRef is ref for an id of a receipt: carriers of the hexadecimal format answer submits in hexadecimal and write receipts in decimal.
func (s *Service) receiptRef(r carrier.Receipt) string {
	for i := range s.links {
		if s.links[i].Name == r.Link && s.links[i].IDFormat == carrier.Hexadecimal {
			return r.Link + "/" + normalID(carrier.Decimal, r.ID)
		}
	}
	return s.ref(r.Link, r.ID)
}

// Receipt takes one receipt; see Receipts.
func (s *Service) Receipt(ctx context.Context, r carrier.Receipt) error {
	return s.Receipts(ctx, []carrier.Receipt{r})
}

// Receipts takes receipts of carriers and returns after their commit. One that matches nothing yet is kept: it may have overtaken its submit answer.
func (s *Service) Receipts(ctx context.Context, list []carrier.Receipt) error {
	for len(list) > 0 {
		n := min(len(list), batch)
		some := list[:n]
		err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			stale, err := s.takeReceipts(ctx, tx, some, s.sent)
			if err == nil && len(stale) > 0 {
				_, err = s.takeReceipts(ctx, tx, stale, nil)
			}
			failpoint.Hit("messaging.receipt_before_commit")
			return err
		})
		if err != nil {
			return err
		}
		failpoint.Hit("messaging.receipt_committed")
		list = list[n:]
	}
	return nil
}

// takeReceipts changes the messages of receipts, and keeps those that match nothing. It gives the ones whose remembered message was out of date.
func (s *Service) takeReceipts(ctx context.Context, tx *db.Tx, list []carrier.Receipt, remembered *sent) (stale []carrier.Receipt, err error) {
	matched, rest, err := s.match(ctx, tx, list, remembered)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		if err := s.park(ctx, tx, rest); err != nil {
			return nil, err
		}
	}
	return s.applyReceipts(ctx, tx, matched)
}

// match is a receipt with its message.
type match struct {
	m          *Message
	receipt    carrier.Receipt
	segment    string // ref, when the message has several
	remembered bool   // m was not read in this transaction
}

// match finds the messages of receipts by link and id, first among those that are remembered.
func (s *Service) match(ctx context.Context, tx *db.Tx, list []carrier.Receipt, remembered *sent) (out []match, rest []carrier.Receipt, err error) {
	refs := make([]string, len(list))
	for i, r := range list {
		refs[i] = s.receiptRef(r)
	}
	known := map[string]*Message{}
	if remembered != nil {
		known = remembered.peek(refs)
	}
	unknown := filter(refs, func(ref string) bool { return known[ref] == nil })
	found, err := byRefs(ctx, tx, unknown)
	if err != nil {
		return nil, nil, err
	}
	var missing []string
	for _, ref := range unknown {
		if found[ref] == nil {
			missing = append(missing, ref)
		}
	}
	segments, err := byParts(ctx, tx, missing)
	if err != nil {
		return nil, nil, err
	}
	for i, r := range list {
		switch {
		case known[refs[i]] != nil:
			out = append(out, match{m: known[refs[i]], receipt: r, remembered: true})
		case found[refs[i]] != nil:
			out = append(out, match{m: found[refs[i]], receipt: r})
		case segments[refs[i]] != nil:
			out = append(out, match{m: segments[refs[i]], receipt: r, segment: refs[i]})
		default:
			rest = append(rest, r)
		}
	}
	return out, rest, nil
}

// park keeps receipts that matched nothing.
func (s *Service) park(ctx context.Context, tx *db.Tx, list []carrier.Receipt) error {
	until := s.now().Add(parkTime)
	tx.After(func() { s.stats.Parked.Add(int64(len(list))) })
	for _, r := range list {
		if err := insertParked(ctx, tx, s.receiptRef(r), r, until); err != nil {
			return err
		}
	}
	return nil
}

// applyReceipts changes messages by their receipts, in order. Doubles and whatever comes after the final one have no effect. It gives the receipts of
// messages that are not as they were remembered.
func (s *Service) applyReceipts(ctx context.Context, tx *db.Tx, list []match) (stale []carrier.Receipt, err error) {
	now := s.now()
	changed := make([]change, 0, len(list))
	seen := map[string]bool{}
	for _, x := range list {
		m := x.m
		if m.State != Success || m.Delivered {
			tx.After(func() { s.stats.Doubles.Add(1) })
			continue
		}
		if x.segment != "" && x.receipt.State == carrier.Delivered {
			whole, err := deliverPart(ctx, tx, x.segment, m.ID)
			if err != nil {
				return nil, err
			}
			if !whole {
				continue
			}
		}
		if !seen[m.ID] {
			seen[m.ID] = true
			c := change{m: m}
			if x.remembered {
				c.was = m.Modified
			}
			changed = append(changed, c)
		}
		judge(m, x.receipt, now)
	}
	touched, err := saveReceipts(ctx, tx, changed)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		if x.remembered && !touched[x.m.ID] {
			stale = append(stale, x.receipt)
		}
	}
	return stale, s.tellReceipts(ctx, tx, changed, touched)
}

// tellReceipts writes the events of the messages that receipts changed.
func (s *Service) tellReceipts(ctx context.Context, tx *db.Tx, changed []change, touched map[string]bool) (err error) {
	gone := make([]*Message, 0, len(changed))
	for _, c := range changed {
		m := c.m
		gone = append(gone, m)
		if !touched[m.ID] {
			continue
		}
		switch {
		case m.Delivered:
			err = s.announce(ctx, tx, m, nil, smsDelivered)
		case m.State == Failed:
			err = s.announce(ctx, tx, m, nil, smsDeliveryFails)
		}
		if err != nil {
			return err
		}
	}
	tx.After(func() { s.sent.forget(gone) })
	return nil
}

// judge changes a message that was handed over by one receipt.
func judge(m *Message, r carrier.Receipt, now time.Time) {
	m.Modified = now
	if r.Operator != "" {
		m.Operator = r.Operator
	}
	reason := string(r.State)
	if r.Code != "" {
		reason += " " + r.Code
	}
	code, failed := failures[r.State]
	switch {
	case r.State == carrier.Delivered:
		m.Delivered, m.DeliveredOn = true, r.At
		if r.At.IsZero() || r.At.Before(m.Sent) {
			m.DeliveredOn = m.Modified
		}
	case failed:
		m.State, m.Error, m.Reason = Failed, code, reason
	default:
		m.Reason = reason
	}
}

// unpark applies receipts that came before the answers to these messages.
func (s *Service) unpark(ctx context.Context, tx *db.Tx, sent []*Message, segments []part) error {
	if len(sent) == 0 {
		return nil
	}
	if waiting, err := anyParked(ctx, tx); err != nil || !waiting {
		return err
	}
	byRef := map[string]match{}
	byID := map[string]*Message{}
	var refs []string
	for _, m := range sent {
		byID[m.ID] = m
		if m.Ref != "" {
			byRef[m.Ref] = match{m: m}
			refs = append(refs, m.Ref)
		}
	}
	for _, p := range segments {
		if m := byID[p.sms]; m != nil {
			byRef[p.ref] = match{m: m, segment: p.ref}
			refs = append(refs, p.ref)
		}
	}
	early, err := takeParked(ctx, tx, refs)
	if err != nil {
		return err
	}
	var list []match
	for _, e := range early {
		x := byRef[e.ref]
		x.receipt = e.receipt
		list = append(list, x)
	}
	_, err = s.applyReceipts(ctx, tx, list)
	return err
}

// sweeper looks after receipts that found no message, and messages that got no receipt.
func (s *Service) sweeper(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.sweepParked(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("parked receipts", "error", err)
		}
		if n%3600 != 0 {
			continue
		}
		if err := s.sweepSilent(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("messages without receipt", "error", err)
		}
	}
}

// sweepParked matches kept receipts once more: on PostgreSQL a receipt and its submit answer may commit without seeing each other. Those whose time is over
// are matched by number pair and time when exactly one message fits, else kept as unknown and counted.
func (s *Service) sweepParked(ctx context.Context) error {
	if waiting, err := anyParked(ctx, s.db.Read()); err != nil || !waiting {
		return err
	}
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		kept, err := listParked(ctx, tx, batch)
		if err != nil {
			return err
		}
		var list []match
		for _, k := range kept {
			found, _, err := s.match(ctx, tx, []carrier.Receipt{k.receipt}, nil)
			if err != nil {
				return err
			}
			if over := !s.now().Before(k.until); len(found) == 0 && over {
				m, err := byPair(ctx, tx, k.receipt)
				if err != nil {
					return err
				}
				if m == nil {
					tx.After(func() { s.stats.Unknown.Add(1) })
					if err := giveUpParked(ctx, tx, k.id); err != nil {
						return err
					}
					continue
				}
				found = []match{{m: m, receipt: k.receipt}}
			}
			if len(found) == 0 {
				continue
			}
			if err := removeParked(ctx, tx, k.id); err != nil {
				return err
			}
			list = append(list, found[0])
		}
		_, err = s.applyReceipts(ctx, tx, list)
		return err
	})
}

// sweepSilent notes on messages handed over 72 hours ago that no receipt came.
func (s *Service) sweepSilent(ctx context.Context) error {
	end := s.now().Add(-noReceiptAfter)
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		return noReceipt(ctx, tx, firstID(end.Add(-50*time.Hour)), firstID(end), s.now())
	})
}

// firstID is the least version 7 uuid of a time: rows are found by the time in their keys.
func firstID(t time.Time) string {
	h := strconv.FormatInt(t.UnixMilli(), 16)
	h = strings.Repeat("0", max(0, 12-len(h))) + h
	return h[:8] + "-" + h[8:12] + "-7000-8000-000000000000"
}
