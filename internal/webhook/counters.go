package webhook

import (
	"context"
	"sync/atomic"
	"time"
)

// countEvery is how often what waits is counted.
const countEvery = 15 * time.Second

// Counters are what operators see of the service on this node; Waiting and Open are those of all nodes.
type Counters struct {
	Success atomic.Int64 // deliveries that arrived
	Again   atomic.Int64 // attempts that failed and are followed by another
	Failed  atomic.Int64 // deliveries that were given up
	Unsent  atomic.Int64 // attempts that this node did not dare to make, or could not
	Running atomic.Int64 // deliveries in hand
	Waiting atomic.Int64 // deliveries with a try to come, as of the last count
	Open    atomic.Int64 // endpoints that take nothing and get one request at a time, as of the last count
}

// Counters gives them; they only grow until the end of the program, but for the last three.
func (s *Service) Counters() *Counters { return &s.counters }

// tally is what a transaction adds to the counters once it is on the disk.
type tally struct{ success, again, failed int64 }

func (c *Counters) add(t tally) {
	c.Success.Add(t.success)
	c.Again.Add(t.again)
	c.Failed.Add(t.failed)
}

// count looks at what waits, once in a while.
func (d *dispatcher) count(ctx context.Context) {
	if time.Since(d.counted) < countEvery {
		return
	}
	d.counted = time.Now()
	waiting, open, err := backlog(ctx, d.s.db.Read())
	if err != nil {
		return // the survey says so
	}
	d.s.counters.Waiting.Store(waiting)
	d.s.counters.Open.Store(open)
}
