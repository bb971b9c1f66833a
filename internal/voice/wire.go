package voice

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/number"
)

// null is a member without a value.
var null = json.RawMessage("null")

// encode is JSON as the wire has it, without HTML escapes.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return null
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// on is a moment on the wire: UTC with milliseconds, null for the zero one (rest-conventions §6).
func on(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}

// text is a nullable string: null when empty.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func orNull(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// viewer renders foreign objects, each once per request or transaction.
type viewer struct {
	s     *Service
	q     db.Querier
	cache map[string]json.RawMessage
	tied  map[tieKey]*ties

	seedApp   *App
	seedLease *number.Lease
	scratch   []byte // of the event that is being rendered
}

func (s *Service) viewer(q db.Querier) *viewer {
	return &viewer{s: s, q: q, cache: map[string]json.RawMessage{}}
}

// get renders an object; one that is gone is null.
func (v *viewer) get(key string, render func() (json.RawMessage, error)) (json.RawMessage, error) {
	if raw, ok := v.cache[key]; ok {
		return raw, nil
	}
	raw, err := render()
	if fault.Is(err, fault.NotFound) {
		raw, err = null, nil
	}
	if err != nil {
		return null, err
	}
	if len(raw) == 0 {
		raw = null
	}
	v.cache[key] = raw
	return raw, nil
}

func (v *viewer) callAccount(ctx context.Context, id string) (json.RawMessage, error) {
	return v.get("call account "+id, func() (json.RawMessage, error) { return v.s.cfg.Accounts.CallView(ctx, v.q, id) })
}

func (v *viewer) eventAccount(ctx context.Context, id string) (json.RawMessage, error) {
	return v.get("event account "+id, func() (json.RawMessage, error) { return v.s.cfg.Accounts.EventView(ctx, v.q, id) })
}

func (v *viewer) refAccount(ctx context.Context, id string) (json.RawMessage, error) {
	return v.get("account "+id, func() (json.RawMessage, error) { return v.s.cfg.Accounts.RefView(ctx, v.q, id) })
}

func (v *viewer) user(ctx context.Context, id string) (json.RawMessage, error) {
	if id == "" {
		return null, nil
	}
	return v.get("user "+id, func() (json.RawMessage, error) { return v.s.cfg.Accounts.UserView(ctx, v.q, id) })
}

func (v *viewer) app(ctx context.Context, account, id string) (json.RawMessage, error) {
	if id == "" {
		return null, nil
	}
	return v.get("app "+id, func() (json.RawMessage, error) { return v.s.AppView(ctx, v.q, account, id) })
}

func (v *viewer) tn(ctx context.Context, tn e164.Number) (json.RawMessage, error) {
	if tn == "" {
		return null, nil
	}
	return v.get("tn "+string(tn), func() (json.RawMessage, error) { return v.s.cfg.Numbers.TNView(ctx, v.q, tn) })
}

func (v *viewer) lease(ctx context.Context, account, id string) (json.RawMessage, error) {
	if id == "" {
		return null, nil
	}
	return v.get("lease "+id, func() (json.RawMessage, error) {
		l, err := v.s.cfg.Numbers.ByKey(ctx, v.q, account, id)
		return encode(leaseScalars(&l)), err
	})
}

// seed takes over the views that a live call knows without asking; the last one's are not looked for again.
func (v *viewer) seed(t *tag) {
	if t.app == v.seedApp && t.leased == v.seedLease {
		return
	}
	v.seedApp, v.seedLease = t.app, t.leased
	if t.app != nil && v.cache["app "+t.app.ID] == nil {
		v.cache["app "+t.app.ID] = encode(appScalars(t.app))
	}
	if t.leased != nil && v.cache["lease "+t.lease] == nil {
		v.cache["lease "+t.lease] = encode(leaseScalars(t.leased))
	}
}

// leaseRef is TnLease as calls carry it.
type leaseRef struct {
	UUID      string  `json:"uuid"`
	Name      *string `json:"name"`
	State     string  `json:"state"`
	AutoRenew bool    `json:"autorenew"`
	Expires   *string `json:"expired_on"`
	stamps
}

func leaseScalars(l *number.Lease) leaseRef {
	return leaseRef{l.ID, text(l.Name), l.State, l.AutoRenew, on(l.Expires), stamps{on(l.Created), on(l.Modified)}}
}

func (v *viewer) profile(ctx context.Context, account, id string) (json.RawMessage, error) {
	if id == "" || v.s.cfg.Profiles == nil {
		return null, nil
	}
	return v.get("profile "+id, func() (json.RawMessage, error) { return v.s.cfg.Profiles.ProfileView(ctx, v.q, account, id) })
}

func (v *viewer) product(ctx context.Context, account string, id int) (json.RawMessage, error) {
	if id == 0 || v.s.cfg.Profiles == nil {
		return null, nil
	}
	return v.s.cfg.Profiles.ProductView(ctx, v.q, account, id)
}

func (v *viewer) country(a2 string) json.RawMessage {
	if a2 == "" || v.s.cfg.Dictionary == nil {
		return null
	}
	if raw := v.s.cfg.Dictionary.Country(a2); len(raw) > 0 {
		return raw
	}
	return null
}

// The pieces of SipControlApp, in the order of its schema.
type (
	appHead struct {
		UUID           string  `json:"uuid"`
		Name           string  `json:"name"`
		Active         bool    `json:"is_active"`
		TechPrefix     *int    `json:"tech_prefix"`
		AutoAnswer     bool    `json:"auto_answer"`
		MaxMinutes     *int    `json:"max_call_length_min"`
		VerifyPolicy   int     `json:"shaken_verify_policy"`
		MinAttest      string  `json:"shaken_minimum_accepted_attest_lvl"`
		WebhookURL     *string `json:"webhook_url"`
		FlowURL        *string `json:"call_flow_url"`
		WebhookMethod  string  `json:"webhook_method"`
		FlowMethod     string  `json:"call_flow_method"`
		WebhookTimeout *int    `json:"webhook_request_timeout"`
		FlowTimeout    *int    `json:"call_flow_request_timeout"`
	}
	appClass4 struct {
		IngressTrunk *int `json:"class4_ingress_trunk_id"`
		IngressIP    *int `json:"class4_ingress_resource_ip_id"`
		EgressTrunk  *int `json:"class4_egress_trunk_id"`
		EgressIP     *int `json:"class4_egress_resource_ip_id"`
		TechPrefixID *int `json:"class4_tech_prefix_id"`
	}
	appTail struct {
		HasFlow     bool    `json:"has_static_flow"`
		FallbackURL *string `json:"call_flow_fallback_url"`
		ParkTimeout int64   `json:"park_timeout"`
	}
	stamps struct {
		Created  *string `json:"created_on"`
		Modified *string `json:"modified_on"`
	}
	// appRef is SipControlApp as other objects carry it.
	appRef struct {
		appHead
		appClass4
		appTail
		stamps
	}
	trunkSettings struct {
		MediaType    string `json:"media_type"`
		CallLimit    *int   `json:"call_limit"`
		CPSLimit     *int   `json:"cps_limit"`
		MaxDuration  *int   `json:"max_duration"`
		RingTimeout  *int   `json:"ring_timeout"`
		PDD          *int   `json:"pdd"`
		MediaTimeout *int   `json:"media_timeout"`
	}
	// appListed is SipControlApp in lists.
	appListed struct {
		appHead
		Product json.RawMessage `json:"product"`
		Ingress trunkSettings   `json:"class4_ingress_trunk_settings"`
		Egress  trunkSettings   `json:"class4_egress_trunk_settings"`
		appClass4
		appTail
		Profile    json.RawMessage `json:"outbound_voice_profile"`
		Account    json.RawMessage `json:"account"`
		CreatedBy  json.RawMessage `json:"created_by"`
		ModifiedBy json.RawMessage `json:"modified_by"`
		stamps
	}
	// appWire is SipControlApp as the payload itself.
	appWire struct {
		appListed
		Domains []json.RawMessage `json:"sip_domains"`
		Logs    []logWire         `json:"logs"`
	}
)

func headOf(a *App) appHead {
	return appHead{
		UUID: a.ID, Name: a.Name, Active: a.Active, TechPrefix: orNull(a.TechPrefix), AutoAnswer: a.AutoAnswer, MaxMinutes: orNull(a.MaxMinutes),
		VerifyPolicy: a.VerifyPolicy, MinAttest: a.MinAttest, WebhookURL: text(a.WebhookURL), FlowURL: text(a.FlowURL),
		WebhookMethod: a.WebhookMethod, FlowMethod: a.FlowMethod, WebhookTimeout: a.WebhookTimeout, FlowTimeout: a.FlowTimeout,
	}
}

func tailOf(a *App) appTail {
	return appTail{HasFlow: a.StaticFlow != "", FallbackURL: text(a.FallbackURL), ParkTimeout: a.ParkTimeout.Milliseconds()}
}

func appScalars(a *App) appRef {
	return appRef{appHead: headOf(a), appTail: tailOf(a), stamps: stamps{on(a.Created), on(a.Modified)}}
}

// listedApp renders an app without its logs.
func (v *viewer) listedApp(ctx context.Context, a *App) (appListed, error) {
	out := appListed{
		appHead: headOf(a), appTail: tailOf(a), Ingress: trunkSettings{MediaType: a.Ingress.MediaType}, Egress: trunkSettings{MediaType: a.Egress.MediaType},
		stamps: stamps{on(a.Created), on(a.Modified)},
	}
	var err error
	if out.Product, err = v.product(ctx, a.Account, a.Product); err != nil {
		return out, err
	}
	if out.Profile, err = v.profile(ctx, a.Account, a.Profile); err != nil {
		return out, err
	}
	if out.Account, err = v.refAccount(ctx, a.Account); err != nil {
		return out, err
	}
	if out.CreatedBy, err = v.user(ctx, a.CreatedBy); err != nil {
		return out, err
	}
	out.ModifiedBy, err = v.user(ctx, a.ModifiedBy)
	return out, err
}

// shownLogs is how many commands an app shows of itself.
const shownLogs = 10

// wholeApp renders an app as the payload itself.
func (v *viewer) wholeApp(ctx context.Context, a *App) (appWire, error) {
	listed, err := v.listedApp(ctx, a)
	if err != nil {
		return appWire{}, err
	}
	logs, err := newestLogs(ctx, v.q, a.ID, shownLogs)
	return appWire{appListed: listed, Domains: []json.RawMessage{}, Logs: wireLogs(logs)}, err
}

// signedURL is the address of a path that needs no credentials for a while.
func (s *Service) signedURL(path string) string {
	q := s.cfg.Signer.Sign(path, s.now().Add(signedFor))
	return s.cfg.APIURL + path + "?sig=" + q.Get("expires") + "." + q.Get("signature")
}

// signed tells whether sig is good for a path now.
func (s *Service) signed(path, sig string) bool {
	expires, signature, ok := cutDot(sig)
	return ok && s.cfg.Signer.Verify(path, url.Values{"expires": {expires}, "signature": {signature}}, s.now()) == nil
}

func cutDot(s string) (before, after string, found bool) {
	for i := range len(s) {
		if s[i] == '.' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
