package messaging

import (
	"context"
	"encoding/json"
)

// render shows a message in a REST answer, with its request's message or counters.
func (s *Service) render(ctx context.Context, m *Message) (json.RawMessage, error) {
	list, err := s.renderAll(ctx, []*Message{m})
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// renderAll shows messages in a REST answer.
func (s *Service) renderAll(ctx context.Context, list []*Message) ([]json.RawMessage, error) {
	q := s.db.Read()
	var requests []string
	for _, m := range list {
		if m.Type == Requests && !m.Bulk() {
			requests = append(requests, m.ID)
		}
	}
	made, err := children(ctx, q, requests)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, 0, len(list))
	for _, m := range list {
		around, p, err := s.around(ctx, q, m)
		if err != nil {
			return nil, err
		}
		around.wire = true
		if p != nil {
			around.profile = profileScalars(p)
		}
		if m.Bulk() {
			c, err := countStates(ctx, q, m.ID)
			if err != nil {
				return nil, err
			}
			around.counters = &c
		}
		if child := made[m.ID]; child != nil && m.State == Success {
			if err := s.fillContext(ctx, q, child); err != nil {
				return nil, err
			}
			around.child = renderMessage(child, surroundings{account: around.account, wire: true})
		}
		out = append(out, renderMessage(m, around))
	}
	return out, nil
}

// MessageView shows a message of an account as GET /rest/sms/{uuid} does, or gives a 404.
func (s *Service) MessageView(ctx context.Context, account, id string) (json.RawMessage, error) {
	m, err := loadMessage(ctx, s.db.Read(), account, id)
	if err != nil {
		return nil, err
	}
	return s.render(ctx, m)
}
