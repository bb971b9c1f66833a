package webhook

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/opentact/opentact/internal/db"
)

// Bounds of the search for fronts.
const (
	lookAhead = 512  // deliveries of a lane, in the order wanted
	maxOrders = 1000 // orders of a lane, when those are all held back
)

// fronts asks for deliveries of a lane that no older one of their order holds back. A lane may have a long way back: thousands that wait behind a few. So the
// first of the lane are looked at, and when there are more than those, the front of each order.
type fronts struct {
	what     string
	args     []any  // $1 to $3; $1 is the lane
	eligible string // condition of a delivery j
	blocks   string // condition of an older delivery e of the same order that holds j back: as a rule that it was never tried, is being tried, or has time to block
	order    string // of j
}

// find gives up to n.
func (f fronts) find(ctx context.Context, tx *db.Tx, n int) ([]*delivery, error) {
	rows, err := tx.Query(ctx, f.near(), f.with(n)...)
	list, err := db.List(f.what, rows, err, scanDelivery)
	if err != nil || len(list) == n {
		return list, err
	}
	if further, err := f.more(ctx, tx, lookAhead); err != nil || !further {
		return list, err
	}
	rows, err = tx.Query(ctx, f.far(), f.with(n)...)
	return db.List(f.what, rows, err, scanDelivery)
}

// with gives the arguments and further ones.
func (f fronts) with(more ...any) []any { return append(slices.Clone(f.args), more...) }

// lengthen adds up to n deliveries to runs of one: those that follow in the order of each and may be sent when it arrived.
func (f fronts) lengthen(ctx context.Context, tx *db.Tx, runs []run, n int) ([]run, error) {
	if len(runs) == 0 || n <= 0 {
		return runs, nil
	}
	if more, err := f.more(ctx, tx, len(runs)); err != nil || !more {
		return runs, err
	}
	orders := map[string]int{}
	for _, r := range runs {
		orders[r[0].ord]++
	}
	share := min((n+len(runs)-1)/len(runs), maxRun-1)
	for i, r := range runs {
		if n <= 0 || r[0].ord == "" || orders[r[0].ord] > 1 {
			continue
		}
		next, err := f.after(ctx, tx, r[0], min(share, n))
		if err != nil {
			return nil, err
		}
		runs[i] = append(r, next...)
		n -= len(next)
	}
	return runs, nil
}

// after gives up to n deliveries that follow one in its order with nothing between that holds them back.
func (f fronts) after(ctx context.Context, tx *db.Tx, d *delivery, n int) ([]*delivery, error) {
	rows, err := tx.Query(ctx, "SELECT "+deliveryColumns+", CASE WHEN j.lane = $1 AND "+f.eligible+" THEN 2 WHEN "+f.blocks+` THEN 1 ELSE 0 END
		FROM webhook_delivery AS j JOIN webhook_delivery AS e ON e.uuid = j.uuid WHERE j.ord = $4 AND j.due_on IS NOT NULL AND (j.seq, j.uuid) > ($5, $6)
		ORDER BY j.seq, j.uuid LIMIT $7`, f.with(d.ord, d.seq, d.id, n)...)
	open := true
	list, err := db.List(f.what, rows, err, func(into func(...any) error) (*delivery, error) {
		var state int
		d, err := scanDelivery(func(v ...any) error { return into(append(v, &state)...) })
		if open = open && state != 1; !open || state == 0 {
			return nil, err
		}
		return d, err
	})
	return slices.DeleteFunc(list, func(d *delivery) bool { return d == nil }), err
}

// near looks at the first deliveries of the lane.
func (f fronts) near() string {
	return "SELECT " + deliveryColumns + " FROM (SELECT * FROM webhook_delivery AS j WHERE j.lane = $1 AND " + f.eligible + " ORDER BY " + f.order + " LIMIT " + strconv.Itoa(lookAhead) + `) AS j
		WHERE NOT EXISTS (SELECT 1 FROM webhook_delivery AS e WHERE e.ord = j.ord AND e.due_on IS NOT NULL AND (e.seq, e.uuid) < (j.seq, j.uuid) AND (` + f.blocks + ")) ORDER BY " + f.order + " LIMIT $4"
}

// more tells whether more than n are eligible, held back or not.
func (f fronts) more(ctx context.Context, tx *db.Tx, n int) (bool, error) {
	rows, err := tx.Query(ctx, "SELECT j.uuid FROM webhook_delivery AS j WHERE j.lane = $1 AND "+f.eligible+" LIMIT 1 OFFSET $4", f.with(n)...)
	if err != nil {
		return false, fmt.Errorf("%s: %w", f.what, err)
	}
	defer rows.Close()
	return rows.Next(), rows.Err()
}

// far takes the oldest eligible delivery of each order, if it does not stand behind the first that blocks.
func (f fronts) far() string {
	return `WITH RECURSIVE o (ord, n) AS (
			SELECT min(j.ord), 1 FROM webhook_delivery AS j WHERE j.lane = $1 AND j.due_on IS NOT NULL
			UNION ALL SELECT (SELECT min(j.ord) FROM webhook_delivery AS j WHERE j.lane = $1 AND j.due_on IS NOT NULL AND j.ord > o.ord), o.n + 1 FROM o WHERE o.ord IS NOT NULL AND o.n < ` + strconv.Itoa(maxOrders) + `)
		SELECT ` + deliveryColumns + ` FROM webhook_delivery AS j WHERE j.uuid IN (
			SELECT (SELECT j.uuid FROM webhook_delivery AS j WHERE j.ord = o.ord AND j.due_on IS NOT NULL AND j.lane = $1 AND ` + f.eligible + ` AND (j.seq, j.uuid) <= (
				SELECT x.seq, x.uuid FROM (SELECT e.seq, e.uuid FROM webhook_delivery AS e WHERE e.ord = o.ord AND e.due_on IS NOT NULL AND (` + f.blocks + `) ORDER BY e.seq, e.uuid LIMIT 1) AS x
				UNION ALL SELECT 9223372036854775807, '' ORDER BY 1, 2 LIMIT 1)
				ORDER BY j.seq, j.uuid LIMIT 1) FROM o WHERE o.ord IS NOT NULL)
		ORDER BY ` + f.order + ` LIMIT $4`
}
