package trunk

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

func (s *Service) profileRoutes(a *httpapi.API) {
	const base = "/rest/profile/outbound_voice"
	op := func(id, method, path, summary string, status int) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Outbound_Voice_Profile", Summary: summary, Auth: httpapi.User, Status: status}
	}
	httpapi.Handle(a, op("ListOutboundVoiceProfiles", "GET", base, "List outbound voice profiles", 200), s.listProfiles)
	httpapi.Handle(a, op("CreateOutboundVoiceProfile", "POST", base, "Make an outbound voice profile", 201), s.createProfile)
	httpapi.Handle(a, op("GetOutboundVoiceProfileByUUID", "GET", base+"/{uuid}", "Read an outbound voice profile", 200), s.getProfile)
	httpapi.Handle(a, op("ModifyOutboundVoiceProfile", "PATCH", base+"/{uuid}", "Change an outbound voice profile", 200), s.updateProfileRoute)
	httpapi.Handle(a, op("RemoveOutboundVoiceProfileByUUID", "DELETE", base+"/{uuid}", "Remove an outbound voice profile", 200), s.removeProfile)
}

// trunkIn is TrunkSettings as it may be sent; the numbers count only from an administrator.
type trunkIn struct {
	Media        *string          `json:"media_type" enum:"Bypass Media,Proxy Media,Proxy Media + Transcoding"`
	CallLimit    httpapi.Opt[int] `json:"call_limit" min:"0" max:"1000000"`
	CPSLimit     httpapi.Opt[int] `json:"cps_limit" min:"0" max:"1000000"`
	MaxDuration  httpapi.Opt[int] `json:"max_duration" min:"0" max:"86400"`
	RingTimeout  httpapi.Opt[int] `json:"ring_timeout" min:"0" max:"86400"`
	PDD          httpapi.Opt[int] `json:"pdd" min:"0" max:"86400000"`
	MediaTimeout httpapi.Opt[int] `json:"media_timeout" min:"0" max:"86400"`
}

func (in *trunkIn) apply(t *TrunkSettings, admin bool) {
	set(&t.Media, in.Media)
	if !admin {
		return
	}
	t.CallLimit, t.CPSLimit, t.MaxDuration = in.CallLimit.Ptr(t.CallLimit), in.CPSLimit.Ptr(t.CPSLimit), in.MaxDuration.Ptr(t.MaxDuration)
	t.RingTimeout, t.PDD, t.MediaTimeout = in.RingTimeout.Ptr(t.RingTimeout), in.PDD.Ptr(t.PDD), in.MediaTimeout.Ptr(t.MediaTimeout)
}

// profileMembers are the members of OutboundVoiceProfileNew but the name.
type profileMembers struct {
	Active     *bool                      `json:"is_active"`
	Product    httpapi.Opt[int]           `json:"product" min:"1" max:"1024"`
	Lease      httpapi.Opt[string]        `json:"tn_lease" format:"uuid" doc:"caller ID"`
	TechPrefix *int                       `json:"tech_prefix" min:"100000" max:"999999"`
	Trunk      *trunkIn                   `json:"class4_ingress_trunk_settings" alias:"class4_ingress_trunk_stings"`
	SignPolicy *int                       `json:"shaken_sign_policy" min:"0" max:"3"`
	Channels   httpapi.Opt[float64]       `json:"channel_limit" min:"0" doc:"parallel calls"`
	MaxRate    httpapi.Opt[money.Amount]  `json:"max_rate" min:"0"`
	Daily      httpapi.Opt[money.Amount]  `json:"daily_spend_limit" min:"0"`
	Record     *int                       `json:"record_calls" min:"0" max:"2" doc:"0 never, 1 every call, 2 calls whose caller number is listed"`
	Callers    httpapi.Opt[[]e164.Number] `json:"record_caller_numbers" maxItems:"1000"`
	Format     *string                    `json:"file_format" alias:"filemat" enum:"wav,mp3"`
	Tracks     *int                       `json:"audio_track_type" min:"0" max:"1" doc:"0 both sides mixed, 1 two channels"`
	CPS        httpapi.Opt[float64]       `json:"cps_limit" above:"0"`
	Duration   *int                       `json:"max_duration" min:"1" max:"86400"`
	Countries  httpapi.Opt[[]string]      `json:"allowed_countries" maxItems:"300" format:"a2" doc:"null: those of the account"`
}

func (m *profileMembers) apply(p *Profile, admin bool) {
	set(&p.Active, m.Active)
	p.Product, p.Lease = m.Product.Or(p.Product), m.Lease.Or(p.Lease)
	set(&p.TechPrefix, m.TechPrefix)
	if m.Trunk != nil {
		m.Trunk.apply(&p.Trunk, admin)
	}
	set(&p.SignPolicy, m.SignPolicy)
	p.Channels, p.CPS = m.Channels.Ptr(p.Channels), m.CPS.Ptr(p.CPS)
	p.MaxRate, p.DailyLimit = m.MaxRate.Ptr(p.MaxRate), m.Daily.Ptr(p.DailyLimit)
	set(&p.Record, m.Record)
	p.RecordCallers = m.Callers.Or(p.RecordCallers)
	set(&p.Format, m.Format)
	set(&p.Tracks, m.Tracks)
	if m.Duration != nil {
		p.MaxDuration = time.Duration(*m.Duration) * time.Second
	}
	if p.Countries = m.Countries.Or(p.Countries); p.Countries != nil {
		p.Countries = clean(p.Countries)
	}
}

func (s *Service) listProfiles(ctx context.Context, in *httpapi.List) ([]profileView, error) {
	list, err := s.Profiles(ctx, s.db.Read(), httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, len(list))
	out := []profileView{}
	for _, p := range list[min(in.Skip, len(list)):min(in.Skip+in.Take, len(list))] {
		v, err := s.viewProfile(ctx, s.db.Read(), p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

type profileNew struct {
	Name string `json:"name" required:"true" minLength:"1" maxLength:"255"`
	profileMembers
}

func (s *Service) createProfile(ctx context.Context, in *profileNew) (profileView, error) {
	who := httpapi.Who(ctx)
	p := NewProfile(who.Account, who.User)
	p.Name = in.Name
	in.apply(&p, who.IsAdmin())
	p, err := s.AddProfile(ctx, p)
	return s.fullProfile(ctx, p, err)
}

type profileKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) getProfile(ctx context.Context, in *profileKey) (profileView, error) {
	p, err := s.Profile(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID)
	return s.fullProfile(ctx, p, err)
}

type profileUpdate struct {
	profileKey
	Name *string `json:"name" minLength:"1" maxLength:"255"`
	profileMembers
}

func (s *Service) updateProfileRoute(ctx context.Context, in *profileUpdate) (profileView, error) {
	who := httpapi.Who(ctx)
	p, err := s.ChangeProfile(ctx, who.Account, in.UUID, func(p *Profile) {
		set(&p.Name, in.Name)
		in.apply(p, who.IsAdmin())
		p.ModifiedBy = who.User
	})
	return s.fullProfile(ctx, p, err)
}

func (s *Service) removeProfile(ctx context.Context, in *profileKey) (profileView, error) {
	p, err := s.RemoveProfile(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.fullProfile(ctx, p, err)
}
