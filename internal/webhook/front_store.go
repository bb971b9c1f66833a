package webhook

import (
	"context"
	"fmt"
	"strconv"

	"github.com/opentact/opentact/internal/db"
)

// Bounds of the search for fronts.
const (
	lookAhead = 512  // deliveries of a lane, in the order wanted
	maxOrders = 1000 // orders of a lane, when those are all held back
)

// fronts asks for deliveries of a lane, $1, that no older one of their order holds back. A lane may have a long way back: thousands that wait behind a few. So
// the first of the lane are looked at, and when there are more than those, the front of each order.
type fronts struct {
	eligible string // condition of a delivery j
	blocks   string // condition of an older delivery e of the same order that holds j back: as a rule that it was never tried, is being tried, or has time to block
	order    string // of j
}

// find gives up to n; args are $1 to $3.
func (f fronts) find(ctx context.Context, tx *db.Tx, what string, n int, args ...any) ([]*delivery, error) {
	rows, err := tx.Query(ctx, f.near(), append(args, int64(n))...)
	list, err := db.List(what, rows, err, scanDelivery)
	if err != nil || len(list) == n {
		return list, err
	}
	if further, err := f.further(ctx, tx, args); err != nil || !further {
		return list, err
	}
	rows, err = tx.Query(ctx, f.far(), append(args, int64(n))...)
	return db.List(what, rows, err, scanDelivery)
}

// near looks at the first deliveries of the lane.
func (f fronts) near() string {
	return "SELECT " + deliveryColumns + " FROM (SELECT * FROM webhook_delivery AS j WHERE j.lane = $1 AND " + f.eligible + " ORDER BY " + f.order + " LIMIT " + strconv.Itoa(lookAhead) + `) AS j
		WHERE NOT EXISTS (SELECT 1 FROM webhook_delivery AS e WHERE e.ord = j.ord AND e.due_on IS NOT NULL AND (e.seq, e.uuid) < (j.seq, j.uuid) AND (` + f.blocks + ")) ORDER BY " + f.order + " LIMIT $4"
}

// further tells whether there are more than near looks at.
func (f fronts) further(ctx context.Context, tx *db.Tx, args []any) (bool, error) {
	rows, err := tx.Query(ctx, "SELECT j.uuid FROM webhook_delivery AS j WHERE j.lane = $1 AND "+f.eligible+" LIMIT 1 OFFSET "+strconv.Itoa(lookAhead), args...)
	if err != nil {
		return false, fmt.Errorf("further deliveries: %w", err)
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
