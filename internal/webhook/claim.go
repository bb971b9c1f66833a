package webhook

import (
	"context"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// ask is what the dispatcher wants of one lane.
type ask struct {
	lane string
	n    int // at most
}

// claimed is what it gets: deliveries with their attempts written, and lanes that are to be looked at later only.
type claimed struct {
	list []*delivery
	look map[string]time.Time
}

// claim takes due deliveries of some lanes into this node's hands, in one transaction with their attempts.
func (s *Service) claim(ctx context.Context, tx *db.Tx, asks []ask) (claimed, error) {
	out := claimed{look: map[string]time.Time{}}
	if err := s.fence(ctx, tx); err != nil {
		return out, err
	}
	if err := openGate(ctx, tx); err != nil {
		return out, err
	}
	now := s.now()
	hands, err := inHand(ctx, tx, s.node)
	if err != nil {
		return out, err
	}
	var list []*delivery
	for _, a := range asks {
		var some []*delivery
		if strings.Contains(a.lane, "/") {
			some, err = dueIn(ctx, tx, a.lane, now, a.n)
		} else {
			some, err = s.choose(ctx, tx, a, hands[a.lane], now, out.look)
		}
		if err != nil {
			return out, err
		}
		list = append(list, some...)
	}
	out.list, err = s.own(ctx, tx, list, now)
	return out, err
}

// choose picks what an endpoint gets now.
func (s *Service) choose(ctx context.Context, tx *db.Tx, a ask, has hand, now time.Time, look map[string]time.Time) ([]*delivery, error) {
	e, found, err := endpointAlone(ctx, tx, a.lane, "")
	if err != nil {
		return nil, err
	}
	if !found || !e.Active {
		look[a.lane] = now.Add(time.Minute) // a change of the endpoint is a hint
		return nil, nil
	}
	most := a.n
	if has.others > 0 { // a node alone may have more in hand than it sends at once
		most = min(most, max(laneWidth-has.others-has.own, 0))
	}
	n, next := e.allowance(most, now)
	switch probing := has.own+has.others > 0; {
	case e.open() && probing: // the end of a request of this node is a hint
		look[a.lane] = later(e.ProbeOn, now.Add(s.pollEvery))
		return nil, nil
	case e.open() && now.Before(e.ProbeOn), n == 0 && has.others == 0:
		look[a.lane] = later(next, e.ProbeOn)
		return nil, nil
	case n == 0:
		return nil, nil
	}
	list, err := s.pick(ctx, tx, e, has, n, now)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		d.endpoint = e
	}
	if now.Before(e.SlowUntil) && len(list) > 0 {
		return list, savePace(ctx, tx, e.ID, next.Add(time.Duration(len(list))*e.Pace))
	}
	return list, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pick chooses by the endpoint's health: what is due; after a failure what is older of the same order first; while it takes nothing one at a time, the oldest
// of all and then the one that is due; and after that everything that waited, in the order of the log.
func (s *Service) pick(ctx context.Context, tx *db.Tx, e *Endpoint, has hand, n int, now time.Time) ([]*delivery, error) {
	if e.open() {
		return probe(ctx, tx, e, now)
	}
	if !e.ReleasedOn.IsZero() {
		list, err := waitingIn(ctx, tx, e.ID, now, e.ReleasedOn, n)
		if err != nil || len(list) > 0 || has.own+has.others > 0 {
			return list, err
		}
		if err := saveDrained(ctx, tx, e.ID); err != nil {
			return nil, err
		}
	}
	list, err := dueIn(ctx, tx, e.ID, now, n)
	if err != nil {
		return nil, err
	}
	list = oneOfEach(list)
	if e.Fails > 0 {
		for i, d := range list {
			elder, err := elderOf(ctx, tx, d, now)
			if err != nil {
				return nil, err
			}
			if elder != nil {
				list[i] = elder
			}
		}
	}
	return list, nil
}

// probe gives the one delivery that tries an endpoint which takes nothing.
func probe(ctx context.Context, tx *db.Tx, e *Endpoint, now time.Time) ([]*delivery, error) {
	due, err := dueIn(ctx, tx, e.ID, now, 1)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	oldest, err := oldestIn(ctx, tx, e.ID, now)
	if err != nil {
		return nil, err
	}
	if oldest != nil && oldest.id != e.LastTry {
		return []*delivery{oldest}, nil
	}
	return due, nil
}

// oneOfEach keeps the oldest of each order: those of one order start one after the other.
func oneOfEach(list []*delivery) []*delivery {
	oldest := map[string]*delivery{}
	for _, d := range list {
		if o := oldest[d.ord]; d.ord != "" && (o == nil || d.seq < o.seq) {
			oldest[d.ord] = d
		}
	}
	out := list[:0]
	for _, d := range list {
		if d.ord == "" || oldest[d.ord] == d {
			out = append(out, d)
		}
	}
	return out
}
