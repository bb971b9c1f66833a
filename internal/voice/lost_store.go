package voice

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/db"
)

// nodesWithCalls are the nodes but one that have open legs.
func nodesWithCalls(ctx context.Context, q db.Querier, but string) ([]string, error) {
	return texts(ctx, q, "SELECT DISTINCT node FROM call_leg WHERE finished_on IS NULL AND node <> $1", but)
}

// openLegs are the legs of a node that are live, or have a recording under way.
func openLegs(ctx context.Context, q db.Querier, node string, limit int) ([]Call, error) {
	return legsWhere(ctx, q, "WHERE node = $1 AND finished_on IS NULL ORDER BY created_on, uuid"+db.Limit(limit, 0), node)
}

// stillOpen gives those of the legs that nobody has closed.
func stillOpen(ctx context.Context, q db.Querier, ids []string) ([]string, error) {
	w := &db.Where{}
	w.In("uuid", ids)
	w.Fix("finished_on IS NULL")
	where, args := w.SQL()
	return texts(ctx, q, "SELECT uuid FROM call_leg"+where, args...)
}

func texts(ctx context.Context, q db.Querier, query string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("open legs: %w", err)
	}
	return collect(rows, func(scan func(...any) error) (text string, err error) {
		err = scan(&text)
		return text, err
	})
}
