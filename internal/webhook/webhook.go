package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
)

// Pool is how many requests run at once on a node. The client must not let fewer to one host: an endpoint that hangs would hold back others behind it.
const Pool = 1024

// Limits of the package, in one place.
const (
	laneWidth   = 20  // requests at once of one endpoint, on all nodes together; of one host of an account, on each node
	laneAhead   = 100 // claimed at once for a lane that answers quickly
	narrowWidth = 4   // requests at once of a lane that is slow or fails, when half of the pool is in use
	quickAnswer = 200 * time.Millisecond
	maxRun      = 64              // deliveries of one order that are claimed together
	runTime     = 5 * time.Second // after which what is left of them goes back

	pollEvery   = time.Second // unless Config.PollEvery says otherwise
	leaseMargin = 15 * time.Second
	strayAfter  = 24 * time.Hour // beyond the time in hand
	keptBody    = 4 << 10        // bytes of an answer that are kept
	keptHeader  = 2 << 10        // bytes of its headers
	listed      = 200            // newest attempts of a delivery that are shown

	signedTimeout = 15 * time.Second
	signedBody    = 20 << 10 // larger bodies are cut
	maxEndpoints  = 50       // of an account
	oldSecretLife = 24 * time.Hour
	lookupTime    = 3 * time.Second // to learn where a new URL leads

	noteEvery    = time.Second     // that all is well with an endpoint
	breakAfter   = 5               // failures in a row after which an endpoint gets one request at a time
	probeFirst   = 5 * time.Second // between those
	probeMost    = 5 * time.Minute // they get rarer up to this
	slowFor      = 5 * time.Minute // at half of the rate
	slowest      = time.Second     // between two requests at a reduced rate
	maxPause     = 24 * time.Hour  // that Retry-After may ask for
	failingLimit = 5 * 24 * time.Hour

	fanBatch   = 500              // events read at once
	fanBuffer  = 4096             // events kept from the relay
	fanBytes   = 16 << 20         // of them
	fanLease   = 15 * time.Second // of the node that does the fan-out
	fanLazy    = 10 * time.Second // until the place in the log is noted although nothing was delivered
	maxReplay  = 100_000          // deliveries queued by one replay
	replayStep = 1000             // of them in one transaction
	keepStep   = 200              // bodies copied in one transaction
	knownBody  = 4096             // bodies kept in memory
)

// Notice is a notification to be sent.
type Notice struct {
	Account  string
	Key      string            // notices of one key go one after the other; empty: no order
	URLs     []string          // the first one, and one for when it fails
	Method   string            // empty: POST
	Header   map[string]string // further headers
	Body     json.RawMessage   // not sent with GET
	Schedule Schedule
	Timeout  time.Duration // of one request; zero: the schedule's, fetch.NoTimeout: as long as fetch allows
	Secret   string        // empty: not signed
	Trigger  string        // X-Opentact-Event
}

// Alerts tells an account's administrator of an endpoint that was disabled; it must not send before the commit of tx.
type Alerts interface {
	EndpointDisabled(ctx context.Context, tx *db.Tx, account, url, reason string) error
}

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver = fetch.Resolver

// Config is what a Service needs.
type Config struct {
	DB       *db.DB
	Fetch    *fetch.Client // see Pool
	Events   *event.Log    // nil: no signed endpoints are served
	Alerts   Alerts        // nil: nobody is told
	Resolver Resolver      // of URLs that customers give; nil: the system's
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
	Node     string           // this run of this node
	// Fence begins each transaction that claims deliveries or saves what came of them; an error means that this node was declared dead. nil: it is alive.
	Fence func(ctx context.Context, tx *db.Tx) error
	// Holds is asked right before each request: false means that the delivery may be another node's by now. nil: it is ours.
	Holds func() bool
	// PollEvery is how often the service looks for work that nobody told it of; zero: every second.
	PollEvery time.Duration
}

// Service sends notifications.
type Service struct {
	db       *db.DB
	fetch    *fetch.Client
	events   *event.Log
	alerts   Alerts
	resolver Resolver
	log      *slog.Logger
	now      func() time.Time
	node     string
	fence    func(ctx context.Context, tx *db.Tx) error
	holds    func() bool
	wake     chan struct{} // holds one; the dispatcher polls anyway
	news     chan struct{} // holds one; the fan-out polls anyway
	bodies   bodies
	slots    slots
	counters Counters

	pollEvery time.Duration

	mu    sync.Mutex          // guards hints
	hints map[string]struct{} // lanes that got something to send

	feed feed // what the relay of the log gave
}

// New makes the service; Run sends.
func New(cfg Config) *Service {
	s := &Service{
		db: cfg.DB, fetch: cfg.Fetch, events: cfg.Events, alerts: cfg.Alerts, resolver: cfg.Resolver, log: cfg.Logger, now: cfg.Now, node: cfg.Node,
		fence: cfg.Fence, holds: cfg.Holds, wake: make(chan struct{}, 1), news: make(chan struct{}, 1), hints: map[string]struct{}{},
		bodies: bodies{of: map[string][]byte{}}, slots: slots{of: map[string]*slot{}},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.pollEvery = cfg.PollEvery; s.pollEvery <= 0 {
		s.pollEvery = pollEvery
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.node == "" {
		s.node = ident.New()
	}
	if s.resolver == nil {
		s.resolver = net.DefaultResolver
	}
	if s.fence == nil {
		s.fence = func(context.Context, *db.Tx) error { return nil }
	}
	if s.holds == nil {
		s.holds = func() bool { return true }
	}
	return s
}

// Notify leaves a notification in a transaction; it is sent after the commit.
func (s *Service) Notify(ctx context.Context, tx *db.Tx, n Notice) error {
	rules, known := schedules[n.Schedule]
	if !known || n.Schedule == Signed || len(n.URLs) == 0 {
		return fmt.Errorf("webhook: notice %s with schedule %q and %d addresses", n.Trigger, n.Schedule, len(n.URLs))
	}
	if n.Method == "" {
		n.Method = "POST"
	}
	if n.Timeout == 0 {
		n.Timeout = rules.timeout
	}
	lane := hostLane(n.Account, n.URLs[0])
	if err := insertNotice(ctx, tx, ident.New(), lane, n, s.now()); err != nil {
		return err
	}
	tx.After(func() { s.hint(lane) })
	return nil
}

// hostLane is the lane of an address: that of its host for this account.
func hostLane(account, address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return account + "/"
	}
	return account + "/" + u.Host
}

// hint tells the dispatcher of lanes that have something to send.
func (s *Service) hint(lanes ...string) {
	s.mu.Lock()
	for _, l := range lanes {
		s.hints[l] = struct{}{}
	}
	s.mu.Unlock()
	nudge(s.wake)
}

// hinted takes the hints.
func (s *Service) hinted() map[string]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.hints) == 0 {
		return nil
	}
	out := s.hints
	s.hints = map[string]struct{}{}
	return out
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
