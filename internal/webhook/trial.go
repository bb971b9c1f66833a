package webhook

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// Test sends a sample event of a type once, now, and gives what came of it. It tells nothing about the endpoint's health and is not tried again. It is one of the
// requests that the endpoint may get at once, and waits for its turn.
func (s *Service) Test(ctx context.Context, account, id, typ string) (Delivery, error) {
	e, err := ownedEndpoint(ctx, s.db.Read(), account, id)
	if err != nil {
		return Delivery{}, err
	}
	leave, err := s.slots.enter(ctx, e.ID, laneWidth)
	if err != nil {
		return Delivery{}, err
	}
	defer leave()
	now := s.now()
	d := &delivery{
		id: ident.New(), lane: e.ID, event: ident.New(), endpoint: e, tries: 1, started: now, planned: now,
		notice: Notice{Account: account, Trigger: typ, Schedule: Signed, Key: s.node},
	}
	d.notice.Body = sample(d.event, account, typ, now)
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := openGate(ctx, tx); err != nil {
			return err
		}
		hands, err := inHand(ctx, tx, s.node)
		if err != nil {
			return err
		}
		if has := hands[e.ID]; has.others > 0 && has.own+has.others >= laneWidth {
			return fault.New(fault.RateLimited)
		}
		return insertTrial(ctx, tx, d, now)
	})
	if err != nil {
		return Delivery{}, err
	}
	o, err := s.send(ctx, d)
	if err != nil {
		o.err = "Canceled"
	}
	save := context.WithoutCancel(ctx)
	err = s.db.Update(save, func(ctx context.Context, tx *db.Tx) error {
		list := []result{{d: d, o: o, sent: true}}
		if err := saveAttempts(ctx, tx, list); err != nil {
			return err
		}
		if o.good() {
			return s.saveSuccesses(ctx, tx, list, s.now())
		}
		return s.saveFailure(ctx, tx, d, again{lane: d.lane, failures: len(schedules[Signed].quick)}, s.now())
	})
	if err != nil {
		return Delivery{}, err
	}
	return s.Delivery(save, account, id, d.id)
}

// sample is an envelope of a type with made-up data, in the shape of the real one.
func sample(id, account, typ string, now time.Time) json.RawMessage {
	at := now.UTC().Format("2006-01-02T15:04:05.000Z")
	ref := ident.New()
	owner := map[string]any{"uuid": account}
	e := envelope{
		UUID: id, CreatedOn: at, ModifiedOn: at, Type: typ, Timestamp: at, Message: "Test event " + typ, Payload: samplePayload(typ, ref, at), Test: true,
		RefID: ref, Account: owner, DeliveryReport: []any{},
	}
	switch typ {
	case "call_state", "call_flow", "call_record":
		e.Call = sampleCall(ref, at)
	}
	b, _ := json.Marshal(e) // strings, numbers and maps of them
	return b
}

type envelope struct {
	UUID           string         `json:"uuid"`
	CreatedOn      string         `json:"created_on"`
	ModifiedOn     string         `json:"modified_on"`
	Timestamp      string         `json:"timestamp"`
	Type           string         `json:"type"`
	Test           bool           `json:"test"`
	Message        string         `json:"message"`
	Payload        any            `json:"payload"`
	Call           map[string]any `json:"call,omitempty"`
	RefID          string         `json:"ref_id"`
	Account        map[string]any `json:"account"`
	DeliveryReport []any          `json:"delivery_report"`
}

func sampleCall(ref, at string) map[string]any {
	return map[string]any{
		"uuid": ref, "type": "CallSCA", "direction": "in", "from": "+13125550144", "to": "12125550170", "state": "live", "duration": 2,
		"created_on": at, "modified_on": at, "answer_on": at, "records": []any{}, "logs": []any{}, "children": []any{},
	}
}

// samplePayload is the member payload of a sample.
func samplePayload(typ, ref, at string) any {
	switch typ {
	case "balance":
		return 40.0847
	case "call_state":
		p := sampleCall(ref, at)
		delete(p, "records")
		delete(p, "logs")
		delete(p, "children")
		p["duration_ms"] = 2104
		return p
	case "call_flow":
		return map[string]any{"command": map[string]any{"name": "Say", "success": true, "reason": "done", "path": "Say[0]"}}
	case "call_record":
		return map[string]any{"event": "record_available"}
	case "sms":
		return map[string]any{"uuid": ref, "type": "smsi", "state": "success", "from": "13125550144", "to": "12125550170", "message": "Hello", "delivered": true, "created_on": at}
	case "tn_order", "batch":
		return map[string]any{"uuid": ref, "state": "success", "created_on": at}
	case "tn_lease":
		return map[string]any{"uuid": ref, "action": "renewed", "tn": 12125550170}
	case "campaign":
		return map[string]any{"uuid": ref, "object": "campaign", "status": "active"}
	case "sip_registration":
		return map[string]any{"state": "registered", "transport": "tls", "expires": 600}
	case "auth":
		return map[string]any{"uuid": ref, "ip": "198.51.100.7"}
	}
	return map[string]any{"uuid": ref}
}
