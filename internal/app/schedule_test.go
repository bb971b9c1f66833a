package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
)

func TestOneNodeDoesATaskInEachPeriod(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		at := time.Now()
		clock := func() time.Time { return at }
		done := 0
		node := func(ahead time.Duration) *App {
			m := cluster.New(cluster.Config{DB: d, Name: "n"})
			return &App{db: d, now: func() time.Time { return clock().Add(ahead) }, domains: &domains{node: m}}
		}
		a, b := node(0), node(0)
		work := task{"work", time.Minute, func(context.Context) error { done++; return nil }}
		run := func(n *App, want int) time.Time {
			t.Helper()
			next, err := n.runTask(t.Context(), work)
			if err != nil || done != want {
				t.Fatalf("done %d times, want %d: %v", done, want, err)
			}
			return next
		}
		run(a, 1)
		if next := run(b, 1); next.Sub(at) > time.Minute || next.Sub(at) < time.Minute-time.Second {
			t.Fatal("the next period begins at", next.Sub(at))
		}
		at = at.Add(time.Minute)
		run(b, 2)
		run(a, 2)
		run(node(time.Hour), 3) // its clock is wrong, and must not end the work of the others
		at = at.Add(time.Second)
		run(a, 4)
		at = at.Add(time.Minute)
		broken := errors.New("broken")
		failing := task{"failing", time.Minute, func(context.Context) error { return broken }}
		if next, err := a.runTask(t.Context(), failing); !errors.Is(err, broken) || !next.After(at) {
			t.Fatal("a task that fails waits for its next period:", next, err)
		}
	})
}
