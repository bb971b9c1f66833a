package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
)

// Limits of the package, in one place.
const (
	workers     = 64 // requests at once on this node
	pollEvery   = time.Second
	leaseMargin = 15 * time.Second
	keptBody    = 4 << 10 // bytes of an answer that are kept
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

// Config is what a Service needs.
type Config struct {
	DB     *db.DB
	Fetch  *fetch.Client
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	Node   string           // name of this node, stable over restarts
}

// Service sends notifications.
type Service struct {
	db    *db.DB
	fetch *fetch.Client
	log   *slog.Logger
	now   func() time.Time
	node  string
	wake  chan struct{} // holds one; the dispatcher polls anyway
}

// New makes the service; Run sends.
func New(cfg Config) *Service {
	s := &Service{db: cfg.DB, fetch: cfg.Fetch, log: cfg.Logger, now: cfg.Now, node: cfg.Node, wake: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.node == "" {
		s.node = ident.New()
	}
	return s
}

// Notify leaves a notification in a transaction; it is sent after the commit.
func (s *Service) Notify(ctx context.Context, tx *db.Tx, n Notice) error {
	rules, known := schedules[n.Schedule]
	if !known || len(n.URLs) == 0 {
		return fmt.Errorf("webhook: notice %s with schedule %q and %d addresses", n.Trigger, n.Schedule, len(n.URLs))
	}
	if n.Method == "" {
		n.Method = "POST"
	}
	if n.Timeout == 0 {
		n.Timeout = rules.timeout
	}
	if err := insertDelivery(ctx, tx, ident.New(), n, s.now()); err != nil {
		return err
	}
	tx.After(s.nudge)
	return nil
}

func (s *Service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
