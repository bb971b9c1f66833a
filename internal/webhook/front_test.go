package webhook_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/webhook"
)

// plain is what may be sent, said in the simplest way: asked of a long queue it takes forever.
const (
	plainOlder = `NOT EXISTS (SELECT 1 FROM webhook_delivery AS e WHERE e.ord = j.ord AND e.due_on IS NOT NULL AND (e.seq, e.uuid) < (j.seq, j.uuid)
		AND (e.block_until IS NULL OR e.block_until > $2`
	plainDue     = "SELECT j.uuid, j.ord FROM webhook_delivery AS j WHERE j.lane = $1 AND j.due_on <= $2 AND j.owner IS NULL AND " + plainOlder + "))"
	plainWaiting = `SELECT j.uuid, j.ord FROM webhook_delivery AS j WHERE j.lane = $1 AND j.due_on IS NOT NULL AND j.owner IS NULL
		AND (j.not_before IS NULL OR j.not_before <= $2) AND (j.tried_on IS NULL OR j.tried_on <= $3)
		AND ` + plainOlder + " OR e.tried_on <= $3 AND (e.not_before IS NULL OR e.not_before <= $2)))"
)

// TestTheFrontOfEachOrderIsFoundBehindALongQueue: in queues of few orders, of many, and with one that fills the beginning of the lane.
func TestTheFrontOfEachOrderIsFoundBehindALongQueue(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		now := time.Now()
		dice := rand.New(rand.NewPCG(1, 2))
		lanes := map[string]func(i int) string{
			"few":  func(int) string { return fmt.Sprintf("few%d", dice.IntN(7)) },
			"many": func(i int) string { return fmt.Sprintf("many%03d", i%400) },
			"one": func(i int) string {
				if i < 800 {
					return "full"
				}
				return fmt.Sprintf("late%d", i)
			},
		}
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			for lane, order := range lanes {
				for i := range 900 {
					if err := queued(ctx, tx, lane, i, order(i), now, dice); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		long := 0
		for lane := range lanes {
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				since := now.Add(-time.Minute)
				due, waiting, err := webhook.Fronts(ctx, tx, lane, now, since, 2000)
				if err != nil {
					return err
				}
				compare(ctx, t, tx, lane+" due", due, plainDue, lane, now.UnixMicro())
				compare(ctx, t, tx, lane+" waiting", waiting, plainWaiting, lane, now.UnixMicro(), since.UnixMicro())
				some, err := follow(ctx, t, tx, lane, now)
				if err != nil {
					return err
				}
				long += some
				few, _, err := webhook.Fronts(ctx, tx, lane, now, since, 3)
				if err == nil && len(few) != min(3, len(due)) {
					t.Errorf("%s: %d of %d", lane, len(few), len(due))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if long == 0 {
			t.Error("no run is long")
		}
	})
}

// queued makes a delivery in some state: not tried yet, tried before or after the time since, in hand, put off.
func queued(ctx context.Context, tx *db.Tx, lane string, i int, order string, now time.Time, dice *rand.Rand) error {
	at := func(minutes int) any { return now.Add(time.Duration(minutes) * time.Minute).UnixMicro() }
	due, owner, tried, block, later := at(-5), any(nil), any(nil), any(nil), any(nil)
	switch dice.IntN(6) {
	case 0:
		tried, block = at(-3), at(-2)
	case 1:
		due, tried, block = at(3), at(-3), at(dice.IntN(2)*4-2)
	case 2:
		due, owner = at(1), "node"
	case 3:
		due, tried, block, later = at(9), at(-3), at(-2), at(9)
	}
	_, err := tx.Exec(ctx, `INSERT INTO webhook_delivery (uuid, account, lane, ord, seq, trigger_name, schedule, state, tries, failures, owner, due_on, not_before, planned_on, tried_on, block_until,
		created_on, modified_on) VALUES ($1, 'a', $2, $3, $4, 't', 'callback', 'pending', 0, 0, $5, $6, $7, $6, $8, $9, $4, $4)`,
		fmt.Sprintf("%s-%04d", lane, i), lane, order, int64(1000+i/2), owner, due, later, tried, block)
	return err
}

// compare wants nothing but what the plain query gives, and something of each order of it.
func compare(ctx context.Context, t *testing.T, tx *db.Tx, what string, got []string, query string, args ...any) {
	t.Helper()
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	orders, left := map[string]string{}, map[string]bool{}
	for rows.Next() {
		var id, order string
		if err := rows.Scan(&id, &order); err != nil {
			t.Fatal(err)
		}
		orders[id], left[order] = order, true
	}
	if len(orders) == 0 {
		t.Fatalf("%s: the queue has nothing to give", what)
	}
	for _, id := range got {
		if orders[id] == "" {
			t.Errorf("%s: %s is held back", what, id)
		}
		delete(left, orders[id])
	}
	if len(left) > 0 || len(got) != len(slices.Compact(slices.Sorted(slices.Values(got)))) {
		t.Errorf("%s: %d orders are missing of %d deliveries that may be sent; %d were found", what, len(left), len(orders), len(got))
	}
}

// follow wants of each run what follows its first in the order: nothing that is to be sent is left out, up to where one stands that holds the others back. It
// counts runs of more than two.
func follow(ctx context.Context, t *testing.T, tx *db.Tx, lane string, now time.Time) (long int, err error) {
	runs, err := webhook.Runs(ctx, tx, lane, now, 2000)
	if err != nil {
		return 0, err
	}
	for _, r := range runs {
		rows, err := tx.Query(ctx, `SELECT j.uuid, CASE WHEN j.due_on <= $2 AND j.owner IS NULL THEN 's' WHEN j.block_until IS NULL OR j.block_until > $2 THEN 'b' ELSE '' END
			FROM webhook_delivery AS j JOIN webhook_delivery AS f ON f.ord = j.ord AND (j.seq, j.uuid) >= (f.seq, f.uuid) WHERE f.uuid = $1 ORDER BY j.seq, j.uuid`, r[0], now.UnixMicro())
		if err != nil {
			return 0, err
		}
		var want []string
		for blocked := false; rows.Next() && !blocked; {
			var id, state string
			if err := rows.Scan(&id, &state); err != nil {
				return 0, err
			}
			if blocked = state == "b"; state == "s" && len(want) < 64 {
				want = append(want, id)
			}
		}
		rows.Close()
		if !slices.Equal(r, want) {
			t.Errorf("%s: run of %v, want %v", lane, r, want)
		}
		if len(r) > 2 {
			long++
		}
	}
	return long, nil
}
