package messaging

import (
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) campaignRoutes(a *httpapi.API) {
	op := func(id, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: "GET", Path: path, Tag: "TCR", Summary: summary, Auth: httpapi.User, Scope: "messaging"}
	}
	httpapi.Handle(a, op("ListSmsBrands", "/rest/tcr/brand", "Brands of the account"), s.httpBrands)
	httpapi.Handle(a, op("GetSmsBrand", "/rest/tcr/brand/{brand}", "A brand by uuid or brandId"), s.httpBrand)
	httpapi.Handle(a, op("ListSmsCampaigns", "/rest/tcr/campaign", "Campaigns of the account"), s.httpCampaigns)
	httpapi.Handle(a, op("GetSmsCampaign", "/rest/tcr/campaign/{campaign}", "A campaign by uuid or campaignId"), s.httpCampaign)
}

// brandView is SmsBrand.
type brandView struct {
	UUID         string          `json:"uuid"`
	BrandID      *string         `json:"brandId"`
	Status       string          `json:"status"`
	Reason       *string         `json:"reason"`
	TrustScore   *int            `json:"trust_score"`
	EntityType   string          `json:"entityType"`
	DisplayName  string          `json:"displayName"`
	CompanyName  *string         `json:"companyName"`
	EIN          *string         `json:"ein"`
	EINCountry   *string         `json:"einIssuingCountry"`
	FirstName    *string         `json:"firstName"`
	LastName     *string         `json:"lastName"`
	Email        string          `json:"email"`
	Phone        string          `json:"phone"`
	Street       string          `json:"street"`
	City         string          `json:"city"`
	Region       string          `json:"region"`
	PostalCode   string          `json:"postalCode"`
	Country      string          `json:"country"`
	Website      *string         `json:"website"`
	Vertical     string          `json:"vertical"`
	StockSymbol  *string         `json:"stockSymbol"`
	StockMarket  *string         `json:"stockExchange"`
	Relationship string          `json:"brandRelationship"`
	Reference    *string         `json:"reference"`
	Active       bool            `json:"is_active"`
	Account      json.RawMessage `json:"account"`
	CreatedBy    json.RawMessage `json:"created_by"`
	ModifiedBy   json.RawMessage `json:"modified_by"`
	Created      httpapi.Time    `json:"created_on"`
	Modified     httpapi.Time    `json:"modified_on"`
}

func (s *Service) viewBrand(ctx context.Context, b *Brand) (brandView, error) {
	d := b.Details
	account, _, err := s.owners(ctx, b.Account, "")
	return brandView{
		UUID: b.ID, BrandID: text(b.BrandID), Status: b.Status, TrustScore: &d.TrustScore, EntityType: d.EntityType, DisplayName: d.DisplayName, CompanyName: text(d.CompanyName),
		EIN: text(d.EIN), EINCountry: text(d.EINCountry), FirstName: text(d.FirstName), LastName: text(d.LastName), Email: d.Email, Phone: d.Phone, Street: d.Street, City: d.City,
		Region: d.Region, PostalCode: d.PostalCode, Country: d.Country, Website: text(d.Website), Vertical: d.Vertical, StockSymbol: text(d.StockSymbol), StockMarket: text(d.StockMarket),
		Relationship: d.Relationship, Reference: text(d.Reference), Active: b.Status == "verified" || b.Status == "vetted", Account: account,
		Created: httpapi.TimeOf(b.Created), Modified: httpapi.TimeOf(b.Modified),
	}, err
}

// campaignScalars is SmsCampaign inside a subscription.
type campaignScalars struct {
	CampaignID     *string       `json:"campaignId"`
	Active         bool          `json:"is_active"`
	Vertical       *string       `json:"vertical"`
	UseCase        string        `json:"usecase"`
	Description    *string       `json:"description"`
	MessageFlow    *string       `json:"messageFlow"`
	Sample1        *string       `json:"sample1"`
	Sample2        *string       `json:"sample2"`
	Sample3        *string       `json:"sample3"`
	Sample4        *string       `json:"sample4"`
	Sample5        *string       `json:"sample5"`
	SubscriberHelp bool          `json:"subscriberHelp"`
	SubscriberIn   bool          `json:"subscriberOptin"`
	SubscriberOut  bool          `json:"subscriberOptout"`
	HelpMessage    *string       `json:"helpMessage"`
	AutoRenewal    bool          `json:"autoRenewal"`
	EmbeddedLink   bool          `json:"embeddedLink"`
	EmbeddedPhone  bool          `json:"embeddedPhone"`
	NumberPool     bool          `json:"numberPool"`
	AgeGated       bool          `json:"ageGated"`
	DirectLending  bool          `json:"directLending"`
	Affiliate      bool          `json:"affiliateMarketing"`
	ExpiredOn      *httpapi.Time `json:"expired_on"`
	DeletedOn      *httpapi.Time `json:"deleted_on"`
	Created        httpapi.Time  `json:"created_on"`
	Modified       httpapi.Time  `json:"modified_on"`
	UUID           string        `json:"uuid"`
	Status         string        `json:"status"`
	Reason         *string       `json:"reason"`
	OptinMessage   *string       `json:"optinMessage"`
	OptoutMessage  *string       `json:"optoutMessage"`
	HelpKeywords   *string       `json:"helpKeywords"`
	OptinKeywords  *string       `json:"optinKeywords"`
	OptoutKeywords *string       `json:"optoutKeywords"`
	LeasesTotal    int           `json:"tn_leases_total"`
}

// campaignView is SmsCampaign.
type campaignView struct {
	campaignScalars
	SubUseCases []string         `json:"subUsecases"`
	Operators   []int            `json:"mnoIds"`
	Brand       brandView        `json:"brand"`
	Throughput  []throughputView `json:"throughput"`
}

type throughputView struct {
	Operator  string `json:"operator"`
	PerSecond int    `json:"per_second"`
	PerDay    int    `json:"per_day"`
}

// viewScalars shows a campaign by its scalars.
func (s *Service) viewScalars(ctx context.Context, q db.Querier, c *Campaign) (campaignScalars, error) {
	d := c.Details
	n, err := s.numbers.CountByCampaign(ctx, q, c.ID)
	return campaignScalars{
		CampaignID: text(c.CampaignID), Active: c.Active(), Vertical: text(d.Vertical), UseCase: d.UseCase, Description: text(d.Description), MessageFlow: text(d.MessageFlow),
		Sample1: text(d.Sample1), SubscriberHelp: true, SubscriberIn: true, SubscriberOut: true, HelpMessage: text(d.HelpMessage), NumberPool: true,
		Created: httpapi.TimeOf(c.Created), Modified: httpapi.TimeOf(c.Modified), UUID: c.ID, Status: c.Status, OptinMessage: text(d.OptinMessage), OptoutMessage: text(d.OptoutMessage),
		HelpKeywords: text(d.HelpKeywords), OptinKeywords: text(d.OptinKeywords), OptoutKeywords: text(d.OptoutKeywords), LeasesTotal: n,
	}, err
}

// CampaignView shows a campaign inside a subscription: "null" for an empty id, a 404 for one that is not the account's.
func (s *Service) CampaignView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error) {
	if id == "" {
		return json.RawMessage("null"), nil
	}
	c, err := loadCampaign(ctx, q, account, id)
	if err != nil {
		return nil, err
	}
	v, err := s.viewScalars(ctx, q, &c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func (s *Service) viewCampaign(ctx context.Context, c *Campaign) (campaignView, error) {
	b, err := s.Brand(ctx, c.Account, c.Brand)
	if err != nil {
		return campaignView{}, err
	}
	brand, err := s.viewBrand(ctx, &b)
	if err != nil {
		return campaignView{}, err
	}
	v, err := s.viewScalars(ctx, s.db.Read(), c)
	return campaignView{campaignScalars: v, SubUseCases: []string{}, Operators: []int{}, Brand: brand, Throughput: []throughputView{}}, err
}

func (s *Service) httpBrands(ctx context.Context, in *httpapi.List) ([]brandView, error) {
	list, err := s.Brands(ctx, httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, list, func(b *Brand) (brandView, error) { return s.viewBrand(ctx, b) })
}

type brandKey struct {
	Brand string `path:"brand"`
}

func (s *Service) httpBrand(ctx context.Context, in *brandKey) (brandView, error) {
	b, err := s.Brand(ctx, httpapi.Who(ctx).Account, in.Brand)
	if err != nil {
		return brandView{}, err
	}
	return s.viewBrand(ctx, &b)
}

func (s *Service) httpCampaigns(ctx context.Context, in *httpapi.List) ([]campaignView, error) {
	list, err := s.Campaigns(ctx, httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, list, func(c *Campaign) (campaignView, error) { return s.viewCampaign(ctx, c) })
}

type campaignKey struct {
	Campaign string `path:"campaign"`
}

func (s *Service) httpCampaign(ctx context.Context, in *campaignKey) (campaignView, error) {
	c, err := s.Campaign(ctx, httpapi.Who(ctx).Account, in.Campaign)
	if err != nil {
		return campaignView{}, err
	}
	return s.viewCampaign(ctx, &c)
}
