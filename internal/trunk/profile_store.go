package trunk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
)

const profileColumns = `uuid, account, name, is_active, product, lease, tech_prefix, shaken_sign_policy, max_rate, daily_spend_limit, record_calls, file_format,
	audio_track_type, max_duration, settings, created_by, modified_by, created_on, modified_on`

// profileSettings are the members that no statement asks for.
type profileSettings struct {
	Trunk         TrunkSettings `json:"trunk"`
	Channels      *float64      `json:"channels,omitempty"`
	CPS           *float64      `json:"cps,omitempty"`
	RecordCallers []e164.Number `json:"record_callers,omitempty"`
	Countries     []string      `json:"countries"`
}

func amountOf(n sql.NullInt64) *money.Amount {
	if !n.Valid {
		return nil
	}
	a := money.Amount(n.Int64)
	return &a
}

func nullAmount(a *money.Amount) sql.NullInt64 {
	if a == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: int64(*a), Valid: true}
}

func scanProfile(scan func(...any) error) (Profile, error) {
	var p Profile
	var product, rate, daily sql.NullInt64
	var lease, by, modBy db.Text
	var seconds int64
	var set db.JSON[profileSettings]
	var created, modified db.Time
	err := scan(&p.ID, &p.Account, &p.Name, &p.Active, &product, &lease, &p.TechPrefix, &p.SignPolicy, &rate, &daily, &p.Record, &p.Format, &p.Tracks, &seconds, &set,
		&by, &modBy, &created, &modified)
	p.Product, p.Lease, p.MaxRate, p.DailyLimit = int(product.Int64), string(lease), amountOf(rate), amountOf(daily)
	p.MaxDuration = time.Duration(seconds) * time.Second
	p.Trunk, p.Channels, p.CPS, p.RecordCallers, p.Countries = set.V.Trunk, set.V.Channels, set.V.CPS, set.V.RecordCallers, set.V.Countries
	p.CreatedBy, p.ModifiedBy, p.Created, p.Modified = string(by), string(modBy), created.Time, modified.Time
	return p, err
}

func profiles(ctx context.Context, q db.Querier, account string) ([]Profile, error) {
	rows, err := q.Query(ctx, "SELECT "+profileColumns+" FROM outbound_profile WHERE account = $1 ORDER BY created_on DESC, uuid DESC", account)
	return db.List("outbound voice profiles", rows, err, scanProfile)
}

// profileByID reads one of the account's; lock is what the SELECT ends with.
func profileByID(ctx context.Context, q db.Querier, account, id, lock string) (Profile, error) {
	return oneProfile(q.QueryRow(ctx, "SELECT "+profileColumns+" FROM outbound_profile WHERE uuid = $1 AND account = $2"+lock, id, account))
}

// oldestProfile is the one of calls that name none: the account's oldest active profile.
func oldestProfile(ctx context.Context, q db.Querier, account string) (Profile, error) {
	return oneProfile(q.QueryRow(ctx, "SELECT "+profileColumns+" FROM outbound_profile WHERE account = $1 AND is_active = $2 ORDER BY created_on, uuid LIMIT 1", account, true))
}

func oneProfile(row *sql.Row) (Profile, error) {
	p, err := scanProfile(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return p, fault.Missing("Outbound voice profile")
	}
	if err != nil {
		return p, fmt.Errorf("outbound voice profile: %w", err)
	}
	return p, nil
}

func profileValues(p Profile) []any {
	set := profileSettings{Trunk: p.Trunk, Channels: p.Channels, CPS: p.CPS, RecordCallers: p.RecordCallers, Countries: p.Countries}
	return []any{
		p.ID, p.Account, p.Name, p.Active,
		sql.NullInt64{Int64: int64(p.Product), Valid: p.Product != 0},
		db.Text(p.Lease), p.TechPrefix, p.SignPolicy,
		nullAmount(p.MaxRate), nullAmount(p.DailyLimit), p.Record, p.Format, p.Tracks, int64(p.MaxDuration / time.Second), db.JSONOf(set),
		db.Text(p.CreatedBy), db.Text(p.ModifiedBy), db.At(p.Created), db.At(p.Modified),
	}
}

func insertProfile(ctx context.Context, tx *db.Tx, p Profile, now time.Time) (Profile, error) {
	p.Modified = db.At(now).Time.UTC()
	p.Created = p.Modified
	if _, err := tx.Exec(ctx, "INSERT INTO outbound_profile ("+profileColumns+") VALUES "+db.Values(1, 19), profileValues(p)...); err != nil {
		return p, fmt.Errorf("make outbound voice profile: %w", err)
	}
	return p, nil
}

func updateProfile(ctx context.Context, tx *db.Tx, p Profile, now time.Time) (Profile, error) {
	p.Modified = db.At(now).Time.UTC()
	v := profileValues(p)
	args := append([]any{v[0]}, v[2:17]...)
	_, err := tx.Exec(ctx, `UPDATE outbound_profile SET name = $2, is_active = $3, product = $4, lease = $5, tech_prefix = $6, shaken_sign_policy = $7, max_rate = $8,
		daily_spend_limit = $9, record_calls = $10, file_format = $11, audio_track_type = $12, max_duration = $13, settings = $14, created_by = $15, modified_by = $16,
		modified_on = $17 WHERE uuid = $1`, append(args, v[18])...)
	if err != nil {
		return p, fmt.Errorf("change outbound voice profile: %w", err)
	}
	return p, nil
}

func deleteProfile(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM outbound_profile WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("remove outbound voice profile: %w", err)
	}
	return nil
}

// parked is the stand-in that holds an object's old prefix while it moves to a new one.
func parked(ref string) string { return "old:" + ref }

func parkPrefix(ctx context.Context, tx *db.Tx, ref string) error {
	if _, err := tx.Exec(ctx, "UPDATE tech_prefix SET ref = $1 WHERE ref = $2", parked(ref), ref); err != nil {
		return fmt.Errorf("move tech prefix: %w", err)
	}
	return nil
}
