package trunk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

// profileScalars are the members of a profile that it shows wherever it stands.
type profileScalars struct {
	UUID       string        `json:"uuid"`
	Name       string        `json:"name"`
	Active     bool          `json:"is_active"`
	TechPrefix int           `json:"tech_prefix"`
	SignPolicy int           `json:"shaken_sign_policy"`
	Channels   *float64      `json:"channel_limit"`
	MaxRate    *money.Amount `json:"max_rate"`
	Daily      *money.Amount `json:"daily_spend_limit"`
	Record     int           `json:"record_calls"`
	Format     string        `json:"file_format"`
	Filemat    string        `json:"filemat"`
	Tracks     int           `json:"audio_track_type"`
	TrunkID    *int          `json:"class4_ingress_trunk_id"`
	ResourceIP *int          `json:"class4_ingress_resource_ip_id"`
	PrefixID   *int          `json:"class4_tech_prefix_id"`
	CPS        *float64      `json:"cps_limit"`
	Duration   int64         `json:"max_duration"`
	Created    httpapi.Time  `json:"created_on"`
	Modified   httpapi.Time  `json:"modified_on"`
}

// profileView is OutboundVoiceProfile of the contract.
type profileView struct {
	profileScalars
	Trunk      TrunkSettings      `json:"class4_ingress_trunk_settings"`
	Callers    []e164.Number      `json:"record_caller_numbers"`
	Countries  []string           `json:"allowed_countries"`
	Product    json.RawMessage    `json:"product"`
	Lease      *leaseRef          `json:"tn_lease"`
	Domains    *[]json.RawMessage `json:"sip_domains,omitempty"`   // full only
	Spent      *money.Amount      `json:"spent_today,omitempty"`   // full only
	Used       *int               `json:"channels_used,omitempty"` // full only
	Account    json.RawMessage    `json:"account"`
	CreatedBy  json.RawMessage    `json:"created_by"`
	ModifiedBy json.RawMessage    `json:"modified_by"`
}

// leaseRef is a lease inside a profile: its scalars and its number.
type leaseRef struct {
	UUID          string          `json:"uuid"`
	Expires       httpapi.Time    `json:"expired_on"`
	AutoRenew     bool            `json:"autorenew"`
	TN            json.RawMessage `json:"tn"`
	Class4Product *int            `json:"class4_product_item_id"`
	Class4Prefix  *int            `json:"class4_resource_prefix_id"`
	Name          *string         `json:"name"`
	State         string          `json:"state"`
	Created       httpapi.Time    `json:"created_on"`
	Modified      httpapi.Time    `json:"modified_on"`
}

func viewScalars(p Profile) profileScalars {
	return profileScalars{
		UUID: p.ID, Name: p.Name, Active: p.Active, TechPrefix: p.TechPrefix, SignPolicy: p.SignPolicy, Channels: p.Channels, MaxRate: p.MaxRate, Daily: p.DailyLimit,
		Record: p.Record, Format: p.Format, Filemat: p.Format, Tracks: p.Tracks, CPS: p.CPS, Duration: int64(p.MaxDuration / time.Second),
		Created: httpapi.TimeOf(p.Created), Modified: httpapi.TimeOf(p.Modified),
	}
}

// ProfileView shows a profile inside other objects, by uuid: scalars; "null" for an empty id, a 404 for one that is not the account's.
func (s *Service) ProfileView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error) {
	if id == "" {
		return json.RawMessage("null"), nil
	}
	p, err := s.Profile(ctx, q, account, id)
	if err != nil {
		return nil, err
	}
	return json.Marshal(viewScalars(p))
}

// viewProfile shows a profile as a list does.
func (s *Service) viewProfile(ctx context.Context, q db.Querier, p Profile) (v profileView, err error) {
	null := json.RawMessage("null")
	v = profileView{profileScalars: viewScalars(p), Trunk: p.Trunk, Callers: p.RecordCallers, Countries: p.Countries, CreatedBy: null, ModifiedBy: null}
	if v.Callers == nil {
		v.Callers = []e164.Number{}
	}
	if v.Product, err = s.ProductView(ctx, q, p.Account, p.Product); fault.Is(err, fault.NotFound) {
		v.Product, err = null, nil // a private product that went to another account
	}
	if err != nil {
		return v, err
	}
	if v.Lease, err = s.viewLease(ctx, q, p); err != nil {
		return v, err
	}
	if v.Account, err = s.accounts.RefView(ctx, q, p.Account); err != nil {
		return v, err
	}
	if p.CreatedBy != "" {
		if v.CreatedBy, err = s.accounts.UserView(ctx, q, p.CreatedBy); err != nil {
			return v, err
		}
	}
	if p.ModifiedBy != "" {
		v.ModifiedBy, err = s.accounts.UserView(ctx, q, p.ModifiedBy)
	}
	return v, err
}

// viewLease shows the caller ID of a profile; nil when it has none, or none any more.
func (s *Service) viewLease(ctx context.Context, q db.Querier, p Profile) (*leaseRef, error) {
	if p.Lease == "" {
		return nil, nil
	}
	l, err := s.numbers.ByKey(ctx, q, p.Account, p.Lease)
	if fault.Is(err, fault.NotFound) || err == nil && l.State == number.Released {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tn, err := s.numbers.TNView(ctx, q, l.TN)
	return &leaseRef{
		UUID: l.ID, Expires: httpapi.TimeOf(l.Expires), AutoRenew: l.AutoRenew, TN: tn, Name: orNil(l.Name), State: l.State,
		Created: httpapi.TimeOf(l.Created), Modified: httpapi.TimeOf(l.Modified),
	}, err
}

// fullProfile adds the members of a profile that is the payload itself.
func (s *Service) fullProfile(ctx context.Context, p Profile, err error) (profileView, error) {
	if err != nil {
		return profileView{}, err
	}
	q := s.db.Read()
	v, err := s.viewProfile(ctx, q, p)
	if err != nil {
		return v, err
	}
	spent, _, err := s.spentToday(ctx, q, p)
	if err != nil {
		return v, err
	}
	domains := []json.RawMessage{}
	if s.domains != nil {
		if domains, err = s.domains.ProfileDomains(ctx, q, p.Account, p.ID); err != nil {
			return v, err
		}
	}
	used := s.ChannelsUsed(p.ID)
	v.Domains, v.Spent, v.Used = &domains, &spent, &used
	return v, nil
}
