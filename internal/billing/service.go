package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/money"
)

// Accounts is what billing asks of accounts.
type Accounts interface {
	// EventView gives the account object of event envelopes, with its balance.
	EventView(ctx context.Context, q db.Querier, account string) (json.RawMessage, error)
	// RefView gives the scalars for nesting in REST objects.
	RefView(ctx context.Context, q db.Querier, account string) (json.RawMessage, error)
	// CountryView gives Country of a two-letter code.
	CountryView(a2 string) json.RawMessage
	// BalanceNotices tells whether the account switched balance events on.
	BalanceNotices(ctx context.Context, q db.Querier, account string) (bool, error)
}

// Letters writes to the administrator of an account.
type Letters interface {
	Send(ctx context.Context, tx *db.Tx, account, template string, vars map[string]string) error
}

// Config is what a Service needs.
type Config struct {
	DB       *db.DB
	Events   *event.Log
	Jobs     *jobs.Runner
	Accounts Accounts
	Letters  Letters // nil: nobody is written to
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
	// OpeningCredit is given to new accounts as an adjustment, while the sandbox is on; zero gives nothing.
	OpeningCredit money.Amount
}

// Service is the money of all accounts.
type Service struct {
	db       *db.DB
	events   *event.Log
	jobs     *jobs.Runner
	accounts Accounts
	letters  Letters
	log      *slog.Logger
	now      func() time.Time
	opening  money.Amount
	objects  Objects
	leases   Leases
}

// New makes the service and registers the handler of its jobs.
func New(cfg Config) *Service {
	s := &Service{db: cfg.DB, events: cfg.Events, jobs: cfg.Jobs, accounts: cfg.Accounts, letters: cfg.Letters, log: cfg.Logger, now: cfg.Now, opening: cfg.OpeningCredit}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.jobs != nil {
		s.jobs.Handle(notifyQueue, jobs.Options{Workers: 2}, s.notifyLate)
	}
	return s
}

// Entry is one change of a balance.
type Entry struct {
	Account     string
	Amount      money.Amount // negative: a charge
	RefType     string       // ETransactionReferenceType
	RefUUID     string
	Action      string // EBillingAction, source_action on the wire
	Description string
	At          time.Time // now when zero
}

// Transaction is an entry as it stands in the ledger.
type Transaction struct {
	UUID   string
	Before money.Amount
	After  money.Amount
	Entry
}

// Hold is money set aside for one object until it is settled or released, or expires by itself.
type Hold struct {
	ID      string // uuid of the object
	Account string
	Kind    string // call, sms, order
	Amount  money.Amount
	Expires time.Time
}

// Settlement ends a hold with a charge.
type Settlement struct {
	Hold  string
	Entry Entry
}

// Open makes the balance of a new account, with the opening credit; it belongs in the transaction that makes the account.
func (s *Service) Open(ctx context.Context, tx *db.Tx, account string) error {
	if err := insertBalance(ctx, tx, account); err != nil {
		return err
	}
	if s.opening <= 0 {
		return nil
	}
	_, err := s.Post(ctx, tx, Entry{Account: account, Amount: s.opening, RefType: "adjustment", Action: "adjustment", Description: "Sandbox credit"})
	return err
}

// Post changes a balance by one ledger entry. A charge that available money (balance + credit limit - reserved) does not cover is refused with fault.Balance.
func (s *Service) Post(ctx context.Context, tx *db.Tx, e Entry) (Transaction, error) {
	if err := lock(ctx, tx, e.Account); err != nil {
		return Transaction{}, err
	}
	row, ok, err := moveBalance(ctx, tx, e.Account, e.Amount, 0)
	if err != nil {
		return Transaction{}, err
	}
	if !ok {
		return Transaction{}, fault.New(fault.Balance)
	}
	return s.write(ctx, tx, row, e)
}

// Hold sets money aside, or refuses with fault.Balance. Amounts of zero are held too: the object's settlement finds its hold.
func (s *Service) Hold(ctx context.Context, tx *db.Tx, h Hold) error {
	if h.Amount < 0 {
		return fault.Newf(fault.Internal, "negative hold")
	}
	if err := lock(ctx, tx, h.Account); err != nil {
		return err
	}
	_, ok, err := moveBalance(ctx, tx, h.Account, 0, h.Amount)
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Balance)
	}
	return insertHold(ctx, tx, h)
}

// Extend adds to a hold (the next interval of a running call) and moves its expiry, or refuses with fault.Balance.
func (s *Service) Extend(ctx context.Context, tx *db.Tx, h Hold) error {
	if err := lock(ctx, tx, h.Account); err != nil {
		return err
	}
	_, ok, err := moveBalance(ctx, tx, h.Account, 0, h.Amount)
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Balance)
	}
	return growHold(ctx, tx, h)
}

// Release frees what was held; releasing twice, or what was never held, is no error.
func (s *Service) Release(ctx context.Context, tx *db.Tx, id string) error {
	account, err := holder(ctx, tx, id)
	if err != nil || account == "" {
		return err
	}
	if err := lock(ctx, tx, account); err != nil {
		return err
	}
	_, amount, found, err := takeHold(ctx, tx, id)
	if err != nil || !found {
		return err
	}
	_, ok, err := moveBalance(ctx, tx, account, 0, -amount)
	if err == nil && !ok {
		err = fmt.Errorf("balance of account %s does not cover its holds", account)
	}
	return err
}

// Settle ends a hold with a charge. What was held is always granted; a charge beyond it takes what is available and leaves the rest uncharged, so that a
// balance never passes its limit. Without a hold it is a Post that is capped the same way. A charge of zero writes no ledger row.
func (s *Service) Settle(ctx context.Context, tx *db.Tx, hold string, e Entry) (Transaction, error) {
	if err := lock(ctx, tx, e.Account); err != nil {
		return Transaction{}, err
	}
	owner, held, found, err := takeHold(ctx, tx, hold)
	if err != nil {
		return Transaction{}, err
	}
	if found && owner != e.Account {
		return Transaction{}, foreignHold(hold, owner, e.Account)
	}
	return s.charge(ctx, tx, e, held)
}

func foreignHold(hold, owner, account string) error {
	return fmt.Errorf("hold %s of account %s settled by account %s", hold, owner, account)
}

// charge moves the balance for a hold that was taken already.
func (s *Service) charge(ctx context.Context, tx *db.Tx, e Entry, held money.Amount) (Transaction, error) {
	row, ok, err := moveBalance(ctx, tx, e.Account, e.Amount, -held)
	if err != nil {
		return Transaction{}, err
	}
	if !ok {
		if row, e.Amount, err = s.capped(ctx, tx, e, held); err != nil {
			return Transaction{}, err
		}
	}
	if e.Amount == 0 {
		return Transaction{Entry: e}, nil
	}
	return s.write(ctx, tx, row, e)
}

// capped charges what an account has, when that is less than asked. The row is locked while that is found out: what is available must not change in between.
func (s *Service) capped(ctx context.Context, tx *db.Tx, e Entry, held money.Amount) (row balanceRow, amount money.Amount, err error) {
	available, err := lockedAvailable(ctx, tx, e.Account)
	if err != nil {
		return row, 0, err
	}
	amount = max(e.Amount, -(available + held))
	s.log.Warn("charge capped at the available money", "account", e.Account, "ref", e.RefUUID, "asked", e.Amount.String(), "charged", amount.String())
	row, ok, err := moveBalance(ctx, tx, e.Account, amount, -held)
	if err == nil && !ok {
		err = fmt.Errorf("balance of account %s changed under its lock", e.Account)
	}
	return row, amount, err
}

// write adds the ledger row of a balance that was moved already, and the event.
func (s *Service) write(ctx context.Context, tx *db.Tx, row balanceRow, e Entry) (Transaction, error) {
	if e.At.IsZero() {
		e.At = s.now()
	}
	t, err := insertEntry(ctx, tx, e, row.balance)
	if err != nil {
		return Transaction{}, err
	}
	return t, s.notify(ctx, tx, row, t)
}

// Balance gives the three numbers of an account; available is balance + credit - reserved.
func (s *Service) Balance(ctx context.Context, q db.Querier, account string) (balance, credit, reserved money.Amount, err error) {
	return readBalance(ctx, q, account)
}

// Available gives balance + credit limit - reserved.
func (s *Service) Available(ctx context.Context, q db.Querier, account string) (money.Amount, error) {
	return availableOf(ctx, q, account)
}

// SetCreditLimit changes how far below zero an account may go; a limit that its debts pass is refused.
func (s *Service) SetCreditLimit(ctx context.Context, tx *db.Tx, account string, limit money.Amount) error {
	ok, err := setCredit(ctx, tx, account, limit)
	if err != nil {
		return err
	}
	if !ok {
		return fault.Invalid("credit_limit", "credit limit does not cover what the account owes and holds", limit.String())
	}
	return nil
}

// SetLowBalance names the balance below which the account wants to hear of it; nil: it does not.
func (s *Service) SetLowBalance(ctx context.Context, tx *db.Tx, account string, at *money.Amount) error {
	return setLow(ctx, tx, account, at)
}

// ExpireHolds releases holds whose time is over, a bounded number at once, and gives their number. Each account has a transaction of its own.
func (s *Service) ExpireHolds(ctx context.Context, limit int) (total int, err error) {
	for total < limit {
		n, err := s.expireSome(ctx, limit-total)
		if err != nil || n == 0 {
			return total, err
		}
		total += n
	}
	return total, nil
}

// expireSome releases expired holds of the account with the oldest of them.
func (s *Service) expireSome(ctx context.Context, limit int) (n int, err error) {
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		n = 0
		account, ids, err := expiredHolds(ctx, tx, s.now(), limit)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := lock(ctx, tx, account); err != nil {
			return err
		}
		for _, id := range ids {
			_, amount, found, err := takeExpired(ctx, tx, id, s.now())
			if err != nil {
				return err
			}
			if !found { // settled or extended meanwhile
				continue
			}
			if _, _, err := moveBalance(ctx, tx, account, 0, -amount); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return n, err
}

// CallCharge gives the charged seconds and the amount of a call (voice-semantics §9): t is rounded up to the next second; t ≤ grace is free; else at least
// minTime, in steps of interval. rate is per minute, setup per answered call; all times in seconds.
func CallCharge(rate, setup money.Amount, talked time.Duration, minTime, interval, grace int) (billed int, amount money.Amount, err error) {
	t := int((talked + time.Second - 1) / time.Second)
	if t <= grace {
		return 0, 0, nil
	}
	billed = max(t, minTime)
	if interval > 1 {
		billed = (billed + interval - 1) / interval * interval
	}
	if amount, err = rate.MulDiv(int64(billed), 60); err != nil {
		return 0, 0, err
	}
	amount, err = amount.Add(setup)
	return billed, amount, err
}
