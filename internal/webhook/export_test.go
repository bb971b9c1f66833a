package webhook

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// AfterFailure is the health after an attempt that was answered with status, when attempts were gap apart.
func AfterFailure(h Health, status int, gap time.Duration, now time.Time) Health {
	return h.after(result{d: &delivery{gap: gap, started: now}, o: outcome{status: status, err: "x"}}, now)
}

// Allowance tells how many attempts may start.
func Allowance(h Health, n int, now time.Time) (int, time.Time) { return h.allowance(n, now) }

// Runs gives the ids of the runs that the due deliveries of a lane make: those of one order are sent one after the other.
func Runs(ctx context.Context, tx *db.Tx, lane string, now time.Time, n int) ([][]string, error) {
	due := dueIn(lane, now)
	list, err := due.find(ctx, tx, n)
	if err != nil {
		return nil, err
	}
	runs, err := due.lengthen(ctx, tx, alone(oneOfEach(list)), n)
	out := make([][]string, len(runs))
	for i, r := range runs {
		for _, d := range r {
			out[i] = append(out[i], d.id)
		}
	}
	return out, err
}

// Fronts gives the ids of deliveries that may be sent now (due), and those that an endpoint gets of what waited since a time.
func Fronts(ctx context.Context, tx *db.Tx, lane string, now, since time.Time, n int) (due, waiting []string, err error) {
	ids := func(list []*delivery) (out []string) {
		for _, d := range list {
			out = append(out, d.id)
		}
		return out
	}
	list, err := dueIn(lane, now).find(ctx, tx, n)
	if err != nil {
		return nil, nil, err
	}
	more, err := waitingIn(lane, now, since).find(ctx, tx, n)
	return ids(list), ids(more), err
}
