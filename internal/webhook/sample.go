package hook

import (
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/ident"
)

// envelope is an event as every reader gets it (events.md §3); it has no cursor, because it stands in no log.
type envelope struct {
	UUID       string `json:"uuid"`
	CreatedOn  string `json:"created_on"`
	ModifiedOn string `json:"modified_on"`
	Timestamp  string `json:"timestamp"`
	Type       string `json:"type"`
	Test       bool   `json:"test"`
	Success    *bool  `json:"success,omitempty"`
	Command    string `json:"command,omitempty"`
	Message    string `json:"message"`
	Payload    any    `json:"payload"`
	Call       object `json:"call,omitempty"`
	CallFlow   object `json:"call_flow,omitempty"`
	RefID      string `json:"ref_id"`
	Account    object `json:"account"`
	Report     []any  `json:"delivery_report"`
}

type object = map[string]any

const (
	sampleCaller = "13125550144"
	sampleNumber = 12125550170
	sampleTo     = "12125550170"
)

// Sample makes an event of a type with made-up data in the shape of real ones, marked "test": true. It is false for a type that it does not know.
func Sample(typ string, now time.Time) (Event, bool) {
	at := now.UTC().Format("2006-01-02T15:04:05.000Z")
	e := envelope{
		UUID: ident.New(), CreatedOn: at, ModifiedOn: at, Timestamp: at, Type: typ, Test: true, RefID: ident.New(), Report: []any{},
		Account: object{"uuid": ident.New(), "name": "Example", "email": "owner@customer.example", "level": "Level1", "balance": 40.0847},
	}
	if !e.fill(typ, at) {
		return Event{}, false
	}
	body, err := json.Marshal(e)
	return Event{UUID: e.UUID, Type: typ, Body: body}, err == nil
}

// fill adds what is special to a type.
func (e *envelope) fill(typ, at string) bool {
	yes := true
	tn := object{"tn": sampleNumber, "type": "long_code", "sms": true, "created_on": at, "modified_on": at, "deleted_on": nil}
	switch typ {
	case "auth":
		e.Message, e.Success = "WSS connection "+e.RefID+"@198.51.100.7 - success auth owner@customer.example", &yes
		e.Payload = object{"uuid": e.RefID, "ip": "198.51.100.7", "user": object{"email": "owner@customer.example", "role": "User"}, "account": e.Account}
	case "call_state":
		e.Message = "CallSCA in +" + sampleCaller + " > " + sampleTo + " - live"
		e.Call = e.call(at, tn)
		payload := e.call(at, tn)
		payload["duration_ms"] = 2104
		delete(payload, "records")
		delete(payload, "logs")
		delete(payload, "children")
		e.Payload = payload
	case "call_flow":
		e.Message, e.Success, e.Command = "Say: success true, reason: done", &yes, "Say"
		e.Call = e.call(at, tn)
		e.CallFlow = object{"uuid": ident.New(), "success": true, "state": "done", "reason": "done", "name": "Say", "element": "Say", "command": "Say", "path": "Say[0]"}
		e.Payload = object{"command": object{"name": "Say", "success": true, "reason": "done", "path": "Say[0]", "attributes": object{}, "children": []any{}, "error": []any{}}}
	case "call_record":
		e.Message, e.Call = "Record is available", e.call(at, tn)
		e.Payload = object{"event": "record_available", "uuid": ident.New(), "duration": 7, "created_on": at}
	case "sms":
		e.Message = "SMS: type: smsi, state: success"
		e.Payload = object{
			"uuid": e.RefID, "type": "smsi", "state": "success", "from": sampleCaller, "to": sampleTo, "message": "Hello", "delivered": true, "reason": nil,
			"encoding": "gsm7", "segments": 1, "price": 0.003, "tn": tn, "meta": nil, "created_on": at, "modified_on": at,
		}
	case "tn_order":
		e.Message, e.Payload = "Order: success", object{"uuid": e.RefID, "state": "success", "success": []int{sampleNumber}, "failed": []int{}, "price": 1, "created_on": at, "modified_on": at}
	case "balance":
		e.Message, e.Payload = "Balance: 40.0847", 40.0847
	case "tn_lease":
		e.Message, e.Payload = "Lease: renewed", object{"uuid": e.RefID, "action": "renewed", "tn": sampleNumber, "created_on": at}
	case "campaign":
		e.Message, e.Payload = "Campaign: active", object{"uuid": e.RefID, "object": "campaign", "status": "active", "created_on": at}
	case "batch":
		e.Message, e.Payload = "Batch: success", object{"uuid": e.RefID, "state": "success", "created_on": at, "modified_on": at}
	case "sip_registration":
		e.Message, e.Payload = "SIP user registered", object{"state": "registered", "transport": "tls", "expires": 600}
	default:
		return false
	}
	return true
}

// call is a leg that was answered two seconds ago.
func (e *envelope) call(at string, tn object) object {
	return object{
		"uuid": e.RefID, "type": "CallSCA", "direction": "in", "from": "+" + sampleCaller, "to": sampleTo, "state": "live", "duration": 2,
		"created_on": at, "modified_on": at, "answer_on": at, "tn": tn, "account": e.Account, "parent": nil, "meta": nil,
		"records": []any{}, "logs": []any{}, "children": []any{},
	}
}
