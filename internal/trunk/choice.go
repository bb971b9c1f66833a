package trunk

import (
	"cmp"
	"context"
	"slices"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// candidate is a carrier that takes the number.
type candidate struct {
	Carrier
	up    bool
	match int // digits of the prefix that took it
}

// choose gives the attempts of a call.
func (s *Service) choose(ctx context.Context, q db.Querier, r Route) ([]Attempt, error) {
	var list []candidate
	for _, c := range s.table.Load().takers(r.To) {
		_, found, used, err := rateIn(ctx, q, c.Voice.RateTable, r.To, s.now())
		if err != nil {
			return nil, err
		}
		if used && !found {
			continue // the carrier sells no calls to this number
		}
		list = append(list, candidate{c, s.health.up(c.ID), c.match(r.To)})
	}
	if len(list) == 0 {
		return nil, &Refusal{ReasonNoRoute, 503, fault.Newf(fault.Unavailable, "no carrier for this destination")}
	}
	return attempts(order(list, s.rand), r), nil
}

// order sorts carriers: healthy ones first, then by priority, then the longer prefix; the rest is drawn by weight.
func order(list []candidate, rnd func(int) int) []candidate {
	before := func(a, b candidate) int {
		if a.up != b.up {
			if a.up {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.match, a.match))
	}
	slices.SortStableFunc(list, before)
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && before(list[from], list[to]) == 0 {
			to++
		}
		draw(list[from:to], rnd)
		from = to
	}
	return list
}

// draw orders equals by chance: each place is drawn among those that are left, in proportion to their weights (RFC 2782). Carriers without a weight
// come last.
func draw(list []candidate, rnd func(int) int) {
	for ; len(list) > 1; list = list[1:] {
		sum := 0
		for _, c := range list {
			sum += c.Weight
		}
		if sum == 0 {
			return
		}
		n, pick := rnd(sum), 0
		for n >= list[pick].Weight {
			n -= list[pick].Weight
			pick++
		}
		chosen := list[pick]
		copy(list[1:pick+1], list[:pick])
		list[0] = chosen
	}
}

// attempts takes the first address of each carrier in turn, then their second ones, until there are enough.
func attempts(list []candidate, r Route) []Attempt {
	list = list[:min(len(list), maxAttempts)]
	var out []Attempt
	for round := range maxAttempts {
		for _, c := range list {
			if round >= len(c.Voice.Hosts) || len(out) == maxAttempts {
				continue
			}
			h, v := c.Voice.Hosts[round], c.Voice
			out = append(out, Attempt{
				Carrier: c.ID, Name: c.Name, Host: h.Host, Port: h.Port, Transport: h.Transport, User: written(r.To, v.NumberFormat),
				From: written(r.From, v.NumberFormat), Login: v.Login, Password: v.Password, Codecs: v.Codecs, Sandbox: c.Sandbox(),
			})
		}
	}
	return out
}
