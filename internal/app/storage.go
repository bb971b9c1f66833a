package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
)

// openDB opens the database and brings its schema up, unless an operator does that by hand.
func openDB(ctx context.Context, cfg config.Config, log *slog.Logger) (*db.DB, error) {
	d, err := db.Open(ctx, db.Config{URL: freeing(cfg.DB), Logger: log})
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

// idleLimit is how long PostgreSQL waits for the next statement of a transaction. A node that is frozen within one must not keep its rows from the others for
// longer than they take to declare it dead.
const idleLimit = 4 * time.Second

// freeing asks PostgreSQL for idleLimit, unless the operator has chosen another.
func freeing(raw string) string {
	const setting = "idle_in_transaction_session_timeout"
	u, err := url.Parse(raw)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") || u.Query().Has(setting) {
		return raw
	}
	q := u.Query()
	q.Set(setting, strconv.FormatInt(idleLimit.Milliseconds(), 10))
	u.RawQuery = q.Encode()
	return u.String()
}
