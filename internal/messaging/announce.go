package messaging

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
)

// Triggers of callbacks (ECallbackAction).
const (
	smsSent          = "sms_sent"
	smsDelivered     = "sms_delivered"
	smsSendFails     = "sms_send_fails"
	smsDeliveryFails = "sms_delivery_fails"
	smsReceived      = "smsi_received"
)

// emit writes the event of a message as it is now; child is the message of a request.
func (s *Service) emit(ctx context.Context, tx *db.Tx, m, child *Message) error {
	return s.announce(ctx, tx, m, child, "")
}

// announce writes the event and, with a trigger, the callback: the same bytes.
func (s *Service) announce(ctx context.Context, tx *db.Tx, m, child *Message, trigger string) error {
	body, p, err := s.body(ctx, tx, m, child)
	if err != nil {
		return err
	}
	return s.publish(ctx, tx, m, p, trigger, body)
}

// body renders a message for its event, and gives its profile.
func (s *Service) body(ctx context.Context, q db.Querier, m, child *Message) (json.RawMessage, *Profile, error) {
	around, p, err := s.around(ctx, q, m)
	if err != nil {
		return nil, nil, err
	}
	around.profile = profileInEvent(p)
	if err := s.fillContext(ctx, q, child); err != nil {
		return nil, nil, err
	}
	if child != nil {
		around.child = renderMessage(child, surroundings{account: around.account})
	}
	if m.Bulk() {
		c, err := countStates(ctx, q, m.ID)
		if err != nil {
			return nil, nil, err
		}
		around.counters = &c
	}
	return renderMessage(m, around), p, nil
}

// publish is announce of what is rendered already.
func (s *Service) publish(ctx context.Context, tx *db.Tx, m *Message, p *Profile, trigger string, body json.RawMessage) error {
	owner, err := s.ownerView(ctx, tx, m.Account)
	if err != nil {
		return err
	}
	err = s.events.Append(tx, event.Event{
		Account: m.Account, Type: SMSEvent, RefID: m.ID, Message: "SMS: type: " + m.Type + ", state: " + m.State, At: m.Modified, Payload: body,
		Members: []event.Member{{Name: "account", Value: owner}},
	})
	if err != nil || trigger == "" || s.callbacks == nil {
		return err
	}
	return s.notify(ctx, tx, m, p, trigger, body)
}

// notify sends a callback to the message's own address, else to those of the profile.
func (s *Service) notify(ctx context.Context, tx *db.Tx, m *Message, p *Profile, trigger string, body json.RawMessage) error {
	urls := p.urls()
	if m.CallbackURL != "" && m.Type != Inbound {
		urls = []string{m.CallbackURL}
	}
	if len(urls) == 0 {
		return nil
	}
	c := Callback{Account: m.Account, Order: m.Account + " " + cmp.Or(m.Thread, m.ID), URLs: urls, Body: body, Trigger: trigger}
	if p != nil {
		c.Secret = p.CallbackSecret
	}
	return s.callbacks.Notify(ctx, tx, c)
}

// around gives what a message is shown with, but its profile's view.
func (s *Service) around(ctx context.Context, q db.Querier, m *Message) (surroundings, *Profile, error) {
	var out surroundings
	err := s.fillContext(ctx, q, m)
	if err != nil {
		return out, nil, err
	}
	out.account, err = s.views.get("r:"+m.Account, func() (json.RawMessage, error) { return s.accounts.RefView(ctx, q, m.Account) })
	if err != nil {
		return out, nil, err
	}
	if m.CreatedBy != "" {
		out.createdBy, err = s.views.get("u:"+m.CreatedBy, func() (json.RawMessage, error) {
			v, err := s.accounts.UserView(ctx, q, m.CreatedBy)
			if fault.Is(err, fault.NotFound) {
				return nil, nil
			}
			return v, err
		})
		if err != nil {
			return out, nil, err
		}
	}
	p, err := s.cachedProfile(ctx, m.Account, m.Profile)
	return out, p, err
}

// ownerView is the account in the envelope, with a balance that is as old as factsFor unless renewOwner ran.
func (s *Service) ownerView(ctx context.Context, q db.Querier, account string) (json.RawMessage, error) {
	return s.views.get("e:"+account, func() (json.RawMessage, error) { return s.accounts.EventView(ctx, q, account) })
}

// renewOwner reads the account anew after its balance moved.
func (s *Service) renewOwner(ctx context.Context, q db.Querier, account string) error {
	v, err := s.accounts.EventView(ctx, q, account)
	if err == nil {
		s.views.put("e:"+account, v)
	}
	return err
}
