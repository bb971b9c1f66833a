package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"github.com/opentact/opentact/internal/fault"
)

// Result codes of SQLite (its C API's "Result Codes"); the low byte is the kind.
const (
	sqliteBusy     = 5
	sqliteReadOnly = 8
	sqliteIOError  = 10
	sqliteFull     = 13
	sqliteCantOpen = 14
)

// poisoned: PostgreSQL refuses every statement after a failed one until the transaction is rolled back.
func poisoned(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg)
}

// retryable tells deadlocks and serialization failures, after which the same work may pass.
func retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40P01" || pg.Code == "40001")
}

// refused tells a server that takes no connection: trying again at once does not help.
func refused(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || err.Error() == closedText
}

// storageFault gives trouble with the storage itself its public meaning: 503, try again.
func storageFault(err error) error {
	if err == nil || fault.Of(err) != nil {
		return err
	}
	if Down(err) || retryable(err) {
		return &fault.Error{Code: fault.Unavailable, Cause: err}
	}
	return err
}

// closedText is what database/sql says after Close; it exports no value for it.
const closedText = "sql: database is closed"

// Down tells errors that mean "the database cannot take work now": gone, full, or read-only, as opposed to a wrong statement.
func Down(err error) bool {
	if err == nil {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch class := pg.Code; {
		case strings.HasPrefix(class, "08"), strings.HasPrefix(class, "53"), strings.HasPrefix(class, "57"), strings.HasPrefix(class, "58"):
			return true
		}
		return pg.Code == "25006" // read-only: a standby
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqliteBusy, sqliteReadOnly, sqliteIOError, sqliteFull, sqliteCantOpen:
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	for _, sign := range []error{sql.ErrConnDone, driver.ErrBadConn, io.ErrUnexpectedEOF, context.DeadlineExceeded, net.ErrClosed} {
		if errors.Is(err, sign) {
			return true
		}
	}
	if errors.As(err, &connect) || errors.As(err, &network) {
		return true
	}
	s := err.Error()
	return strings.Contains(s, "conn closed") || strings.Contains(s, closedText)
}

// IsUnique tells a violated uniqueness, on both engines.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	return err != nil && strings.Contains(err.Error(), "UNIQUE constraint failed")
}

// Stage is a moment of a transaction, or of a query outside of one, at which a test can let the database fail.
type Stage string

// The stages.
const (
	Begin     Stage = "begin"
	Statement Stage = "statement" // before each statement of a function, but those for one row
	Commit    Stage = "commit"    // before it: nothing is kept
	Committed Stage = "committed" // after it: kept, but the answer is lost
	Reading   Stage = "reading"   // before each query outside of a transaction, but those for one row
)

// trouble asks the test whether the database fails now.
func (d *DB) trouble(s Stage) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(s)
}
