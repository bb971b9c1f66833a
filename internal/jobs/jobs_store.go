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

// claim leases up to n due jobs to owner. A job waits for all older ones of its order, and for a younger one that is running: transactions may commit
// in another order than their jobs were made in. On PostgreSQL two claims may still meet; the schema allows one lease of an order, and the later claim
// fails with a violated uniqueness.
func claim(ctx context.Context, tx *db.Tx, queue, owner string, now time.Time, lease time.Duration, n int) ([]Job, error) {
	rows, err := tx.Query(ctx, `WITH due AS MATERIALIZED (
		SELECT id FROM job AS j WHERE j.queue = $3 AND j.run_at <= $4 AND j.lease_until IS NULL
		AND (j.ord IS NULL OR NOT EXISTS (SELECT 1 FROM job AS e WHERE e.queue = j.queue AND e.ord = j.ord AND e.id <> j.id AND (e.id < j.id OR e.lease_until IS NOT NULL)))
		ORDER BY j.run_at, j.id`+db.Limit(n, 0)+tx.SkipLocked()+`)
		UPDATE job SET owner = $1, lease_until = $2, attempt = attempt + 1 WHERE id IN (SELECT id FROM due)
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

// free ends the leases of a queue that ran out: this node's, whose handlers never came back, and those of nobody. The work of other nodes is theirs for as long as
// they live: their clocks are not ours.
func free(ctx context.Context, tx *db.Tx, queue, owner string, now time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE job SET owner = NULL, lease_until = NULL WHERE queue = $1 AND (lease_until < $2 AND owner = $3 OR lease_until < $4)",
		queue, now.UnixMicro(), owner, now.Add(-strayAfter).UnixMicro())
	if err != nil {
		return fmt.Errorf("free jobs of %s: %w", queue, err)
	}
	return nil
}

// nextDue gives the earliest time after another at which a job of the queue may be claimed; zero when there is none.
func nextDue(ctx context.Context, q db.Querier, queue string, after time.Time) (time.Time, error) {
	var at sql.NullInt64
	err := q.QueryRow(ctx, "SELECT min(run_at) FROM job WHERE queue = $1 AND run_at > $2 AND lease_until IS NULL", queue, after.UnixMicro()).Scan(&at)
	if err != nil || !at.Valid {
		return time.Time{}, err
	}
	return time.UnixMicro(at.Int64), nil
}

// Done removes a job within the handler's own transaction, with the handler's context. ErrTaken: the job was taken back meanwhile; roll back.
func Done(ctx context.Context, tx *db.Tx, id string) error {
	guard, args := guarded(ctx, id)
	n, err := tx.Exec(ctx, "DELETE FROM job WHERE id = $1"+guard, args...)
	if err != nil {
		return fmt.Errorf("end job: %w", err)
	}
	return ended(n, guard)
}

// Move puts a job to a later time within the handler's own transaction; cause may be nil. Called with the handler's context, or the one that Update made of
// it, it wakes the dispatcher at that time; else polling finds the job, at the latest a second after at. ErrTaken: as with Done.
func Move(ctx context.Context, tx *db.Tx, id string, at time.Time, cause error) error {
	guard, args := guarded(ctx, id)
	n, err := tx.Exec(ctx, fmt.Sprintf("UPDATE job SET owner = NULL, lease_until = NULL, run_at = $%d, last_error = $%d WHERE id = $1%s", len(args)+1, len(args)+2, guard),
		append(args, at.UnixMicro(), errorText(cause))...)
	if err != nil {
		return fmt.Errorf("move job: %w", err)
	}
	if err := ended(n, guard); err != nil {
		return err
	}
	if r, ok := ctx.Value(runKey{}).(run); ok {
		tx.After(func() { r.nudge(at) })
	}
	return nil
}

// guarded lets only the run of the handler whose context it is end its job; without a handler's context whoever knows the id may.
func guarded(ctx context.Context, id string) (guard string, args []any) {
	if r, ok := ctx.Value(runKey{}).(run); ok && r.id == id {
		return " AND owner = $2 AND attempt = $3", []any{id, r.owner, r.attempt}
	}
	return "", []any{id}
}

// ended tells by the number of rows whether a guarded run had the job still.
func ended(rows int64, guard string) error {
	if guard != "" && rows == 0 {
		return ErrTaken
	}
	return nil
}

func errorText(err error) db.Text {
	if err == nil {
		return ""
	}
	text := strings.ToValidUTF8(err.Error(), "?")
	return db.Text(strings.ToValidUTF8(strings.ReplaceAll(text[:min(len(text), maxError)], "\x00", "?"), ""))
}

// finish removes a job that the runner still holds: one that lost its lease belongs to another run now.
func finish(ctx context.Context, tx *db.Tx, j Job, owner string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM job WHERE id = $1 AND owner = $2 AND attempt = $3", j.ID, owner, j.Attempt); err != nil {
		return fmt.Errorf("end job: %w", err)
	}
	return nil
}

var finishSQL = db.NewBulk(`DELETE FROM job WHERE owner = CAST($1 AS TEXT) AND id IN (
	SELECT v.column1 FROM {rows} AS v JOIN job AS j ON j.id = v.column1 AND j.attempt = v.column2)`, 1, "TEXT", "BIGINT")

// finishAll is finish for many jobs.
func finishAll(ctx context.Context, tx *db.Tx, list []Job, owner string) error {
	args := make([]any, 0, 2*len(list))
	for _, j := range list {
		args = append(args, j.ID, int64(j.Attempt))
	}
	if _, err := finishSQL.Exec(ctx, tx, []any{owner}, args); err != nil {
		return fmt.Errorf("end jobs: %w", err)
	}
	return nil
}

// putOff moves a job that the runner still holds.
func putOff(ctx context.Context, tx *db.Tx, j Job, owner string, at time.Time, cause error) error {
	_, err := tx.Exec(ctx, "UPDATE job SET owner = NULL, lease_until = NULL, run_at = $1, last_error = $2 WHERE id = $3 AND owner = $4 AND attempt = $5",
		at.UnixMicro(), errorText(cause), j.ID, owner, j.Attempt)
	if err != nil {
		return fmt.Errorf("move job: %w", err)
	}
	return nil
}

// takeBack frees what a node has leased.
func takeBack(ctx context.Context, tx *db.Tx, owner string) error {
	_, err := tx.Exec(ctx, "UPDATE job SET owner = NULL, lease_until = NULL WHERE owner = $1", owner)
	return err
}

// Waiting counts the jobs of a queue, for metrics and tests.
func Waiting(ctx context.Context, q db.Querier, queue string) (n int, err error) {
	err = q.QueryRow(ctx, "SELECT count(*) FROM job WHERE queue = $1", queue).Scan(&n)
	return n, err
}
