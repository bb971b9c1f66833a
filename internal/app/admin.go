package app

import (
	"context"
	"log/slog"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
)

// Admin is what commands do on the data directory or database itself, with the server running or not.
type Admin struct {
	Accounts *account.Service
	DB       *db.DB
}

// OpenAdmin opens the database, brings its schema up and builds the domains, so that a user made here gets the same rows as one made over REST.
func OpenAdmin(ctx context.Context, cfg config.Config, log *slog.Logger) (*Admin, error) {
	d, err := openDB(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	m, err := newDomains(cfg, "", d, nil, log)
	if err != nil {
		return nil, err
	}
	return &Admin{Accounts: m.accounts, DB: d}, nil
}

// Close closes the database.
func (a *Admin) Close() error { return a.DB.Close() }
