package trunk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

const productColumns = "id, name, description, type, account, tech_prefix, rate_table, route_plan, created_on, modified_on"

func scanProduct(scan func(...any) error) (Product, error) {
	var p Product
	var description, account db.Text
	var created, modified db.Time
	err := scan(&p.ID, &p.Name, &description, &p.Type, &account, &p.TechPrefix, &p.RateTable, &p.RoutePlan, &created, &modified)
	p.Description, p.Account, p.Created, p.Modified = string(description), string(account), created.Time, modified.Time
	return p, err
}

func products(ctx context.Context, q db.Querier, account string) ([]Product, error) {
	rows, err := q.Query(ctx, "SELECT "+productColumns+" FROM sip_product WHERE type = 'public' OR account = $1 ORDER BY created_on DESC, id DESC", account)
	return db.List("SIP products", rows, err, scanProduct)
}

func productByID(ctx context.Context, q db.Querier, id int) (Product, error) {
	p, err := scanProduct(q.QueryRow(ctx, "SELECT "+productColumns+" FROM sip_product WHERE id = $1", id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.Missing("SIP product")
	}
	if err != nil {
		return p, fmt.Errorf("SIP product: %w", err)
	}
	return p, nil
}

// putProduct changes a product, or makes one under the next id when it has none; two that are made at once on PostgreSQL may collide: the second is a 409.
func putProduct(ctx context.Context, tx *db.Tx, p Product, now time.Time) (Product, error) {
	p.Modified = db.At(now).Time.UTC()
	if p.ID == 0 {
		p.Created = p.Modified
		if err := tx.QueryRow(ctx, "SELECT COALESCE(MAX(id), 0) + 1 FROM sip_product").Scan(&p.ID); err != nil {
			return p, fmt.Errorf("next SIP product: %w", err)
		}
		if p.ID > 1024 {
			return p, fault.Newf(fault.Conflict, "no id is free for another SIP product")
		}
		_, err := tx.Exec(ctx, "INSERT INTO sip_product ("+productColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
			p.ID, p.Name, db.Text(p.Description), p.Type, db.Text(p.Account), p.TechPrefix, p.RateTable, p.RoutePlan, db.At(p.Created), db.At(p.Modified))
		if db.IsUnique(err) {
			return p, fault.Taken("SIP product")
		}
		if err != nil {
			return p, fmt.Errorf("make SIP product: %w", err)
		}
		return p, nil
	}
	_, err := tx.Exec(ctx, "UPDATE sip_product SET name = $1, description = $2, type = $3, account = $4, tech_prefix = $5, rate_table = $6, route_plan = $7, modified_on = $8 WHERE id = $9",
		p.Name, db.Text(p.Description), p.Type, db.Text(p.Account), p.TechPrefix, p.RateTable, p.RoutePlan, db.At(p.Modified), p.ID)
	if err != nil {
		return p, fmt.Errorf("change SIP product: %w", err)
	}
	return p, nil
}
