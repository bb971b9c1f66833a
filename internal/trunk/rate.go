package trunk

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/money"
)

// Rate is what a call costs (voice-semantics §9).
type Rate struct {
	Table     int // 0: the number plan's price
	Prefix    string
	Country   string
	Effective time.Time
	PerMin    money.Amount
	Setup     money.Amount // per answered call
	MinTime   int          // seconds charged at least
	Interval  int          // seconds charged at a time
	Grace     int          // seconds that cost nothing
}

// First is the price of what is set aside when a call starts: one MinTime with the setup.
func (r Rate) First() (money.Amount, error) {
	a, err := r.PerMin.MulDiv(int64(max(r.MinTime, r.Interval)), 60)
	if err != nil {
		return 0, err
	}
	return a.Add(r.Setup)
}

// usualSteps are the increments where no rate table says otherwise: 6/6 in the United States and Canada, 60/60 elsewhere.
func usualSteps(country string) (minTime, interval int) {
	if country == "US" || country == "CA" {
		return 6, 6
	}
	return 60, 60
}

// SaveRates adds rows to a rate table, in place of those with the same prefix and time.
func (s *Service) SaveRates(ctx context.Context, list []Rate) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return putRates(ctx, tx, list) })
}

// rateOf finds the price of a call: the product's rate table when it has rows, else the price plan of the caller ID. found is false when the table
// has rows but none for this number.
func (s *Service) rateOf(ctx context.Context, q db.Querier, r *Route, plan string) (rate Rate, found bool, err error) {
	p, err := s.productOf(ctx, q, r.Profile)
	if err != nil {
		return rate, false, err
	}
	rate, found, used, err := rateIn(ctx, q, p.RateTable, r.To, s.now())
	if err != nil || used {
		return rate, found, err
	}
	prices, err := s.prices.Prices(ctx, q, r.Profile.Account, plan)
	if err != nil {
		return rate, false, err
	}
	rate = Rate{Country: r.Country, PerMin: prices.VoiceOut}
	rate.MinTime, rate.Interval = usualSteps(r.Country)
	return rate, true, nil
}

// productOf gives the product of a profile, the default one when it names none.
func (s *Service) productOf(ctx context.Context, q db.Querier, p Profile) (Product, error) {
	if p.Product == 0 {
		return productByID(ctx, q, DefaultProduct)
	}
	return productByID(ctx, q, p.Product)
}

// prefixesOf gives all beginnings of a number, the whole number included.
func prefixesOf(n e164.Number) []string {
	out := make([]string, 0, len(n))
	for i := range len(n) {
		out = append(out, string(n[:i+1]))
	}
	return out
}
