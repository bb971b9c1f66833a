package number

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) leaseRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "TN_Lease", Summary: summary, Auth: httpapi.User, Scope: "numbers"}
	}
	const base = "/rest/lease/tn"
	httpapi.Handle(a, op("ListTNLeases", "GET", base, "List leases"), s.listLeases)
	search := op("SearchTNLeases", "POST", base+"/search", "Search leases")
	search.Scope = "numbers:read"
	httpapi.Handle(a, search, s.searchLeases)
	httpapi.Handle(a, op("RemoveTNLeases", "DELETE", base, "Release several leases, all or none"), s.releaseLeases)
	httpapi.Handle(a, op("GetTNLeaseByUUID", "GET", base+"/{key}", "Read a lease"), s.getLease)
	httpapi.Handle(a, op("GetTNLeaseByTN", "GET", base+"/{key}/tn", "Read the lease of a number"), s.getLease)
	httpapi.Handle(a, op("ModifyTNLease", "PATCH", base+"/{key}", "Change a lease"), s.modifyLease)
	httpapi.Handle(a, op("RemoveTNLeaseByUUID", "DELETE", base+"/{key}", "Release a lease"), s.releaseLease)
	httpapi.Handle(a, op("ListSubscriptions", "GET", base+"/{key}/subscription", "List what is switched on for a lease"), s.listSubscriptions)
	httpapi.Handle(a, op("EnableSms", "POST", base+"/{key}/subscription/sms", "Switch messages on"), s.enableSMSRoute)
	httpapi.Handle(a, op("DisableSms", "DELETE", base+"/{key}/subscription/sms", "Switch messages off"), s.disableSMS)
	httpapi.Handle(a, op("EnableVoice", "POST", base+"/{key}/subscription/voice", "Switch calls on"), s.enableVoiceRoute)
	httpapi.Handle(a, op("DisableVoice", "DELETE", base+"/{key}/subscription/voice", "Switch calls off"), s.disableVoice)
}

func sortOf(order httpapi.Ordering) []Sort {
	var out []Sort
	for _, o := range order {
		out = append(out, Sort{o.Field, o.Desc})
	}
	return out
}

func ranges(in httpapi.Search) (a, b, c, d time.Time) {
	return std(in.CreatedFrom), std(in.CreatedTo), std(in.ModifiedFrom), std(in.ModifiedTo)
}

func std(t *httpapi.Time) time.Time {
	if u := t.Std(); u != nil {
		return *u
	}
	return time.Time{}
}

func (s *Service) listLeases(ctx context.Context, in *httpapi.List) ([]leaseView, error) {
	list, total, err := s.Leases(ctx, LeaseFilter{Account: httpapi.Who(ctx).Account, Take: in.Take, Skip: in.Skip})
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, total)
	return s.viewLeases(ctx, list)
}

type leaseSearch struct {
	httpapi.Search  `orderable:"tn,created_on,modified_on,expired_on"`
	TN              string              `json:"tn" lenient:"true" maxLength:"64" format:"tnmask" doc:"number or mask"`
	AutoRenew       *bool               `json:"autorenew"`
	Connection      httpapi.Opt[string] `json:"sip_connection" format:"uuid"`
	App             httpapi.Opt[string] `json:"sip_control_app" format:"uuid"`
	ConnectionsSkip []string            `json:"sip_connections_skip" format:"uuid" maxItems:"1000"`
	AppsSkip        []string            `json:"sip_control_apps_skip" format:"uuid" maxItems:"1000"`
	ProfilesSkip    []string            `json:"messaging_profiles_skip" format:"uuid" maxItems:"1000"`
	Profile         httpapi.Opt[string] `json:"messaging_profile" format:"uuid"`
	SIPUser         httpapi.Opt[string] `json:"sip_user" format:"uuid"`
	Filter          httpapi.Opt[string] `json:"tn_profile" format:"uuid"`
	Features        []string            `json:"features" enum:"voice,sms,mms,fax,emergency" maxItems:"5"`
	ExpiresFrom     *httpapi.Time       `json:"expired_on_from"`
	ExpiresTo       *httpapi.Time       `json:"expired_on_to"`
}

func relation(o httpapi.Opt[string]) httpOpt { return httpOpt{Set: o.Set, ID: o.V} }

func (s *Service) searchLeases(ctx context.Context, in *leaseSearch) (httpapi.Page[leaseView], error) {
	f := LeaseFilter{
		Account: httpapi.Who(ctx).Account, TN: in.TN, AutoRenew: in.AutoRenew, App: relation(in.App), Connection: relation(in.Connection), SIPUser: relation(in.SIPUser), Profile: relation(in.Profile), Filter: relation(in.Filter),
		AppsSkip: in.AppsSkip, ConnectionsSkip: in.ConnectionsSkip, ProfilesSkip: in.ProfilesSkip, Features: in.Features, ExpiresFrom: std(in.ExpiresFrom), ExpiresTo: std(in.ExpiresTo), Or: in.Or(), Order: sortOf(in.Order), Take: in.Take, Skip: in.Skip,
	}
	f.CreatedFrom, f.CreatedTo, f.ModFrom, f.ModTo = ranges(in.Search)
	list, total, err := s.Leases(ctx, f)
	if err != nil {
		return httpapi.Page[leaseView]{}, err
	}
	views, err := s.viewLeases(ctx, list)
	return httpapi.PageOf(in.Search, total, views), err
}

type keyPath struct {
	Key string `path:"key" doc:"lease uuid or phone number"`
}

func (s *Service) getLease(ctx context.Context, in *keyPath) (leaseView, error) {
	l, err := s.ByKey(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.Key)
	if err != nil {
		return leaseView{}, err
	}
	return s.viewLease(ctx, s.db.Read(), l)
}

type leaseUpdate struct {
	keyPath
	AutoRenew  *bool               `json:"autorenew"`
	Voice      *bool               `json:"voice"`
	Fax        *bool               `json:"fax"`
	SMS        *bool               `json:"sms"`
	MMS        *bool               `json:"mms"`
	Emergency  *bool               `json:"emergency"`
	Profile    httpapi.Opt[string] `json:"messaging_profile" alias:"messaging_profile_uuid" format:"uuid"`
	Connection httpapi.Opt[string] `json:"sip_connection" format:"uuid"`
	App        httpapi.Opt[string] `json:"sip_control_app" format:"uuid"`
	SIPUser    httpapi.Opt[string] `json:"sip_user" format:"uuid"`
	Filter     httpapi.Opt[string] `json:"tn_profile" format:"uuid"`
	Name       httpapi.Opt[string] `json:"name" maxLength:"255"`
}

// Validate refuses two voice targets, and a messaging profile for a number whose messages are switched off by the same change.
func (u *leaseUpdate) Validate(f *fault.Fields) {
	if u.Profile.Has() && u.SMS != nil && !*u.SMS {
		f.Add("sms", "a messaging profile needs it", false)
	}
	if u.App.Has() && u.Connection.Has() {
		f.Add("sip_connection", "only one of sip_control_app and sip_connection", u.Connection.V)
	}
}

func given(o httpapi.Opt[string]) *string {
	if !o.Set {
		return nil
	}
	return &o.V
}

// by is who asks.
func by(ctx context.Context) By {
	who := httpapi.Who(ctx)
	return By{Account: who.Account, User: who.User}
}

func (s *Service) modifyLease(ctx context.Context, in *leaseUpdate) (leaseView, error) {
	if in.SIPUser.Has() {
		return leaseView{}, fault.Missing("SIP user") // this server has none
	}
	l, err := s.Modify(ctx, by(ctx), in.Key, Change{
		AutoRenew: in.AutoRenew, Voice: in.Voice, SMS: in.SMS, MMS: in.MMS, Fax: in.Fax, Emergency: in.Emergency,
		Name: given(in.Name), App: given(in.App), Connection: given(in.Connection), Profile: given(in.Profile), Filter: given(in.Filter),
	})
	if err != nil {
		return leaseView{}, err
	}
	return s.viewLease(ctx, s.db.Read(), l)
}

func (s *Service) releaseLease(ctx context.Context, in *keyPath) (leaseView, error) {
	list, err := s.Release(ctx, by(ctx), []string{in.Key})
	if err != nil {
		return leaseView{}, err
	}
	return list[0], nil
}

// keyList is one lease or an array of them, by uuid or number.
type keyList []string

// Decode reads a string, a number, or an array of them.
func (k *keyList) Decode(raw json.RawMessage) error {
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) != nil {
		many = []json.RawMessage{raw}
	}
	if len(many) == 0 || len(many) > 1000 {
		return fault.Invalid("", "one lease or 1 to 1000 of them", nil)
	}
	for _, m := range many {
		var text string
		var n int64
		switch {
		case json.Unmarshal(m, &text) == nil && text != "":
		case json.Unmarshal(m, &n) == nil && n > 0:
			text = strconv.FormatInt(n, 10)
		default:
			return fault.Invalid("", "lease uuid or phone number", string(m))
		}
		*k = append(*k, text)
	}
	return nil
}

type releaseBody struct {
	Item keyList `json:"item" required:"true"`
}

func (s *Service) releaseLeases(ctx context.Context, in *releaseBody) ([]leaseView, error) {
	return s.Release(ctx, by(ctx), in.Item)
}

type subscriptionList struct {
	keyPath
	httpapi.List
}

func (s *Service) listSubscriptions(ctx context.Context, in *subscriptionList) ([]subscriptionView, error) {
	l, err := s.ByKey(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.Key)
	if err != nil {
		return nil, err
	}
	v, err := s.viewLease(ctx, s.db.Read(), l)
	slices.SortStableFunc(v.Subscriptions, func(a, b subscriptionView) int { return b.Created.Compare(a.Created.Time) })
	return httpapi.Part(ctx, in.List, v.Subscriptions), err
}

type enableSMSBody struct {
	keyPath
	Profile  string `json:"messaging_profile" required:"true" format:"uuid"`
	Campaign string `json:"sms_campaign" maxLength:"64"`
}

func (s *Service) enableSMSRoute(ctx context.Context, in *enableSMSBody) (subscriptionView, error) {
	b, err := s.EnableSMS(ctx, by(ctx), in.Key, in.Profile, in.Campaign)
	if err != nil {
		return subscriptionView{}, err
	}
	return s.viewSubscription(ctx, s.db.Read(), b, Lease{})
}

func (s *Service) disableSMS(ctx context.Context, in *keyPath) (subscriptionView, error) {
	return s.disable(ctx, in.Key, "sms")
}

func (s *Service) disableVoice(ctx context.Context, in *keyPath) (subscriptionView, error) {
	return s.disable(ctx, in.Key, "voice")
}

func (s *Service) disable(ctx context.Context, key, kind string) (subscriptionView, error) {
	b, was, err := s.Disable(ctx, by(ctx), key, kind)
	if err != nil {
		return subscriptionView{}, err
	}
	return s.viewSubscription(ctx, s.db.Read(), b, was)
}

type enableVoiceBody struct {
	keyPath
	App        string `json:"sip_control_app" format:"uuid"`
	Connection string `json:"sip_connection" format:"uuid"`
	SIPUser    string `json:"sip_user" format:"uuid"`
}

func (s *Service) enableVoiceRoute(ctx context.Context, in *enableVoiceBody) (subscriptionView, error) {
	switch {
	case in.Connection != "":
		return subscriptionView{}, fault.Missing("SIP connection")
	case in.SIPUser != "":
		return subscriptionView{}, fault.Missing("SIP user")
	}
	b, l, err := s.EnableVoice(ctx, by(ctx), in.Key, in.App)
	if err != nil {
		return subscriptionView{}, err
	}
	return s.viewSubscription(ctx, s.db.Read(), b, l)
}
