package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
)

// openDB opens the database and brings its schema up, unless an operator does that by hand.
func openDB(ctx context.Context, cfg config.Config, log *slog.Logger) (*db.DB, error) {
	d, err := db.Open(ctx, db.Config{URL: cfg.DB, Logger: log})
	if err != nil {
		return nil, err
	}
	if cfg.Migrate || strings.HasPrefix(cfg.DB, "sqlite:") {
		if err := d.MigrateUp(ctx); err != nil {
			_ = d.Close()
			return nil, fmt.Errorf("schema: %w", err)
		}
	}
	return d, nil
}
