package messaging

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) optOutRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "SMS", Summary: summary, Auth: httpapi.User, Scope: "messaging"}
	}
	create := op("CreateOptOut", "POST", "/rest/sms/optout", "Opt a phone out")
	create.Status = http.StatusCreated
	httpapi.Handle(a, create, s.httpCreateOptOut)
	search := op("SearchOptOut", "POST", "/rest/sms/optout/search", "Search the consent ledger")
	search.Scope = "messaging:read"
	httpapi.Handle(a, search, s.httpSearchOptOut)
	httpapi.Handle(a, op("RemoveOptOut", "DELETE", "/rest/sms/optout/{uuid}", "End an opt-out; the entry stays in the ledger"), s.httpRemoveOptOut)
}

// optOutView is OptOut.
type optOutView struct {
	UUID    string          `json:"uuid"`
	Phone   e164.Number     `json:"phone"`
	Profile json.RawMessage `json:"messaging_profile"`
	Active  bool            `json:"is_active"`
	Source  string          `json:"source"`
	Keyword *string         `json:"keyword"`
	SMS     *string         `json:"sms"`
	Reason  *string         `json:"reason"`
	Created httpapi.Time    `json:"created_on"`
	Ended   *httpapi.Time   `json:"ended_on"`
}

func (s *Service) viewOptOut(ctx context.Context, q db.Querier, o OptOut) (optOutView, error) {
	v := optOutView{
		UUID: o.ID, Phone: e164.Number(o.Phone), Profile: json.RawMessage("null"), Active: o.Active, Source: o.Source, Keyword: text(o.Keyword), SMS: text(o.SMS), Reason: text(o.Reason),
		Created: httpapi.TimeOf(o.Created), Ended: httpapi.TimeOrNil(o.Ended),
	}
	if o.Profile == "" {
		return v, nil
	}
	p, err := s.profile(ctx, q, o.Account, o.Profile)
	switch {
	case err == nil:
		v.Profile = profileScalars(&p)
	case fault.Is(err, fault.NotFound): // removed since
		err = nil
	}
	return v, err
}

type optOutNew struct {
	Phone   e164.Number `json:"phone" required:"true"`
	Profile string      `json:"messaging_profile" format:"uuid" doc:"null: the whole account"`
	Reason  string      `json:"reason" maxLength:"255"`
}

func (s *Service) httpCreateOptOut(ctx context.Context, in *optOutNew) (optOutView, error) {
	o, err := s.CreateOptOut(ctx, OptOut{Account: httpapi.Who(ctx).Account, Phone: in.Phone.Digits(), Profile: in.Profile, Reason: in.Reason, Source: ByAPI})
	if err != nil {
		return optOutView{}, err
	}
	return s.viewOptOut(ctx, s.db.Read(), o)
}

type optOutSearch struct {
	httpapi.Search `orderable:"phone,created_on,modified_on"`
	Phone          string              `json:"phone" lenient:"true" maxLength:"64" format:"tnmask" doc:"number or mask"`
	Profile        httpapi.Opt[string] `json:"messaging_profile" format:"uuid" doc:"null: of the whole account"`
	Active         *bool               `json:"is_active"`
}

func (s *Service) httpSearchOptOut(ctx context.Context, in *optOutSearch) (httpapi.Page[optOutView], error) {
	f := OptOutFilter{
		Account: httpapi.Who(ctx).Account, Phone: in.Phone, Profile: related(in.Profile), Active: in.Active, Or: in.Or(), Take: in.Take, Skip: in.Skip,
		From: moment(in.CreatedFrom), To: moment(in.CreatedTo), ModifiedFrom: moment(in.ModifiedFrom), ModifiedTo: moment(in.ModifiedTo),
	}
	for _, o := range in.Order {
		f.Order = append(f.Order, Sort{Field: o.Field, Desc: o.Desc})
	}
	list, total, err := s.OptOuts(ctx, f)
	out := []optOutView{}
	for _, o := range list {
		v, err := s.viewOptOut(ctx, s.db.Read(), o)
		if err != nil {
			return httpapi.Page[optOutView]{}, err
		}
		out = append(out, v)
	}
	return httpapi.PageOf(in.Search, total, out), err
}

func (s *Service) httpRemoveOptOut(ctx context.Context, in *smsKey) (optOutView, error) {
	o, err := s.RemoveOptOut(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return optOutView{}, err
	}
	return s.viewOptOut(ctx, s.db.Read(), o)
}
