package number

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/jobs"
)

// States of a lease.
const (
	Active    = "active"
	Releasing = "releasing"
	Released  = "released"
)

// Features says what a number offers, or what is switched on for a lease.
type Features struct{ Voice, SMS, MMS, Fax, Emergency bool }

// TN is a number of the inventory.
type TN struct {
	Number     e164.Number
	Kind       string // long_code, toll_free, short_code
	Plan       string // uuid of the price plan
	State      string // available, reserved, leased, quarantined, blocked
	Features   Features
	Country    string
	Province   string
	City       string
	RateCenter string
	PostalCode string
	Source     string
	Created    time.Time
	Modified   time.Time
}

// Lease is an account's right to a number, with where it leads.
type Lease struct {
	ID               string
	Account          string
	TN               e164.Number
	State            string // active, releasing, released
	Plan             string
	Name             string
	AutoRenew        bool
	On               Features
	App              string // voice target: SIP control app,
	Connection       string // else SIP connection,
	SIPUser          string // else SIP user
	MessagingProfile string
	CallerFilter     string
	Order            string
	CreatedBy        string
	ModifiedBy       string // empty: the server
	Expires          time.Time
	ReleasedOn       time.Time
	RetryOn          time.Time // of an unpaid renewal
	Notice           int       // days before the end that its owner heard of last, in a lease that will not be renewed; 0: none yet
	Created          time.Time
	Modified         time.Time
}

// Subscription is a service switched on for a lease.
type Subscription struct {
	ID       string
	Lease    string
	Account  string
	Kind     string // sms, voice
	Profile  string // messaging profile
	Campaign string // uuid of the SMS campaign
	State    string // pending, active, failed
	Reason   string
	Created  time.Time
	Modified time.Time
}

// Accounts is what number asks of accounts.
type Accounts interface {
	EventView(ctx context.Context, q db.Querier, account string) (json.RawMessage, error)
	RefView(ctx context.Context, q db.Querier, account string) (json.RawMessage, error)
	UserView(ctx context.Context, q db.Querier, user string) (json.RawMessage, error)
}

// Views shows foreign objects inside leases, by uuid; each gives "null" for an empty id, and a 404 fault for one that is not the account's.
type Views interface {
	AppView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error)
	ProfileView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error)
	CampaignView(ctx context.Context, q db.Querier, account, id string) (json.RawMessage, error)
}

// Messages is what number asks of messaging.
type Messages interface {
	// Resolve finds a campaign by uuid or campaignId, or gives a 404.
	Resolve(ctx context.Context, q db.Querier, account, key string) (id string, active bool, err error)
	// Ready gives the account's ready-made active campaign, or "".
	Ready(ctx context.Context, q db.Querier, account string) (id string, err error)
	// NumberEnds fails what waits to be sent from a number that sends no more.
	NumberEnds(ctx context.Context, tx *db.Tx, tn e164.Number) error
}

// Letters writes to the administrator of an account, where its settings ask for letters of that kind.
type Letters interface {
	Send(ctx context.Context, tx *db.Tx, account, template string, vars map[string]string) error
}

// Config is what a Service needs.
type Config struct {
	DB       *db.DB
	Events   *event.Log
	Jobs     *jobs.Runner
	Billing  *billing.Service
	Accounts Accounts
	Views    Views
	Messages Messages
	Letters  Letters // nil: nobody is written to
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Service is the numbers of all accounts.
type Service struct {
	db       *db.DB
	events   *event.Log
	jobs     *jobs.Runner
	billing  *billing.Service
	accounts Accounts
	views    Views
	messages Messages
	letters  Letters
	log      *slog.Logger
	now      func() time.Time
}

// New makes the service.
func New(cfg Config) *Service {
	s := &Service{db: cfg.DB, events: cfg.Events, jobs: cfg.Jobs, billing: cfg.Billing, accounts: cfg.Accounts, views: cfg.Views, messages: cfg.Messages, letters: cfg.Letters, log: cfg.Logger, now: cfg.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Bind gives the parts that are made after the service: products show themselves inside leases.
func (s *Service) Bind(v Views, m Messages) { s.views, s.messages = v, m }

// AddMonth gives the same day and time of the next month, its last day when that month is shorter.
func AddMonth(t time.Time) time.Time {
	next := t.AddDate(0, 1, 0)
	if next.Day() != t.Day() {
		return time.Date(t.Year(), t.Month()+2, 0, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	}
	return next
}
