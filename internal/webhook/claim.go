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
	n    int  // at most
	runs bool // the lane answers quickly: what follows in an order may come along
}

// run is deliveries of one order that are sent one after the other by one worker: each begins when the one before it arrived.
type run []*delivery

// claimed is what the dispatcher gets: runs with their attempts written, and lanes that are to be looked at later only.
type claimed struct {
	runs []run
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
	var runs []run
	for _, a := range asks {
		var some []run
		if strings.Contains(a.lane, "/") {
			some, err = s.chooseOfHost(ctx, tx, a, now)
		} else {
			some, err = s.choose(ctx, tx, a, hands[a.lane], now, out.look)
		}
		if err != nil {
			return out, err
		}
		runs = append(runs, some...)
	}
	out.runs, err = s.own(ctx, tx, runs, now)
	return out, err
}

// chooseOfHost picks what a host of an account gets now.
func (s *Service) chooseOfHost(ctx context.Context, tx *db.Tx, a ask, now time.Time) ([]run, error) {
	due := dueIn(a.lane, now)
	list, err := due.find(ctx, tx, a.n)
	if err != nil {
		return nil, err
	}
	if !a.runs {
		return alone(list), nil
	}
	return due.lengthen(ctx, tx, alone(list), a.n-laneWidth)
}

// alone makes a run of each delivery.
func alone(list []*delivery) []run {
	out := make([]run, len(list))
	for i, d := range list {
		out[i] = run{d}
	}
	return out
}

// choose picks what an endpoint gets now.
func (s *Service) choose(ctx context.Context, tx *db.Tx, a ask, has hand, now time.Time, look map[string]time.Time) ([]run, error) {
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
	list, of, err := s.pick(ctx, tx, e, has, n, now)
	if err != nil {
		return nil, err
	}
	runs := alone(list)
	if now.Before(e.SlowUntil) && len(list) > 0 {
		err = savePace(ctx, tx, e.ID, next.Add(time.Duration(len(list))*e.Pace))
	} else if a.runs && e.Fails == 0 && of != nil {
		runs, err = of.lengthen(ctx, tx, runs, n-laneWidth)
	}
	for _, r := range runs {
		for _, d := range r {
			d.endpoint = e
		}
	}
	return runs, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pick chooses by the endpoint's health: what is due; after a failure what is older of the same order first; while it takes nothing one at a time, the oldest
// of all and then the one that is due; and after that everything that waited, in the order of the log. It tells what it chose from, unless that was one by one.
func (s *Service) pick(ctx context.Context, tx *db.Tx, e *Endpoint, has hand, n int, now time.Time) ([]*delivery, *fronts, error) {
	if e.open() {
		list, err := probe(ctx, tx, e, now)
		return list, nil, err
	}
	if !e.ReleasedOn.IsZero() {
		waiting := waitingIn(e.ID, now, e.ReleasedOn)
		list, err := waiting.find(ctx, tx, n)
		if err != nil || len(list) > 0 || has.own+has.others > 0 {
			return list, &waiting, err
		}
		if err := saveDrained(ctx, tx, e.ID); err != nil {
			return nil, nil, err
		}
	}
	due := dueIn(e.ID, now)
	list, err := due.find(ctx, tx, n)
	if err != nil {
		return nil, nil, err
	}
	list = oneOfEach(list)
	if e.Fails == 0 {
		return list, &due, nil
	}
	for i, d := range list {
		elder, err := elderOf(ctx, tx, d, now)
		if err != nil {
			return nil, nil, err
		}
		if elder != nil {
			list[i] = elder
		}
	}
	return list, nil, nil
}

// probe gives the one delivery that tries an endpoint which takes nothing.
func probe(ctx context.Context, tx *db.Tx, e *Endpoint, now time.Time) ([]*delivery, error) {
	due, err := dueIn(e.ID, now).find(ctx, tx, 1)
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
