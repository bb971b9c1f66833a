package messaging

import (
	"context"
	"strings"
	"sync"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
)

// choose picks a number of the profile's pool for a recipient (messaging-semantics §3); nil when there is none.
func (s *Service) choose(ctx context.Context, q db.Querier, d *draft, to string) (*senderFacts, error) {
	list, err := s.candidates(ctx, q, d, to)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if d.profile.SkipUnhealthy {
		if list, err = s.healthy(ctx, d, list); err != nil {
			return nil, err
		}
	}
	if d.profile.Sticky {
		near, err := lastContact(ctx, q, d.profile.ID, to, d.now.Add(-stickyFor))
		if err != nil {
			return nil, err
		}
		for _, f := range list {
			if f.lease.TN.Digits() == near {
				return f, nil
			}
		}
	}
	weights := map[string]int{}
	list = filter(list, func(f *senderFacts) bool {
		w := d.profile.LongCodeWeight
		if f.lease.TN.TollFree() {
			w = d.profile.TollFreeWeight
		}
		weights[f.lease.TN.Digits()] = w
		return w > 0
	})
	country := countryOf(to, "")
	if near := filter(list, func(f *senderFacts) bool { return f.lease.TN.Country() == country }); len(near) > 0 {
		list = near
	}
	if quick := filter(list, func(f *senderFacts) bool { return s.buckets.wait(s.numberBucket(f.lease.TN), d.now) <= poolPatience }); len(quick) > 0 {
		list = quick
	}
	if len(list) == 0 {
		return nil, nil
	}
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.lease.TN.Digits()
	}
	return list[s.pool.pick(d.profile.ID, names, weights)], nil
}

// candidates are the profile's numbers that may send to the recipient.
func (s *Service) candidates(ctx context.Context, q db.Querier, d *draft, to string) ([]*senderFacts, error) {
	leases, err := s.numbers.ByProfile(ctx, q, d.Account, d.profile.ID)
	if err != nil {
		return nil, err
	}
	country := countryOf(to, "")
	strict := country == "US" || country == "CA"
	var out []*senderFacts
	for _, l := range leases {
		f, err := s.factsOf(ctx, q, l)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if (strict || needsCampaign(l.TN)) && !l.TN.TollFree() && !f.active {
			continue
		}
		out = append(out, f)
	}
	return out, nil
}

// healthy drops numbers that carriers refuse; when all would be dropped, all stay.
func (s *Service) healthy(ctx context.Context, d *draft, list []*senderFacts) ([]*senderFacts, error) {
	sick, err := s.health.get(d.Account, func() (map[string]bool, error) { return unhealthy(ctx, s.db.Read(), d.Account, d.now) })
	if err != nil {
		return nil, err
	}
	if good := filter(list, func(f *senderFacts) bool { return !sick[f.lease.TN.Digits()] }); len(good) > 0 {
		return good, nil
	}
	return list, nil
}

func filter[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, v := range list {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// wheel is a smooth weighted round robin for each pool: a number of weight w comes w times in a round, as evenly spread as can be.
type wheel struct {
	mu    sync.Mutex // guards turns
	turns map[string]map[string]int
}

func newWheel() *wheel { return &wheel{turns: map[string]map[string]int{}} }

// pick gives the place of the next name; weights are at least 1.
func (w *wheel) pick(pool string, names []string, weights map[string]int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	turn := w.turns[pool]
	if turn == nil {
		if len(w.turns) >= cacheSize {
			clear(w.turns)
		}
		turn = map[string]int{}
		w.turns[pool] = turn
	}
	best, total := 0, 0
	for i, n := range names {
		turn[n] += weights[n]
		total += weights[n]
		if turn[n] > turn[names[best]] {
			best = i
		}
	}
	turn[names[best]] -= total
	return best
}

// numberBucket is the throughput of one number over the links; nil means no limit.
func (s *Service) numberBucket(n e164.Number) bucketKey {
	rate := 0.0
	for _, l := range s.links {
		r := l.LongCode
		if n.TollFree() {
			r = l.TollFree
		}
		if r == 0 {
			return bucketKey{}
		}
		rate = max(rate, r)
	}
	return bucketKey{name: "tn:" + strings.Clone(n.Digits()), perSec: rate}
}
