package sandbox

import (
	"context"
	"errors"
	"sync"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// work is what the network brings back later.
type work struct {
	Receipts []carrier.Receipt `json:"receipts,omitempty"`
	Inbound  []carrier.Inbound `json:"inbound,omitempty"`
}

// keep puts work into jobs: receipts for a second from now, messages for now. One job holds a whole batch; those of small batches that fall due in one step
// share their work.
func (c *Carrier) keep(ctx context.Context, w work) error {
	if len(w.Receipts)+len(w.Inbound) == 0 {
		return nil
	}
	return c.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := c.now()
		if len(w.Inbound) > 0 {
			if _, err := c.jobs.Enqueue(ctx, tx, jobs.New{Queue: queue, Order: "inbound", RunAt: now, Payload: work{Inbound: w.Inbound}}); err != nil {
				return err
			}
		}
		if len(w.Receipts) == 0 {
			return nil
		}
		later := jobs.New{Queue: queue, RunAt: now.Add(deliverAfter), Payload: work{Receipts: w.Receipts}}
		if len(w.Receipts) <= few {
			later.Queue, later.RunAt = fewQueue, later.RunAt.Truncate(step).Add(step)
		}
		_, err := c.jobs.Enqueue(ctx, tx, later)
		return err
	})
}

// network is the job that brings receipts and messages. It may run twice: the sink knows doubles by their ids.
func (c *Carrier) network(ctx context.Context, j jobs.Job) jobs.Outcome {
	var w work
	if err := j.Decode(&w); err != nil {
		c.log.Error("sandbox work", "error", err)
		return jobs.Finished()
	}
	err := c.sink.Receipts(ctx, w.Receipts)
	if err == nil {
		err = c.bring(ctx, w.Inbound)
	}
	if err != nil {
		return jobs.Again(c.now().Add(deliverAfter), err)
	}
	return jobs.Finished()
}

// receiptsOf does several jobs with few receipts at once.
func (c *Carrier) receiptsOf(ctx context.Context, list []jobs.Job) error {
	var all []carrier.Receipt
	for _, j := range list {
		var w work
		if err := j.Decode(&w); err != nil {
			return err
		}
		all = append(all, w.Receipts...)
	}
	return c.sink.Receipts(ctx, all)
}

// bring hands messages to the sink: those of one number pair in order, different pairs at the same time.
func (c *Carrier) bring(ctx context.Context, list []carrier.Inbound) error {
	pairs := map[string][]carrier.Inbound{}
	for _, in := range list {
		k := in.From + "|" + in.To
		pairs[k] = append(pairs[k], in)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all error
	slots := make(chan struct{}, parallel)
	for _, mine := range pairs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, in := range mine {
				if err := c.sink.Inbound(ctx, in); err != nil {
					mu.Lock()
					all = errors.Join(all, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return all
}
