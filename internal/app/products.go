package app

import (
	"log/slog"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
)

// products are the domains that never import each other.
type products struct{}

// build makes the products and ties them together.
func (m *domains) build(_ config.Config, _ *db.DB, _ *slog.Logger) error {
	m.numbers.Bind(relations{m}, nil)
	m.accounts.Attach(account.Parts{Balances: m.billing, Credit: m.billing, Presence: m.gate})
	return nil
}

// routes registers the operations of the products.
func (m *domains) routes(_ *httpapi.API) {}
