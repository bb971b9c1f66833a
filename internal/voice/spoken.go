package voice

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// listening is what a transcript is charged by; a started one counts (voice-semantics §9).
const listening = 15 * time.Second

// planOf gives the price plan of a lease, or the default one.
func (s *Service) planOf(ctx context.Context, q db.Querier, account, lease string) (string, error) {
	if lease == "" {
		return billing.DefaultPlan, nil
	}
	l, err := s.cfg.Numbers.ByKey(ctx, q, account, lease)
	switch {
	case fault.Is(err, fault.NotFound): // released meanwhile
		return billing.DefaultPlan, nil
	case err != nil:
		return "", err
	}
	return l.Plan, nil
}

// chargeSpeech takes the price of spoken characters; flow.ErrBalance when there is no money for them. Storage that is away does not silence a call.
func (s *Service) chargeSpeech(ctx context.Context, leg *call.Leg, characters int) error {
	ctx, cancel := context.WithTimeout(ctx, frontWait)
	defer cancel()
	rate, err := s.speechRate(ctx, leg)
	if err == nil && rate.Character > 0 {
		err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := s.cfg.Billing.Post(ctx, tx, billing.Entry{
				Account: leg.Account, Amount: -rate.Character * money.Amount(characters), RefType: "tts", RefUUID: leg.ID, Action: "tts",
				Description: fmt.Sprintf("Text-to-speech, %d characters", characters),
			})
			return err
		})
	}
	if fault.Is(err, fault.Balance) {
		return flow.ErrBalance
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("speech was not charged", "call", leg.ID, "account", leg.Account, "characters", characters, "error", err)
	}
	return nil
}

func (s *Service) speechRate(ctx context.Context, leg *call.Leg) (Rate, error) {
	t := tagOf(leg)
	if t.leased != nil {
		return s.planRate(ctx, leg.Account, t.leased.Plan)
	}
	plan, err := s.planOf(ctx, s.db.Read(), leg.Account, t.lease)
	if err != nil {
		return Rate{}, err
	}
	return s.planRate(ctx, leg.Account, plan)
}

// chargeTranscript takes the price of a transcript that was made; without money for it there is none.
func (s *Service) chargeTranscript(ctx context.Context, tx *db.Tx, r *Record, heard *understood) error {
	if heard.reason != "" {
		return nil
	}
	c, err := legOf(ctx, tx, r.Account, r.Call)
	if err != nil {
		return err
	}
	plan, err := s.planOf(ctx, tx, r.Account, c.Lease)
	if err != nil {
		return err
	}
	prices, err := s.cfg.Billing.Prices(ctx, tx, r.Account, plan)
	if err != nil || prices.ASR <= 0 {
		return err
	}
	parts := (r.Duration + listening - 1) / listening
	_, err = s.cfg.Billing.Post(ctx, tx, billing.Entry{
		Account: r.Account, Amount: -prices.ASR * money.Amount(parts), RefType: "call_asr", RefUUID: r.Call, Action: "call_asr",
		Description: "Transcript of record " + r.ID,
	})
	if fault.Is(err, fault.Balance) {
		heard.reason = "Not enough balance"
		return nil
	}
	return err
}
