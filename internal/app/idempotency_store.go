package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

const (
	keyLife  = 24 * time.Hour
	keyStale = 2 * time.Minute // a claim whose request died with its node is given up after this
)

// answers is the idempotency store in SQL.
type answers struct {
	db  *db.DB
	now func() time.Time
}

func scopeKey(s httpapi.IdempotencyScope) string {
	return strings.Join([]string{s.Account, s.Method, s.Path, s.Key}, "\x1f")
}

// Begin claims a key, or gives the answer that it has.
func (a answers) Begin(ctx context.Context, scope httpapi.IdempotencyScope, hash string) (*httpapi.Stored, error) {
	var out *httpapi.Stored
	err := a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		out = nil
		now := a.now()
		// A claim takes the row when it is new, too old, or left behind without an answer.
		n, err := tx.Exec(ctx, `INSERT INTO idempotency (scope, body_hash, created_on) VALUES ($1, $2, $3)
			ON CONFLICT (scope) DO UPDATE SET body_hash = excluded.body_hash, created_on = excluded.created_on, status = NULL, header = NULL, body = NULL
			WHERE idempotency.created_on < $4 OR (idempotency.status IS NULL AND idempotency.created_on < $5)`,
			scopeKey(scope), hash, now.UnixMicro(), now.Add(-keyLife).UnixMicro(), now.Add(-keyStale).UnixMicro())
		if err != nil {
			return fmt.Errorf("claim idempotency key: %w", err)
		}
		if n == 1 {
			return nil
		}
		out, err = a.find(ctx, tx, scope, hash)
		return err
	})
	return out, err
}

func (a answers) find(ctx context.Context, tx *db.Tx, scope httpapi.IdempotencyScope, hash string) (*httpapi.Stored, error) {
	var old string
	var status sql.NullInt64
	var header db.JSON[http.Header]
	var body db.Text
	err := tx.QueryRow(ctx, "SELECT body_hash, status, header, body FROM idempotency WHERE scope = $1", scopeKey(scope)).Scan(&old, &status, &header, &body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, &fault.Error{Code: fault.Conflict, Retry: time.Second}
	case err != nil:
		return nil, fmt.Errorf("idempotency key: %w", err)
	case old != hash:
		return nil, fault.New(fault.KeyMismatch)
	case !status.Valid:
		return nil, &fault.Error{Code: fault.Conflict, Message: "The first request with this key still runs", Retry: time.Second}
	}
	return &httpapi.Stored{Status: int(status.Int64), Header: header.V, Body: []byte(body)}, nil
}

// Finish keeps the answer.
func (a answers) Finish(ctx context.Context, scope httpapi.IdempotencyScope, s httpapi.Stored) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE idempotency SET status = $1, header = $2, body = $3 WHERE scope = $4", s.Status, db.JSONOf(s.Header), string(s.Body), scopeKey(scope))
		return err
	})
}

// Release forgets a claim.
func (a answers) Release(ctx context.Context, scope httpapi.IdempotencyScope) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE scope = $1 AND status IS NULL", scopeKey(scope))
		return err
	})
}

// expire removes keys past their life.
func (a answers) expire(ctx context.Context) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE created_on < $1", a.now().Add(-keyLife).UnixMicro())
		return err
	})
}
