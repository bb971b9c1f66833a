package db

import "context"

// Collector gathers things from many functions of a group and writes them together, as the last step before the commit. The event log is one.
type Collector interface {
	// Flush writes the items, in the order in which they were collected.
	Flush(ctx context.Context, tx *Tx, items []any) error
	// Committed runs after the commit of a group that had items; it must not block.
	Committed()
}

type item struct {
	to Collector
	v  any
}

// Collect hands v to c at the end of the transaction; it is dropped with the function that fails.
func (t *Tx) Collect(c Collector, v any) {
	t.items = append(t.items, item{c, v})
}

// flush gives each collector its items once.
func (g *group) flush(ctx context.Context) error {
	for len(g.items) > 0 {
		c := g.items[0].to
		var mine []any
		rest := g.items[:0:0]
		for _, it := range g.items {
			if it.to == c {
				mine = append(mine, it.v)
			} else {
				rest = append(rest, it)
			}
		}
		g.items = rest
		tx := &Tx{d: g.d, sql: g.sql, group: g}
		if err := c.Flush(ctx, tx, mine); err != nil {
			return err
		}
		g.after = append(g.after, tx.after...)
		g.after = append(g.after, c.Committed)
	}
	return nil
}
