package httpapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

const (
	keyLife  = 24 * time.Hour
	keyStale = 2 * time.Minute // a claim that nobody took back is given up after this
)

// errAnswered tells that a key got its answer, or its claim, on another node in the meantime.
var errAnswered = errors.New("httpapi: idempotency key was used elsewhere")

// Answers keeps the answers to requests with an Idempotency-Key for 24 hours.
type Answers struct {
	db   *db.DB
	node string // this run of this node
	now  func() time.Time
}

// NewAnswers makes the store. node marks the claims of live operations: TakeBack frees those of a node that died.
func NewAnswers(d *db.DB, node string, now func() time.Time) *Answers {
	if now == nil {
		now = time.Now
	}
	return &Answers{d, node, now}
}

// column is the key as the table holds it; of a secret operation it has a hash in the place of the key, which opens the answer.
func (s keyScope) column() string {
	key := s.key
	if s.secret {
		sum := sha256.Sum256([]byte(s.user + "\x1f" + s.key))
		key = hex.EncodeToString(sum[:])
	}
	path := (&url.URL{Path: s.path}).EscapedPath() // parameters are not checked yet
	return strings.Join([]string{s.account, s.method, path, key}, "\x1f")
}

// text is the body of an answer as the table holds it.
func (k *keyed) text(s *Stored) string {
	if k.seal != nil {
		return k.seal.close(s.Body)
	}
	return string(s.Body)
}

// body is what text was made of.
func (k *keyed) body(text string) ([]byte, error) {
	if k.seal != nil {
		return k.seal.open(text)
	}
	return []byte(text), nil
}

// find gives the answer to a key, nil when it is new. Errors: fault.KeyMismatch for another body, fault.Conflict while a live operation runs elsewhere.
func (a *Answers) find(ctx context.Context, k *keyed) (*Stored, error) {
	var hash string
	var status sql.NullInt64
	var header db.JSON[http.Header]
	var body db.Text
	var created db.Time
	err := a.db.Read().QueryRow(ctx, "SELECT body_hash, status, header, body, created_on FROM idempotency WHERE scope = $1", k.scope.column()).
		Scan(&hash, &status, &header, &body, &created)
	age := a.now().Sub(created.Time)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("idempotency key: %w", err)
	case age > keyLife, !status.Valid && age > keyStale:
		return nil, nil
	case hash != k.hash:
		return nil, fault.New(fault.KeyMismatch)
	case !status.Valid:
		return nil, errRunning()
	}
	s := &Stored{Status: int(status.Int64), Header: header.V}
	s.Body, err = k.body(string(body))
	return s, err
}

// row is an answer on its way to the disk.
type keyRow struct {
	scope  string
	key    *keyed
	answer *Stored
}

// keep adds an answer to tx. The rows of all functions of a group are written together; a key that was used elsewhere fails its function alone.
func (a *Answers) keep(tx *db.Tx, k *keyed, answer *Stored) {
	tx.Collect(a, keyRow{k.scope.column(), k, answer})
}

const keyColumns = 7

// keepTexts are the statements for 1, 2, 4 … rows: few texts, so that they stay prepared.
var keepTexts = func() (out [7]string) {
	for i := range out {
		n := 1 << i
		out[i] = "INSERT INTO idempotency (scope, body_hash, status, header, body, node, created_on) VALUES " + db.Values(n, keyColumns) +
			fmt.Sprintf(` ON CONFLICT (scope) DO UPDATE SET body_hash = excluded.body_hash, status = excluded.status, header = excluded.header,
			body = excluded.body, node = excluded.node, created_on = excluded.created_on
			WHERE idempotency.created_on < $%d OR (idempotency.status IS NULL AND idempotency.created_on < $%d)`, n*keyColumns+1, n*keyColumns+2)
	}
	return out
}()

// Flush writes the answers of a group; db calls it.
func (a *Answers) Flush(ctx context.Context, tx *db.Tx, items []any) error {
	rows := make([]keyRow, len(items))
	for i, it := range items {
		rows[i] = it.(keyRow)
	}
	slices.SortFunc(rows, func(a, b keyRow) int { return cmp.Compare(a.scope, b.scope) }) // two nodes lock them in one order
	now := a.now()
	for len(rows) > 0 {
		size := min(bits.Len(uint(len(rows))), len(keepTexts)) - 1
		n := 1 << size
		args := make([]any, 0, n*keyColumns+2)
		for _, r := range rows[:n] {
			args = append(args, r.scope, r.key.hash, r.answer.Status, db.JSONOf(r.answer.Header), r.key.text(r.answer), a.node, now.UnixMicro())
		}
		args = append(args, now.Add(-keyLife).UnixMicro(), now.Add(-keyStale).UnixMicro())
		done, err := tx.Exec(ctx, keepTexts[size], args...)
		if err != nil {
			return fmt.Errorf("keep answers: %w", err)
		}
		if done != int64(n) {
			return errAnswered
		}
		rows = rows[n:]
	}
	return nil
}

// Committed has nothing to tell; db calls it.
func (*Answers) Committed() {}

// claim marks a key as taken by a live operation; errAnswered when it is another's.
func (a *Answers) claim(ctx context.Context, k *keyed) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := a.now()
		n, err := tx.Exec(ctx, `INSERT INTO idempotency (scope, body_hash, node, created_on) VALUES ($1, $2, $3, $4)
			ON CONFLICT (scope) DO UPDATE SET body_hash = excluded.body_hash, node = excluded.node, created_on = excluded.created_on,
			status = NULL, header = NULL, body = NULL
			WHERE idempotency.created_on < $5 OR (idempotency.status IS NULL AND idempotency.created_on < $6)`,
			k.scope.column(), k.hash, a.node, now.UnixMicro(), now.Add(-keyLife).UnixMicro(), now.Add(-keyStale).UnixMicro())
		if err != nil {
			return fmt.Errorf("claim idempotency key: %w", err)
		}
		if n != 1 {
			return errAnswered
		}
		return nil
	})
}

// fill gives this node's claim its answer, or another one.
func (a *Answers) fill(ctx context.Context, tx *db.Tx, k *keyed, s *Stored) error {
	n, err := tx.Exec(ctx, "UPDATE idempotency SET status = $1, header = $2, body = $3 WHERE scope = $4 AND node = $5",
		s.Status, db.JSONOf(s.Header), k.text(s), k.scope.column(), a.node)
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	if n != 1 {
		return errAnswered // this node was declared dead, and another one has taken the key
	}
	return nil
}

func (a *Answers) replace(ctx context.Context, k *keyed, s *Stored) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return a.fill(ctx, tx, k, s) })
}

// release forgets a claim, with an answer that did not come true.
func (a *Answers) release(ctx context.Context, k *keyed) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE scope = $1 AND node = $2", k.scope.column(), a.node)
		return err
	})
}

// TakeBack frees the keys of live operations that a dead node had begun and whose effect it had not come to; a retry runs them at once.
func (a *Answers) TakeBack(ctx context.Context, tx *db.Tx, node string) error {
	_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE node = $1 AND status IS NULL", node)
	return err
}

// Expire removes keys past their life.
func (a *Answers) Expire(ctx context.Context) error {
	return a.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM idempotency WHERE created_on < $1", a.now().Add(-keyLife).UnixMicro())
		return err
	})
}
