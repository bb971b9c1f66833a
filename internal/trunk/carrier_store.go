package trunk

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

const carrierColumns = "uuid, name, kind, is_active, priority, weight, prefixes, voice, sms, created_on, modified_on"

func scanCarrier(scan func(...any) error) (Carrier, error) {
	var c Carrier
	var prefixes db.JSON[[]string]
	var voice db.JSON[*VoiceLink]
	var sms db.JSON[*SMSLink]
	var created, modified db.Time
	err := scan(&c.ID, &c.Name, &c.Kind, &c.Active, &c.Priority, &c.Weight, &prefixes, &voice, &sms, &created, &modified)
	c.Prefixes, c.Created, c.Modified = prefixes.V, created.Time, modified.Time
	if voice.V != nil {
		c.Voice = *voice.V
	}
	if sms.V != nil {
		c.SMS = *sms.V
	}
	return c, err
}

func carriers(ctx context.Context, q db.Querier, kind string) ([]Carrier, error) {
	rows, err := q.Query(ctx, "SELECT "+carrierColumns+" FROM carrier WHERE kind = $1 OR $1 = '' ORDER BY priority, name", kind)
	return db.List("carriers", rows, err, scanCarrier)
}

// carrierByID reads one; lock is what the SELECT ends with.
func carrierByID(ctx context.Context, q db.Querier, id, lock string) (Carrier, error) {
	c, err := scanCarrier(q.QueryRow(ctx, "SELECT "+carrierColumns+" FROM carrier WHERE uuid = $1"+lock, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, fault.Missing("Carrier")
	}
	if err != nil {
		return c, fmt.Errorf("carrier: %w", err)
	}
	return c, nil
}

func carrierByName(ctx context.Context, q db.Querier, name string) (c Carrier, found bool, err error) {
	c, err = scanCarrier(q.QueryRow(ctx, "SELECT "+carrierColumns+" FROM carrier WHERE name = $1", name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("carrier: %w", err)
	}
	return c, true, nil
}

// putCarrier makes a carrier, or changes the one with its uuid; a name in use is a 409.
func putCarrier(ctx context.Context, tx *db.Tx, c Carrier, now time.Time) (Carrier, error) {
	var voice *VoiceLink
	var sms *SMSLink
	if c.Kind == Voice {
		voice = &c.Voice
	} else {
		sms = &c.SMS
	}
	c.Modified = db.At(now).Time.UTC()
	if c.ID == "" {
		c.ID, c.Created = ident.New(), c.Modified
	}
	_, err := tx.Exec(ctx, "INSERT INTO carrier ("+carrierColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (uuid) DO UPDATE SET name = excluded.name, kind = excluded.kind, is_active = excluded.is_active, priority = excluded.priority,
		weight = excluded.weight, prefixes = excluded.prefixes, voice = excluded.voice, sms = excluded.sms, modified_on = excluded.modified_on`,
		c.ID, c.Name, c.Kind, c.Active, c.Priority, c.Weight, db.JSONOf(c.Prefixes), db.JSONOf(voice), db.JSONOf(sms), db.At(c.Created), db.At(c.Modified))
	if db.IsUnique(err) {
		return c, fault.Taken("Carrier")
	}
	if err != nil {
		return c, fmt.Errorf("save carrier: %w", err)
	}
	return c, nil
}

func deleteCarrier(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM carrier WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("remove carrier: %w", err)
	}
	return nil
}
