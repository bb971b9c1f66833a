package dbtest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
)

// Each runs fn twice as a subtest: "sqlite" and "postgres".
func Each(t *testing.T, fn func(t *testing.T, d *db.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// SQLite opens a fresh migrated SQLite database.
func SQLite(t testing.TB) *db.DB {
	t.Helper()
	file.once.Do(func() { file.image, file.err = makeFile() })
	if file.err != nil {
		t.Fatal(file.err)
	}
	u := SQLiteURL(t)
	if err := os.WriteFile(strings.TrimPrefix(u, "sqlite:"), file.image, 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, u)
}

// Postgres opens a fresh migrated PostgreSQL database.
func Postgres(t testing.TB) *db.DB { return open(t, PostgresURL(t)) }

// SQLiteURL names a file in the test's own directory.
func SQLiteURL(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") }

// open opens a copy of a template.
func open(t testing.TB, u string) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Config{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// file is a migrated SQLite database, made once per process: a copy is there at once, while to migrate takes a fifth of a second under the race detector.
var file struct {
	once  sync.Once
	err   error
	image []byte
}

func makeFile() ([]byte, error) {
	dir, err := os.MkdirTemp("", "opentact-db-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx, name := context.Background(), filepath.Join(dir, "template.db")
	d, err := db.Open(ctx, db.Config{URL: "sqlite:" + name})
	if err != nil {
		return nil, err
	}
	if err := d.MigrateUp(ctx); err != nil {
		_ = d.Close()
		return nil, err
	}
	if err := d.Close(); err != nil { // everything is in the one file then
		return nil, err
	}
	return os.ReadFile(name)
}

// template is made once per process: later databases are copies of it, which is quicker than migrating each.
var template struct {
	once sync.Once
	err  error
	name string
}

var serial atomic.Int64

// PostgresURL makes an empty database (copied from a migrated template) and names it; it is dropped when the test ends, unless its server is Passing.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server, err := Server()
	if err != nil {
		t.Fatalf("PostgreSQL for tests (Debian package postgresql): %v", err)
	}
	template.once.Do(func() { template.name, template.err = makeTemplate(server) })
	if template.err != nil {
		t.Fatal(template.err)
	}
	name := fmt.Sprintf("t%d_%s", serial.Add(1), ident.Secret(10))
	if err := admin(server, fmt.Sprintf("CREATE DATABASE %q TEMPLATE %q", name, template.name)); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(Passing) != "" {
		return withName(server, name)
	}
	t.Cleanup(func() {
		if err := admin(server, fmt.Sprintf("DROP DATABASE IF EXISTS %q WITH (FORCE)", name)); err != nil {
			t.Error(err)
		}
	})
	return withName(server, name)
}

func makeTemplate(server string) (string, error) {
	name := "tpl_" + ident.Secret(10)
	if err := admin(server, fmt.Sprintf("CREATE DATABASE %q", name)); err != nil {
		return "", err
	}
	ctx := context.Background()
	d, err := db.Open(ctx, db.Config{URL: withName(server, name)})
	if err != nil {
		return "", err
	}
	if err := d.MigrateUp(ctx); err != nil {
		return "", err
	}
	return name, d.Close()
}

func withName(server, name string) string {
	u, _ := url.Parse(server)
	u.Path = "/" + name
	return u.String()
}

// createMu keeps copies of the template one after the other: PostgreSQL refuses to copy a database that is being copied by others with connections.
var createMu sync.Mutex

func admin(server, statement string) error {
	createMu.Lock()
	defer createMu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pool, err := sql.Open("pgx", withName(server, "postgres"))
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.ExecContext(ctx, statement)
	return err
}
