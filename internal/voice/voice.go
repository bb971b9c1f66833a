package voice

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/blob"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/speech"
	"github.com/opentact/opentact/internal/voice/call"
)

// Times and sizes of the subject.
const (
	defaultFlowTimeout = 5 * time.Second  // of a call-flow fetch
	longestFlowTimeout = 30 * time.Second // of a call-flow fetch that asks for no limit
	defaultParkTimeout = 30 * time.Second
	defaultRing        = 60 * time.Second // of POST /rest/call
	longestCall        = 4 * time.Hour    // when nothing else is said
	signedFor          = time.Hour        // URLs of recordings and documents
	keepRecords        = 90 * 24 * time.Hour
	maxMeta            = 4 << 10 // bytes of CallNew.meta
	holdAhead          = time.Minute
	addressWait        = 2 * time.Second        // look-up of a host that a document names
	frontWait          = 5 * time.Second        // database questions about an inbound call
	writtenWait        = 5 * time.Second        // for a new call's row
	maxForetold        = 3                      // prompts of a document that are spoken ahead
	keptWait           = 250 * time.Millisecond // an answer waits so long for the call's row at most: storage that is away must not hold up calls
	maxRawLogs         = 1000                   // logs and children shown with one call
)

// Carriers tells who sends from an address; trunk is it.
type Carriers interface {
	Match(addr netip.AddrPort) (id, name string, ok bool)
}

// Routes finds ways to the public network; trunk is it.
type Routes interface {
	// Route goes through voice-semantics §5 and gives at most three ways in their order, with a channel taken. A refusal is a *Refusal.
	Route(ctx context.Context, q db.Querier, r RouteRequest) (RouteSet, error)
	// Identity gives the number of the profile's own lease, or "". An empty profile is the account's oldest active one.
	Identity(ctx context.Context, q db.Querier, account, profile string) (e164.Number, error)
	// Spent counts a charge against the daily limit of a profile, in the transaction of the charge.
	Spent(ctx context.Context, tx *db.Tx, account, profile string, amount money.Amount, at time.Time) error
}

// RouteRequest is a call to the public network.
type RouteRequest struct {
	Account, Profile string
	To               string      // as dialled
	From             e164.Number // caller ID that was asked for; "" leaves it to the rules
	Forwarded        e164.Number // caller of the inbound call that goes on: From may be it
	Called           e164.Number // called number of that call
}

// RouteSet is where a call may go and what it costs.
type RouteSet struct {
	Profile     string      // the one that was used
	From        e164.Number // caller ID to show
	Own         e164.Number // leased number that stands for it
	Lease       string      // of Own
	To          e164.Number
	Ways        []Way
	Rate        Rate
	MaxDuration time.Duration       // of the profile; 0: none
	Record      *call.RecordOptions // that the profile asks for; nil: none
	Release     func()              // gives the channels back when the call is over; may be nil
}

// Way is one carrier's address for a call.
type Way struct {
	Host      string
	Port      int
	Transport string
	User      string // of the request URI, in the carrier's number format
	From      string // user of From, in the carrier's number format
	AuthUser  string
	AuthPass  string
	AuthRealm string
	Headers   map[string]string
	Codecs    []string
	Admit     func() (release func(), ok bool) // asks for room at the carrier; nil: there always is
}

// Channels counts an inbound call against the account's limit; release gives the channel back. The error is any refusal.
type Channels interface {
	AdmitInbound(acc account.Account) (release func(), err error)
}

// Rate is the price of a call; all times in seconds.
type Rate struct {
	PerMin, Setup            money.Amount
	MinTime, Interval, Grace int
	Character                money.Amount // of a spoken one, by the number's plan
}

// inboundSteps are the usual increments of inbound calls (voice-semantics §9).
const inboundSteps = 6

// first is what one increment costs: the least that must be at hand when the call starts.
func (r Rate) first() money.Amount {
	_, amount, err := billing.CallCharge(r.PerMin, r.Setup, time.Duration(max(r.MinTime, r.Grace+1, 1))*time.Second, r.MinTime, max(r.Interval, 1), r.Grace)
	if err != nil {
		return 0
	}
	return amount
}

// Refusal is a call that rules do not allow.
type Refusal struct {
	Reason string // ECallReason
	SIP    int    // what a SIP caller is told
	Q850   int
	Err    error // *fault.Error for REST
}

// Error says the reason.
func (r *Refusal) Error() string { return "call refused: " + r.Reason }

// Unwrap gives the fault that REST shows.
func (r *Refusal) Unwrap() error { return r.Err }

// Notice is one app state webhook (webhooks.md §3).
type Notice struct {
	Account string
	Order   string // requests of one call go one after the other
	URL     string // query included
	Method  string
	Body    json.RawMessage // nil with GET
	Secret  string
	Trigger string        // X-Opentact-Event
	Timeout time.Duration // 0: default; negative: none
}

// Webhooks delivers notices durably.
type Webhooks interface {
	Notify(ctx context.Context, tx *db.Tx, n Notice) error
}

// Profiles shows outbound voice profiles and products; a 404 fault for one that is not the account's.
type Profiles interface {
	ProfileView(ctx context.Context, q db.Querier, account, profile string) (json.RawMessage, error)
	ProductView(ctx context.Context, q db.Querier, account string, id int) (json.RawMessage, error)
}

// Prefixes gives out the tech prefixes of the platform.
type Prefixes interface {
	ClaimPrefix(ctx context.Context, tx *db.Tx, account, app string) (int, error)
	FreePrefix(ctx context.Context, tx *db.Tx, app string) error
}

// Config is what a Service needs; Carriers, Routes, Channels, Webhooks, Profiles, Prefixes, Dictionary, Speech and Blob may be nil.
type Config struct {
	DB         *db.DB
	Events     *event.Log
	Jobs       *jobs.Runner
	Accounts   *account.Service
	Billing    *billing.Service
	Numbers    *number.Service
	Fetch      *fetch.Client
	Speech     *speech.Engines
	Blob       *blob.Store
	Signer     blob.Signer
	Carriers   Carriers
	Routes     Routes
	Channels   Channels
	Webhooks   Webhooks
	Profiles   Profiles
	Prefixes   Prefixes
	Dictionary account.Dictionary
	Node       string                // id of this run of the program, which its calls bear
	Bus        Wire                  // to the other nodes; nil: their calls cannot be commanded here
	Nodes      Nodes                 // the other nodes; nil: there are none, and Node is the same for each run
	APIURL     string                // base of URLs that are given out, without a trailing slash
	Suspect    func(netip.Addr)      // hears of a call from a source that nobody knows; may be nil
	SIPAddr    func() netip.AddrPort // where this server takes calls; for calls that stay on the platform
	Logger     *slog.Logger
	Now        func() time.Time // nil: time.Now

	// Fence begins each transaction of the journal; nil: this node may always write. An error other than db.Down means that the node
	// was declared dead and others have closed its calls: nothing may be written for them any more.
	Fence func(ctx context.Context, tx *db.Tx) error
}

// Service is the calls of all accounts.
type Service struct {
	cfg     Config
	db      *db.DB
	log     *slog.Logger
	now     func() time.Time
	engine  engine
	journal *journal
	secret  string // marks calls that this server sends to itself
	scripts scripts
	taken   channels
	awaited waiters
	hots    hots
	parsed  documents
	sounds  sounds
	lost    chan struct{} // bound 1: a full one says the same; a node was declared dead

	stop     context.Context // ends the scripts at the end of Run
	stopAll  context.CancelCauseFunc
	running  sync.WaitGroup
	stopping atomic.Bool
}

// New makes the service; Attach gives it the engine and Run starts its work.
func New(cfg Config) *Service {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Service{cfg: cfg, db: cfg.DB, log: cfg.Logger, now: cfg.Now, secret: ident.Secret(32), lost: make(chan struct{}, 1)}
	s.stop, s.stopAll = context.WithCancelCause(context.Background())
	s.scripts.byLeg = map[string]*script{}
	s.taken.used = map[string]int{}
	s.awaited.byCallID = map[string][]chan struct{}{}
	s.journal = newJournal(s)
	if cfg.Jobs != nil {
		cfg.Jobs.Handle(transcriptQueue, jobs.Options{Workers: 1, Timeout: transcriptTime}, s.transcribe)
	}
	return s
}

// Run closes the calls that dead nodes left open, calls ready, and then writes what calls report, and closes further lost calls, until ctx ends.
// The engine must end before: Run writes what it reported last and waits for the scripts.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.closeLost(ctx); err != nil {
		return err
	}
	stop, err := s.serveErrands(s.stop)
	if err != nil {
		return err
	}
	defer stop()
	var janitor sync.WaitGroup
	janitor.Go(func() { s.sweep(ctx) })
	defer janitor.Wait()
	return s.journal.run(ctx, ready, func() {
		s.stopping.Store(true)
		s.stopAll(errStopping)
		s.running.Wait()
	})
}

// Dropped counts facts of calls that were given up because the database was away for too long.
func (s *Service) Dropped() uint64 { return s.journal.dropped.Load() }

// channels counts the running calls of each account, where nobody else does.
type channels struct {
	mu   sync.Mutex
	used map[string]int
}

// take counts one more call unless there are limit already; 0 is no limit.
func (c *channels) take(account string, limit int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit > 0 && c.used[account] >= limit {
		return false
	}
	c.used[account]++
	return true
}

func (c *channels) free(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used[account]--; c.used[account] <= 0 {
		delete(c.used, account)
	}
}

// admit takes a channel of the account; release gives it back. false when there is none.
func (s *Service) admit(a account.Account) (release func(), ok bool) {
	if s.cfg.Channels != nil {
		release, err := s.cfg.Channels.AdmitInbound(a)
		return release, err == nil
	}
	if !s.taken.take(a.ID, a.Limits.Channels) {
		return nil, false
	}
	return func() { s.taken.free(a.ID) }, true
}
