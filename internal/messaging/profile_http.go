package messaging

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/httpapi"
)

// Routes registers the operations of the package.
func (s *Service) Routes(a *httpapi.API) {
	s.profileRoutes(a)
	s.smsRoutes(a)
	s.optOutRoutes(a)
	s.campaignRoutes(a)
}

func (s *Service) profileRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Messaging_Profile", Summary: summary, Auth: httpapi.User, Scope: "messaging"}
	}
	const one = "/rest/profile/messaging/{uuid}"
	httpapi.Handle(a, op("ListMessagingProfiles", "GET", "/rest/profile/messaging", "Messaging profiles of the account"), s.httpProfiles)
	create := op("CreateMessagingProfile", "POST", "/rest/profile/messaging", "Make a messaging profile")
	create.Status = http.StatusCreated
	httpapi.Handle(a, create, s.httpCreateProfile)
	httpapi.Handle(a, op("GetMessagingProfileByUUID", "GET", one, "A messaging profile"), s.httpProfile)
	httpapi.Handle(a, op("ModifyMessagingProfile", "PATCH", one, "Change a messaging profile"), s.httpModifyProfile)
	httpapi.Handle(a, op("RemoveMessagingProfileByUUID", "DELETE", one, "Remove a messaging profile; its numbers fall back to the default one"), s.httpRemoveProfile)
	httpapi.Handle(a, op("GetMessagingProfileLeasesByUUID", "GET", one+"/tnleases", "Numbers of a messaging profile"), s.httpProfileLeases)
}

type profileSettings struct {
	CallbackURL    httpapi.Opt[string]      `json:"callback_url" minLength:"10" maxLength:"255" format:"url"`
	CallbackURL2   httpapi.Opt[string]      `json:"callback_url2" minLength:"10" maxLength:"255" format:"url"`
	Pool           httpapi.Opt[bool]        `json:"number_pool_enable"`
	LongCodeWeight httpapi.Opt[int]         `json:"long_code_weight" min:"0" max:"9"`
	TollFreeWeight httpapi.Opt[int]         `json:"tollfree_weight" alias:"toll_free_weight" min:"0" max:"9"`
	SkipUnhealthy  httpapi.Opt[bool]        `json:"skip_unhealthy_tns"`
	Sticky         httpapi.Opt[bool]        `json:"sticky_sender"`
	QueueTimeout   httpapi.Opt[int]         `json:"queue_timeout" min:"60" max:"172800" doc:"seconds"`
	OptOutEnable   httpapi.Opt[bool]        `json:"opt_out_enable"`
	OptOutMessage  httpapi.Opt[string]      `json:"opt_out_message" maxLength:"306"`
	OptInMessage   httpapi.Opt[string]      `json:"opt_in_message" maxLength:"306"`
	HelpMessage    httpapi.Opt[string]      `json:"help_message" maxLength:"306"`
	AutoReplies    httpapi.Opt[[]AutoReply] `json:"auto_replies" maxItems:"50"`
	Secret         httpapi.Opt[string]      `json:"callback_secret" maxLength:"255" doc:"signs callbacks; never shown"`
}

type profileNew struct {
	Name string `json:"name" required:"true" minLength:"1" maxLength:"255"`
	profileSettings
}

type profilePatch struct {
	UUID string              `path:"uuid" format:"uuid"`
	Name httpapi.Opt[string] `json:"name" minLength:"1" maxLength:"255"`
	profileSettings
}

type profileKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

// set changes a profile by the members that came; null brings the default back.
func (in *profileSettings) set(p *Profile) {
	std := NewProfile("", "")
	p.CallbackURL, p.CallbackURL2, p.CallbackSecret = in.CallbackURL.Or(p.CallbackURL), in.CallbackURL2.Or(p.CallbackURL2), in.Secret.Or(p.CallbackSecret)
	p.OptOutMessage, p.OptInMessage, p.HelpMessage = in.OptOutMessage.Or(p.OptOutMessage), in.OptInMessage.Or(p.OptInMessage), in.HelpMessage.Or(p.HelpMessage)
	p.Pool, p.SkipUnhealthy, p.Sticky = in.Pool.Or(p.Pool), in.SkipUnhealthy.Or(p.SkipUnhealthy), in.Sticky.Or(p.Sticky)
	p.AutoReplies = in.AutoReplies.Or(p.AutoReplies)
	p.LongCodeWeight, p.TollFreeWeight = orStd(in.LongCodeWeight, p.LongCodeWeight, std.LongCodeWeight), orStd(in.TollFreeWeight, p.TollFreeWeight, std.TollFreeWeight)
	p.QueueTimeout = time.Duration(orStd(in.QueueTimeout, int(p.QueueTimeout/time.Second), int(std.QueueTimeout/time.Second))) * time.Second
	p.OptOutEnable = orStd(in.OptOutEnable, p.OptOutEnable, std.OptOutEnable)
}

func orStd[T any](o httpapi.Opt[T], old, std T) T {
	if o.Set && o.Null {
		return std
	}
	return o.Or(old)
}

// profileView is MessagingProfile; operators and leases are there when it is the payload itself.
type profileView struct {
	UUID           string          `json:"uuid"`
	Name           string          `json:"name"`
	CallbackURL    *string         `json:"callback_url"`
	CallbackURL2   *string         `json:"callback_url2"`
	Pool           bool            `json:"number_pool_enable"`
	SkipUnhealthy  bool            `json:"skip_unhealthy_tns"`
	Sticky         bool            `json:"sticky_sender"`
	LongCodeWeight int             `json:"long_code_weight"`
	TollFreeWeight int             `json:"tollfree_weight"`
	QueueTimeout   int             `json:"queue_timeout"`
	OptOutEnable   bool            `json:"opt_out_enable"`
	OptOutMessage  *string         `json:"opt_out_message"`
	OptInMessage   *string         `json:"opt_in_message"`
	HelpMessage    *string         `json:"help_message"`
	AutoReplies    []AutoReply     `json:"auto_replies"`
	Default        bool            `json:"is_default"`
	Account        json.RawMessage `json:"account"`
	CreatedBy      json.RawMessage `json:"created_by"`
	ModifiedBy     json.RawMessage `json:"modified_by"`
	Created        httpapi.Time    `json:"created_on"`
	Modified       httpapi.Time    `json:"modified_on"`
}

type fullProfile struct {
	profileView
	Operators []json.RawMessage `json:"operators"`
	Leases    []json.RawMessage `json:"leases"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *Service) viewProfile(ctx context.Context, p *Profile) (profileView, error) {
	v := profileView{
		UUID: p.ID, Name: p.Name, CallbackURL: text(p.CallbackURL), CallbackURL2: text(p.CallbackURL2), Pool: p.Pool, SkipUnhealthy: p.SkipUnhealthy, Sticky: p.Sticky,
		LongCodeWeight: p.LongCodeWeight, TollFreeWeight: p.TollFreeWeight, QueueTimeout: int(p.QueueTimeout / time.Second), OptOutEnable: p.OptOutEnable,
		OptOutMessage: text(p.OptOutMessage), OptInMessage: text(p.OptInMessage), HelpMessage: text(p.HelpMessage), AutoReplies: p.AutoReplies, Default: p.Default,
		Created: httpapi.TimeOf(p.Created), Modified: httpapi.TimeOf(p.Modified),
	}
	if v.AutoReplies == nil {
		v.AutoReplies = []AutoReply{}
	}
	var err error
	if v.Account, v.CreatedBy, err = s.owners(ctx, p.Account, p.CreatedBy); err != nil {
		return v, err
	}
	_, v.ModifiedBy, err = s.owners(ctx, p.Account, p.ModifiedBy)
	return v, err
}

// owners shows an account and a user inside other objects.
func (s *Service) owners(ctx context.Context, acc, user string) (a, u json.RawMessage, err error) {
	around, _, err := s.around(ctx, s.db.Read(), &Message{Account: acc, CreatedBy: user})
	return around.account, around.createdBy, err
}

func (s *Service) viewFull(ctx context.Context, p *Profile) (fullProfile, error) {
	v, err := s.viewProfile(ctx, p)
	if err != nil {
		return fullProfile{}, err
	}
	leases, err := s.profileLeases(ctx, p.Account, p.ID)
	return fullProfile{profileView: v, Operators: []json.RawMessage{}, Leases: leases}, err
}

func (s *Service) profileLeases(ctx context.Context, acc, profile string) ([]json.RawMessage, error) {
	out := []json.RawMessage{}
	list, err := s.numbers.ByProfile(ctx, s.db.Read(), acc, profile)
	if err != nil || len(list) == 0 {
		return out, err
	}
	return s.numbers.LeaseViews(ctx, list)
}

func (s *Service) httpProfiles(ctx context.Context, in *httpapi.List) ([]profileView, error) {
	list, err := s.Profiles(ctx, httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	slices.Reverse(list)
	return httpapi.Listed(ctx, *in, list, func(p *Profile) (profileView, error) { return s.viewProfile(ctx, p) })
}

func (s *Service) httpCreateProfile(ctx context.Context, in *profileNew) (fullProfile, error) {
	who := httpapi.Who(ctx)
	p := NewProfile(who.Account, in.Name)
	p.CreatedBy = who.User
	in.set(&p)
	p, err := s.CreateProfile(ctx, p)
	if err != nil {
		return fullProfile{}, err
	}
	return s.viewFull(ctx, &p)
}

func (s *Service) httpProfile(ctx context.Context, in *profileKey) (fullProfile, error) {
	p, err := s.Profile(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return fullProfile{}, err
	}
	return s.viewFull(ctx, &p)
}

func (s *Service) httpModifyProfile(ctx context.Context, in *profilePatch) (fullProfile, error) {
	who := httpapi.Who(ctx)
	p, err := s.ModifyProfile(ctx, who.Account, in.UUID, who.User, func(p *Profile) {
		p.Name = orStd(in.Name, p.Name, p.Name)
		in.set(p)
	})
	if err != nil {
		return fullProfile{}, err
	}
	return s.viewFull(ctx, &p)
}

func (s *Service) httpRemoveProfile(ctx context.Context, in *profileKey) (profileView, error) {
	p, err := s.RemoveProfile(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return profileView{}, err
	}
	return s.viewProfile(ctx, &p)
}

type profileList struct {
	profileKey
	httpapi.List
}

func (s *Service) httpProfileLeases(ctx context.Context, in *profileList) ([]json.RawMessage, error) {
	account := httpapi.Who(ctx).Account
	if _, err := s.Profile(ctx, account, in.UUID); err != nil {
		return nil, err
	}
	list, err := s.numbers.ByProfile(ctx, s.db.Read(), account, in.UUID)
	if err != nil {
		return nil, err
	}
	return s.numbers.LeaseViews(ctx, httpapi.Part(ctx, in.List, list))
}
