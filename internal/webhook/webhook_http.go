package webhook

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// Routes registers the endpoints and their deliveries.
func (s *Service) Routes(a *httpapi.API) {
	const base = "/rest/webhook"
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: base + path, Tag: "Webhook", Summary: summary, Auth: httpapi.User}
	}
	httpapi.Handle(a, op("ListWebhooks", "GET", "", "List the webhook endpoints"), s.httpList)
	made := op("CreateWebhook", "POST", "", "Make a webhook endpoint; its secret is shown only here")
	made.Status, made.Secret = 201, true
	made.Ahead = func(ctx context.Context, in any) error { return s.CheckURL(ctx, in.(*endpointNew).URL) }
	httpapi.Handle(a, made, s.httpCreate)
	httpapi.Handle(a, op("GetWebhook", "GET", "/{uuid}", "Read a webhook endpoint"), s.httpGet)
	httpapi.Handle(a, op("UpdateWebhook", "PATCH", "/{uuid}", "Change a webhook endpoint, or enable a disabled one again"), s.httpUpdate)
	httpapi.Handle(a, op("RemoveWebhook", "DELETE", "/{uuid}", "Remove a webhook endpoint and cancel what was not sent"), s.httpRemove)
	rotate := op("RotateWebhookSecret", "POST", "/{uuid}/secret", "Give a webhook endpoint another secret; the old one signs too for 24 hours")
	rotate.Secret = true
	httpapi.Handle(a, rotate, s.httpRotate)
	test := op("TestWebhook", "POST", "/{uuid}/test", "Send a sample event once, now")
	test.Live = true
	httpapi.Handle(a, test, s.httpTest)
	httpapi.Handle(a, op("ListWebhookDeliveries", "GET", "/{uuid}/delivery", "List the deliveries of 30 days"), s.httpDeliveries)
	httpapi.Handle(a, op("GetWebhookDelivery", "GET", "/{uuid}/delivery/{delivery}", "Read a delivery with request and response of each attempt"), s.httpDelivery)
	httpapi.Handle(a, op("ReplayWebhookDelivery", "POST", "/{uuid}/delivery/{delivery}/replay", "Send a delivery again, with the same id and body"), s.httpReplay)
	httpapi.Handle(a, op("ReplayWebhook", "POST", "/{uuid}/replay", "Send deliveries of a time again, the failed ones unless told otherwise"), s.httpReplayAll)
	debug := op("DebugWebhookSignature", "POST", "/debug-signature", "Find out why the signature of a received request does not verify")
	debug.Scope = "events:read"
	httpapi.Handle(a, debug, s.httpDebug)
}

// endpointView is WebhookEndpoint of the contract.
type endpointView struct {
	UUID        string        `json:"uuid"`
	URL         string        `json:"url"`
	Description *string       `json:"description"`
	Types       []string      `json:"types"`
	Filter      *event.Filter `json:"filter"`
	Active      bool          `json:"is_active"`
	State       string        `json:"state"`
	Disabled    *httpapi.Time `json:"disabled_on"`
	Reason      *string       `json:"disabled_reason"`
	Secret      string        `json:"secret,omitempty"` // in the answer that made it
	Last4       string        `json:"secret_last4"`
	Success     *httpapi.Time `json:"last_success_on"`
	Failure     *httpapi.Time `json:"last_failure_on"`
	Created     httpapi.Time  `json:"created_on"`
	Modified    httpapi.Time  `json:"modified_on"`
}

func (s *Service) view(e *Endpoint) endpointView {
	return endpointView{
		UUID: e.ID, URL: e.URL, Description: orNil(e.Description), Types: e.AllTypes(s.now()), Filter: e.Filter, Active: e.Active, State: e.State(),
		Disabled: httpapi.TimeOrNil(e.Disabled), Reason: orNil(e.Reason), Last4: e.Secret[max(len(e.Secret)-4, 0):],
		Success: httpapi.TimeOrNil(e.LastSuccess), Failure: httpapi.TimeOrNil(e.LastFailure), Created: httpapi.TimeOf(e.Created), Modified: httpapi.TimeOf(e.Modified),
	}
}

// viewOf shows what an operation gave.
func (s *Service) viewOf(e *Endpoint, err error) (endpointView, error) {
	if err != nil {
		return endpointView{}, err
	}
	return s.view(e), nil
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (s *Service) httpList(ctx context.Context, in *httpapi.List) ([]endpointView, error) {
	list, err := s.Endpoints(ctx, httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, len(list))
	out := []endpointView{}
	for i, e := range list {
		if i >= in.Skip && len(out) < in.Take {
			out = append(out, s.view(e))
		}
	}
	return out, nil
}

type endpointNew struct {
	URL         string        `json:"url" required:"true"`
	Types       []string      `json:"types" maxItems:"32" minItems:"1" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease,*" doc:"event types; * when absent"`
	Filter      *event.Filter `json:"filter"`
	Description string        `json:"description" maxLength:"255"`
	Secret      string        `json:"secret" doc:"whsec_ and the base64 of 24 to 64 bytes; made when absent"`
	Active      *bool         `json:"is_active"`
}

// Validate checks the secret's form.
func (n *endpointNew) Validate(f *fault.Fields) { checkOptional(f, n.Secret) }

func (s *Service) httpCreate(ctx context.Context, in *endpointNew) (endpointView, error) {
	if len(in.Types) == 0 {
		in.Types = []string{"*"}
	}
	return s.viewSecret(s.CreateEndpoint(ctx, NewEndpoint{
		Account: httpapi.Who(ctx).Account, URL: in.URL, Description: in.Description, Types: in.Types, Filter: in.Filter, Secret: in.Secret,
		Inactive: in.Active != nil && !*in.Active,
	}))
}

// viewSecret renders an endpoint with its secret.
func (s *Service) viewSecret(e *Endpoint, err error) (endpointView, error) {
	v, err := s.viewOf(e, err)
	if err == nil {
		v.Secret = e.Secret
	}
	return v, err
}

type endpointKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) httpGet(ctx context.Context, in *endpointKey) (endpointView, error) {
	return s.viewOf(s.Endpoint(ctx, httpapi.Who(ctx).Account, in.UUID))
}

type endpointUpdate struct {
	endpointKey
	URL         string                    `json:"url"`
	Types       []string                  `json:"types" maxItems:"32" minItems:"1" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease,*"`
	Filter      httpapi.Opt[event.Filter] `json:"filter"`
	Description httpapi.Opt[string]       `json:"description" maxLength:"255"`
	Active      *bool                     `json:"is_active"`
}

func (s *Service) httpUpdate(ctx context.Context, in *endpointUpdate) (endpointView, error) {
	return s.viewOf(s.UpdateEndpoint(ctx, httpapi.Who(ctx).Account, in.UUID, in.URL, func(e *Endpoint, now time.Time) {
		if in.Types != nil {
			e.Types, e.Own = in.Types, true
		}
		e.Filter, e.Description = in.Filter.Ptr(e.Filter), in.Description.Or(e.Description)
		if in.Active != nil {
			e.SetActive(*in.Active, now)
		}
	}))
}

func (s *Service) httpRemove(ctx context.Context, in *endpointKey) (endpointView, error) {
	return s.viewOf(s.RemoveEndpoint(ctx, httpapi.Who(ctx).Account, in.UUID))
}

type rotation struct {
	endpointKey
	Secret string `json:"secret" doc:"whsec_ and the base64 of 24 to 64 bytes; made when absent"`
}

// Validate checks the secret's form.
func (r *rotation) Validate(f *fault.Fields) { checkOptional(f, r.Secret) }

func (s *Service) httpRotate(ctx context.Context, in *rotation) (endpointView, error) {
	return s.viewSecret(s.Rotate(ctx, httpapi.Who(ctx).Account, in.UUID, in.Secret))
}

type trialInput struct {
	endpointKey
	Type string `json:"type" default:"call_state" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease"`
}

func (s *Service) httpTest(ctx context.Context, in *trialInput) (deliveryView, error) {
	d, err := s.Test(ctx, httpapi.Who(ctx).Account, in.UUID, in.Type)
	return fullView(d), err
}

// deliveryView is WebhookDelivery of the contract.
type deliveryView struct {
	UUID     string        `json:"uuid"`
	Webhook  string        `json:"webhook"`
	Message  string        `json:"message_id"`
	Event    string        `json:"event"`
	Type     string        `json:"type"`
	State    string        `json:"state"`
	Attempts []attemptView `json:"attempts"`
	Next     *httpapi.Time `json:"next_attempt_on"`
	Created  httpapi.Time  `json:"created_on"`
	Modified httpapi.Time  `json:"modified_on"`
}

// attemptView is an attempt; request and response are null in lists, and response until there is one.
type attemptView struct {
	N        int           `json:"n"`
	Started  httpapi.Time  `json:"started_on"`
	Duration int64         `json:"duration_ms"`
	Status   *int          `json:"status"`
	Error    *string       `json:"error"`
	Request  *requestView  `json:"request"`
	Response *responseView `json:"response"`
}

type requestView struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    *string           `json:"body"` // null when the event is no longer kept
}

type responseView struct {
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// shortView shows a delivery without bodies.
func shortView(d Delivery) deliveryView {
	v := deliveryView{
		UUID: d.ID, Webhook: d.Endpoint, Message: d.MessageID(), Event: d.Event, Type: d.Trigger, State: d.State, Attempts: []attemptView{},
		Next: httpapi.TimeOrNil(d.Next), Created: httpapi.TimeOf(d.Created), Modified: httpapi.TimeOf(d.Modified),
	}
	for _, a := range d.Attempts {
		w := attemptView{N: a.N, Started: httpapi.TimeOf(a.Started), Duration: a.Duration.Milliseconds(), Error: orNil(a.Error)}
		if a.Status != 0 {
			w.Status = &a.Status
		}
		v.Attempts = append(v.Attempts, w)
	}
	return v
}

// fullView shows a delivery with what each attempt sent and got.
func fullView(d Delivery) deliveryView {
	v := shortView(d)
	var body *string
	if d.Body != nil {
		text := string(d.Body)
		body = &text
	}
	for i, a := range d.Attempts {
		v.Attempts[i].Request = &requestView{URL: a.URL, Headers: d.RequestHeader(a), Body: body}
		if a.Status != 0 {
			header := a.Header
			if header == nil {
				header = map[string]string{}
			}
			v.Attempts[i].Response = &responseView{Headers: header, Body: a.Response}
		}
	}
	return v
}

type deliveryQuery struct {
	endpointKey
	httpapi.Window
	State string `query:"state" enum:"pending,success,failed,canceled"`
	Type  string `query:"type" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease"`
	Event string `query:"event" format:"uuid"`
}

func (s *Service) httpDeliveries(ctx context.Context, in *deliveryQuery) (httpapi.Page[deliveryView], error) {
	q := DeliveryQuery{State: in.State, Type: in.Type, Event: in.Event, Take: in.Take, Skip: in.Skip}
	list, total, err := s.Deliveries(ctx, httpapi.Who(ctx).Account, in.UUID, q)
	out := make([]deliveryView, len(list))
	for i, d := range list {
		out[i] = shortView(d)
	}
	return httpapi.PageIn(in.Window, total, out), err
}

type deliveryKey struct {
	endpointKey
	Delivery string `path:"delivery" format:"uuid"`
}

func (s *Service) httpDelivery(ctx context.Context, in *deliveryKey) (deliveryView, error) {
	d, err := s.Delivery(ctx, httpapi.Who(ctx).Account, in.UUID, in.Delivery)
	return fullView(d), err
}

func (s *Service) httpReplay(ctx context.Context, in *deliveryKey) (deliveryView, error) {
	d, err := s.Replay(ctx, httpapi.Who(ctx).Account, in.UUID, in.Delivery)
	return shortView(d), err
}

type replayInput struct {
	endpointKey
	From  *httpapi.Time `json:"created_on_from" required:"true"`
	To    *httpapi.Time `json:"created_on_to" required:"true"`
	Types []string      `json:"types" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease" maxItems:"32"`
	State string        `json:"state" enum:"failed,success,canceled" default:"failed"`
}

type replayed struct {
	Queued int `json:"queued"`
}

func (s *Service) httpReplayAll(ctx context.Context, in *replayInput) (replayed, error) {
	n, err := s.ReplayAll(ctx, httpapi.Who(ctx).Account, in.UUID, ReplayQuery{From: in.From.Time, To: in.To.Time, Types: in.Types, State: in.State})
	return replayed{n}, err
}

type debugInput struct {
	Webhook string          `json:"webhook" format:"uuid" doc:"the endpoint whose secrets are tried"`
	Secret  string          `json:"secret" maxLength:"255" doc:"or a secret"`
	Headers json.RawMessage `json:"headers" required:"true" doc:"object of the received headers"`
	Body    string          `json:"body" doc:"the received body as text"`
	Base64  string          `json:"body_base64" doc:"or its bytes"`
}

// Validate reads the headers and the body.
func (d *debugInput) Validate(f *fault.Fields) {
	if (d.Webhook == "") == (d.Secret == "") {
		f.Add("webhook", "one of webhook and secret is required", nil)
	}
	if len(d.Headers) == 0 {
		f.Add("headers", "is required", nil)
	} else if _, err := headersOf(d.Headers); err != nil {
		f.Add("headers", err.Error(), nil)
	}
	if _, err := d.body(); err != nil {
		f.Add("body_base64", err.Error(), nil)
	}
}

func (d *debugInput) body() ([]byte, error) { return bodyBytes(d.Body, d.Base64) }

func (s *Service) httpDebug(ctx context.Context, in *debugInput) (Diagnosis, error) {
	received := Received{}
	var err error
	if received.Headers, err = headersOf(in.Headers); err != nil {
		return Diagnosis{}, err
	}
	if received.Body, err = in.body(); err != nil {
		return Diagnosis{}, err
	}
	secrets := []NamedSecret{{Name: "secret", Secret: in.Secret}}
	if in.Webhook != "" {
		if secrets, err = s.namedSecrets(ctx, httpapi.Who(ctx).Account, in.Webhook); err != nil {
			return Diagnosis{}, err
		}
		received.Sent = s.sentBody(ctx, httpapi.Who(ctx).Account, in.Webhook, received)
	}
	return Diagnose(received, secrets, s.now()), nil
}
