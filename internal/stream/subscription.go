package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/event"
)

// Types are the event types that can be subscribed to; "*" is all of them.
const Types = "auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease,*"

// Subscription is a user's wish to receive one event type.
type Subscription struct {
	ID       string
	Account  string
	User     string
	Channel  string
	Type     string
	Active   bool
	Expires  time.Time // zero: never
	Filter   *event.Filter
	Created  time.Time
	Modified time.Time
}

// wants tells whether the subscription lets an event through now.
func (s Subscription) wants(typ string, body []byte, now time.Time) bool {
	return s.Active && (s.Type == typ || s.Type == "*") && (s.Expires.IsZero() || now.Before(s.Expires)) && s.Filter.Passes(body)
}

// Hook is a subscription of the channel webhook: its type is one more that an endpoint gets.
type Hook struct {
	Subscription
	URL      string
	Endpoint string // uuid
	Secret   string // given by the customer; in an answer that of an endpoint that was just made
}

// Hooks keeps the subscriptions of the channel webhook; they are unique by account, URL and type.
type Hooks interface {
	// Save makes a subscription, or changes that of the same URL and type, or the one whose ID is given; made tells which.
	Save(ctx context.Context, h Hook) (out Hook, made bool, err error)
	// List gives those of a user, newest first.
	List(ctx context.Context, account, user string) ([]Hook, error)
	Drop(ctx context.Context, account, id string) error
	// Check refuses a URL that nothing is sent to; it may look up a name, so it is not for a transaction.
	Check(ctx context.Context, url string) error
}

// Reports tells how an event was delivered.
type Reports interface {
	// Report gives the array delivery_report.
	Report(ctx context.Context, account, event string) (json.RawMessage, error)
}

// Attach gives the gate what is built after it; call it once, before the first request.
func (g *Gate) Attach(h Hooks, r Reports) { g.hooks, g.reports = h, r }

// noReport ends every envelope of the log.
var noReport = []byte(`"delivery_report":[]}`)

// withReport is an event with what became of its deliveries.
func (g *Gate) withReport(ctx context.Context, r event.Row) (json.RawMessage, error) {
	if g.reports == nil || !bytes.HasSuffix(r.Body, noReport) {
		return r.Body, nil
	}
	report, err := g.reports.Report(ctx, r.Account, r.UUID)
	if err != nil {
		return nil, err
	}
	out := append([]byte(nil), r.Body[:len(r.Body)-len("[]}")]...)
	return append(append(out, report...), '}'), nil
}
