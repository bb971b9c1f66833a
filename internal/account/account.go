package account

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// Times and sizes of the look-ups that stand on every request's path. A change made on another node is seen when an entry's time is over.
const (
	lookupLife  = 2 * time.Second
	lookupSize  = 20000
	basicLife   = 60 * time.Second // good e-mail and password pairs: each check costs 25 ms of Argon2id
	basicSize   = 10000
	minSecret   = 32 // bytes of the key that signs JWTs
	maxName     = 255
	maxAddress  = 255
	maxZip      = 12
	minPassword = 3
	maxPassword = 255
)

// Level is how far an account is trusted (numbers-and-money §9).
type Level string

// The levels.
const (
	ServiceAccount Level = "ServiceAccount" // the platform's own: no limits
	Level0         Level = "Level0"         // new
	Level1         Level = "Level1"         // has paid
	Level2         Level = "Level2"         // checked by the administrator
)

// Levels are all of them.
var Levels = []Level{ServiceAccount, Level0, Level1, Level2}

// Limits bound what an account may do at once; a zero member is no limit.
type Limits struct {
	Channels     int          `json:"channels,omitempty"`       // calls at one moment
	CPS          float64      `json:"cps,omitempty"`            // new calls a second
	SMSPerSecond float64      `json:"sms_per_second,omitempty"` // messages a second
	DailySpend   money.Amount `json:"daily_spend,omitempty"`    // money a day
}

// LimitsOf gives the limits of a level.
func LimitsOf(l Level) Limits {
	switch l {
	case ServiceAccount:
		return Limits{}
	case Level1:
		return Limits{Channels: 50, CPS: 5, SMSPerSecond: 10, DailySpend: 500 * money.Unit}
	case Level2:
		return Limits{Channels: 500, CPS: 50, SMSPerSecond: 100, DailySpend: 5000 * money.Unit}
	default:
		return Limits{Channels: 2, CPS: 1, SMSPerSecond: 1, DailySpend: 10 * money.Unit}
	}
}

// Countries are the destinations that an account may reach, as ISO 3166-1 alpha-2 codes.
type Countries struct {
	Voice []string `json:"voice"`
	SMS   []string `json:"sms"`
}

func defaultCountries() Countries {
	return Countries{Voice: []string{"US", "CA"}, SMS: []string{"US", "CA"}}
}

// Account is a tenant.
type Account struct {
	ID             string
	Name           string
	Email          string
	Phone          e164.Number
	Address1       string
	Address2       string
	ZipCode        string
	City           string
	TimeZone       string // IANA name; empty: UTC
	Level          Level
	Admin          string // user who administers it
	DefaultProfile string // messaging profile
	OwnLimits      *Limits
	Limits         Limits // OwnLimits, else those of the level
	Countries      Countries
	CreatedOn      time.Time
	ModifiedOn     time.Time
	DisabledOn     time.Time
	DeletedOn      time.Time
}

// Active tells that the account is neither disabled nor deleted.
func (a *Account) Active() bool { return a.DisabledOn.IsZero() && a.DeletedOn.IsZero() }

// Location is the account's time zone, UTC when it has none.
func (a *Account) Location() *time.Location {
	if loc, err := time.LoadLocation(a.TimeZone); err == nil {
		return loc
	}
	return time.UTC
}

// VoiceTo tells whether calls to the country are switched on.
func (a *Account) VoiceTo(a2 string) bool { return slices.Contains(a.Countries.Voice, a2) }

// SMSTo tells whether messages to the country are switched on.
func (a *Account) SMSTo(a2 string) bool { return slices.Contains(a.Countries.SMS, a2) }

// Hook adds the rows of another subject to the transaction that makes an account. It may run more than once for one account (db.DB.Update).
type Hook func(ctx context.Context, tx *db.Tx, account string, level Level) error

// Config is what a Service needs from the start.
type Config struct {
	DB          *db.DB
	Logger      *slog.Logger
	Now         func() time.Time // nil: time.Now
	Domain      string           // base of SIP domains; the "domain" claim is it without a leading "sip."
	JWTSecret   []byte           // at least 32 bytes; nil: kept in the database, made when first needed
	Sandbox     bool             // new accounts start at Level1
	MinPassword int              // characters; 0: the contract's 3
	ObjectURL   string           // base of the URLs of avatars, without a trailing slash: <api url>/object
}

// Parts come from packages above this one; each may be nil.
type Parts struct {
	Balances   Balances
	Credit     Credit
	Thresholds Thresholds
	Presence   Presence
	SIPUsers   SIPUsers
	Google     SignIn
	Facebook   SignIn
	Profiles   Profiles
	Dictionary Dictionary
	Mailer     Mailer
	Objects    Objects
}

// Service is the subject's front door, safe for use by many goroutines.
type Service struct {
	cfg       Config
	db        *db.DB
	log       *slog.Logger
	now       func() time.Time
	parts     Parts
	hooks     []Hook
	hasher    *hasher
	processed []byte // secret of this process, keys the look-ups by credential
	jwtKey    atomic.Pointer[[]byte]
	matches   singleflight.Group

	zones     map[string]zone    // by IANA name; never changed, as the next
	countries map[string]country // by alpha-2 code

	accounts   *cache[string, Account]
	identities *cache[[32]byte, principal]
	basics     *cache[[32]byte, string] // credential → the stored hash it matched
}

// New makes the service; a JWT secret of less than 32 bytes is refused.
func New(cfg Config) (*Service, error) {
	if cfg.DB == nil {
		return nil, errors.New("account: no database")
	}
	if cfg.JWTSecret != nil && len(cfg.JWTSecret) < minSecret {
		return nil, errors.New("account: the JWT secret needs at least 32 bytes")
	}
	s := &Service{cfg: cfg, db: cfg.DB, log: cfg.Logger, now: cfg.Now, hasher: newHasher(), zones: readZones(zoneTab), countries: readCountries(countryTab), processed: make([]byte, 32)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.cfg.MinPassword = max(cfg.MinPassword, minPassword)
	s.parts.Mailer = discardMail{}
	_, _ = rand.Read(s.processed) // never fails since Go 1.24
	if cfg.JWTSecret != nil {
		s.jwtKey.Store(&s.cfg.JWTSecret)
	}
	s.accounts = newCache[string, Account](lookupLife, lookupSize, s.now)
	s.identities = newCache[[32]byte, principal](lookupLife, lookupSize, s.now)
	s.basics = newCache[[32]byte, string](basicLife, basicSize, s.now)
	return s, nil
}

// Attach gives the service the parts that are built after it; call it once, before the first request.
func (s *Service) Attach(p Parts) {
	if p.Mailer == nil {
		p.Mailer = discardMail{}
	}
	s.parts = p
}

// OnAccount adds a hook; call it before the first request. Hooks run in the order in which they were added.
func (s *Service) OnAccount(h Hook) { s.hooks = append(s.hooks, h) }

// changed makes look-ups forget what they know once tx is committed.
func (s *Service) changed(tx *db.Tx) {
	tx.After(func() {
		s.accounts.drop()
		s.identities.drop()
	})
}

// Load reads an account; fault.NotFound when there is none.
func (s *Service) Load(ctx context.Context, q db.Querier, id string) (Account, error) {
	return loadAccount(ctx, q, id)
}

// Cached is Load with an answer that may be two seconds old, for paths that ask at every call or message.
func (s *Service) Cached(ctx context.Context, id string) (Account, error) {
	a, ok, gen := s.accounts.get(id)
	if ok {
		return a, nil
	}
	a, err := loadAccount(ctx, s.db.Read(), id)
	if err != nil {
		return Account{}, err
	}
	s.accounts.put(id, a, gen)
	return a, nil
}

// SetDefaultProfile notes the messaging profile that new subscriptions take; empty clears it.
func (s *Service) SetDefaultProfile(ctx context.Context, tx *db.Tx, account, profile string) error {
	s.changed(tx)
	return setDefaultProfile(ctx, tx, account, profile, s.now())
}

// DefaultProfile gives the account's default messaging profile, empty when it has none.
func (s *Service) DefaultProfile(ctx context.Context, q db.Querier, account string) (string, error) {
	return defaultProfile(ctx, q, account, "")
}

// HoldDefaultProfile is DefaultProfile, which stays what it is until the transaction ends.
func (s *Service) HoldDefaultProfile(ctx context.Context, tx *db.Tx, account string) (string, error) {
	return defaultProfile(ctx, tx, account, tx.ForUpdate())
}

// Paid lifts a new account to Level1 after its first payment; other levels stay.
func (s *Service) Paid(ctx context.Context, tx *db.Tx, account string) error {
	s.changed(tx)
	return raiseLevel(ctx, tx, account, s.now())
}

// Patch changes an account's record; nil members stay, empty ones are cleared where the account can be without.
type Patch struct {
	Name, Email, Phone, Address1, Address2, ZipCode, City, TimeZone, DefaultProfile *string
}

// Update changes the account's record; faults of all members are reported together.
func (s *Service) Update(ctx context.Context, id string, p Patch) (Account, error) {
	var out Account
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		a, err := lockAccount(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := s.patch(ctx, tx, &a, p); err != nil {
			return err
		}
		a.ModifiedOn = s.now()
		s.changed(tx)
		out = a
		return saveAccount(ctx, tx, &a)
	})
	return out, err
}

func (s *Service) patch(ctx context.Context, tx *db.Tx, a *Account, p Patch) error {
	var f fault.Fields
	set(p.Name, &a.Name, func(v string) { length(&f, "name", v, 1, maxName) })
	set(p.Email, &a.Email, func(v string) { checkEmail(&f, "email", v) })
	set(p.Address1, &a.Address1, func(v string) { length(&f, "address1", v, 0, maxAddress) })
	set(p.Address2, &a.Address2, func(v string) { length(&f, "address2", v, 0, maxAddress) })
	set(p.ZipCode, &a.ZipCode, func(v string) { length(&f, "zip_code", v, 0, maxZip) })
	set(p.City, &a.City, func(v string) { length(&f, "city", v, 0, maxAddress) })
	set(p.TimeZone, &a.TimeZone, func(v string) {
		if v != "" && !s.knownZone(v) {
			f.Add("time_zone", "unknown time zone", v)
		}
	})
	if p.Phone != nil {
		a.Phone = ""
		if *p.Phone != "" {
			n, err := e164.Parse(*p.Phone)
			if err != nil {
				f.Add("phone", "invalid phone number", *p.Phone)
			}
			a.Phone = n
		}
	}
	if err := f.Err(); err != nil {
		return err
	}
	if p.DefaultProfile != nil {
		return s.patchProfile(ctx, tx, a, *p.DefaultProfile)
	}
	return nil
}

func (s *Service) patchProfile(ctx context.Context, tx *db.Tx, a *Account, profile string) error {
	if profile != "" {
		views, err := s.profiles(ctx, tx, a.ID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(views, func(v ProfileView) bool { return v.ID == profile }) {
			return fault.Missing("Messaging profile")
		}
	}
	a.DefaultProfile = profile
	return nil
}

// AdminPatch is what the platform's operator may change of an account; nil members stay.
type AdminPatch struct {
	Level       *Level
	Limits      *LimitsPatch
	Countries   *Countries
	Disabled    *bool
	CreditLimit *money.Amount
}

// LimitsPatch changes single limits; zero values mean "no limit".
type LimitsPatch struct {
	Reset        bool // back to those of the level
	Channels     *int
	CPS          *float64
	SMSPerSecond *float64
	DailySpend   *money.Amount
}

// Administer changes level, limits, countries, credit and state of an account.
func (s *Service) Administer(ctx context.Context, id string, p AdminPatch) (Account, error) {
	var out Account
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		a, err := lockAccount(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := administer(&a, p, s.now()); err != nil {
			return err
		}
		a.ModifiedOn = s.now()
		s.changed(tx)
		out = a
		if err := saveAccount(ctx, tx, &a); err != nil || p.CreditLimit == nil {
			return err
		}
		if s.parts.Credit == nil {
			return fault.Invalid("credit_limit", "this server keeps no credit", p.CreditLimit.String())
		}
		return s.parts.Credit.SetCreditLimit(ctx, tx, id, *p.CreditLimit)
	})
	return out, err
}

// Search finds accounts for the operator, and tells how many there are in all.
func (s *Service) Search(ctx context.Context, f Filter) ([]Account, int, error) {
	return searchAccounts(ctx, s.db.Read(), f)
}

func administer(a *Account, p AdminPatch, now time.Time) error {
	var f fault.Fields
	if p.Level != nil {
		if !slices.Contains(Levels, *p.Level) {
			f.Add("level", "unknown level", string(*p.Level))
		}
		a.Level = *p.Level
	}
	if p.Limits != nil {
		patchLimits(&f, a, *p.Limits)
	}
	if p.Countries != nil {
		checkCountries(&f, "countries.voice", p.Countries.Voice)
		checkCountries(&f, "countries.sms", p.Countries.SMS)
		a.Countries = *p.Countries
	}
	if p.CreditLimit != nil && *p.CreditLimit < 0 {
		f.Add("credit_limit", "must not be negative", p.CreditLimit.String())
	}
	switch {
	case p.Disabled == nil:
	case !*p.Disabled:
		a.DisabledOn = time.Time{}
	case a.DisabledOn.IsZero():
		if a.Level == ServiceAccount {
			f.Add("disabled", "the platform's own account cannot be disabled", true)
		}
		a.DisabledOn = now
	}
	a.settle()
	return f.Err()
}

func patchLimits(f *fault.Fields, a *Account, p LimitsPatch) {
	if p.Reset {
		a.OwnLimits = nil
		return
	}
	own := a.Limits
	if p.Channels != nil {
		own.Channels = *p.Channels
	}
	if p.CPS != nil {
		own.CPS = *p.CPS
	}
	if p.SMSPerSecond != nil {
		own.SMSPerSecond = *p.SMSPerSecond
	}
	if p.DailySpend != nil {
		own.DailySpend = *p.DailySpend
	}
	if own.Channels < 0 || own.CPS < 0 || own.SMSPerSecond < 0 || own.DailySpend < 0 {
		f.Add("limits", "must not be negative", nil)
	}
	a.OwnLimits = &own
}

// settle fills what follows from other members.
func (a *Account) settle() {
	a.Limits = LimitsOf(a.Level)
	if a.OwnLimits != nil {
		a.Limits = *a.OwnLimits
	}
}

func checkCountries(f *fault.Fields, path string, list []string) {
	for _, c := range list {
		if len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z' {
			f.Add(path, "not an ISO 3166-1 alpha-2 code", c)
		}
	}
}

// baseDomain is the "domain" claim of JWTs.
func (s *Service) baseDomain() string { return strings.TrimPrefix(s.cfg.Domain, "sip.") }

func (s *Service) knownZone(name string) bool {
	if s.parts.Dictionary != nil {
		return s.parts.Dictionary.TimeZone(name) != nil
	}
	return isZone(name)
}

// isZone tells the name of a zone of the IANA time zone database.
func isZone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "Local"
}

// set copies a given member and checks it.
func set(from, to *string, check func(string)) {
	if from != nil {
		check(*from)
		*to = *from
	}
}

// length notes a text whose number of code points is out of range.
func length(f *fault.Fields, path, v string, least, most int) {
	switch n := utf8.RuneCountInString(v); {
	case n < least && n == 0:
		f.Add(path, "must not be empty", v)
	case n < least:
		f.Add(path, "too short", v)
	case n > most:
		f.Add(path, "too long", v)
	}
}

// checkEmail wants one @ with something at both sides, no blanks and no control characters; more only the mail system knows. Host names without a
// dot are good: the first administrator is admin@localhost.
func checkEmail(f *fault.Fields, path, v string) {
	length(f, path, v, 5, 80)
	local, host, ok := strings.Cut(v, "@")
	bad := strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`<>(),;:"\`, r) })
	if !ok || local == "" || host == "" || bad || strings.Contains(host, "@") {
		f.Add(path, "invalid e-mail address", v)
	}
}

func checkURL(f *fault.Fields, path, v string, most int) {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || utf8.RuneCountInString(v) > most {
		f.Add(path, "invalid URL", v)
	}
}

func newID() string { return ident.New() }
