package billing

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

// planView is TnProfile of the contract, for a price plan.
type planView struct {
	UUID        string          `json:"uuid"`
	Name        string          `json:"name"`
	Description *string         `json:"description"`
	Active      bool            `json:"is_active"`
	Priority    *string         `json:"priority"`
	TollFree    *bool           `json:"toll_free"`
	Validator   *string         `json:"tn_search_validator"`
	Placeholder *string         `json:"tn_search_placeholder"`
	Tooltip     *string         `json:"tn_search_tooltip"`
	TNProvider  json.RawMessage `json:"tn_provider"`
	RegProvider json.RawMessage `json:"register_provider"`
	SMSProvider json.RawMessage `json:"sms_provider"`
	VoxProvider json.RawMessage `json:"voice_provider"`
	Prices
	Strategy  int             `json:"class4_resource_prefix_route_strategy_id"`
	Vendor    int             `json:"class4_resource_prefix_vendor_resource_id"`
	RateTable int             `json:"class4_resource_prefix_rate_table_id"`
	Country   json.RawMessage `json:"country"`
	Account   json.RawMessage `json:"account"`
	Kind      string          `json:"kind"`
	Reject    *int            `json:"reject_code"`
	Blacklist int             `json:"blacklist_total"`
	Whitelist int             `json:"whitelist_total"`
	Leases    int             `json:"tn_leases_total"`
	Created   httpapi.Time    `json:"created_on"`
	Modified  httpapi.Time    `json:"modified_on"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// viewPlan shows a plan; leased is how many numbers of it the asker has.
func (s *Service) viewPlan(p Plan, leased int) planView {
	null := json.RawMessage("null")
	validator, placeholder, tooltip := `^[0-9*%]{1,11}$`, "212*", "Digits of the number; * stands for any run, % for one digit"
	return planView{
		UUID: p.UUID, Name: p.Name, Description: text(p.Description), Active: p.Active, Priority: text(p.Priority), TollFree: &p.TollFree,
		Validator: &validator, Placeholder: &placeholder, Tooltip: &tooltip,
		TNProvider: null, RegProvider: null, SMSProvider: null, VoxProvider: null, Prices: p.Prices, Country: s.accounts.CountryView(p.Country), Account: null, Kind: "price_plan", Leases: leased,
		Created: httpapi.TimeOf(p.Created), Modified: httpapi.TimeOf(p.Modified),
	}
}

// PlanView is a plan as numbers show it inside themselves.
func (s *Service) PlanView(p Plan, leased int) any { return s.viewPlan(p, leased) }

// leased counts the asker's leases by the uuids of their plans.
func (s *Service) leased(ctx context.Context) (map[string]int, error) {
	if s.leases == nil {
		return nil, nil
	}
	return s.leases.CountByPlan(ctx, s.db.Read(), httpapi.Who(ctx).Account)
}

func (s *Service) planRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string, auth httpapi.Auth) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "TN_Profile", Summary: summary, Auth: auth, Scope: "numbers"}
	}
	httpapi.Handle(a, op("ListTNProfiles", "GET", "/rest/profile/tn", "List price plans", httpapi.User), s.listPlans)
	httpapi.Handle(a, op("GetTNSpecialPricesByAccount", "GET", "/rest/profile/tn/special_prices", "List the special prices of the account", httpapi.User), s.listSpecials)
	httpapi.Handle(a, op("GetTNProfileByUUID", "GET", "/rest/profile/tn/{uuid}", "Read a price plan", httpapi.User), s.getPlan)
	made := op("AdminCreatePricePlan", "POST", "/rest/admin/profile/tn", "Make a price plan", httpapi.Admin)
	made.Status, made.Tag, made.Scope = 201, "Admin", "admin"
	httpapi.Handle(a, made, s.createPlan)
	changed := op("AdminUpdatePricePlan", "PATCH", "/rest/admin/profile/tn/{uuid}", "Change a price plan", httpapi.Admin)
	changed.Tag, changed.Scope = "Admin", "admin"
	httpapi.Handle(a, changed, s.updatePlan)
}

type planList struct {
	httpapi.List
	Kind string `query:"kind" enum:"price_plan,caller_filter"`
}

func (s *Service) listPlans(ctx context.Context, in *planList) ([]planView, error) {
	plans, err := s.Plans(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	leased, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	out := []planView{}
	for _, p := range plans {
		if in.Kind != "caller_filter" {
			out = append(out, s.viewPlan(p, leased[p.UUID]))
		}
	}
	return httpapi.Part(ctx, in.List, out), nil
}

type planKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) getPlan(ctx context.Context, in *planKey) (planView, error) {
	p, err := s.Plan(ctx, s.db.Read(), in.UUID)
	if err != nil {
		return planView{}, err
	}
	leased, err := s.leased(ctx)
	return s.viewPlan(p, leased[p.UUID]), err
}

type specialView struct {
	planView
	Expires httpapi.Time `json:"expired_on"`
}

func (s *Service) listSpecials(ctx context.Context, in *httpapi.List) ([]specialView, error) {
	account := httpapi.Who(ctx).Account
	specials, err := s.Specials(ctx, s.db.Read(), account)
	if err != nil {
		return nil, err
	}
	ref, err := s.accounts.RefView(ctx, s.db.Read(), account)
	if err != nil {
		return nil, err
	}
	leased, err := s.leased(ctx)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, specials, func(sp *Special) (specialView, error) {
		v := specialView{planView: s.viewPlan(sp.Plan, leased[sp.Plan.UUID]), Expires: httpapi.TimeOf(sp.Expires)}
		v.UUID, v.Prices, v.Account = sp.UUID, sp.Prices, ref
		return v, nil
	})
}

type planNew struct {
	Name        string  `json:"name" required:"true" minLength:"1" maxLength:"255"`
	Description *string `json:"description" maxLength:"255"`
	Active      *bool   `json:"is_active"`
	TollFree    *bool   `json:"toll_free"`
	Country     string  `json:"country" format:"a2" default:"US"`
	Priority    string  `json:"priority" enum:"high,normal,low" default:"normal"`
	Prices
}

func (s *Service) createPlan(ctx context.Context, in *planNew) (planView, error) {
	p := Plan{Name: in.Name, Active: in.Active == nil || *in.Active, TollFree: in.TollFree != nil && *in.TollFree, Country: in.Country, Priority: in.Priority, Prices: in.Prices}
	if in.Description != nil {
		p.Description = *in.Description
	}
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		p.UUID = ""
		p, err = s.SavePlan(ctx, tx, p)
		return err
	})
	if err != nil {
		return planView{}, err
	}
	return s.viewPlan(p, 0), nil
}

type planUpdate struct {
	planKey
	Name        *string                    `json:"name" minLength:"1" maxLength:"255"`
	Description httpapi.Opt[string]        `json:"description" maxLength:"255"`
	Active      *bool                      `json:"is_active"`
	Prices      map[string]json.RawMessage `json:"prices" doc:"the price members below may also stand in here"`
	priceChange
}

// priceChange is Prices where only the members that were given change.
type priceChange struct {
	NRC          *money.Amount `json:"nrc,omitempty"`
	MRC          *money.Amount `json:"mrc,omitempty"`
	SMSNRC       *money.Amount `json:"sms_nrc,omitempty"`
	SMSMRC       *money.Amount `json:"sms_mrc,omitempty"`
	SMSSend      *money.Amount `json:"sms_per_send_cost,omitempty"`
	SMSReceive   *money.Amount `json:"sms_per_receive_cost,omitempty"`
	MMSNRC       *money.Amount `json:"mms_nrc,omitempty"`
	MMSMRC       *money.Amount `json:"mms_mrc,omitempty"`
	MMSSend      *money.Amount `json:"mms_per_send_cost,omitempty"`
	MMSReceive   *money.Amount `json:"mms_per_receive_cost,omitempty"`
	VoiceNRC     *money.Amount `json:"voice_nrc,omitempty"`
	VoiceMRC     *money.Amount `json:"voice_mrc,omitempty"`
	VoiceIn      *money.Amount `json:"voice_incoming_per_min_cost,omitempty"`
	VoiceOut     *money.Amount `json:"voice_outgoing_per_min_cost,omitempty"`
	FaxNRC       *money.Amount `json:"fax_nrc,omitempty"`
	FaxMRC       *money.Amount `json:"fax_mrc,omitempty"`
	FaxIn        *money.Amount `json:"fax_incoming_per_min_cost,omitempty"`
	FaxOut       *money.Amount `json:"fax_outgoing_per_min_cost,omitempty"`
	EmergencyNRC *money.Amount `json:"emergency_nrc,omitempty"`
	EmergencyMRC *money.Amount `json:"emergency_mrc,omitempty"`
	EmergencyIn  *money.Amount `json:"emergency_incoming_per_min_cost,omitempty"`
	EmergencyOut *money.Amount `json:"emergency_outgoing_per_min_cost,omitempty"`
	TTS          *money.Amount `json:"tts_per_char_cost,omitempty"`
	ASR          *money.Amount `json:"call_asr_per_15s_cost,omitempty"`
}

// given is the change by the wire names of its members.
func (c priceChange) given() (out map[string]json.RawMessage, err error) {
	b, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}

func (s *Service) updatePlan(ctx context.Context, in *planUpdate) (planView, error) {
	var p Plan
	change, err := in.given()
	if err != nil {
		return planView{}, err
	}
	maps.Copy(change, in.Prices)
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if p, err = s.Plan(ctx, tx, in.UUID); err != nil {
			return err
		}
		if in.Name != nil {
			p.Name = *in.Name
		}
		if in.Active != nil {
			p.Active = *in.Active
		}
		p.Description = in.Description.Or(p.Description)
		if err := mergePrices(&p.Prices, change); err != nil {
			return err
		}
		p, err = s.SavePlan(ctx, tx, p)
		return err
	})
	if err != nil {
		return planView{}, err
	}
	leased, err := s.leased(ctx)
	return s.viewPlan(p, leased[p.UUID]), err
}
