package number

import (
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
)

// Event types of numbers.
const (
	OrderEvent event.Type = "tn_order"
	LeaseEvent event.Type = "tn_lease"
)

// report writes the event of an order's state.
func (s *Service) report(ctx context.Context, tx *db.Tx, o Order) error {
	if s.events == nil {
		return nil
	}
	account, err := s.accounts.EventView(ctx, tx, o.Account)
	if err != nil {
		return err
	}
	payload := s.viewOrder(o, nil, nil)
	return s.events.Append(tx, event.Event{
		Account: o.Account, Type: OrderEvent, RefID: o.ID, At: s.now(), Message: "TN order " + o.ID + " - " + o.State, Payload: payload,
		Members: []event.Member{{Name: "account", Value: account}},
	})
}

// leaseEvent writes the event of what happened to a lease.
func (s *Service) leaseEvent(ctx context.Context, tx *db.Tx, l Lease, action string) error {
	if s.events == nil {
		return nil
	}
	view, err := s.viewLease(ctx, tx, l)
	if err != nil {
		return err
	}
	return s.announce(ctx, tx, l, view, action)
}

// announce writes the event of a lease with the view that it shall show.
func (s *Service) announce(ctx context.Context, tx *db.Tx, l Lease, view leaseView, action string) error {
	if s.events == nil {
		return nil
	}
	account, err := s.accounts.EventView(ctx, tx, l.Account)
	if err != nil {
		return err
	}
	body, err := json.Marshal(view)
	if err != nil {
		return err
	}
	payload := append([]byte(`{"action":"`+action+`",`), body[1:]...)
	return s.events.Append(tx, event.Event{
		Account: l.Account, Type: LeaseEvent, RefID: l.ID, At: s.now(), Message: "TN " + l.TN.Digits() + " - " + action, Payload: json.RawMessage(payload),
		Members: []event.Member{{Name: "account", Value: account}},
	})
}
