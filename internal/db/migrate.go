package db

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// storageVersion is the migration that tells PostgreSQL how to keep the busiest tables; it has no file, because SQLite knows nothing of it.
const storageVersion = 90

// storageSQL leaves compressed bytes as they are, and room in the pages of rows that change: a change that no index sees then stays in its page.
var storageSQL = []string{
	"ALTER TABLE event_block ALTER COLUMN body SET STORAGE EXTERNAL",
	"ALTER TABLE sms SET (fillfactor = 60)",
	"ALTER TABLE balance SET (fillfactor = 20)",
	"ALTER TABLE event_head SET (fillfactor = 20)",
}

func setStorage(ctx context.Context, tx *sql.Tx) error {
	for _, q := range storageSQL {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

func nothing(context.Context, *sql.Tx) error { return nil }

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	Applied bool
}

func (d *DB) provider() (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	type step = func(context.Context, *sql.Tx) error
	own := func(storage, fold step) goose.ProviderOption {
		return goose.WithGoMigrations(
			goose.NewGoMigration(storageVersion, &goose.GoFunc{RunTx: storage}, &goose.GoFunc{RunTx: nothing}),
			goose.NewGoMigration(foldVersion, &goose.GoFunc{RunTx: fold}, &goose.GoFunc{RunTx: nothing}))
	}
	if d.engine == SQLite {
		return goose.NewProvider(goose.DialectSQLite3, d.write, dir, own(nothing, nothing))
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, d.write, dir, goose.WithSessionLocker(locker), own(setStorage, setFold))
}

// MigrateUp brings the schema to the newest version; several nodes may call it at once.
func (d *DB) MigrateUp(ctx context.Context) error {
	p, err := d.provider()
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate up: %w", err)
	}
	return nil
}

// MigrateStatus lists the steps and which of them are applied.
func (d *DB) MigrateStatus(ctx context.Context) ([]Migration, error) {
	p, err := d.provider()
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	status, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	out := make([]Migration, 0, len(status))
	for _, s := range status {
		m := Migration{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied}
		switch m.Version {
		case storageVersion:
			m.Name = fmt.Sprintf("%05d_storage", storageVersion)
		case foldVersion:
			m.Name = fmt.Sprintf("%05d_fold", foldVersion)
		}
		out = append(out, m)
	}
	return out, nil
}
