package messaging

import (
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/money"
)

// Types of a message.
const (
	Outbound = "smso"
	Inbound  = "smsi"
	Requests = "smsr" // a request that chose a sender, or made many messages
)

// States of a message (events.md "SMS").
const (
	Created = "created"
	Sending = "sending"
	Success = "success"
	Failed  = "failed"
)

// Message is an SMS in either direction, or the request that made some.
type Message struct {
	ID          string
	Account     string
	Type        string
	State       string
	From        string   // digits
	To          string   // digits, or a name
	Recipients  []string // of a bulk request
	Text        string
	Thread      string
	Delivered   bool
	Automated   bool
	Readed      bool
	Reason      string
	ReferenceID string // the carrier's
	CallbackURL string
	Profile     string
	Campaign    string // campaignId
	Parent      string // request
	CreatedBy   string
	Created     time.Time
	Modified    time.Time
	Sent        time.Time
	DeliveredOn time.Time
	Encoding    string
	Segments    int
	Price       money.Amount // reserved until it is sent, then charged
	Country     string       // of the far number
	Operator    string
	Error       string // ESmsError
	Meta        json.RawMessage
	Context     json.RawMessage // {"tn":…,"tn_lease":…,"subscription":…} as they were; rows from the database have it after fillContext
	ContextID   string          // names Context; empty for none
	Due         time.Time       // zero: not in the queue
	Expires     time.Time
	Attempt     int
	Node        string // that has it in hand
	Link        string
	Ref         string
}

// Bulk tells a request of many messages.
func (m *Message) Bulk() bool { return m.Type == Requests && len(m.Recipients) > 0 }

// Counters are the states of a bulk request's messages.
type Counters struct {
	Total, Created, Sending, Success, Failed, Delivered int
}

// done is how many have left the queue.
func (c Counters) done() int { return c.Success + c.Failed }

// errorTitles are the words beside ESmsError codes.
var errorTitles = map[string]string{
	"queue_timeout": "Queuing Timeout Event", "carrier_rejected": "Rejected by the carrier", "carrier_unreachable": "Carrier unreachable", "invalid_number": "Invalid number",
	"landline": "Recipient is a landline", "blocked": "Blocked", "spam": "Blocked as spam", "opted_out": "Recipient opted out", "no_campaign": "Number has no active campaign",
	"campaign_suspended": "Campaign suspended", "throughput": "Throughput exceeded", "undeliverable": "Undeliverable", "expired": "Expired before delivery",
	"unknown_subscriber": "Unknown subscriber", "absent_subscriber": "Absent subscriber", "no_sender": "No sender available", "canceled": "Canceled",
	"insufficient_balance": "Insufficient balance", "country": "Country not permitted", "internal": "Internal error",
}
