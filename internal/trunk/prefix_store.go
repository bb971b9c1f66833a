package trunk

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// Kinds of objects that a tech prefix chooses (voice-semantics §2.4).
const (
	PrefixApp        = "app"
	PrefixConnection = "connection"
	PrefixProfile    = "profile"
)

// PrefixOwner is the object that a tech prefix chooses.
type PrefixOwner struct {
	Kind    string
	Account string
	Ref     string // uuid
}

// ClaimPrefix gives an object a tech prefix that is unique on the platform: the wanted one, or a free one of six digits when want is zero. One that
// is taken is a 409. An object that has a prefix changes it.
func (s *Service) ClaimPrefix(ctx context.Context, tx *db.Tx, want int, o PrefixOwner) (int, error) {
	for range claimTries {
		p := want
		if p == 0 {
			p = 100_000 + s.rand(900_000)
		}
		var have int
		err := tx.QueryRow(ctx, `INSERT INTO tech_prefix (prefix, kind, account, ref) SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM tech_prefix WHERE prefix = $1 AND ref <> $4)
			ON CONFLICT (ref) DO UPDATE SET prefix = excluded.prefix RETURNING prefix`, p, o.Kind, o.Account, o.Ref).Scan(&have)
		switch {
		case err == nil:
			return have, nil
		case errors.Is(err, sql.ErrNoRows) && want == 0:
			continue
		case errors.Is(err, sql.ErrNoRows), db.IsUnique(err):
			return 0, fault.Taken("Tech prefix")
		}
		return 0, fmt.Errorf("claim tech prefix: %w", err)
	}
	return 0, fault.Newf(fault.Conflict, "no tech prefix is free")
}

// FreePrefix gives up the tech prefix of an object.
func (s *Service) FreePrefix(ctx context.Context, tx *db.Tx, ref string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM tech_prefix WHERE ref = $1", ref); err != nil {
		return fmt.Errorf("free tech prefix: %w", err)
	}
	return nil
}

// ByPrefix finds the object that a tech prefix chooses.
func (s *Service) ByPrefix(ctx context.Context, q db.Querier, prefix int) (o PrefixOwner, found bool, err error) {
	err = q.QueryRow(ctx, "SELECT kind, account, ref FROM tech_prefix WHERE prefix = $1", prefix).Scan(&o.Kind, &o.Account, &o.Ref)
	if errors.Is(err, sql.ErrNoRows) {
		return o, false, nil
	}
	if err != nil {
		return o, false, fmt.Errorf("tech prefix: %w", err)
	}
	return o, true, nil
}
