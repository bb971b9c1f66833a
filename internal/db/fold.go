package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"

	"modernc.org/sqlite"
)

// foldCase is the SQL function by which searches compare text without regard to case, in every script: lower of SQLite knows ASCII only, and so does that
// of a PostgreSQL cluster with the locale C.
const foldCase = "fold_case"

// foldVersion is the migration that makes the function on PostgreSQL; on SQLite each connection brings it along.
const foldVersion = 91

// foldSQL makes it with the first of these collations that the server has; %s is the collation.
const foldSQL = `CREATE FUNCTION ` + foldCase + `(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT lower($1 COLLATE "%s")'`

func setFold(ctx context.Context, tx *sql.Tx) error {
	var collation string
	err := tx.QueryRowContext(ctx, `SELECT collname FROM pg_collation WHERE collname IN ('und-x-icu', 'pg_c_utf8', 'C.utf8', 'default')
		AND collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))
		ORDER BY CASE collname WHEN 'und-x-icu' THEN 0 WHEN 'pg_c_utf8' THEN 1 WHEN 'C.utf8' THEN 2 ELSE 3 END LIMIT 1`).Scan(&collation)
	if err != nil {
		return fmt.Errorf("collations: %w", err)
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf(foldSQL, collation))
	return err
}

// sqliteFile opens connections that have the function. A driver of our own keeps it out of the process's other databases.
type sqliteFile struct {
	driver *sqlite.Driver
	name   string
}

func newSQLiteFile(name string) (*sqliteFile, error) {
	f := &sqliteFile{&sqlite.Driver{}, name}
	err := f.driver.RegisterDeterministicScalarFunction(foldCase, 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		if s, ok := args[0].(string); ok {
			return strings.ToLower(s), nil
		}
		return args[0], nil
	})
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", foldCase, err)
	}
	return f, nil
}

// Connect implements driver.Connector.
func (f *sqliteFile) Connect(context.Context) (driver.Conn, error) { return f.driver.Open(f.name) }

// Driver implements driver.Connector.
func (f *sqliteFile) Driver() driver.Driver { return f.driver }

// openFile opens a pool of connections to a SQLite database.
func openFile(name string) (*sql.DB, error) {
	f, err := newSQLiteFile(name)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(f), nil
}
