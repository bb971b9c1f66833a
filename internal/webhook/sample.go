package webhook

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/ident"
)

// object is a JSON object of a sample.
type object = map[string]any

// envelope is an event as every reader gets it (events.md §3); it has no cursor, because it stands in no log.
type envelope struct {
	UUID         string `json:"uuid"`
	CreatedOn    string `json:"created_on"`
	ModifiedOn   string `json:"modified_on"`
	Timestamp    string `json:"timestamp"`
	Type         string `json:"type"`
	Test         bool   `json:"test"`
	Success      *bool  `json:"success,omitempty"`
	Command      string `json:"command,omitempty"`
	Message      string `json:"message"`
	SourceAction string `json:"source_action,omitempty"`
	Payload      any    `json:"payload"`
	Call         object `json:"call,omitempty"`
	CallFlow     object `json:"call_flow,omitempty"`
	RefID        string `json:"ref_id"`
	Account      object `json:"account"`
	Report       []any  `json:"delivery_report"`
}

// What samples are made of.
const (
	sampleCaller = "13125550144"
	sampleNumber = 12125550170
	sampleTo     = "12125550170"
	sampleMail   = "owner@customer.example"
)

// samples fill in what is special to a type (events.md §4).
var samples = map[string]func(e *envelope, at string){
	"auth": sampleAuth, "call_state": sampleCallState, "call_flow": sampleCallFlow, "call_record": sampleRecord, "sms": sampleSMS, "tn_order": sampleOrder,
	"balance": sampleBalance, "tn_lease": sampleLease, "campaign": sampleCampaign, "batch": sampleBatch, "sip_registration": sampleRegistration,
}

// Sample makes the body of an event of a type with made-up data in the shape of real ones, marked "test": true. uuid is the event's; account may be empty.
// It is false for a type that it does not know.
func Sample(typ, uuid, account string, now time.Time) ([]byte, bool) {
	fill, known := samples[typ]
	if !known {
		return nil, false
	}
	if account == "" {
		account = ident.New()
	}
	at := now.UTC().Format("2006-01-02T15:04:05.000Z")
	e := envelope{
		UUID: uuid, CreatedOn: at, ModifiedOn: at, Timestamp: at, Type: typ, Test: true, RefID: ident.New(), Report: []any{},
		Account: object{
			"uuid": account, "name": "Example", "email": sampleMail, "phone": sampleTo, "level": "Level1", "balance": 40.0847, "created_on": at, "modified_on": at, "deleted_on": nil,
			"disabled_on": nil,
		},
	}
	fill(&e, at)
	body, err := json.Marshal(e) // strings, numbers, and maps and lists of them
	return body, err == nil
}

// stamped adds the times of an entity.
func stamped(o object, at string) object {
	o["created_on"], o["modified_on"] = at, at
	return o
}

func sampleTN(at string) object {
	return stamped(object{
		"tn": sampleNumber, "type": "long_code", "voice": true, "fax": false, "sms": true, "mms": false, "emergency": false, "registered": true, "class4_did_id": nil, "deleted_on": nil,
	}, at)
}

// scalars are those of an account that other entities show.
func (e *envelope) scalars(leaveOut ...string) object {
	out := object{}
	for k, v := range e.Account {
		out[k] = v
	}
	for _, k := range leaveOut {
		delete(out, k)
	}
	return out
}

// leg is one that was answered two seconds ago, as payload for older readers has it.
func (e *envelope) leg(at string) object {
	return stamped(object{
		"uuid": e.RefID, "type": "CallSCA", "direction": "in", "from": "+" + sampleCaller, "to": sampleTo, "state": "live", "duration": 2,
		"init_on": at, "ring_on": at, "answer_on": at, "bridge_on": nil, "hangup_on": nil, "destroy_on": nil, "finished_on": nil,
	}, at)
}

// call is the same leg as an entity: with the stamp of its state only (events.md §4.2).
func (e *envelope) call(at string) object {
	account := e.scalars("created_on", "modified_on", "deleted_on", "disabled_on")
	account["phone"] = sampleNumber // an integer here
	return stamped(object{
		"uuid": e.RefID, "type": "CallSCA", "direction": "in", "from": "+" + sampleCaller, "to": sampleTo, "state": "live", "duration": 2, "answer_on": at,
		"freeswitch_call_state": "EARLY", "freeswitch_channel_state": "CS_EXECUTE", "stir_shaken_attest_level": nil, "thread": "8c4f0a1be2d97335a6f10c2d3e4b5a69",
		"tn": sampleTN(at), "sip_control_app": nil, "account": account, "parent": nil, "country": nil, "lerg": nil, "sip_connection": nil, "hotkey": nil, "batch_item": nil,
		"records": []any{}, "logs": []any{}, "children": []any{}, "meta": nil, "legacy_state": "online",
	}, at)
}

func sampleAuth(e *envelope, at string) {
	yes := true
	e.Account = e.scalars("balance")
	e.Message, e.Success = "WSS connection "+e.RefID+"@198.51.100.7 - success auth "+sampleMail, &yes
	e.Payload = object{
		"uuid": e.RefID, "ip": "198.51.100.7", "account": e.Account,
		"user": stamped(object{
			"uuid": ident.New(), "email": sampleMail, "phone_number": sampleTo, "first_name": "Kim", "last_name": "Orlova", "avatar": nil, "dob": nil, "gender": "Female", "role": "User",
			"wss_online": true, "gmail_user_id": nil, "facebook_user_id": nil, "apple_user_id": nil, "wechat_user_id": nil, "deleted_on": nil,
		}, at),
	}
}

func sampleCallState(e *envelope, at string) {
	e.Message = "CallSCA in +" + sampleCaller + " > " + sampleTo + " - live"
	e.Call = e.call(at)
	payload := e.leg(at)
	payload["duration_ms"], payload["state_end"], payload["tn"], payload["account"] = 2104, nil, sampleTN(at), e.scalars("balance")
	e.Payload = payload
}

func sampleCallFlow(e *envelope, at string) {
	yes := true
	const reason, path = "Text was spoken", "Say[0]"
	e.Message, e.Success, e.Command = "Say: success true, reason: "+reason, &yes, "Say"
	e.Call = e.call(at)
	e.CallFlow = object{
		"uuid": ident.New(), "name": "Say", "success": true, "state": "success", "reason": reason,
		"element": object{"name": "Say", "attributes": object{}, "text": "Hello", "children": []any{}},
		"command": object{"name": "Say", "success": true, "reason": reason, "path": path}, "path": path,
	}
	e.Payload = object{
		"command": object{"name": "Say", "success": true, "reason": reason, "path": path, "attributes": object{}, "children": []any{}, "error": []any{}},
		"call":    e.leg(at),
	}
}

func sampleRecord(e *envelope, at string) {
	record := ident.New()
	e.Message, e.Call = "Record "+record+": available", e.call(at)
	fields := func() object {
		return stamped(object{
			"uuid": record, "call": e.RefID, "tag": "voicemail", "state": "available", "url": "https://api.example.org/rest/record/" + record + ".wav", "format": "wav", "channels": "mono",
			"duration": 7.4, "size": 118444, "sha256": nil, "asr": false, "transcript_state": "none", "text": nil, "reason": nil, "available_on": at, "expired_on": nil,
		}, at)
	}
	e.Call["records"] = []any{fields()}
	payload := fields()
	payload["event"] = "available"
	e.Payload = payload
}

func sampleSMS(e *envelope, at string) {
	e.Message = "SMS: type: smsi, state: success"
	e.Payload = stamped(object{
		"uuid": e.RefID, "type": "smsi", "state": "success", "from": sampleCaller, "to": sampleTo, "message": "Hello", "thread": "8c4f0a1be2d97335a6f10c2d3e4b5a69", "delivered": true,
		"automated": false, "readed": false, "reason": nil, "reference_id": nil, "custom_callback_url": nil, "sent_on": nil, "delivered_on": at, "encoding": "gsm7", "segments": 1,
		"price": 0.003, "country": nil, "operator": nil, "sms_campaign": nil, "error": nil, "meta": nil, "provider_event": nil, "tn": sampleTN(at),
		"subscription": stamped(object{"uuid": ident.New(), "type": "sms"}, at), "messaging_profile": nil, "account": e.scalars("balance"),
	}, at)
}

func sampleOrder(e *envelope, at string) {
	e.Message = "TN order " + e.RefID + " - success"
	e.Payload = stamped(object{
		"uuid": e.RefID, "state": "success", "total": 1, "success": 1, "processing": 0, "failed": 0, "price": 1.1, "errors": []any{},
		"items": []any{object{
			"tn": sampleNumber, "features": []string{"voice", "sms"}, "voice": true, "fax": false, "sms": true, "mms": false, "emergency": false, "profile": "US", "autorenew": true,
			"state": "success", "tn_lease": ident.New(),
		}},
	}, at)
}

func sampleBalance(e *envelope, _ string) {
	e.Message, e.SourceAction, e.Payload = "New balance is 40.0847", "nrc", 40.0847
}

func sampleLease(e *envelope, at string) {
	e.Message = "TN " + strconv.Itoa(sampleNumber) + " - renewed"
	e.Payload = stamped(object{
		"action": "renewed", "uuid": e.RefID, "state": "active", "autorenew": true, "expired_on": at, "tn": sampleTN(at), "subscriptions": []any{}, "name": nil,
	}, at)
}

func sampleCampaign(e *envelope, _ string) {
	e.Message = "Campaign CQ7TE2M - active"
	e.Payload = object{
		"object": "campaign", "status": "active", "previous": "submitted", "reason": nil,
		"brand":    object{"uuid": ident.New(), "brandId": "BH4K1PZ", "displayName": "Example", "status": "verified"},
		"campaign": object{"uuid": e.RefID, "campaignId": "CQ7TE2M", "usecase": "CUSTOMER_CARE", "is_active": true, "status": "active"}, "tn_lease": nil,
	}
}

func sampleBatch(e *envelope, at string) {
	e.Message = "Batch " + e.RefID + " - running: 120/400"
	e.Payload = object{
		"uuid": e.RefID, "type": "call_xml", "state": "running", "previous": "running", "name": "storm notice", "cps": 5, "concurrency": 40,
		"counters": object{
			"total": 400, "queued": 241, "calling": 12, "live": 27, "success": 101, "failed": 19, "canceled": 0, "busy": 6, "no_answer": 11, "human": 88, "machine": 31, "attempts": 171,
		},
		"started_on": at, "finished_on": nil, "reason": nil, "price": 1.932,
	}
}

func sampleRegistration(e *envelope, at string) {
	e.Message = "amy@example.sip.example.org - registered"
	e.Payload = object{
		"state": "registered", "contact": "sip:amy@203.0.113.20:61044;transport=tls", "user_agent": "DeskPhone 4.1", "transport": "tls", "remote_ip": "203.0.113.20", "expires": 600, "reason": nil,
		"sip_user": object{"uuid": e.RefID, "login": "amy", "state": "online", "is_active": true, "sip_domain": stamped(object{"domain": "example.sip.example.org"}, at)},
	}
}
