package number

import (
	"context"
	"strings"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// Routes registers search, orders, leases and the administrator's inventory.
func (s *Service) Routes(a *httpapi.API) {
	search := httpapi.Op{ID: "Search", Method: "POST", Path: "/rest/tn/search", Tag: "TN", Summary: "Search numbers to order", Auth: httpapi.User, Scope: "numbers:read"}
	httpapi.Handle(a, search, s.search)
	httpapi.Handle(a, httpapi.Op{ID: "GetTnFeatures", Method: "GET", Path: "/rest/tn/{tn}/features", Tag: "TN", Summary: "What a number can do", Auth: httpapi.User, Scope: "numbers"}, s.features)
	s.orderRoutes(a)
	s.leaseRoutes(a)
	s.adminRoutes(a)
}

// searchBody is TnSearch of the contract, both generations.
type searchBody struct {
	Page       int      `query:"page" min:"1" max:"100000000"`
	Size       int      `query:"size" min:"1" max:"100"`
	Take       int      `json:"take" query:"take" min:"1" max:"100"`
	Skip       int      `json:"skip" query:"skip" min:"0" max:"1000000000"`
	Pattern    string   `json:"pattern" maxLength:"32"`
	ABC        bool     `json:"abcSearch" alias:"abc_search"`
	RateCenter string   `json:"rateCenter" alias:"rate_center" maxLength:"64"`
	City       string   `json:"city" maxLength:"64"`
	Province   string   `json:"province" maxLength:"2"`
	PostalCode string   `json:"postalCode" alias:"postal_code" maxLength:"12" lenient:"true"`
	Profile    string   `json:"profile" maxLength:"255"`
	Features   []string `json:"features" enum:"voice,sms,mms,fax,emergency" maxItems:"5"`
	TollFree   *bool    `json:"toll_free"`
	Country    string   `json:"country" format:"a2"`
	State      string   `json:"state" maxLength:"64"`
	NPA        string   `json:"npa" pattern:"^[0-9]{3}$" lenient:"true"`
	NXX        string   `json:"nxx" pattern:"^[0-9]{3}$" lenient:"true"`
	Type       string   `json:"type" enum:"long_code,toll_free"`
	Line       string   `json:"line" pattern:"^[0-9xX]{1,7}$" lenient:"true"`
}

// Validate checks the mask.
func (b *searchBody) Validate(f *fault.Fields) {
	if b.Pattern != "" && !b.ABC && strings.Trim(b.Pattern, "0123456789*%") != "" {
		f.Add("pattern", "mask of digits, * and % (letters with abcSearch)", b.Pattern)
	}
	most := 4
	if b.Type == "toll_free" {
		most = 7
	}
	if len(b.Line) > most {
		f.Add("line", "at most 4 places for a long code, 7 for a toll-free number", b.Line)
	}
}

const keypad = "22233344455566677778889999" // A to Z

// mask joins pattern, npa, nxx and line to one mask over ten national digits.
func (b *searchBody) mask() string {
	if b.NPA == "" && b.NXX == "" && b.Line == "" {
		m := strings.Map(func(r rune) rune {
			if c := r &^ 0x20; b.ABC && c >= 'A' && c <= 'Z' {
				return rune(keypad[c-'A'])
			}
			return r
		}, b.Pattern)
		if len(m) == 11 && m[0] == '1' {
			m = m[1:]
		}
		return m
	}
	npa, nxx := "%%%", "%%%"
	if b.NPA != "" {
		npa = b.NPA
	}
	if b.NXX != "" {
		nxx = b.NXX
	}
	line := strings.NewReplacer("x", "%", "X", "%").Replace(b.Line)
	whole := npa + nxx + "%%%%"
	return whole[:10-len(line)] + line
}

func (b *searchBody) window() (take, skip, page int) {
	take = 10
	switch {
	case b.Size > 0:
		take = b.Size
	case b.Take > 0:
		take = b.Take
	}
	if b.Page > 0 {
		return take, (b.Page - 1) * take, b.Page
	}
	return take, b.Skip, b.Skip/take + 1
}

// defaultCountry is searched when neither a country nor a price plan is named (rest-resources §6).
const defaultCountry = "US"

func (s *Service) search(ctx context.Context, in *searchBody) (httpapi.Page[tnView], error) {
	var out httpapi.Page[tnView]
	take, skip, page := in.window()
	f := Search{Account: httpapi.Who(ctx).Account, Pattern: in.mask(), Kind: in.Type, Country: in.Country, Province: in.Province, City: in.City, RateCenter: in.RateCenter, PostalCode: in.PostalCode, Features: in.Features, Take: take, Skip: skip}
	if in.State != "" {
		f.Province = in.State
	}
	if f.Country == "" && in.Profile == "" {
		f.Country = defaultCountry
	}
	if in.TollFree != nil && f.Kind == "" {
		f.Kind = map[bool]string{true: "toll_free", false: "long_code"}[*in.TollFree]
	}
	if in.Profile != "" {
		plan, err := s.billing.Plan(ctx, s.db.Read(), in.Profile)
		if err != nil {
			return out, err
		}
		f.Plan = plan.UUID
	}
	found, total, err := s.Find(ctx, f)
	if err != nil {
		return out, err
	}
	plans, err := s.planViews(ctx)
	out = httpapi.Page[tnView]{Take: take, Skip: skip, Total: total, Data: []tnView{}, Page: page, Size: take}
	for _, t := range found {
		v := viewTN(t, t.Features)
		v.Profile = plans[t.Plan]
		out.Data = append(out.Data, v)
	}
	return out, err
}

// planViews gives all price plans by uuid.
func (s *Service) planViews(ctx context.Context) (map[string]any, error) {
	plans, err := s.billing.Plans(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	leased, err := s.CountByPlan(ctx, s.db.Read(), httpapi.Who(ctx).Account)
	out := map[string]any{}
	for _, p := range plans {
		out[p.UUID] = s.billing.PlanView(p, leased[p.UUID])
	}
	return out, err
}

type tnPath struct {
	TN e164.Number `path:"tn"`
}

type featureView struct {
	TN       int64    `json:"tn"`
	Features []string `json:"features"`
}

func (s *Service) features(ctx context.Context, in *tnPath) (featureView, error) {
	t, err := s.TN(ctx, s.db.Read(), in.TN)
	if err == nil && t.State == withdrawn {
		err = fault.Missing("TN")
	}
	return featureView{in.TN.Int(), t.Features.names()}, err
}
