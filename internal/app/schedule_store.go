package app

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// claimTask takes a task for one period, unless another node has it for one that is not over. next is the end of the period. An end further away than
// a whole period comes from a clock that is wrong, and counts for nothing.
func claimTask(ctx context.Context, tx *db.Tx, name, owner string, now time.Time, every time.Duration) (mine bool, next time.Time, err error) {
	next = now.Add(every)
	n, err := tx.Exec(ctx, `INSERT INTO lease (name, owner, until, is_done) VALUES ($1, $2, $3, false)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until, is_done = excluded.is_done WHERE lease.until <= $4 OR lease.until > $3`,
		"task."+name, owner, next.UnixMicro(), now.UnixMicro())
	if err != nil {
		return false, next, fmt.Errorf("claim task %s: %w", name, err)
	}
	if n == 1 {
		return true, next, nil
	}
	var until db.Time
	if err := tx.QueryRow(ctx, "SELECT until FROM lease WHERE name = $1", "task."+name).Scan(&until); err != nil {
		return false, next, fmt.Errorf("period of task %s: %w", name, err)
	}
	return false, until.Time, nil
}

// endTask notes that the owner came to the end of a task: it is not done again in its period.
func endTask(ctx context.Context, tx *db.Tx, name, owner string) error {
	if _, err := tx.Exec(ctx, "UPDATE lease SET is_done = true WHERE name = $1 AND owner = $2", "task."+name, owner); err != nil {
		return fmt.Errorf("end task %s: %w", name, err)
	}
	return nil
}

// freeTasks makes what an owner had in hand due again, and tells how much that was.
func freeTasks(ctx context.Context, tx *db.Tx, owner string) (int64, error) {
	n, err := tx.Exec(ctx, "DELETE FROM lease WHERE owner = $1 AND is_done = false", owner)
	if err != nil {
		return 0, fmt.Errorf("free tasks: %w", err)
	}
	return n, nil
}
