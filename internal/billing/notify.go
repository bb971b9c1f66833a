package billing

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/jobs"
)

// BalanceEvent is the type of the event after a change of a balance.
const BalanceEvent event.Type = "balance"

const (
	notifyQueue = "billing.balance"
	notifyPace  = time.Second // at most one event per account in this time; the last value always comes
)

// MailLowBalance is the letter about a balance that fell below the account's threshold. Vars: balance, threshold.
const MailLowBalance = "low_balance"

// lowBalance is the source_action of the event about it.
const lowBalance = "low_balance"

// notify writes the event of an entry now, or leaves a job that writes the last value when the pace allows it.
func (s *Service) notify(ctx context.Context, tx *db.Tx, row balanceRow, t Transaction) error {
	if err := s.notifyLow(ctx, tx, row, t); err != nil {
		return err
	}
	if s.events == nil || s.accounts == nil || row.pending {
		return nil
	}
	on, err := s.accounts.BalanceNotices(ctx, tx, t.Account)
	if err != nil || !on {
		return err
	}
	now := s.now()
	if due := row.notified.Add(notifyPace); now.Before(due) && s.jobs != nil {
		if err := markNotified(ctx, tx, t.Account, row.notified, true); err != nil {
			return err
		}
		_, err := s.jobs.Enqueue(ctx, tx, jobs.New{Queue: notifyQueue, Order: t.Account, RunAt: due, Payload: t.Account})
		return err
	}
	if err := markNotified(ctx, tx, t.Account, now, false); err != nil {
		return err
	}
	return s.emit(ctx, tx, t)
}

// notifyLow tells of a balance that fell below the threshold, once for each fall (numbers-and-money §7). The threshold came with the balance: the entries of
// messages and calls pay no query for it.
func (s *Service) notifyLow(ctx context.Context, tx *db.Tx, row balanceRow, t Transaction) error {
	if row.low == nil || row.before < *row.low || row.balance >= *row.low {
		return nil
	}
	if s.letters != nil {
		vars := map[string]string{"balance": row.balance.String(), "threshold": row.low.String()}
		if err := s.letters.Send(ctx, tx, t.Account, MailLowBalance, vars); err != nil {
			return err
		}
	}
	if s.events == nil || s.accounts == nil {
		return nil
	}
	t.Action, t.After = lowBalance, row.balance
	return s.emit(ctx, tx, t)
}

func (s *Service) emit(ctx context.Context, tx *db.Tx, t Transaction) error {
	view, err := s.accounts.EventView(ctx, tx, t.Account)
	if err != nil {
		return err
	}
	return s.events.Append(tx, event.Event{
		Account: t.Account, Type: BalanceEvent, RefID: t.UUID, Message: "New balance is " + t.After.String(), Payload: t.After,
		Members: []event.Member{{Name: "source_action", Value: t.Action}, {Name: "account", Value: view}},
	})
}

// notifyLate is the job that writes the last value.
func (s *Service) notifyLate(ctx context.Context, j jobs.Job) jobs.Outcome {
	var account string
	if err := j.Decode(&account); err != nil {
		s.log.Error("balance event", "error", err)
		return jobs.Finished()
	}
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := markNotified(ctx, tx, account, s.now(), false); err != nil {
			return err
		}
		t, err := newestEntry(ctx, tx, account)
		if err != nil {
			return err
		}
		if t.After, _, _, err = readBalance(ctx, tx, account); err != nil { // entries may be dated back: the last value is the balance itself
			return err
		}
		if err := s.emit(ctx, tx, t); err != nil {
			return err
		}
		return jobs.Done(ctx, tx, j.ID)
	})
	if err != nil {
		return jobs.Again(s.now().Add(notifyPace), err)
	}
	return jobs.Kept()
}
