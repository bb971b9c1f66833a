package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"
)

// Engine is the kind of database.
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Limits of the package, in one place.
const (
	maxBatch      = 128              // functions that share one commit
	sqliteReaders = 8                // read connections
	pgConns       = 24               // PostgreSQL connections, writers included
	pgWriters     = 4                // transactions that gather waiters at the same time
	maxWaiting    = 20000            // functions that may wait for a transaction; more are refused as unavailable
	busyTimeout   = 10 * time.Second // SQLite: wait for another process's lock
	attempts      = 6                // runs of one transaction after a deadlock or serialization failure
)

// Config says where the database is.
type Config struct {
	URL    string // sqlite:<path> or postgres://…
	Logger *slog.Logger
}

// Querier is what both a transaction and the read pool offer; queries use $1, $2, ….
type Querier interface {
	Exec(ctx context.Context, query string, args ...any) (int64, error)
	Query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
	Engine() Engine
}

// DB is an open database. It starts no goroutine of its own: the callers of Update do the work for each other.
type DB struct {
	engine Engine
	log    *slog.Logger
	read   *sql.DB
	write  *sql.DB
	stmts  statements // prepared on write; SQLite only, pgx keeps its own
	rstmts statements

	committed atomic.Int64 // transactions
	joined    atomic.Int64 // functions in them

	mu      sync.Mutex // guards the two below
	queue   []*waiter
	leaders int
}

// Open connects and checks that the database answers. The schema is not touched: see MigrateUp.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &DB{log: log}
	var err error
	switch {
	case strings.HasPrefix(cfg.URL, "sqlite:"):
		err = d.openSQLite(strings.TrimPrefix(cfg.URL, "sqlite:"))
	case strings.HasPrefix(cfg.URL, "postgres://"), strings.HasPrefix(cfg.URL, "postgresql://"):
		err = d.openPostgres(cfg.URL)
	default:
		err = fmt.Errorf("database %q: want sqlite:<path> or postgres://…", redact(cfg.URL))
	}
	if err != nil {
		return nil, err
	}
	if err := d.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", redact(cfg.URL), err), d.Close())
	}
	return d, nil
}

func redact(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	return "<unreadable URL>"
}

func (d *DB) openSQLite(path string) error {
	if path == "" {
		return errors.New("database sqlite: needs a path")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("database directory: %w", err)
	}
	common := fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)"+
		"&_pragma=temp_store(MEMORY)&_pragma=cache_size(-32000)", (&url.URL{Path: path}).EscapedPath(), busyTimeout.Milliseconds())
	var err error
	if d.write, err = sql.Open("sqlite", common+"&_txlock=immediate&_pragma=wal_autocheckpoint(4000)"); err != nil {
		return err
	}
	d.write.SetMaxOpenConns(1)
	d.write.SetConnMaxLifetime(0)
	if d.read, err = sql.Open("sqlite", common+"&_pragma=query_only(ON)"); err != nil {
		return err
	}
	d.read.SetMaxOpenConns(sqliteReaders)
	d.read.SetMaxIdleConns(sqliteReaders)
	d.engine = SQLite
	// The writer makes the file first: a reader with query_only cannot.
	return d.write.Ping()
}

func (d *DB) openPostgres(raw string) error {
	pool, err := sql.Open("pgx", raw)
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(pgConns)
	pool.SetMaxIdleConns(pgConns)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	d.read, d.write, d.engine = pool, pool, Postgres
	return nil
}

// Engine tells which database it is.
func (d *DB) Engine() Engine { return d.engine }

// Ping asks the database whether it answers, reads and writes alike.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	return d.read.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// Close ends all connections. Callers of Update must have returned.
func (d *DB) Close() error {
	err := errors.Join(d.stmts.close(), d.rstmts.close())
	if d.read != nil {
		err = errors.Join(err, d.read.Close())
	}
	if d.write != nil && d.write != d.read {
		err = errors.Join(err, d.write.Close())
	}
	return err
}

// Stats are counters since the start: committed transactions and the functions that shared them.
func (d *DB) Stats() (transactions, functions int64) { return d.committed.Load(), d.joined.Load() }

// Read gives the read pool: each query sees everything committed before it began.
func (d *DB) Read() Querier { return reader{d} }

type reader struct{ d *DB }

func (r reader) Engine() Engine { return r.d.engine }

func (r reader) Exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("db: write outside a transaction")
}

func (r reader) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if r.d.engine == SQLite {
		if st := r.d.rstmts.get(ctx, r.d.read, query); st != nil {
			return st.QueryContext(ctx, args...)
		}
	}
	return r.d.read.QueryContext(ctx, query, args...)
}

func (r reader) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	if r.d.engine == SQLite {
		if st := r.d.rstmts.get(ctx, r.d.read, query); st != nil {
			return st.QueryRowContext(ctx, args...)
		}
	}
	return r.d.read.QueryRowContext(ctx, query, args...)
}

// statements keeps prepared statements by text, up to a bound: searches make texts without end.
type statements struct {
	mu sync.RWMutex // guards m
	m  map[string]*sql.Stmt
}

const maxStatements = 600

// get prepares once; nil means "run it unprepared".
func (s *statements) get(ctx context.Context, on *sql.DB, query string) *sql.Stmt {
	s.mu.RLock()
	st, full := s.m[query], len(s.m) >= maxStatements
	s.mu.RUnlock()
	if st != nil || full {
		return st
	}
	st, err := on.PrepareContext(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil // the direct run reports the fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.m[query]; old != nil {
		_ = st.Close()
		return old
	}
	if s.m == nil {
		s.m = map[string]*sql.Stmt{}
	}
	s.m[query] = st
	return st
}

func (s *statements) peek(query string) *sql.Stmt {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[query]
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, st := range s.m {
		err = errors.Join(err, st.Close())
	}
	s.m = nil
	return err
}
