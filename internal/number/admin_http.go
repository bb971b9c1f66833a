package number

import (
	"context"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) adminRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Admin", Summary: summary, Auth: httpapi.Admin}
	}
	httpapi.Handle(a, op("AdminAddTns", "POST", "/rest/admin/tn", "Add numbers to the inventory"), s.addTNs)
	httpapi.Handle(a, op("AdminRemoveTn", "DELETE", "/rest/admin/tn/{tn}", "Withdraw a number"), s.withdrawTN)
}

// withdrawn is the state of a number that the administrator took out of the inventory; its row keeps the history.
const withdrawn = "blocked"

type inventoryItem struct {
	TN         e164.Number `json:"tn" required:"true"`
	Type       string      `json:"type" enum:"long_code,toll_free,short_code"`
	Features   *[]string   `json:"features" enum:"voice,sms,mms,fax,emergency"`
	City       string      `json:"city" maxLength:"64"`
	Province   string      `json:"province" maxLength:"64"`
	RateCenter string      `json:"rate_center" maxLength:"64"`
	Country    string      `json:"country" format:"a2"`
}

type addTNsBody struct {
	TNs     []inventoryItem `json:"tns" required:"true" minItems:"1" maxItems:"10000"`
	Profile string          `json:"profile" required:"true" maxLength:"255"`
}

type addedView struct {
	Added   int64 `json:"added"`
	Skipped int64 `json:"skipped"`
}

func (s *Service) addTNs(ctx context.Context, in *addTNsBody) (addedView, error) {
	var added int64
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		plan, err := s.billing.Plan(ctx, tx, in.Profile)
		if err != nil {
			return err
		}
		now := s.now()
		var list []TN
		for _, it := range in.TNs {
			t := TN{Number: it.TN, Kind: it.Type, Plan: plan.UUID, State: "available", Features: featuresOf(it.Features, nil, nil, nil, nil, nil), Country: it.Country, Province: it.Province, City: it.City, RateCenter: it.RateCenter, Source: "upload", Created: now, Modified: now}
			if t.Kind == "" {
				t.Kind = map[bool]string{true: "toll_free", false: "long_code"}[it.TN.TollFree()]
			}
			if t.Country == "" {
				t.Country = it.TN.Country()
			}
			list = append(list, t)
		}
		added, err = insertTNs(ctx, tx, list)
		return err
	})
	return addedView{added, int64(len(in.TNs)) - added}, err
}

func (s *Service) withdrawTN(ctx context.Context, in *tnPath) (tnView, error) {
	var t TN
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		c, found, err := lockTN(ctx, tx, in.TN)
		if err != nil {
			return err
		}
		if t = c.TN; !found || t.State == withdrawn {
			return fault.Missing("TN")
		}
		if t.State == "leased" || t.State == "reserved" {
			return fault.Busy("TN")
		}
		return removeTN(ctx, tx, in.TN)
	})
	if err != nil {
		return tnView{}, err
	}
	v := viewTN(t, t.Features)
	v.Deleted = httpapi.TimeOrNil(s.now())
	return v, nil
}
