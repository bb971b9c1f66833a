package messaging

import (
	"context"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/money"
)

// Preview is what sending would do.
type Preview struct {
	Analysis gsm.Analysis
	Price    money.Amount // of all recipients
	From     string       // the sender that would be taken
	Country  string       // of the first recipient
	Problems []string     // ESmsError codes that would refuse it
}

// Preview gives what Send would do with a request, and changes nothing but the pool's turn; 404 for an unknown sender or profile.
func (s *Service) Preview(ctx context.Context, r Request) (Preview, error) {
	d, err := s.draft(ctx, r)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Analysis: d.analysis}
	q := s.db.Read()
	var f *senderFacts
	if r.From != "" {
		f, err = s.sender(ctx, q, d.Account, d.From)
	} else {
		f, err = s.choose(ctx, q, d, d.To[0])
	}
	if err != nil {
		return out, err
	}
	if f == nil {
		out.Problems = []string{"no_sender"}
		return out, nil
	}
	m, err := s.newMessage(ctx, d, f, d.To[0])
	if err != nil {
		return out, err
	}
	out.From, out.Country = m.From, m.Country
	if out.Price, err = m.Price.Times(int64(len(d.To))); err != nil {
		return out, err
	}
	if !d.account.SMSTo(m.Country) {
		out.Problems = append(out.Problems, "country")
	}
	refused, err := optedOut(ctx, q, m.Account, m.Profile, m.To)
	if err != nil {
		return out, err
	}
	if refused {
		out.Problems = append(out.Problems, "opted_out")
	}
	if needsCampaign(f.lease.TN) && !f.active {
		out.Problems = append(out.Problems, "no_campaign")
	}
	available, err := s.billing.Available(ctx, q, d.Account)
	if err != nil {
		return out, fault.Wrap(fault.Internal, err)
	}
	if available < out.Price {
		out.Problems = append(out.Problems, "insufficient_balance")
	}
	return out, nil
}
