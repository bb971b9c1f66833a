package messaging

import (
	"context"
	"slices"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

// acceptBulk accepts one message for each recipient; those that may not be sent, or cannot be paid, are kept as failed items (messaging-semantics §2). It is
// refused as a whole when there is no money for any of them.
func (s *Service) acceptBulk(ctx context.Context, tx *db.Tx, d *draft) (*Message, error) {
	req := d.request()
	req.Recipients = slices.Clone(d.To)
	var fixed *senderFacts
	var err error
	if d.From != "" {
		if fixed, err = s.sender(ctx, tx, d.Account, d.From); err != nil {
			return nil, err
		}
		if d.Profile != "" && fixed.sub.Profile != d.Profile {
			return nil, fault.Invalid("messaging_profile", "the sender is not a number of this profile", d.Profile)
		}
		req.Profile = fixed.sub.Profile
	}
	var items []*Message
	for _, to := range d.To {
		m, err := s.item(ctx, tx, d, req, fixed, to)
		if err != nil {
			return nil, err
		}
		items = append(items, m)
	}
	due := filter(items, func(m *Message) bool { return m.State == Created })
	if err := s.mayQueue(ctx, tx, d, cheapest(due), int64(len(due))); err != nil {
		return nil, err
	}
	if err := s.holdItems(ctx, tx, due); err != nil {
		return nil, err
	}
	if err := s.insertMessages(ctx, tx, append([]*Message{req}, items...)); err != nil {
		return nil, err
	}
	answer := *req
	return &answer, s.announceItems(ctx, tx, req, items)
}

func cheapest(list []*Message) (price money.Amount) {
	for i, m := range list {
		if i == 0 || m.Price < price {
			price = m.Price
		}
	}
	return price
}

// holdItems sets the money for messages aside; those for which there is none fail, and all of them are refused when there is none for any.
func (s *Service) holdItems(ctx context.Context, tx *db.Tx, due []*Message) error {
	granted, err := s.billing.HoldAll(ctx, tx, holdsOf(due))
	if err != nil {
		return err
	}
	if len(due) > 0 && !slices.Contains(granted, true) {
		return fault.New(fault.SMSBalance)
	}
	for i, m := range due {
		if !granted[i] {
			m.fail("insufficient_balance", "")
		}
	}
	return nil
}

// announceItems writes the events of a request and of its items, which are stored already: each was created, and some have failed at once.
func (s *Service) announceItems(ctx context.Context, tx *db.Tx, req *Message, items []*Message) error {
	if err := s.emit(ctx, tx, req, nil); err != nil {
		return err
	}
	var failed []*Message
	for _, m := range items {
		created := *m
		created.State, created.Error, created.Reason = Created, "", ""
		if err := s.emit(ctx, tx, &created, nil); err != nil {
			return err
		}
		if m.State == Failed {
			failed = append(failed, m)
		}
	}
	for _, m := range failed {
		if err := s.announce(ctx, tx, m, nil, smsSendFails); err != nil {
			return err
		}
	}
	return s.itemsDone(ctx, tx, failed)
}

// item makes one message of a bulk request, failed when its recipient may not get it.
func (s *Service) item(ctx context.Context, tx *db.Tx, d *draft, req *Message, fixed *senderFacts, to string) (*Message, error) {
	f := fixed
	if f == nil {
		var err error
		if f, err = s.choose(ctx, tx, d, to); err != nil {
			return nil, err
		}
	}
	if f == nil {
		m := d.request()
		m.Type, m.To, m.Parent = Outbound, to, req.ID
		m.fail("no_sender", "")
		return m, nil
	}
	m, err := s.newMessage(ctx, d, f, to)
	if err != nil {
		return nil, err
	}
	m.Parent = req.ID
	err = s.mayReceive(ctx, tx, d, f, m)
	switch {
	case err == nil:
	case fault.Is(err, fault.CountryPermission):
		m.fail("country", "")
	case fault.Is(err, fault.OptedOut):
		m.fail("opted_out", "")
	case fault.Is(err, fault.Validation):
		m.fail("no_campaign", "")
	default:
		return nil, err
	}
	return m, nil
}
