package messaging

import (
	"cmp"
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// The ready-made campaign of the sandbox (running.md, "Sandbox carrier").
const (
	ReadyCampaign = "CSNDBX1"
	ReadyBrand    = "BSNDBX1"
)

// Brand is a sending company as the registry knows it.
type Brand struct {
	ID       string
	Account  string
	BrandID  string
	Status   string // EBrandStatus
	Details  BrandDetails
	Created  time.Time
	Modified time.Time
}

// BrandDetails is what the registry is told of a brand.
type BrandDetails struct {
	EntityType   string `json:"entityType"`
	DisplayName  string `json:"displayName"`
	CompanyName  string `json:"companyName"`
	EIN          string `json:"ein"`
	EINCountry   string `json:"einIssuingCountry"`
	FirstName    string `json:"firstName"`
	LastName     string `json:"lastName"`
	Email        string `json:"email"`
	Phone        string `json:"phone"`
	Street       string `json:"street"`
	City         string `json:"city"`
	Region       string `json:"region"`
	PostalCode   string `json:"postalCode"`
	Country      string `json:"country"`
	Website      string `json:"website"`
	Vertical     string `json:"vertical"`
	StockSymbol  string `json:"stockSymbol"`
	StockMarket  string `json:"stockExchange"`
	Relationship string `json:"brandRelationship"`
	Reference    string `json:"reference"`
	TrustScore   int    `json:"trust_score"`
}

// Campaign is a purpose of messages from US and Canada numbers.
type Campaign struct {
	ID         string
	Account    string
	Brand      string
	CampaignID string
	Status     string // ECampaignStatus
	Details    CampaignDetails
	Created    time.Time
	Modified   time.Time
}

// Active tells whether its numbers may send.
func (c *Campaign) Active() bool { return c.Status == "active" }

// CampaignDetails is what the registry is told of a campaign.
type CampaignDetails struct {
	UseCase        string `json:"usecase"`
	Vertical       string `json:"vertical"`
	Description    string `json:"description"`
	MessageFlow    string `json:"messageFlow"`
	Sample1        string `json:"sample1"`
	HelpMessage    string `json:"helpMessage"`
	OptinMessage   string `json:"optinMessage"`
	OptoutMessage  string `json:"optoutMessage"`
	HelpKeywords   string `json:"helpKeywords"`
	OptinKeywords  string `json:"optinKeywords"`
	OptoutKeywords string `json:"optoutKeywords"`
}

func readyDetails() (BrandDetails, CampaignDetails) {
	return BrandDetails{
		EntityType: "PRIVATE_PROFIT", DisplayName: "Sandbox", CompanyName: "Sandbox", Email: "sandbox@example.org", Phone: "+15005550100", Street: "1 Example Street",
		City: "New York", Region: "NY", PostalCode: "10001", Country: "US", Vertical: "TECHNOLOGY", Relationship: "BASIC_ACCOUNT", TrustScore: 100,
	}, CampaignDetails{
		UseCase: "MIXED", Vertical: "TECHNOLOGY", Description: "Ready-made campaign of the sandbox: its messages never leave this server.",
		MessageFlow: "Recipients are simulated phones of the sandbox; no consent of real people is needed.", Sample1: "This is a message to a simulated phone.",
	}
}

// Campaigns lists the account's campaigns, newest first.
func (s *Service) Campaigns(ctx context.Context, account string) ([]Campaign, error) {
	return listCampaigns(ctx, s.db.Read(), account)
}

// Campaign gives a campaign by uuid or campaignId, or a 404.
func (s *Service) Campaign(ctx context.Context, account, key string) (Campaign, error) {
	return loadCampaign(ctx, s.db.Read(), account, key)
}

// campaignID gives the campaignId for the uuid of a campaign; any other text stays what it is.
func (s *Service) campaignID(ctx context.Context, account, key string) (string, error) {
	id, err := ident.Parse(key)
	if err != nil {
		return key, nil
	}
	c, err := s.Campaign(ctx, account, id)
	if fault.Is(err, fault.NotFound) {
		return key, nil
	}
	return cmp.Or(c.CampaignID, key), err // one that is not registered yet has no messages
}

// Brands lists the account's brands, newest first.
func (s *Service) Brands(ctx context.Context, account string) ([]Brand, error) {
	return listBrands(ctx, s.db.Read(), account)
}

// Brand gives a brand by uuid or brandId, or a 404.
func (s *Service) Brand(ctx context.Context, account, key string) (Brand, error) {
	return loadBrand(ctx, s.db.Read(), account, key)
}

// Resolve finds a campaign by uuid or campaignId, or gives a 404; numbers ask it.
func (s *Service) Resolve(ctx context.Context, q db.Querier, account, key string) (id string, active bool, err error) {
	c, err := loadCampaign(ctx, q, account, key)
	return c.ID, c.Active(), err
}

// Ready gives the account's ready-made active campaign, or "": there is none while the sandbox is off.
func (s *Service) Ready(ctx context.Context, q db.Querier, account string) (id string, err error) {
	if !s.sandbox {
		return "", nil
	}
	c, err := loadCampaign(ctx, q, account, ReadyCampaign)
	if fault.Is(err, fault.NotFound) || err == nil && !c.Active() {
		return "", nil
	}
	return c.ID, err
}

// makeReady gives the ready-made campaign to accounts of the time when the sandbox was off.
func (s *Service) makeReady(ctx context.Context) error {
	for s.sandbox && ctx.Err() == nil {
		n := 0
		err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			list, err := withoutReady(ctx, tx, batch)
			if err != nil {
				return err
			}
			n = len(list)
			for _, account := range list {
				if err := insertReady(ctx, tx, account, s.now()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
	return nil
}
