package billing

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

const planColumns = "uuid, name, description, is_active, toll_free, country, priority, prices, created_on, modified_on"

func scanPlan(scan func(...any) error) (Plan, error) {
	var p Plan
	var desc, prio db.Text
	var prices db.JSON[Prices]
	var created, modified db.Time
	err := scan(&p.UUID, &p.Name, &desc, &p.Active, &p.TollFree, &p.Country, &prio, &prices, &created, &modified)
	p.Description, p.Priority, p.Prices, p.Created, p.Modified = string(desc), string(prio), prices.V, created.Time, modified.Time
	return p, err
}

// SeedPlans makes the sample plans where they are missing.
func (s *Service) SeedPlans(ctx context.Context, tx *db.Tx) error {
	for _, p := range samplePlans() {
		p.UUID, p.Created, p.Modified = ident.New(), s.now(), s.now()
		if _, err := insertPlan(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

// insertPlan makes a plan; made is false when its name is there already.
func insertPlan(ctx context.Context, tx *db.Tx, p Plan) (made bool, err error) {
	n, err := tx.Exec(ctx, "INSERT INTO plan ("+planColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO NOTHING",
		p.UUID, p.Name, db.Text(p.Description), p.Active, p.TollFree, p.Country, db.Text(p.Priority), db.JSONOf(p.Prices), db.At(p.Created), db.At(p.Modified))
	if err != nil {
		return false, fmt.Errorf("make plan %s: %w", p.Name, err)
	}
	return n == 1, nil
}

// Plan gives a plan by name or uuid, or a 404 "TN profile not found".
func (s *Service) Plan(ctx context.Context, q db.Querier, key string) (Plan, error) {
	p, err := scanPlan(q.QueryRow(ctx, "SELECT "+planColumns+" FROM plan WHERE name = $1 OR uuid = $1", key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Plan{}, fault.Missing("TN profile")
	}
	if err != nil {
		return Plan{}, fmt.Errorf("plan %s: %w", key, err)
	}
	return p, nil
}

// Plans lists all plans, newest first.
func (s *Service) Plans(ctx context.Context, q db.Querier) ([]Plan, error) {
	rows, err := q.Query(ctx, "SELECT "+planColumns+" FROM plan ORDER BY created_on DESC, uuid DESC")
	if err != nil {
		return nil, fmt.Errorf("plans: %w", err)
	}
	defer rows.Close()
	var out []Plan
	for rows.Next() {
		p, err := scanPlan(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("plans: %w", err)
		}
		out = append(out, p)
	}
	return out, rows.Err()
}

// Prices gives what an account pays for numbers of a plan: its special price while it lasts, else the plan's.
func (s *Service) Prices(ctx context.Context, q db.Querier, account, plan string) (Prices, error) {
	var prices db.JSON[Prices]
	err := q.QueryRow(ctx, `SELECT COALESCE(s.prices, p.prices) FROM plan AS p LEFT JOIN special_price AS s ON s.plan = p.uuid AND s.account = $1 AND s.expired_on > $2
		WHERE p.name = $3 OR p.uuid = $3`, account, s.now().UnixMicro(), plan).Scan(&prices)
	if errors.Is(err, sql.ErrNoRows) {
		return Prices{}, fault.Missing("TN profile")
	}
	if err != nil {
		return Prices{}, fmt.Errorf("prices of plan %s: %w", plan, err)
	}
	return prices.V, nil
}

// SavePlan makes a plan, or changes the one with its uuid.
func (s *Service) SavePlan(ctx context.Context, tx *db.Tx, p Plan) (Plan, error) {
	now := s.now()
	p.Modified = now
	if p.UUID != "" {
		n, err := tx.Exec(ctx, "UPDATE plan SET name = $1, description = $2, is_active = $3, toll_free = $4, country = $5, priority = $6, prices = $7, modified_on = $8 WHERE uuid = $9",
			p.Name, db.Text(p.Description), p.Active, p.TollFree, p.Country, db.Text(p.Priority), db.JSONOf(p.Prices), db.At(now), p.UUID)
		if db.IsUnique(err) {
			return Plan{}, fault.Taken("TN profile")
		}
		if err == nil && n == 0 {
			err = fault.Missing("TN profile")
		}
		return p, err
	}
	p.UUID, p.Created = ident.New(), now
	if old, err := s.Plan(ctx, tx, p.Name); err == nil && old.UUID != "" {
		return Plan{}, fault.Taken("TN profile")
	} else if err != nil && !fault.Is(err, fault.NotFound) {
		return Plan{}, err
	}
	made, err := insertPlan(ctx, tx, p)
	if err == nil && !made { // another administrator was quicker
		err = fault.Taken("TN profile")
	}
	return p, err
}

// Specials lists the special prices of an account that are in force, newest first.
func (s *Service) Specials(ctx context.Context, q db.Querier, account string) ([]Special, error) {
	rows, err := q.Query(ctx, `SELECT s.uuid, s.prices, s.expired_on, s.created_on, s.modified_on, p.uuid, p.name, p.description, p.is_active, p.toll_free, p.country, p.priority, p.prices, p.created_on, p.modified_on
		FROM special_price AS s JOIN plan AS p ON p.uuid = s.plan WHERE s.account = $1 AND s.expired_on > $2 ORDER BY s.created_on DESC, s.uuid DESC`, account, s.now().UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("special prices: %w", err)
	}
	defer rows.Close()
	var out []Special
	for rows.Next() {
		sp := Special{Account: account}
		var prices db.JSON[Prices]
		var expires, created, modified db.Time
		sp.Plan, err = scanPlan(func(dest ...any) error {
			return rows.Scan(append([]any{&sp.UUID, &prices, &expires, &created, &modified}, dest...)...)
		})
		if err != nil {
			return nil, fmt.Errorf("special prices: %w", err)
		}
		sp.Prices, sp.Expires, sp.Created, sp.Modified = prices.V, expires.Time, created.Time, modified.Time
		out = append(out, sp)
	}
	return out, rows.Err()
}

// SaveSpecial agrees prices for an account and a plan until a time, in place of an older agreement.
func (s *Service) SaveSpecial(ctx context.Context, tx *db.Tx, account, plan string, p Prices, until time.Time) (string, error) {
	now := s.now()
	var id string
	err := tx.QueryRow(ctx, `INSERT INTO special_price (uuid, account, plan, prices, expired_on, created_on, modified_on) VALUES ($1, $2, $3, $4, $5, $6, $6)
		ON CONFLICT (account, plan) DO UPDATE SET prices = excluded.prices, expired_on = excluded.expired_on, modified_on = excluded.modified_on RETURNING uuid`,
		ident.New(), account, plan, db.JSONOf(p), until.UnixMicro(), now.UnixMicro()).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("special price: %w", err)
	}
	return id, nil
}
