package app

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
)

// secret gives a random secret of the installation, made when it is first asked for; all nodes of a database share it.
func (a *App) secret(ctx context.Context, name string) ([]byte, error) {
	var text string
	err := a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		fresh := hex.EncodeToString([]byte(ident.Secret(32)))
		if _, err := tx.Exec(ctx, "INSERT INTO setting (name, value, modified_on) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING", name, fresh, a.now().UnixMicro()); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT value FROM setting WHERE name = $1", name).Scan(&text)
	})
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return hex.DecodeString(text)
}
