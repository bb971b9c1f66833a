package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
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
	maxBatch      = 128                   // functions that share one commit
	sqliteReaders = 8                     // read connections
	sqlitePage    = 8192                  // bytes of a page in new files: rows of some kilobytes cost a tenth less than with 4096; 16384 writes a quarter more
	pgConns       = 24                    // PostgreSQL connections, writers included
	pgWriters     = 4                     // transactions that run at the same time when many wait
	patience      = 20 * time.Millisecond // of the oldest waiter, until another transaction starts beside those that run
	maxWaiting    = 20000                 // functions that may wait for a transaction; more are refused as unavailable
	busyTimeout   = 10 * time.Second      // SQLite: wait for another process's lock
	attempts      = 6                     // runs of one transaction after a deadlock or serialization failure
	connectWithin = 5 * time.Second       // PostgreSQL: for a new connection, when the URL says nothing else
	// maxWait is how long a function may wait for its turn, and maxTransaction how long a PostgreSQL transaction may take: a server that neither answers
	// nor refuses holds a caller for no longer than both together.
	maxWait        = 15 * time.Second
	maxTransaction = 30 * time.Second
)

// Config says where the database is.
type Config struct {
	URL    string // sqlite:<path> or postgres://…
	Logger *slog.Logger
	Fault  func(Stage) error // nil but in tests: asked at each stage, its error is a database that fails there
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
	fault  func(Stage) error
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
	d := &DB{log: log, fault: cfg.Fault}
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
	if err := d.durable(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", redact(cfg.URL), err), d.Close())
	}
	return d, nil
}

// durable refuses a PostgreSQL session whose commits are answered before they are on the disk, and warns of a server that never asks the disk.
func (d *DB) durable(ctx context.Context) error {
	if d.engine != Postgres {
		return nil
	}
	var commit, sync string
	if err := d.read.QueryRowContext(ctx, "SELECT current_setting('synchronous_commit'), current_setting('fsync')").Scan(&commit, &sync); err != nil {
		return err
	}
	if commit == "off" {
		return errors.New("synchronous_commit is off: what was answered could be lost; leave it out of the URL")
	}
	if sync == "off" {
		d.log.Warn("PostgreSQL runs with fsync off: a power failure loses what was answered, or the whole database")
	}
	return nil
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
	if err := newFile(path); err != nil {
		return err
	}
	if d.write, err = openFile(common + "&_txlock=immediate&_pragma=wal_autocheckpoint(4000)"); err != nil {
		return err
	}
	d.write.SetMaxOpenConns(1)
	d.write.SetConnMaxLifetime(0)
	if d.read, err = openFile(common + "&_pragma=query_only(ON)"); err != nil {
		return err
	}
	d.read.SetMaxOpenConns(sqliteReaders)
	d.read.SetMaxIdleConns(sqliteReaders)
	d.engine = SQLite
	// The writer comes first: a reader with query_only cannot make what is missing.
	return d.write.Ping()
}

// newFile makes the file of a database that is not there yet, because its page size cannot change later.
func newFile(path string) (err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	d, err := openFile(fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)", (&url.URL{Path: path}).EscapedPath(), busyTimeout.Milliseconds()))
	if err != nil {
		return err
	}
	d.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, err = d.Exec(fmt.Sprintf("PRAGMA page_size = %d", sqlitePage)); err == nil {
		_, err = d.Exec("PRAGMA journal_mode = WAL")
	}
	return err
}

func (d *DB) openPostgres(raw string) error {
	cfg, err := pgx.ParseConfig(raw)
	if err != nil {
		return fmt.Errorf("database %s: %w", redact(raw), err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectWithin
	}
	// A plan is kept as long as a connection lives: one made while a table was small must not read all of it once it is large.
	if cfg.RuntimeParams["enable_seqscan"] == "" {
		cfg.RuntimeParams["enable_seqscan"] = "off"
		cfg.RuntimeParams["jit"] = "off" // the price of a full read that has no index would ask for it
	}
	// A commit is answered when it is on the disk, whatever the database or the role is set to (PostgreSQL 15 §20.5.1). The URL may ask for more, such as remote_apply.
	if cfg.RuntimeParams["synchronous_commit"] == "" {
		cfg.RuntimeParams["synchronous_commit"] = "on"
	}
	pool := stdlib.OpenDB(*cfg)
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

// Read gives the read pool: each query sees everything committed before it began; one with a context of Join, what its transaction sees.
func (d *DB) Read() Querier { return reader{d} }

type reader struct{ d *DB }

func (r reader) Engine() Engine { return r.d.engine }

func (r reader) Exec(context.Context, string, ...any) (int64, error) {
	return 0, errors.New("db: write outside a transaction")
}

func (r reader) Query(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	if in, ok := r.d.part(ctx); ok {
		rows, err = in.tx.Query(ctx, query, args...)
		return rows, storageFault(err)
	}
	if err := r.d.trouble(Reading); err != nil {
		return nil, storageFault(err)
	}
	text, p := r.prepared(ctx, query)
	args = arrange(p.order, args)
	if p.st != nil {
		rows, err = p.st.QueryContext(ctx, args...)
	} else {
		rows, err = r.d.read.QueryContext(ctx, text, args...)
	}
	return rows, storageFault(err)
}

// prepared gives the text to run and, for SQLite, its statement once it has one.
func (r reader) prepared(ctx context.Context, query string) (text string, p prepared) {
	if r.d.engine != SQLite {
		return query, prepared{}
	}
	if p = r.d.rstmts.get(ctx, r.d.read, query); p.st != nil {
		return "", p
	}
	text, p.order = positional(query)
	return text, p
}

func (r reader) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	if in, ok := r.d.part(ctx); ok {
		return in.tx.QueryRow(ctx, query, args...)
	}
	text, p := r.prepared(ctx, query)
	args = arrange(p.order, args)
	if p.st != nil {
		return p.st.QueryRowContext(ctx, args...)
	}
	return r.d.read.QueryRowContext(ctx, text, args...)
}

// statements keeps prepared statements by text, up to a bound. Searches make texts without end, so only a text that comes again and again is worth one.
type statements struct {
	mu   sync.RWMutex // guards the two below
	m    map[string]prepared
	seen map[string]int // texts that were not prepared yet
}

const (
	maxStatements = 600
	maxSeen       = 2000 // texts that are counted before the counting starts anew
	prepareAt     = 3    // runs of a text until it is prepared
)

// get gives the prepared statement; one without st means "run it unprepared".
func (s *statements) get(ctx context.Context, on *sql.DB, query string) prepared {
	if p := s.peek(query); p.st != nil || !s.often(query) {
		return p
	}
	text, order := positional(query)
	st, err := on.PrepareContext(context.WithoutCancel(ctx), text)
	if err != nil {
		return prepared{} // the direct run reports the fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.m[query]; old.st != nil {
		_ = st.Close()
		return old
	}
	if s.m == nil {
		s.m = map[string]prepared{}
	}
	delete(s.seen, query)
	s.m[query] = prepared{st, order}
	return s.m[query]
}

// often counts a text and tells whether it is time to prepare it.
func (s *statements) often(query string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.m) >= maxStatements {
		return false
	}
	if s.seen == nil || len(s.seen) >= maxSeen {
		s.seen = map[string]int{}
	}
	s.seen[query]++
	return s.seen[query] >= prepareAt
}

func (s *statements) peek(query string) prepared {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.m[query]
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, p := range s.m {
		err = errors.Join(err, p.st.Close())
	}
	s.m = nil
	return err
}
