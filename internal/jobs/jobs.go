package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
)

// Limits of the package, in one place.
const (
	pollEvery      = time.Second           // a dispatcher looks by itself: other nodes enqueue too
	freeEvery      = 5 * time.Second       // a dispatcher looks for leases that ran out
	strayAfter     = 10 * time.Minute      // another node's lease that ran out so long ago is nobody's, however far the clocks are apart
	meetPause      = 10 * time.Millisecond // after two nodes claimed of one order at the same moment
	leaseMargin    = 15 * time.Second      // a lease outlives its handlers' timeouts by this
	defaultTimeout = 30 * time.Second      // of a handler
	defaultWorkers = 4
	maxError       = 1000 // bytes of an error that are kept
)

// New is a job to be.
type New struct {
	Queue   string
	Order   string    // empty: no order
	RunAt   time.Time // zero: now
	Payload any
}

// Job is a job in a handler's hands.
type Job struct {
	ID      string
	Queue   string
	Order   string
	RunAt   time.Time
	Attempt int // 1 on the first run
	Payload json.RawMessage
}

// Decode reads the payload.
func (j Job) Decode(into any) error {
	if err := json.Unmarshal(j.Payload, into); err != nil {
		return fmt.Errorf("job %s of queue %s: %w", j.ID, j.Queue, err)
	}
	return nil
}

// Outcome is what a handler says of its job.
type Outcome struct {
	kind outcomeKind
	at   time.Time
	err  error
}

type outcomeKind int

const (
	finished outcomeKind = iota
	again
	kept
)

// Finished removes the job.
func Finished() Outcome { return Outcome{} }

// Again runs it once more, not before at; err is kept for the operator.
func Again(at time.Time, err error) Outcome { return Outcome{kind: again, at: at, err: err} }

// Kept says that the handler's own transaction called Done or Move.
func Kept() Outcome { return Outcome{kind: kept} }

// Options of a queue.
type Options struct {
	Workers int           // jobs at once on this node
	Timeout time.Duration // of one run; its context ends then
	// Together does several jobs at once where more than one is due, at most Batch of them; they are ended in one transaction. It ends none itself. When it
	// fails, each goes to the queue's Handler. nil: jobs are done one by one.
	Together func(ctx context.Context, list []Job) error
	Batch    int
}

// lease is how long a worker may have its jobs: together, and then each alone.
func (o Options) lease() time.Duration {
	runs := 1
	if o.Batch > 1 {
		runs += o.Batch
	}
	return time.Duration(runs)*o.Timeout + leaseMargin
}

// Handler does a job.
type Handler func(ctx context.Context, j Job) Outcome

// Config is what a Runner needs.
type Config struct {
	DB     *db.DB
	Node   string // id of this run of the program; empty: a fresh one
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now

	// Fence begins each transaction that claims; an error means that this node was declared dead and its jobs were taken back. nil: it lives.
	Fence func(ctx context.Context, tx *db.Tx) error
	// Holds is asked before each run of a handler: false means that the claim may be lost, so that the job is left alone. nil: it holds.
	Holds func() bool
}

// Runner enqueues jobs, and runs those whose queues have a handler here.
type Runner struct {
	db    *db.DB
	node  string
	log   *slog.Logger
	now   func() time.Time
	fence func(ctx context.Context, tx *db.Tx) error
	holds func() bool

	mu     sync.Mutex // guards queues until Run
	queues map[string]*queue
}

type queue struct {
	name string
	opt  Options
	fn   Handler
	wake chan time.Time // earliest due time of new work; holds one, the dispatcher polls anyway
}

// NewRunner makes a runner; Run starts its work.
func NewRunner(cfg Config) *Runner {
	r := &Runner{db: cfg.DB, node: cfg.Node, log: cfg.Logger, now: cfg.Now, fence: cfg.Fence, holds: cfg.Holds, queues: map[string]*queue{}}
	if r.node == "" {
		r.node = ident.New()
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.fence == nil {
		r.fence = func(context.Context, *db.Tx) error { return nil }
	}
	if r.holds == nil {
		r.holds = func() bool { return true }
	}
	return r
}

// Handle names the handler of a queue; it must be called before Run, once per queue.
func (r *Runner) Handle(name string, opt Options, fn Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queues[name] != nil {
		panic("jobs: two handlers for queue " + name)
	}
	if opt.Workers <= 0 {
		opt.Workers = defaultWorkers
	}
	if opt.Timeout <= 0 {
		opt.Timeout = defaultTimeout
	}
	if opt.Together == nil || opt.Batch <= 0 {
		opt.Batch = 1
	}
	r.queues[name] = &queue{name: name, opt: opt, fn: fn, wake: make(chan time.Time, 1)}
}

// Enqueue adds a job to a transaction; it runs after the commit, when its time has come.
func (r *Runner) Enqueue(ctx context.Context, tx *db.Tx, n New) (string, error) {
	payload, err := json.Marshal(n.Payload)
	if err != nil {
		return "", fmt.Errorf("job for queue %s: %w", n.Queue, err)
	}
	now := r.now()
	if n.RunAt.IsZero() {
		n.RunAt = now
	}
	id := ident.New()
	if err := insertJob(ctx, tx, id, n, payload, now); err != nil {
		return "", err
	}
	if q := r.queue(n.Queue); q != nil {
		tx.After(func() { q.nudge(n.RunAt) })
	}
	return id, nil
}

func (r *Runner) queue(name string) *queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queues[name]
}

// nudge tells the dispatcher of new work; of two unread nudges the earlier time stays.
func (q *queue) nudge(at time.Time) {
	for {
		select {
		case q.wake <- at:
			return
		default:
		}
		select {
		case other := <-q.wake:
			if other.Before(at) {
				at = other
			}
		default:
		}
	}
}

// TakeBack makes the jobs of a dead node due again; its runs of them can end nothing any more.
func (r *Runner) TakeBack(ctx context.Context, tx *db.Tx, node string) error {
	if err := takeBack(ctx, tx, node); err != nil {
		return err
	}
	tx.After(r.nudgeAll)
	return nil
}

// nudgeAll tells all dispatchers to look.
func (r *Runner) nudgeAll() {
	for _, q := range r.all() {
		q.nudge(r.now())
	}
}

func (r *Runner) all() []*queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.queues))
}

// run is what a handler's context holds: which claim Done and Move end, and its queue's nudge.
type run struct {
	id      string
	owner   string
	attempt int
	nudge   func(at time.Time)
}

type runKey struct{}

// Errors of the package.
var (
	// ErrTaken is what Done and Move give when the job was taken back and belongs to another run: the transaction must not be kept.
	ErrTaken = errors.New("jobs: another node has taken over the job")

	errPanic  = errors.New("handler panicked")
	errUnsure = errors.New("this node did not reach the database for a while: the job may belong to another")
)
