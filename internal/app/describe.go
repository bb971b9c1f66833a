package app

import (
	"encoding/json"

	"github.com/opentact/opentact/internal/httpapi"
)

// eventDoc is the envelope of an event (events, section 3), as websockets and the log carry it.
type eventDoc struct {
	UUID       string          `json:"uuid"`
	Cursor     string          `json:"cursor"`
	CreatedOn  httpapi.Time    `json:"created_on"`
	ModifiedOn httpapi.Time    `json:"modified_on"`
	Timestamp  httpapi.Time    `json:"timestamp"`
	Type       string          `json:"type" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease"`
	Message    string          `json:"message"`
	Payload    json.RawMessage `json:"payload"`
	RefID      string          `json:"ref_id"`
	Account    map[string]any  `json:"account"`
	Deliveries []any           `json:"delivery_report"`
}

// entityDoc is an entity whose members are those of the REST answer.
type entityDoc struct {
	UUID  string `json:"uuid"`
	Type  string `json:"type"`
	State string `json:"state"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// describe adds what the server sends of its own to the OpenAPI document.
func describe(api *httpapi.API) {
	for _, w := range []httpapi.WebhookDoc{
		{Name: "event", Summary: "An event of the account", Description: "One frame of the websocket, and one row of GET /rest/event.", Body: eventDoc{}},
		{Name: "callState", Summary: "A call of an app entered a state", Description: "Sent to webhook_url with state, from, to, call, sca, tn and direction in the query. With the method POST the body is the Call.", Body: entityDoc{}},
		{Name: "callFlow", Summary: "A call asks for its XML", Description: "Sent to call_flow_url, or to the url of POST /rest/call, with from, to, call, sca, tn, direction, state and meta.<name> in the query; the answer is call XML. With the method POST the body is the Call.", Body: entityDoc{}},
		{Name: "smsCallback", Summary: "A message changed or came in", Description: "Sent to custom_callback_url of the message, else to callback_url of its messaging profile, and to callback_url2 when that one fails. The body is the Sms.", Body: entityDoc{}},
	} {
		api.Webhook(w)
	}
}
