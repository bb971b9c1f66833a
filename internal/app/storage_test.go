package app

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestAnOlderSchemaIsRefusedWhereTheOperatorMigrates(t *testing.T) {
	url := dbtest.PostgresURL(t)
	open := func(flags ...string) error {
		cfg, err := config.Load(append([]string{"--data", t.TempDir(), "--db", url}, flags...), nil)
		if err != nil {
			t.Fatal(err)
		}
		admin, err := OpenAdmin(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			err = admin.Close()
		}
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	if err := open("--migrate=false"); err != nil {
		t.Error("a schema that is up is refused:", err)
	}
	d, err := db.Open(t.Context(), db.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM goose_db_version WHERE version_id = (SELECT MAX(version_id) FROM goose_db_version)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := open("--migrate=false"); err == nil || !strings.Contains(err.Error(), "1 steps behind") || !strings.Contains(err.Error(), "opentact migrate up") {
		t.Error(err)
	}
}
