package voice

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

const appColumns = `uuid, account, name, is_active, product, tech_prefix, auto_answer, max_minutes, verify_policy, min_attest,
  webhook_url, webhook_method, webhook_timeout, webhook_secret, flow_url, flow_method, flow_timeout, fallback_url, ingress, egress,
  profile, park_timeout, static_flow, created_by, modified_by, created_on, modified_on`

func scanApp(scan func(...any) error) (App, error) {
	var a App
	var product, minutes, hookTime, flowTime sql.NullInt64
	var hook, secret, url, fallback, profile, static, by, then db.Text
	var ingress, egress db.JSON[TrunkSettings]
	var park int64
	var created, modified db.Time
	err := scan(&a.ID, &a.Account, &a.Name, &a.Active, &product, &a.TechPrefix, &a.AutoAnswer, &minutes, &a.VerifyPolicy, &a.MinAttest,
		&hook, &a.WebhookMethod, &hookTime, &secret, &url, &a.FlowMethod, &flowTime, &fallback, &ingress, &egress,
		&profile, &park, &static, &by, &then, &created, &modified)
	a.Product, a.MaxMinutes, a.WebhookTimeout, a.FlowTimeout = int(product.Int64), int(minutes.Int64), intPtr(hookTime), intPtr(flowTime)
	a.WebhookURL, a.WebhookSecret, a.FlowURL, a.FallbackURL = string(hook), string(secret), string(url), string(fallback)
	a.Profile, a.StaticFlow, a.CreatedBy, a.ModifiedBy = string(profile), string(static), string(by), string(then)
	a.Ingress, a.Egress, a.ParkTimeout = ingress.V, egress.V, time.Duration(park)*time.Millisecond
	a.Created, a.Modified = created.Time, modified.Time
	return a, err
}

func intPtr(n sql.NullInt64) *int {
	if !n.Valid {
		return nil
	}
	v := int(n.Int64)
	return &v
}

// number is NULL when it is zero.
func number0(n int) sql.NullInt64 { return sql.NullInt64{Int64: int64(n), Valid: n != 0} }

func numberOf(n *int) sql.NullInt64 {
	if n == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: int64(*n), Valid: true}
}

func (a *App) values() []any {
	return []any{
		a.ID, a.Account, a.Name, a.Active, number0(a.Product), a.TechPrefix, a.AutoAnswer, number0(a.MaxMinutes), a.VerifyPolicy, a.MinAttest,
		db.Text(a.WebhookURL), a.WebhookMethod, numberOf(a.WebhookTimeout), db.Text(a.WebhookSecret), db.Text(a.FlowURL), a.FlowMethod, numberOf(a.FlowTimeout),
		db.Text(a.FallbackURL), db.JSONOf(a.Ingress), db.JSONOf(a.Egress), db.Text(a.Profile), a.ParkTimeout.Milliseconds(), db.Text(a.StaticFlow),
		db.Text(a.CreatedBy), db.Text(a.ModifiedBy), db.At(a.Created), db.At(a.Modified),
	}
}

func insertApp(ctx context.Context, tx *db.Tx, a *App) error {
	v := a.values()
	if _, err := tx.Exec(ctx, "INSERT INTO control_app ("+appColumns+") VALUES "+db.Values(1, len(v)), v...); err != nil {
		return fmt.Errorf("insert app: %w", err)
	}
	return nil
}

func updateApp(ctx context.Context, tx *db.Tx, a *App) error {
	_, err := tx.Exec(ctx, `UPDATE control_app SET name = $2, is_active = $3, product = $4, auto_answer = $5, max_minutes = $6, verify_policy = $7, min_attest = $8,
  webhook_url = $9, webhook_method = $10, webhook_timeout = $11, webhook_secret = $12, flow_url = $13, flow_method = $14, flow_timeout = $15, fallback_url = $16,
  ingress = $17, egress = $18, profile = $19, park_timeout = $20, static_flow = $21, modified_by = $22, modified_on = $23 WHERE uuid = $1`,
		a.ID, a.Name, a.Active, number0(a.Product), a.AutoAnswer, number0(a.MaxMinutes), a.VerifyPolicy, a.MinAttest,
		db.Text(a.WebhookURL), a.WebhookMethod, numberOf(a.WebhookTimeout), db.Text(a.WebhookSecret), db.Text(a.FlowURL), a.FlowMethod, numberOf(a.FlowTimeout), db.Text(a.FallbackURL),
		db.JSONOf(a.Ingress), db.JSONOf(a.Egress), db.Text(a.Profile), a.ParkTimeout.Milliseconds(), db.Text(a.StaticFlow), db.Text(a.ModifiedBy), db.At(a.Modified))
	if err != nil {
		return fmt.Errorf("update app: %w", err)
	}
	return nil
}

func deleteApp(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM control_app WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("delete app: %w", err)
	}
	return nil
}

func prefixTaken(ctx context.Context, q db.Querier, prefix int) (bool, error) {
	var n int
	if err := q.QueryRow(ctx, "SELECT COUNT(*) FROM control_app WHERE tech_prefix = $1", prefix).Scan(&n); err != nil {
		return false, fmt.Errorf("tech prefix: %w", err)
	}
	return n > 0, nil
}

// appOf reads an app of an account; an empty account reads any.
func appOf(ctx context.Context, q db.Querier, account, id string) (App, error) {
	a, err := scanApp(q.QueryRow(ctx, "SELECT "+appColumns+" FROM control_app WHERE uuid = $1 AND ($2 = '' OR account = $2)", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return App{}, fault.Missing("SIP control app")
	}
	if err != nil {
		return App{}, fmt.Errorf("app: %w", err)
	}
	return a, nil
}

func appsOf(ctx context.Context, q db.Querier, account string) ([]App, error) {
	rows, err := q.Query(ctx, "SELECT "+appColumns+" FROM control_app WHERE account = $1 ORDER BY created_on DESC, uuid DESC", account)
	if err != nil {
		return nil, fmt.Errorf("apps: %w", err)
	}
	return collect(rows, scanApp)
}

// collect reads all rows of a query and closes it.
func collect[T any](rows *sql.Rows, scan func(func(...any) error) (T, error)) ([]T, error) {
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}
