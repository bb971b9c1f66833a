package jobs

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

func insertJob(ctx context.Context, tx *db.Tx, id string, n New, payload []byte, now time.Time) error {
	_, err := tx.Exec(ctx, "INSERT INTO job (id, queue, ord, run_at, attempt, created_on, payload) VALUES ($1, $2, $3, $4, 0, $5, $6)",
		id, n.Queue, db.Text(n.Order), n.RunAt.UnixMicro(), now.UnixMicro(), string(payload))
	if err != nil {
		return fmt.Errorf("enqueue %s: %w", n.Queue, err)
	}
	return nil
}

// claim leases up to n due jobs to owner. A job waits for all older ones of its order.
func claim(ctx context.Context, tx *db.Tx, queue, owner string, now time.Time, lease time.Duration, n int) ([]Job, error) {
	rows, err := tx.Query(ctx, `UPDATE job SET owner = $1, lease_until = $2, attempt = attempt + 1 WHERE id IN (
		SELECT id FROM job AS j WHERE j.queue = $3 AND j.run_at <= $4 AND (j.lease_until IS NULL OR j.lease_until < $4)
		AND (j.ord IS NULL OR NOT EXISTS (SELECT 1 FROM job AS e WHERE e.queue = j.queue AND e.ord = j.ord AND e.id < j.id))
		ORDER BY j.run_at, j.id`+db.Limit(n, 0)+tx.SkipLocked()+`)
		RETURNING id, queue, ord, run_at, attempt, payload`,
		owner, now.Add(lease).UnixMicro(), queue, now.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("claim jobs of %s: %w", queue, err)
	}
	defer rows.Close()
	var out []Job
	for rows.Next() {
		var j Job
		var ord db.Text
		var at db.Time
		var payload string
		if err := rows.Scan(&j.ID, &j.Queue, &ord, &at, &j.Attempt, &payload); err != nil {
			return nil, fmt.Errorf("claim jobs of %s: %w", queue, err)
		}
		j.Order, j.RunAt, j.Payload = string(ord), at.Time, []byte(payload)
		out = append(out, j)
	}
	return out, rows.Err()
}

// nextDue gives the earliest time at which a job of the queue may be claimed; zero when there is none.
func nextDue(ctx context.Context, q db.Querier, queue string) (time.Time, error) {
	var at sql.NullInt64
	err := q.QueryRow(ctx, "SELECT min(run_at) FROM job WHERE queue = $1 AND lease_until IS NULL", queue).Scan(&at)
	if err != nil || !at.Valid {
		return time.Time{}, err
	}
	return time.UnixMicro(at.Int64), nil
}

// Done removes a job within the handler's own transaction.
func Done(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM job WHERE id = $1", id); err != nil {
		return fmt.Errorf("end job: %w", err)
	}
	return nil
}

// Move puts a job to a later time within the handler's own transaction; cause may be nil. The runner learns of it by polling, at the latest a second
// after at.
func Move(ctx context.Context, tx *db.Tx, id string, at time.Time, cause error) error {
	text := ""
	if cause != nil {
		text = strings.ToValidUTF8(cause.Error(), "?")
		text = text[:min(len(text), maxError)]
	}
	_, err := tx.Exec(ctx, "UPDATE job SET owner = NULL, lease_until = NULL, run_at = $1, last_error = $2 WHERE id = $3", at.UnixMicro(), db.Text(text), id)
	if err != nil {
		return fmt.Errorf("move job: %w", err)
	}
	return nil
}

// takeBack frees what this node had leased before it was restarted.
func takeBack(ctx context.Context, tx *db.Tx, owner string) error {
	_, err := tx.Exec(ctx, "UPDATE job SET owner = NULL, lease_until = NULL WHERE owner = $1", owner)
	return err
}

// Waiting counts the jobs of a queue, for metrics and tests.
func Waiting(ctx context.Context, q db.Querier, queue string) (n int, err error) {
	err = q.QueryRow(ctx, "SELECT count(*) FROM job WHERE queue = $1", queue).Scan(&n)
	return n, err
}
