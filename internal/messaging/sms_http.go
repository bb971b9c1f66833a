package messaging

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

func (s *Service) smsRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string, aliases ...string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "SMS", Summary: summary, Auth: httpapi.User, Scope: "messaging", Aliases: aliases}
	}
	read := func(o httpapi.Op) httpapi.Op { o.Scope = "messaging:read"; return o }
	keeps := func(o httpapi.Op) httpapi.Op { o.Keeps = true; return o }
	httpapi.Handle(a, keeps(op("SendSMS", "POST", "/rest/sms", "Send a message, or one to each of many")), s.httpSend)
	httpapi.Handle(a, keeps(op("SendSMSO", "POST", "/rest/sms/o", "Send a message (older path)")), s.httpSend)
	httpapi.Handle(a, read(op("PreviewSMS", "POST", "/rest/sms/preview", "What sending would do and cost")), s.httpPreview)
	httpapi.Handle(a, op("GetSMSByUUID", "GET", "/rest/sms/outbound/{uuid}", "An outbound message or request", "/rest/sms/o/{uuid}"), s.httpOutbound)
	httpapi.Handle(a, op("CancelSMS", "DELETE", "/rest/sms/outbound/{uuid}", "Cancel what still waits", "/rest/sms/o/{uuid}"), s.httpCancel)
	httpapi.Handle(a, op("GetSMSIByUUID", "GET", "/rest/sms/inbound/{uuid}", "An inbound message", "/rest/sms/i/{uuid}"), s.httpInbound)
	httpapi.Handle(a, op("UpdateSMSI", "PATCH", "/rest/sms/inbound/{uuid}", "Mark an inbound message as read", "/rest/sms/i/{uuid}"), s.httpReaded)
	httpapi.Handle(a, op("GetAnySMS", "GET", "/rest/sms/{uuid}", "A message of any type"), s.httpAny)
	httpapi.Handle(a, op("GetSMSItems", "GET", "/rest/sms/{uuid}/items", "Messages of a request"), s.httpItems)
	httpapi.Handle(a, read(op("SearchOutboundSMS", "POST", "/rest/sms/search/outbound", "Search outbound messages", "/rest/sms/o/search")), s.httpSearchOutbound)
	httpapi.Handle(a, read(op("SearchInboundSMS", "POST", "/rest/sms/search/inbound", "Search inbound messages", "/rest/sms/i/search")), s.httpSearchInbound)
	httpapi.Handle(a, read(op("SearchSMSISMS", "POST", "/rest/sms/search", "Search messages of both directions")), s.httpSearch)
}

// recipients is one number, or an array of them.
type recipients struct {
	list []string
	bulk bool
}

// Decode implements the decoder's hook.
func (r *recipients) Decode(raw json.RawMessage) error {
	raw = bytes.TrimSpace(raw)
	if len(raw) > 0 && raw[0] == '[' {
		var many []json.RawMessage
		if err := json.Unmarshal(raw, &many); err != nil {
			return fault.Invalid("", "must be a number or an array of numbers", string(raw))
		}
		r.bulk = true
		for _, one := range many {
			r.list = append(r.list, scalarText(one))
		}
		return nil
	}
	r.list = []string{scalarText(raw)}
	return nil
}

// Schema describes it to the OpenAPI document.
func (recipients) Schema(huma.Registry) *huma.Schema {
	one := []*huma.Schema{{Type: "integer"}, {Type: "string", MinLength: ptr(3)}}
	most := maxRecipients
	return &huma.Schema{OneOf: append(one, &huma.Schema{Type: "array", Items: &huma.Schema{OneOf: one}, MaxItems: &most})}
}

func ptr[T any](v T) *T { return &v }

func scalarText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// smsNew is SmsNew.
type smsNew struct {
	From        e164.Number    `json:"from" alias:"tn" doc:"own number"`
	Profile     string         `json:"messaging_profile" format:"uuid" doc:"pool to choose a sender from"`
	To          recipients     `json:"to" required:"true"`
	Message     string         `json:"message" alias:"text" required:"true" minLength:"1" maxLength:"918"`
	CallbackURL string         `json:"custom_callback_url" minLength:"10" maxLength:"255" format:"url"`
	Validity    int            `json:"validity" min:"60" max:"172800" doc:"seconds"`
	MaxSegments int            `json:"max_segments" min:"1" max:"14"`
	MaxPrice    *money.Amount  `json:"max_price"`
	Smart       bool           `json:"smart_encoding" doc:"replace look-alike characters by those of the GSM alphabet"`
	Meta        map[string]any `json:"meta" doc:"object of scalars, echoed"`
	meta        json.RawMessage
}

// Validate holds the rules between members, and those that Send has too: all faults come in one answer.
func (in *smsNew) Validate(f *fault.Fields) {
	for k, v := range in.Meta {
		switch v.(type) {
		case map[string]any, []any:
			f.Add("meta."+k, "must be a scalar", nil)
		}
	}
	r := Request{From: in.From, Profile: in.Profile, To: in.To.list, Bulk: in.To.bulk, Text: in.Message, MaxSegments: in.MaxSegments, Smart: in.Smart}
	if in.Meta != nil {
		var err error
		if in.meta, err = json.Marshal(in.Meta); err != nil {
			f.Add("meta", "must be an object of scalars", nil)
		}
		r.Meta = in.meta
	}
	r.check(f)
}

func (in *smsNew) request(ctx context.Context) Request {
	who := httpapi.Who(ctx)
	return Request{
		Account: who.Account, User: who.User, From: in.From, Profile: in.Profile, To: in.To.list, Bulk: in.To.bulk, Text: in.Message, CallbackURL: in.CallbackURL,
		Validity: time.Duration(in.Validity) * time.Second, MaxSegments: in.MaxSegments, MaxPrice: in.MaxPrice, Smart: in.Smart, Meta: in.meta,
	}
}

// smsBody is an Sms entity, rendered already.
type smsBody json.RawMessage

// MarshalJSON gives the entity.
func (b smsBody) MarshalJSON() ([]byte, error) { return json.RawMessage(b).MarshalJSON() }

// Rendered gives it as it goes out.
func (b smsBody) Rendered() []byte { return b }

// Schema describes the entity to the OpenAPI document.
func (smsBody) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[Sms](), true, "Sms")
}

func (s *Service) show(ctx context.Context, m *Message, err error) (smsBody, error) {
	if err != nil {
		return nil, err
	}
	b, err := s.render(ctx, m)
	return smsBody(b), err
}

func (s *Service) httpSend(ctx context.Context, in *smsNew) (smsBody, error) {
	r := in.request(ctx)
	if httpapi.Keyed(ctx) {
		r.Answer = func(reads context.Context, m *Message) (func(*db.Tx), error) {
			accepted(ctx, m)
			shown, err := s.show(reads, m, nil)
			if err != nil {
				return nil, err
			}
			answer, err := httpapi.Prepare(ctx, shown)
			return answer.In, err
		}
	}
	m, err := s.Send(ctx, r)
	if err != nil || httpapi.Keyed(ctx) {
		return nil, err // the answer that was kept goes out
	}
	accepted(ctx, m)
	return s.show(ctx, m, nil)
}

// accepted tells of a request that stands for others by its status.
func accepted(ctx context.Context, m *Message) {
	if m.Type == Requests {
		httpapi.SetStatus(ctx, http.StatusCreated)
	}
}

type smsKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) httpOutbound(ctx context.Context, in *smsKey) (smsBody, error) {
	m, err := loadMessage(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID, Outbound, Requests)
	return s.show(ctx, m, err)
}

func (s *Service) httpInbound(ctx context.Context, in *smsKey) (smsBody, error) {
	m, err := loadMessage(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID, Inbound)
	return s.show(ctx, m, err)
}

func (s *Service) httpAny(ctx context.Context, in *smsKey) (smsBody, error) {
	m, err := loadMessage(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID)
	return s.show(ctx, m, err)
}

func (s *Service) httpCancel(ctx context.Context, in *smsKey) (smsBody, error) {
	m, err := s.Cancel(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.show(ctx, m, err)
}

type smsPatch struct {
	UUID   string `path:"uuid" format:"uuid"`
	Readed *bool  `json:"readed"`
}

func (s *Service) httpReaded(ctx context.Context, in *smsPatch) (smsBody, error) {
	if in.Readed == nil { // only members that are there change something
		return s.httpInbound(ctx, &smsKey{in.UUID})
	}
	m, err := s.MarkReaded(ctx, httpapi.Who(ctx).Account, in.UUID, *in.Readed)
	return s.show(ctx, m, err)
}

type itemsRequest struct {
	UUID string `path:"uuid" format:"uuid"`
	httpapi.Window
	State string `query:"state" enum:"created,sending,success,failed,sent"`
}

// smsItem is SmsItem.
type smsItem struct {
	To        e164.Number  `json:"to"`
	State     string       `json:"state"`
	SMSO      *string      `json:"smso"`
	From      *string      `json:"from"`
	Delivered bool         `json:"delivered"`
	Reason    *string      `json:"reason"`
	Error     *smsError    `json:"error"`
	Created   httpapi.Time `json:"created_on"`
	Modified  httpapi.Time `json:"modified_on"`
}

type smsError struct {
	Code  string `json:"code"`
	Title string `json:"title"`
}

func viewError(code string) *smsError {
	if code == "" {
		return nil
	}
	return &smsError{code, errorTitles[code]}
}

func (s *Service) httpItems(ctx context.Context, in *itemsRequest) (httpapi.Page[smsItem], error) {
	account := httpapi.Who(ctx).Account
	if _, err := loadMessage(ctx, s.db.Read(), account, in.UUID, Requests); err != nil {
		return httpapi.Page[smsItem]{}, err
	}
	list, total, err := s.Search(ctx, Filter{Account: account, Parent: in.UUID, State: stateWord(in.State), Take: in.Take, Skip: in.Skip, Order: []Sort{{Field: "created_on"}}})
	out := []smsItem{}
	for _, m := range list {
		out = append(out, smsItem{
			To: e164.Number(m.To), State: m.State, SMSO: text(m.ID), From: text(m.From), Delivered: m.Delivered, Reason: text(m.Reason), Error: viewError(m.Error),
			Created: httpapi.TimeOf(m.Created), Modified: httpapi.TimeOf(m.Modified),
		})
	}
	return httpapi.PageIn(in.Window, total, out), err
}

// stateWord reads the older name of a state.
func stateWord(s string) string {
	if s == "sent" {
		return Success
	}
	return s
}

// smsSearch is SmsSearch.
type smsSearch struct {
	httpapi.Search `orderable:"tn,to,message,state,created_on,modified_on,reference_id,delivered"`
	Message        string              `json:"message" minLength:"1" maxLength:"918" doc:"mask"`
	From           string              `json:"from" minLength:"3" maxLength:"255" lenient:"true" format:"party" doc:"number or mask"`
	To             string              `json:"to" minLength:"3" maxLength:"255" lenient:"true" format:"party" doc:"number or mask"`
	TN             e164.Number         `json:"tn"`
	Delivered      *bool               `json:"delivered"`
	State          string              `json:"state" enum:"created,sending,success,failed,sent"`
	ReferenceID    string              `json:"reference_id" doc:"mask"`
	Readed         *bool               `json:"readed"`
	Thread         string              `json:"thread" doc:"mask"`
	Type           string              `json:"type" enum:"smso,smsi,smsr,sms"`
	Profile        httpapi.Opt[string] `json:"messaging_profile" format:"uuid" doc:"null: without one"`
	Campaign       httpapi.Opt[string] `json:"sms_campaign" doc:"uuid, or mask for a campaignId; null: without one"`
}

func (s *Service) httpSearchOutbound(ctx context.Context, in *smsSearch) (httpapi.Page[smsBody], error) {
	return s.searchPage(ctx, in, Outbound, Requests)
}

func (s *Service) httpSearchInbound(ctx context.Context, in *smsSearch) (httpapi.Page[smsBody], error) {
	return s.searchPage(ctx, in, Inbound)
}

func (s *Service) httpSearch(ctx context.Context, in *smsSearch) (httpapi.Page[smsBody], error) {
	return s.searchPage(ctx, in)
}

func (s *Service) searchPage(ctx context.Context, in *smsSearch, types ...string) (httpapi.Page[smsBody], error) {
	f := Filter{
		Account: httpapi.Who(ctx).Account, Types: types, Text: in.Message, From: in.From, To: in.To, TN: in.TN.Digits(), Delivered: in.Delivered, Readed: in.Readed,
		State: stateWord(in.State), ReferenceID: in.ReferenceID, Thread: in.Thread, Type: in.Type, Profile: related(in.Profile), Campaign: related(in.Campaign), Or: in.Or(), Take: in.Take, Skip: in.Skip,
		From2: moment(in.CreatedFrom), To2: moment(in.CreatedTo), ModifiedFrom: moment(in.ModifiedFrom), ModifiedTo: moment(in.ModifiedTo),
	}
	if f.Type == "sms" {
		f.Type = Outbound
	}
	var err error
	if f.Campaign.Name, err = s.campaignID(ctx, f.Account, f.Campaign.Name); err != nil {
		return httpapi.Page[smsBody]{}, err
	}
	for _, o := range in.Order {
		f.Order = append(f.Order, Sort{Field: o.Field, Desc: o.Desc})
	}
	list, total, err := s.Search(ctx, f)
	if err != nil {
		return httpapi.Page[smsBody]{}, err
	}
	views, err := s.renderAll(ctx, list)
	out := make([]smsBody, len(views))
	for i, v := range views {
		out[i] = smsBody(v)
	}
	return httpapi.PageOf(in.Search, total, out), err
}

// related reads a filter by a related object; null takes what has none (rest-conventions §7).
func related(o httpapi.Opt[string]) Related { return Related{Set: o.Set, Name: o.V} }

func moment(t *httpapi.Time) time.Time {
	if p := t.Std(); p != nil {
		return *p
	}
	return time.Time{}
}

// smsPreview is SmsPreview.
type smsPreview struct {
	Encoding   string        `json:"encoding"`
	Segments   int           `json:"segments"`
	Length     int           `json:"length" doc:"septets or UTF-16 units"`
	PerSegment int           `json:"per_segment"`
	ForcedBy   *forcedBy     `json:"forced_by"`
	Smart      *smartPreview `json:"smart_encoding"`
	Price      money.Amount  `json:"price"`
	From       *string       `json:"from"`
	Country    *string       `json:"country"`
	Problems   []smsError    `json:"problems"`
}

type forcedBy struct {
	Character string `json:"character"`
	Position  int    `json:"position"`
}

type smartPreview struct {
	Message  string `json:"message"`
	Encoding string `json:"encoding"`
	Segments int    `json:"segments"`
}

func (s *Service) httpPreview(ctx context.Context, in *smsNew) (smsPreview, error) {
	p, err := s.Preview(ctx, in.request(ctx))
	if err != nil {
		return smsPreview{}, err
	}
	a := p.Analysis
	out := smsPreview{Encoding: string(a.Encoding), Segments: a.Segments, Length: a.Length, PerSegment: a.PerSegment, Price: p.Price, From: text(p.From), Country: text(p.Country), Problems: []smsError{}}
	if a.ForcedBy != nil {
		out.ForcedBy = &forcedBy{a.ForcedBy.Character, a.ForcedBy.Position}
	}
	if clean := gsm.Smart(in.Message); clean != in.Message {
		b := gsm.Analyze(clean)
		out.Smart = &smartPreview{clean, string(b.Encoding), b.Segments}
	}
	for _, code := range p.Problems {
		out.Problems = append(out.Problems, *viewError(code))
	}
	return out, nil
}

// Sms is the schema of a message; answers are written by view.go, member by member.
type Sms struct {
	UUID             string           `json:"uuid" format:"uuid"`
	Type             string           `json:"type" enum:"smso,smsi,smsr"`
	State            string           `json:"state" enum:"created,sending,success,failed"`
	From             *string          `json:"from"`
	To               any              `json:"to" doc:"integer, text that is no plain number, or array in a bulk smsr"`
	Message          string           `json:"message"`
	Thread           *string          `json:"thread"`
	Delivered        bool             `json:"delivered"`
	Automated        bool             `json:"automated"`
	Readed           *bool            `json:"readed"`
	Reason           *string          `json:"reason"`
	ReferenceID      *string          `json:"reference_id"`
	CallbackURL      *string          `json:"custom_callback_url"`
	TN               map[string]any   `json:"tn"`
	Lease            map[string]any   `json:"tn_lease"`
	OlderLease       map[string]any   `json:"tnlease,omitempty" doc:"smsi only"`
	Subscription     map[string]any   `json:"subscription"`
	MessagingProfile map[string]any   `json:"messaging_profile"`
	ProviderEvent    map[string]any   `json:"provider_event" doc:"always null"`
	Account          map[string]any   `json:"account"`
	AccountUUID      string           `json:"account_uuid"`
	CreatedBy        map[string]any   `json:"created_by"`
	CreatedOn        httpapi.Time     `json:"created_on"`
	ModifiedOn       httpapi.Time     `json:"modified_on"`
	SentOn           *httpapi.Time    `json:"sent_on"`
	DeliveredOn      *httpapi.Time    `json:"delivered_on"`
	Encoding         string           `json:"encoding" enum:"gsm7,ucs2"`
	Segments         int              `json:"segments"`
	Price            *money.Amount    `json:"price"`
	Country          *string          `json:"country"`
	Operator         *string          `json:"operator"`
	SmsCampaign      *string          `json:"sms_campaign"`
	Error            *smsError        `json:"error"`
	Meta             map[string]any   `json:"meta"`
	SMSO             map[string]any   `json:"smso"`
	Counters         map[string]int64 `json:"counters"`
}
