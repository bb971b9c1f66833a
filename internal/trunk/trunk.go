package trunk

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/number"
)

// Limits of the package.
const (
	maxAttempts  = 3               // carriers tried for one call (voice-semantics §5)
	maxRates     = 100_000         // rows of one rate file
	maxRateFile  = 10 << 20        // bytes of one rate file
	maxGates     = 4096            // counters in memory before idle ones are dropped
	refreshEvery = 5 * time.Second // the table is read again
	pingTimeout  = 4 * time.Second // of one OPTIONS
	maxPings     = 16              // OPTIONS on their way at once
	maxMisses    = 3               // OPTIONS without an answer until a carrier is down
	claimTries   = 20              // prefixes drawn before giving up
)

// Accounts is what trunk asks of accounts.
type Accounts interface {
	Cached(ctx context.Context, id string) (account.Account, error)
	RefView(ctx context.Context, q db.Querier, account string) (json.RawMessage, error)
	UserView(ctx context.Context, q db.Querier, user string) (json.RawMessage, error)
}

// Numbers is what trunk asks of numbers.
type Numbers interface {
	ByKey(ctx context.Context, q db.Querier, account, key string) (number.Lease, error)
	ByTN(ctx context.Context, q db.Querier, tn e164.Number) (number.Lease, bool, error)
	TNView(ctx context.Context, q db.Querier, tn e164.Number) (json.RawMessage, error)
}

// Pricer tells the prices of number plans, which count where a product has no rate table.
type Pricer interface {
	Prices(ctx context.Context, q db.Querier, account, plan string) (billing.Prices, error)
}

// Pinger sends one OPTIONS and waits for any answer.
type Pinger interface {
	Ping(ctx context.Context, h Host) error
}

// Domains shows the SIP domains that are tied to a profile.
type Domains interface {
	ProfileDomains(ctx context.Context, q db.Querier, account, profile string) ([]json.RawMessage, error)
}

// Config is what a Service needs.
type Config struct {
	DB       *db.DB
	Accounts Accounts
	Numbers  Numbers
	Prices   Pricer
	Pinger   Pinger // nil, also later: the state of carriers comes from SetState alone
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
	Rand     func(n int) int  // 0 ≤ result < n; nil: math/rand
}

// Service is the trunks of the platform.
type Service struct {
	db       *db.DB
	accounts Accounts
	numbers  Numbers
	prices   Pricer
	pinger   Pinger
	log      *slog.Logger
	now      func() time.Time
	rand     func(n int) int

	table    atomic.Pointer[table]
	box      atomic.Pointer[Host] // this node's carrier in the box; nil: it has none
	health   *health
	limits   *limiter
	domains  Domains
	onRemove []RemoveHook
}

// RemoveHook unties other objects from a profile in the transaction that removes it; fault.Busy keeps the profile.
type RemoveHook func(ctx context.Context, tx *db.Tx, account, profile string) error

// New makes the service; Load or Run fills its table of carriers.
func New(cfg Config) *Service {
	s := &Service{db: cfg.DB, accounts: cfg.Accounts, numbers: cfg.Numbers, prices: cfg.Prices, pinger: cfg.Pinger, log: cfg.Logger, now: cfg.Now, rand: cfg.Rand}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.IntN
	}
	s.health, s.limits = newHealth(), newLimiter(s.now)
	s.table.Store(&table{})
	return s
}

// PingWith names who asks carriers for a sign of life; call it before Run.
func (s *Service) PingWith(p Pinger) { s.pinger = p }

// ShowDomains names who shows the domains of a profile; call it before the first request.
func (s *Service) ShowDomains(d Domains) { s.domains = d }

// OnRemove adds a hook to the removal of profiles; call it before the first request.
func (s *Service) OnRemove(h RemoveHook) { s.onRemove = append(s.onRemove, h) }

// Load reads the carriers into memory; calls see them from then on.
func (s *Service) Load(ctx context.Context) error {
	list, err := carriers(ctx, s.db.Read(), Voice)
	if err != nil {
		return fmt.Errorf("load carriers: %w", err)
	}
	s.table.Store(newTable(list, s.box.Load()))
	return nil
}

// Run keeps the table fresh and asks the carriers for their health until ctx ends.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.Load(ctx); err != nil {
		return err
	}
	rounds := newRounds(s)
	defer rounds.wait()
	ready()
	refresh, beat := time.NewTicker(refreshEvery), time.NewTicker(time.Second)
	defer refresh.Stop()
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-refresh.C:
			if err := s.Load(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "carriers were not read again", "error", err)
			}
		case <-beat.C:
			rounds.start(ctx)
		}
	}
}

// reload follows a change made here; a failure is repaired by Run's next reading.
func (s *Service) reload(ctx context.Context) {
	if err := s.Load(context.WithoutCancel(ctx)); err != nil {
		s.log.WarnContext(ctx, "carriers were not read again", "error", err)
	}
}
