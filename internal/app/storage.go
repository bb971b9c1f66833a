package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
)

// openDB opens the database and brings its schema up; where an operator does that by hand it must be up.
func openDB(ctx context.Context, cfg config.Config, log *slog.Logger) (*db.DB, error) {
	d, err := db.Open(ctx, db.Config{URL: freeing(cfg.DB), Logger: log})
	if err != nil {
		return nil, err
	}
	if cfg.Migrate || strings.HasPrefix(cfg.DB, "sqlite:") {
		err = d.MigrateUp(ctx)
	} else {
		err = upToDate(ctx, d)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("schema: %w", err), d.Close())
	}
	return d, nil
}

// upToDate refuses a schema that is older than this program.
func upToDate(ctx context.Context, d *db.DB) error {
	steps, err := d.MigrateStatus(ctx)
	if err != nil {
		return err
	}
	missing := 0
	for _, s := range steps {
		if !s.Applied {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("it is %d steps behind this program: run opentact migrate up", missing)
	}
	return nil
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
