package messaging

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const (
	campaignColumns = "uuid, account, brand, campaign_id, status, details, created_on, modified_on"
	brandColumns    = "uuid, account, brand_id, status, details, created_on, modified_on"
)

// insertReady makes the sandbox's brand and campaign of an account, unless it has them.
func insertReady(ctx context.Context, tx *db.Tx, account string, now time.Time) error {
	b, c := readyDetails()
	if _, err := tx.Exec(ctx, "INSERT INTO sms_brand ("+brandColumns+") VALUES "+db.Values(1, 7)+" ON CONFLICT (account, brand_id) DO NOTHING",
		ident.New(), account, ReadyBrand, "verified", db.JSONOf(b), db.At(now), db.At(now)); err != nil {
		return fmt.Errorf("insert brand: %w", err)
	}
	brand, err := loadBrand(ctx, tx, account, ReadyBrand)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO sms_campaign ("+campaignColumns+") VALUES "+db.Values(1, 8)+" ON CONFLICT (account, campaign_id) DO NOTHING",
		ident.New(), account, brand.ID, ReadyCampaign, "active", db.JSONOf(c), db.At(now), db.At(now))
	if err != nil {
		return fmt.Errorf("insert campaign: %w", err)
	}
	return nil
}

// withoutReady gives up to n accounts that have no ready-made campaign. Each account has a messaging profile, from its beginning.
func withoutReady(ctx context.Context, q db.Querier, n int) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT account FROM messaging_profile AS p WHERE NOT EXISTS (
		SELECT 1 FROM sms_campaign AS c WHERE c.account = p.account AND c.campaign_id = $1)`+db.Limit(n, 0), ReadyCampaign)
	return db.List("accounts without a campaign", rows, err, func(scan func(...any) error) (account string, err error) {
		return account, scan(&account)
	})
}

func scanCampaign(scan func(...any) error) (Campaign, error) {
	var c Campaign
	var id db.Text
	var details db.JSON[CampaignDetails]
	var created, modified db.Time
	err := scan(&c.ID, &c.Account, &c.Brand, &id, &c.Status, &details, &created, &modified)
	c.CampaignID, c.Details, c.Created, c.Modified = string(id), details.V, created.Time, modified.Time
	return c, err
}

func loadCampaign(ctx context.Context, q db.Querier, account, key string) (Campaign, error) {
	c, err := scanCampaign(q.QueryRow(ctx, "SELECT "+campaignColumns+" FROM sms_campaign WHERE account = $1 AND (uuid = $2 OR campaign_id = $2) AND status <> 'deleted'", account, key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Campaign{}, fault.Missing("Campaign")
	}
	if err != nil {
		return Campaign{}, fmt.Errorf("campaign: %w", err)
	}
	return c, nil
}

func listCampaigns(ctx context.Context, q db.Querier, account string) ([]Campaign, error) {
	rows, err := q.Query(ctx, "SELECT "+campaignColumns+" FROM sms_campaign WHERE account = $1 AND status <> 'deleted' ORDER BY created_on DESC, uuid DESC", account)
	return db.List("campaigns", rows, err, scanCampaign)
}

func scanBrand(scan func(...any) error) (Brand, error) {
	var b Brand
	var id db.Text
	var details db.JSON[BrandDetails]
	var created, modified db.Time
	err := scan(&b.ID, &b.Account, &id, &b.Status, &details, &created, &modified)
	b.BrandID, b.Details, b.Created, b.Modified = string(id), details.V, created.Time, modified.Time
	return b, err
}

func loadBrand(ctx context.Context, q db.Querier, account, key string) (Brand, error) {
	b, err := scanBrand(q.QueryRow(ctx, "SELECT "+brandColumns+" FROM sms_brand WHERE account = $1 AND (uuid = $2 OR brand_id = $2) AND status <> 'deleted'", account, key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Brand{}, fault.Missing("Brand")
	}
	if err != nil {
		return Brand{}, fmt.Errorf("brand: %w", err)
	}
	return b, nil
}

func listBrands(ctx context.Context, q db.Querier, account string) ([]Brand, error) {
	rows, err := q.Query(ctx, "SELECT "+brandColumns+" FROM sms_brand WHERE account = $1 AND status <> 'deleted' ORDER BY created_on DESC, uuid DESC", account)
	return db.List("brands", rows, err, scanBrand)
}
