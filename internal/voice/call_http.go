package voice

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/voice/call"
)

func (s *Service) callRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: "/rest/call" + path, Tag: "Call", Summary: summary, Auth: httpapi.User, InDrain: strings.Contains(path, "{uuid}")}
	}
	made := op("CreateCall", "POST", "", "Call a number or a SIP address")
	made.Status, made.Live = 201, true
	httpapi.Handle(a, made, s.createCall)
	httpapi.Handle(a, op("GetCall", "GET", "/{uuid}", "Read a call leg"), s.getCall)
	hangup := op("HangupCall", "DELETE", "/{uuid}", "End a live call")
	hangup.Live = true
	httpapi.Handle(a, hangup, s.hangupCall)
	search := op("SearchCalls", "POST", "/search", "Search the call log")
	search.Scope = "voice:read"
	httpapi.Handle(a, search, s.searchCalls)
	push := op("PushCallXml", "POST", "/sca/{uuid}", "Run a document on a live call")
	push.Multipart, push.Live = true, true
	httpapi.Handle(a, push, s.pushCall)
	keys := op("SendDtmf", "POST", "/{uuid}/dtmf", "Press keys towards a leg")
	keys.Live = true
	httpapi.Handle(a, keys, s.sendDTMF)
	httpapi.Handle(a, op("ListCallRecords", "GET", "/{uuid}/records", "List the recordings of a call"), s.callRecords)
}

type callKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

type callNew struct {
	Profile       string         `json:"outbound_voice_profile" format:"uuid"`
	To            partyText      `json:"to" required:"true" doc:"number, sip:user@host or login@domain"`
	Lease         string         `json:"tn_lease" maxLength:"64" doc:"lease uuid or number of the caller ID"`
	From          partyText      `json:"from" doc:"caller ID; for SIP addresses a display login is allowed"`
	XML           string         `json:"xml" format:"xml"`
	URL           string         `json:"url" format:"url"`
	Method        string         `json:"method" enum:"GET,POST" default:"GET"`
	App           string         `json:"sip_control_app" format:"uuid"`
	WebhookURL    string         `json:"webhook_url" format:"url"`
	WebhookMethod string         `json:"webhook_method" enum:"GET,POST" default:"POST"`
	Timeout       int            `json:"timeout" min:"1000" max:"300000" default:"60000" doc:"ring time, ms"`
	MaxDuration   int            `json:"max_duration" min:"1" max:"86400" default:"14400" doc:"seconds"`
	Record        bool           `json:"record"`
	ASR           bool           `json:"asr"`
	Meta          map[string]any `json:"meta"`
	Detection     string         `json:"machine_detection" enum:"off,sync,async" default:"off"`
}

// partyText is a party written as text or as an integer number.
type partyText string

// maxParty is the longest party in characters.
const maxParty = 255

// Decode reads either form.
func (p *partyText) Decode(raw json.RawMessage) error {
	var text string
	var digits json.Number
	if json.Unmarshal(raw, &text) != nil {
		if json.Unmarshal(raw, &digits) != nil {
			return fault.Newf(fault.Validation, "must be a number or a SIP address")
		}
		text = digits.String()
	}
	if len(text) > maxParty {
		return fault.Newf(fault.Validation, "must have at most 255 characters")
	}
	*p = partyText(strings.TrimSpace(text))
	return nil
}

// Validate checks what members mean together.
func (c *callNew) Validate(f *fault.Fields) {
	given := 0
	for _, v := range []string{c.XML, c.URL, c.App} {
		if v != "" {
			given++
		}
	}
	if given > 1 {
		f.Add("xml", "only one of xml, url and sip_control_app may be given", nil)
	}
	if c.To == "" {
		f.Add("to", "required", nil)
	} else if _, ok := sipAddress(string(c.To)); !ok {
		if _, err := e164.Parse(string(c.To)); err != nil {
			f.Add("to", err.Error(), string(c.To))
		}
		if _, err := e164.Parse(string(c.From)); c.From != "" && err != nil { // a SIP address may see any name
			f.Add("from", err.Error(), string(c.From))
		}
	}
	for name, v := range c.Meta {
		switch v.(type) {
		case map[string]any, []any:
			f.Add("meta."+name, "must be a scalar", nil)
		}
	}
	if len(encode(c.Meta)) > maxMeta {
		f.Add("meta", "must have at most 4096 bytes", nil)
	}
	if c.Detection != "off" {
		f.Add("machine_detection", "this server has no detection of answering machines", c.Detection)
	}
}

func (s *Service) createCall(ctx context.Context, in *callNew) (callWire, error) {
	n := NewCall{
		Account: httpapi.Who(ctx).Account, To: string(in.To), Lease: in.Lease, From: string(in.From), Profile: in.Profile,
		XML: in.XML, URL: in.URL, Method: in.Method, App: in.App, WebhookURL: in.WebhookURL, WebhookMethod: in.WebhookMethod,
		Ring: millis(in.Timeout), Longest: millis(in.MaxDuration * 1000), Record: in.Record, ASR: in.ASR, Meta: in.Meta,
	}
	if httpapi.Keyed(ctx) {
		n.Ahead = s.promiseCall
	}
	c, err := s.PlaceCall(ctx, n)
	if err != nil || httpapi.Keyed(ctx) { // what was promised goes out
		return callWire{}, err
	}
	return s.viewer(s.db.Read()).wholeCall(ctx, &c, kin{})
}

// promiseCall keeps the answer to the request's key with the record of the call, before it rings.
func (s *Service) promiseCall(ctx context.Context, c *Call, save func(context.Context, *db.Tx) error) error {
	w, err := s.viewer(s.db.Read()).wholeCall(ctx, c, kin{})
	if err != nil {
		return err
	}
	return httpapi.Commit(ctx, w, save)
}

// command keeps the answer to the request's key, as view gives it, and does something to a live call.
func command[T any](ctx context.Context, view func() (T, error), do func() error) (out T, err error) {
	kept := false
	if httpapi.Keyed(ctx) {
		if out, err = view(); err == nil {
			err = httpapi.Commit(ctx, out, nil)
		}
		if kept = err == nil; !kept && !fault.Is(err, fault.NotFound) { // that one is do's to say
			return out, err
		}
	}
	if err := do(); err != nil || kept {
		return out, err
	}
	return view()
}

// shownCall gives a leg as the payload itself: its row, and what a live one has become since.
func (s *Service) shownCall(ctx context.Context, account, id string) (*Call, callWire, error) {
	v := s.viewer(s.db.Read())
	c, err := legOf(ctx, v.q, account, id)
	if l, ok := s.engine.Find(id); ok && l.A().ID == id && l.A().Account == account {
		leg := l.A()
		if err != nil { // its row is not written yet
			c, err = s.newLeg(&leg), nil
		}
		c.follow(&leg)
		c.Meta = tagOf(&leg).meta.all()
		if _, bridged := l.B(); !bridged {
			c.BridgedTo = ""
		}
	}
	if err != nil {
		return nil, callWire{}, err
	}
	k, err := kinOf(ctx, v, &c)
	if err != nil {
		return nil, callWire{}, err
	}
	w, err := v.wholeCall(ctx, &c, k)
	return &c, w, err
}

// CallView shows a call of an account as GET /rest/call/{uuid} does, or gives a 404.
func (s *Service) CallView(ctx context.Context, account, id string) (json.RawMessage, error) {
	_, w, err := s.shownCall(ctx, account, id)
	if err != nil {
		return nil, err
	}
	return json.Marshal(w)
}

func (s *Service) getCall(ctx context.Context, in *callKey) (callWire, error) {
	_, w, err := s.shownCall(ctx, httpapi.Who(ctx).Account, in.UUID)
	return w, err
}

type hangupRequest struct {
	callKey
	Q850 int `query:"q850_cause" min:"1" max:"127" default:"16"`
}

func (s *Service) hangupCall(ctx context.Context, in *hangupRequest) (callWire, error) {
	account := httpapi.Who(ctx).Account
	return command(ctx, func() (callWire, error) { return s.getCall(ctx, &in.callKey) }, func() error {
		return s.HangupCall(ctx, account, in.UUID, in.Q850)
	})
}

type pushRequest struct {
	callKey
	Mode string `query:"mode" enum:"replace,append" fold:"true" default:"replace"`
	httpapi.XMLUpload
}

func (s *Service) push(ctx context.Context, in *pushRequest) error {
	xml, err := in.Text()
	if err != nil {
		return err
	}
	return s.PushFlow(ctx, httpapi.Who(ctx).Account, in.UUID, xml, in.Mode == "append")
}

func (s *Service) pushCall(ctx context.Context, in *pushRequest) (callWire, error) {
	return command(ctx, func() (callWire, error) { return s.getCall(ctx, &in.callKey) }, func() error { return s.push(ctx, in) })
}

type dtmfRequest struct {
	callKey
	Digits   string `json:"digits" required:"true" minLength:"1" maxLength:"32" pattern:"^[0-9A-Da-d*#wW]+$"`
	Duration int    `json:"duration" min:"40" max:"2000" default:"160" doc:"ms"`
	Leg      string `json:"leg" enum:"aleg,bleg,both" default:"aleg"`
}

func (s *Service) sendDTMF(ctx context.Context, in *dtmfRequest) (callWire, error) {
	account := httpapi.Who(ctx).Account
	digits := strings.ReplaceAll(strings.ToUpper(in.Digits), "W", "w")
	return command(ctx, func() (callWire, error) { return s.getCall(ctx, &in.callKey) }, func() error {
		return s.SendKeys(ctx, account, in.UUID, digits, in.Leg, millis(in.Duration))
	})
}

type callList struct {
	callKey
	httpapi.List
}

func (s *Service) callRecords(ctx context.Context, in *callList) ([]recordWire, error) {
	if _, err := legOf(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID); err != nil {
		return nil, err
	}
	records, err := recordsOf(ctx, s.db.Read(), in.UUID)
	if err != nil {
		return nil, err
	}
	slices.Reverse(records)
	return s.wireRecords(httpapi.Part(ctx, in.List, records)), nil
}

type callSearch struct {
	httpapi.Search `orderable:"tn,to,from,state,duration,created_on,modified_on"`
	Direction      string              `json:"direction" enum:"in,out"`
	From           string              `json:"from" lenient:"true" maxLength:"255" format:"party" doc:"number or mask"`
	To             string              `json:"to" lenient:"true" maxLength:"255" format:"party" doc:"number or mask"`
	TN             string              `json:"tn" lenient:"true" maxLength:"64" format:"tnmask" doc:"number or mask"`
	State          string              `json:"state" enum:"init,ringing,live,bridged,hangup,destroyed,online,offline"`
	Kind           string              `json:"type" enum:"CallSCA,CallXML,CallSIP"`
	App            httpapi.Opt[string] `json:"sip_control_app" format:"uuid"`
	Connection     httpapi.Opt[string] `json:"sip_connection" format:"uuid"`
	SIPUser        httpapi.Opt[string] `json:"sip_user" format:"uuid"`
	Profile        httpapi.Opt[string] `json:"outbound_voice_profile" format:"uuid"`
	Batch          httpapi.Opt[string] `json:"batch" format:"uuid"`
	Parent         httpapi.Opt[string] `json:"parent" format:"uuid"`
	DestroyFrom    *httpapi.Time       `json:"destroy_on_from"`
	DestroyTo      *httpapi.Time       `json:"destroy_on_to"`
	MinDuration    *int                `json:"min_duration" min:"0"`
	MaxDuration    *int                `json:"max_duration" min:"0"`
	Q850           *int                `json:"q850_cause" min:"0"`
	Reason         string              `json:"reason" maxLength:"64"`
	Thread         string              `json:"thread" maxLength:"32"`
	Attest         string              `json:"stir_shaken_attest_level" enum:"A,B,C"`
}

// filter is the search in the words of the store. No call has a SIP connection, a SIP user, a batch or an attestation yet.
func (q *callSearch) filter(account string) CallFilter {
	f := CallFilter{
		Account: account, Or: q.Or(), Direction: q.Direction, Kind: q.Kind, From: q.From, To: q.To, TN: q.TN, States: statesOf(q.State),
		App: q.App.V, NoApp: q.App.Null, Profile: q.Profile.V, NoProfile: q.Profile.Null, Parent: q.Parent.V, NoParent: q.Parent.Null,
		MinDuration: q.MinDuration, MaxDuration: q.MaxDuration, Q850: q.Q850, Reason: q.Reason, Thread: q.Thread, Take: q.Take, Skip: q.Skip,
		Unknown:        q.Connection.Has() || q.SIPUser.Has() || q.Batch.Has() || q.Attest != "",
		WithoutUnknown: q.Connection.Null || q.SIPUser.Null || q.Batch.Null,
	}
	common(&q.Search, &f.CreatedFrom, &f.CreatedTo, &f.ModifiedFrom, &f.ModifiedTo, &f.Order)
	f.DestroyFrom, f.DestroyTo = moment(q.DestroyFrom), moment(q.DestroyTo)
	return f
}

// statesOf are the states that a search names, by either generation's word.
func statesOf(name string) []string {
	switch name {
	case "":
		return nil
	case "online":
		return []string{string(call.Init), string(call.Ringing), string(call.Live), string(call.Bridged)}
	case "offline":
		return []string{string(call.Hangup), string(call.Destroyed)}
	}
	return []string{name}
}

func (s *Service) searchCalls(ctx context.Context, in *callSearch) (httpapi.Page[callWire], error) {
	legs, total, err := searchLegs(ctx, s.db.Read(), in.filter(httpapi.Who(ctx).Account))
	if err != nil {
		return httpapi.Page[callWire]{}, err
	}
	out, err := s.listedCalls(ctx, legs)
	return httpapi.PageOf(in.Search, total, out), err
}

// listedCalls renders legs with what belongs to them.
func (s *Service) listedCalls(ctx context.Context, legs []Call) ([]callWire, error) {
	v := s.viewer(s.db.Read())
	out := make([]callWire, 0, len(legs))
	for i := range legs {
		k, err := kinOf(ctx, v, &legs[i])
		if err != nil {
			return nil, err
		}
		w, err := v.wholeCall(ctx, &legs[i], k)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}
