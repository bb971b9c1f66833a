package messaging

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging/carrier"
	"github.com/opentact/opentact/internal/number"
)

// SMSEvent is the type of the event about a message.
const SMSEvent event.Type = "sms"

// Limits of the package, in one place.
const (
	maxText        = 918 // code points
	maxParts       = 14
	maxRecipients  = 1000
	maxMeta        = 4 << 10
	queuedSeconds  = 60 // an account may have this many seconds of its rate waiting
	batch          = 256
	gathered       = 256                    // requests that are accepted together
	maxGathering   = 20000                  // requests that may wait for it; more are refused as unavailable
	submitters     = 4                      // batches in carriers' hands at once
	pollEvery      = time.Second            // other nodes enqueue too
	backlogFor     = 3 * time.Second        // after messages waited in the table each batch is followed by a look at it; later the polling finds them
	commitsWithin  = 500 * time.Millisecond // of the making of a message's uuid; later ones are found by polling
	submitTimeout  = 30 * time.Second       // of one batch
	saveTimeout    = 20 * time.Second       // of its results
	submitLease    = 60 * time.Second       // a batch in hand is taken back after this
	parkTime       = 10 * time.Minute       // early receipts
	pairWindow     = 60 * time.Second       // unknown ids are matched by number pair and this
	noReceiptAfter = 72 * time.Hour
	stickyFor      = 90 * 24 * time.Hour
	fragmentWait   = 5 * time.Minute
	replyPause     = time.Hour       // between automatic replies in a thread
	factsFor       = 2 * time.Second // prices and views may be this old
	cacheSize      = 10000
)

// retryAfter are the waits after temporary refusals; the last one repeats.
var retryAfter = []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, 60 * time.Second, 300 * time.Second}

// Callback is a notification to a customer's server about a message.
type Callback struct {
	Account string
	Order   string   // account and thread: those of one thread go one after the other; both sides of it may have a number here
	URLs    []string // one or two, the second in case the first fails
	Body    json.RawMessage
	Secret  string // empty: not signed
	Trigger string // ECallbackAction
}

// Callbacks sends notifications, durably, within the transaction of their cause.
type Callbacks interface {
	Notify(ctx context.Context, tx *db.Tx, c Callback) error
}

// Link is a way to a carrier.
type Link struct {
	Name     string
	Driver   carrier.Driver
	IDFormat carrier.IDFormat
	Prefixes []string // recipients it takes; empty: all
	Sandbox  bool     // takes only messages of sandbox campaigns when other links exist
	PerSec   float64  // messages a second over the link; zero: no limit
	LongCode float64  // messages a second of one long code; zero: no limit
	TollFree float64  // of one toll-free number
}

// Config is what a Service needs.
type Config struct {
	DB        *db.DB
	Events    *event.Log
	Jobs      *jobs.Runner
	Accounts  *account.Service
	Billing   *billing.Service
	Numbers   *number.Service
	Callbacks Callbacks // nil: nobody is notified
	Logger    *slog.Logger
	Now       func() time.Time // nil: time.Now
	Sandbox   bool             // every account gets the ready-made campaign

	// Node is this run of this node: another one on each start. What it has in hand is marked with it.
	Node string
	// Fence begins each transaction that claims messages or saves what became of them; an error means that this node was declared dead. nil: it is alive.
	Fence func(ctx context.Context, tx *db.Tx) error
	// Holds is asked right before a carrier gets messages: false means that they may be another node's by now. nil: they are not.
	Holds func() bool
}

// Service is the messages of all accounts.
type Service struct {
	db        *db.DB
	events    *event.Log
	jobs      *jobs.Runner
	accounts  *account.Service
	billing   *billing.Service
	numbers   *number.Service
	callbacks Callbacks
	log       *slog.Logger
	now       func() time.Time
	node      string
	fence     func(ctx context.Context, tx *db.Tx) error
	holds     func() bool
	sandbox   bool
	links     []Link

	wake      chan struct{} // holds one; the submitters poll anyway
	wantClaim atomic.Bool   // something may wait in the table
	queuedAt  atomic.Int64  // when something last waited there, in ns
	ready     ready
	sent      *sent

	facts    *memo[string, *senderFacts]
	profiles *memo[string, *Profile]
	views    *memo[string, json.RawMessage] // of accounts and users
	queued   *memo[string, *atomic.Int64]
	contexts *memo[string, json.RawMessage] // snapshots by their names
	leases   *memo[e164.Number, number.Lease]
	health   *memo[string, map[string]bool]
	pool     *wheel
	refs     references
	intake   intake
	buckets  *buckets
	stats    Stats

	claiming sync.Mutex // held by the submitter that claims; guards the two below
	floor    string     // uuid below which nothing is queued, but for late commits
	looked   time.Time  // when the whole queue was last looked at
}

// Stats are counters since the start.
type Stats struct {
	Dropped  atomic.Int64 // inbound messages of numbers without a subscription
	Unknown  atomic.Int64 // receipts that matched no message
	Parked   atomic.Int64 // early receipts
	Doubles  atomic.Int64 // receipts and inbound messages that came again
	Accepted atomic.Int64
	Sent     atomic.Int64
	Received atomic.Int64
}

// New makes the service and registers the handlers of its jobs. Attach gives it its carriers.
func New(cfg Config) *Service {
	s := &Service{
		db: cfg.DB, events: cfg.Events, jobs: cfg.Jobs, accounts: cfg.Accounts, billing: cfg.Billing, numbers: cfg.Numbers, callbacks: cfg.Callbacks,
		log: cfg.Logger, now: cfg.Now, node: cfg.Node, fence: cfg.Fence, holds: cfg.Holds, sandbox: cfg.Sandbox, wake: make(chan struct{}, 1),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.node == "" {
		s.node = ident.New()
	}
	if s.fence == nil {
		s.fence = func(context.Context, *db.Tx) error { return nil }
	}
	if s.holds == nil {
		s.holds = func() bool { return true }
	}
	s.facts = newMemo[string, *senderFacts](factsFor, s.now)
	s.profiles = newMemo[string, *Profile](factsFor, s.now)
	s.views = newMemo[string, json.RawMessage](factsFor, s.now)
	s.queued = newMemo[string, *atomic.Int64](time.Second, s.now)
	s.contexts = newMemo[string, json.RawMessage](snapshotsFor, s.now)
	s.leases = newMemo[e164.Number, number.Lease](factsFor, s.now)
	s.health = newMemo[string, map[string]bool](30*time.Second, s.now)
	s.pool, s.buckets, s.sent = newWheel(), newBuckets(), newSent()
	s.refs.most = cacheSize
	s.jobs.Handle(fragmentQueue, jobs.Options{Workers: 2}, s.joinLate)
	s.jobs.Handle(contactQueue, jobs.Options{Workers: 1}, s.contactsJob)
	return s
}

// Attach names the carriers, in the order in which they are tried; call it once, before Run.
func (s *Service) Attach(links ...Link) { s.links = links }

// Counters gives the live counters.
func (s *Service) Counters() *Stats { return &s.stats }
