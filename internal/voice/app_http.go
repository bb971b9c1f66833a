package voice

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/number"
)

// Routes registers control apps, calls and recordings.
func (s *Service) Routes(a *httpapi.API) {
	const base = "/rest/sip/app"
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: base + path, Tag: "SIP_Control_App", Summary: summary, Auth: httpapi.User}
	}
	httpapi.Handle(a, op("ListSIPControlApps", "GET", "", "List the control apps"), s.listApps)
	made := op("CreateSIPControlApp", "POST", "", "Make a control app")
	made.Status = 201
	httpapi.Handle(a, made, s.createApp)
	httpapi.Handle(a, op("GetSIPControlAppByUUID", "GET", "/{uuid}", "Read a control app"), s.getApp)
	httpapi.Handle(a, op("ModifySIPControlApp", "PATCH", "/{uuid}", "Change a control app; live calls keep the old values"), s.modifyApp)
	httpapi.Handle(a, op("RemoveSIPControlAppByUUID", "DELETE", "/{uuid}", "Remove a control app that no number is tied to"), s.removeApp)
	httpapi.Handle(a, op("GetSIPControlAppTNLeasesList", "GET", "/{uuid}/tnlease", "List the numbers of a control app"), s.appLeases)
	httpapi.Handle(a, op("AssignTNLeasesToSIPControlApp", "POST", "/{uuid}/tnlease", "Tie numbers to a control app, untie others"), s.assignLeases)
	httpapi.Handle(a, op("GetSIPControlAppStaticCallFlow", "GET", "/call/flow/{uuid}", "Read the static call flow"), s.getFlow)
	save := op("SaveSIPControlAppStaticCallFlow", "POST", "/call/flow/{uuid}", "Keep a document as static call flow")
	save.Multipart = true
	httpapi.Handle(a, save, s.saveFlow)
	httpapi.Handle(a, op("RemoveSIPControlAppStaticCallFlow", "DELETE", "/call/flow/{uuid}", "Remove the static call flow"), s.removeFlow)
	text := op("GetSIPControlAppStaticCallFlowDocument", "GET", "/call/flow/{uuid}.xml", "Read the static call flow itself, with a signed URL or credentials")
	text.Auth, text.Produces = httpapi.Optional, "application/xml"
	httpapi.HandleRaw(a, text, s.flowDocument)
	s.appCallRoutes(a)
	s.callRoutes(a)
	s.recordRoutes(a)
}

type appKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

// trunkNew are the settings of TrunkSettings that customers may give; the others are the administrator's.
type trunkNew struct {
	MediaType string `json:"media_type" enum:"Bypass Media,Proxy Media,Proxy Media + Transcoding"`
}

// appMembers are the members of SipControlAppNew but its name.
type appMembers struct {
	Active         *bool               `json:"is_active"`
	Product        httpapi.Opt[int]    `json:"product" min:"1"`
	AutoAnswer     *bool               `json:"auto_answer"`
	MaxMinutes     httpapi.Opt[int]    `json:"max_call_length_min" min:"1" max:"1440"`
	VerifyPolicy   *int                `json:"shaken_verify_policy" min:"0" max:"3"`
	MinAttest      string              `json:"shaken_minimum_accepted_attest_lvl" enum:"A,B,C"`
	WebhookURL     httpapi.Opt[string] `json:"webhook_url" format:"url"`
	WebhookMethod  string              `json:"webhook_method" enum:"GET,POST"`
	WebhookTimeout httpapi.Opt[int]    `json:"webhook_request_timeout" min:"0" max:"2147483647"`
	FlowURL        httpapi.Opt[string] `json:"call_flow_url" format:"url"`
	FlowMethod     string              `json:"call_flow_method" enum:"GET,POST"`
	FlowTimeout    httpapi.Opt[int]    `json:"call_flow_request_timeout" min:"0" max:"2147483647"`
	Ingress        *trunkNew           `json:"class4_ingress_trunk_settings" alias:"class4_ingress_trunk_stings"`
	Egress         *trunkNew           `json:"class4_egress_trunk_settings" alias:"class4_egress_trunk_stings"`
	Profile        httpapi.Opt[string] `json:"outbound_voice_profile" format:"uuid"`
	FallbackURL    httpapi.Opt[string] `json:"call_flow_fallback_url" format:"url"`
	Secret         httpapi.Opt[string] `json:"webhook_secret" maxLength:"255" doc:"write-only; turns on signatures on app webhooks and fetches"`
	ParkTimeout    *int                `json:"park_timeout" min:"1000" max:"600000" doc:"milliseconds"`
}

// apply writes the members that came into an app.
func (m *appMembers) apply(a *App) {
	set(&a.Active, m.Active)
	set(&a.AutoAnswer, m.AutoAnswer)
	set(&a.VerifyPolicy, m.VerifyPolicy)
	a.Product, a.MaxMinutes = m.Product.Or(a.Product), m.MaxMinutes.Or(a.MaxMinutes)
	a.WebhookURL, a.FlowURL, a.FallbackURL = m.WebhookURL.Or(a.WebhookURL), m.FlowURL.Or(a.FlowURL), m.FallbackURL.Or(a.FallbackURL)
	a.WebhookTimeout, a.FlowTimeout = m.WebhookTimeout.Ptr(a.WebhookTimeout), m.FlowTimeout.Ptr(a.FlowTimeout)
	a.Profile, a.WebhookSecret = m.Profile.Or(a.Profile), m.Secret.Or(a.WebhookSecret)
	setText(&a.MinAttest, m.MinAttest)
	setText(&a.WebhookMethod, m.WebhookMethod)
	setText(&a.FlowMethod, m.FlowMethod)
	if m.Ingress != nil {
		setText(&a.Ingress.MediaType, m.Ingress.MediaType)
	}
	if m.Egress != nil {
		setText(&a.Egress.MediaType, m.Egress.MediaType)
	}
	if m.ParkTimeout != nil {
		a.ParkTimeout = time.Duration(*m.ParkTimeout) * time.Millisecond
	}
}

func set[T any](to *T, v *T) {
	if v != nil {
		*to = *v
	}
}

func setText(to *string, v string) {
	if v != "" {
		*to = v
	}
}

type appNew struct {
	Name string `json:"name" required:"true" minLength:"1" maxLength:"255"`
	appMembers
}

type appPatch struct {
	appKey
	Name *string `json:"name" minLength:"1" maxLength:"255"`
	appMembers
}

func (s *Service) listApps(ctx context.Context, in *httpapi.List) ([]appListed, error) {
	apps, err := s.Apps(ctx, httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, len(apps))
	apps = apps[min(in.Skip, len(apps)):min(in.Skip+in.Take, len(apps))]
	v := s.viewer(s.db.Read())
	out := make([]appListed, 0, len(apps))
	for i := range apps {
		one, err := v.listedApp(ctx, &apps[i])
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// shown renders an app as the payload itself, unless there was a fault.
func (s *Service) shown(ctx context.Context, a App, err error) (appWire, error) {
	if err != nil {
		return appWire{}, err
	}
	return s.viewer(s.db.Read()).wholeApp(ctx, &a)
}

func (s *Service) createApp(ctx context.Context, in *appNew) (appWire, error) {
	who := httpapi.Who(ctx)
	a, err := s.CreateApp(ctx, who.Account, who.User, func(a *App) {
		a.Name = in.Name
		in.apply(a)
	})
	return s.shown(ctx, a, err)
}

func (s *Service) getApp(ctx context.Context, in *appKey) (appWire, error) {
	a, err := s.App(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.shown(ctx, a, err)
}

func (s *Service) modifyApp(ctx context.Context, in *appPatch) (appWire, error) {
	who := httpapi.Who(ctx)
	a, err := s.ChangeApp(ctx, who.Account, who.User, in.UUID, func(a *App) {
		set(&a.Name, in.Name)
		in.apply(a)
	})
	return s.shown(ctx, a, err)
}

func (s *Service) removeApp(ctx context.Context, in *appKey) (appWire, error) {
	a, err := s.RemoveApp(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.shown(ctx, a, err)
}

type appList struct {
	appKey
	httpapi.List
}

func (s *Service) appLeases(ctx context.Context, in *appList) ([]json.RawMessage, error) {
	account := httpapi.Who(ctx).Account
	if _, err := s.App(ctx, account, in.UUID); err != nil {
		return nil, err
	}
	leases, err := s.cfg.Numbers.ByApp(ctx, s.db.Read(), account, in.UUID)
	if err != nil {
		return nil, err
	}
	return s.cfg.Numbers.LeaseViews(ctx, httpapi.Part(ctx, in.List, leases))
}

func (s *Service) viewLeases(ctx context.Context, leases []number.Lease) ([]json.RawMessage, error) {
	httpapi.SetTotal(ctx, len(leases))
	return s.cfg.Numbers.LeaseViews(ctx, leases)
}

// leaseKeys is a list of lease uuids or numbers, written as texts or integers.
type leaseKeys []string

// Decode reads the list, or one key alone.
func (k *leaseKeys) Decode(raw json.RawMessage) error {
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) != nil {
		many = []json.RawMessage{raw}
	}
	out := leaseKeys{}
	for _, one := range many {
		var text string
		var digits json.Number
		switch {
		case json.Unmarshal(one, &text) == nil:
			out = append(out, text)
		case json.Unmarshal(one, &digits) == nil:
			out = append(out, digits.String())
		default:
			return fault.Newf(fault.Validation, "must be lease uuids or numbers")
		}
	}
	*k = out
	return nil
}

type assignRequest struct {
	appKey
	Add    leaseKeys `json:"add" doc:"leases to tie: uuids or numbers, at most 1000"`
	Remove leaseKeys `json:"remove" doc:"leases to untie: uuids or numbers, at most 1000"`
	Expand bool      `query:"expand" default:"true" doc:"false answers uuids only"`
}

// maxAssign bounds the lists of leases in one request.
const maxAssign = 1000

// Validate bounds the lists.
func (r *assignRequest) Validate(f *fault.Fields) {
	if len(r.Add) > maxAssign {
		f.Add("add", "must have at most 1000 items", nil)
	}
	if len(r.Remove) > maxAssign {
		f.Add("remove", "must have at most 1000 items", nil)
	}
}

func (s *Service) assignLeases(ctx context.Context, in *assignRequest) (any, error) {
	who := httpapi.Who(ctx)
	leases, err := s.AssignLeases(ctx, number.By{Account: who.Account, User: who.User}, in.UUID, in.Add, in.Remove)
	if err != nil {
		return nil, err
	}
	if !in.Expand {
		ids := make([]string, 0, len(leases))
		for _, l := range leases {
			ids = append(ids, l.ID)
		}
		return ids, nil
	}
	return s.viewLeases(ctx, leases)
}

func flowPath(app string) string { return "/rest/sip/app/call/flow/" + app + ".xml" }

// flowEnvelope is the answer of the static call flow operations.
func (s *Service) flowEnvelope(a *App, warnings []string) httpapi.Envelope {
	extra := map[string]any{"url": s.signedURL(flowPath(a.ID))}
	if warnings != nil {
		extra["warnings"] = warnings
	}
	return httpapi.Envelope{Payload: a.StaticFlow, Extra: extra}
}

func (s *Service) getFlow(ctx context.Context, in *appKey) (httpapi.Envelope, error) {
	a, err := s.App(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err == nil && a.StaticFlow == "" {
		err = fault.New(fault.NotFound)
	}
	if err != nil {
		return httpapi.Envelope{}, err
	}
	return s.flowEnvelope(&a, nil), nil
}

type flowUpload struct {
	appKey
	httpapi.XMLUpload
}

func (s *Service) saveFlow(ctx context.Context, in *flowUpload) (httpapi.Envelope, error) {
	who := httpapi.Who(ctx)
	if _, err := s.App(ctx, who.Account, in.UUID); err != nil {
		return httpapi.Envelope{}, err
	}
	xml, err := in.Text()
	if err != nil {
		return httpapi.Envelope{}, err
	}
	a, warnings, err := s.SaveFlow(ctx, who.Account, who.User, in.UUID, xml)
	if err != nil {
		return httpapi.Envelope{}, err
	}
	return s.flowEnvelope(&a, warnings), nil
}

func (s *Service) removeFlow(ctx context.Context, in *appKey) (httpapi.Empty, error) {
	who := httpapi.Who(ctx)
	return httpapi.Empty{}, s.RemoveFlow(ctx, who.Account, who.User, in.UUID)
}

type signedKey struct {
	UUID string `path:"uuid" format:"uuid"`
	Sig  string `query:"sig"`
}

// owner tells whose object a signed request may read: "" is anybody's, because the signature names the object.
func (s *Service) owner(ctx context.Context, path, sig string) (string, error) {
	if sig != "" && s.signed(path, sig) {
		return "", nil
	}
	who := httpapi.Who(ctx)
	if who.Account == "" {
		return "", fault.New(fault.Unauthorized)
	}
	return who.Account, nil
}

func (s *Service) flowDocument(w http.ResponseWriter, r *http.Request, in *signedKey) error {
	account, err := s.owner(r.Context(), flowPath(in.UUID), in.Sig)
	if err != nil {
		return err
	}
	var a App
	if a, err = appOf(r.Context(), s.db.Read(), account, in.UUID); err != nil {
		return err
	}
	if a.StaticFlow == "" {
		return fault.New(fault.NotFound)
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	_, _ = w.Write([]byte(a.StaticFlow)) // a client that went away is nobody to tell
	return nil
}
