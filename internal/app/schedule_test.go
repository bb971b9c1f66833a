package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/ident"
)

func TestOneNodeDoesATaskInEachPeriod(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		at := time.Now()
		clock := func() time.Time { return at }
		done := 0
		node := func(ahead time.Duration) *App {
			a := member(t, d)
			a.now = func() time.Time { return clock().Add(ahead) }
			return a
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

// member is a node with nothing but its schedule, which lives until the test ends.
func member(t *testing.T, d *db.DB) *App {
	t.Helper()
	a := &App{db: d, now: time.Now, log: slog.New(slog.DiscardHandler), freed: make(chan struct{}, 1)}
	a.domains = &domains{node: cluster.New(cluster.Config{DB: d, Name: ident.New()})}
	a.domains.node.OnDead("recurring work", a.takeBackTasks)
	joined := make(chan struct{})
	run(t, func(ctx context.Context) error { return a.domains.node.Run(ctx, func() { close(joined) }) })
	<-joined
	return a
}

// run runs a part until its cancel, or the end of the test; cancel waits for it.
func run(t *testing.T, part func(context.Context) error) (cancel func()) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := part(ctx); err != nil {
			t.Error(err)
		}
	}()
	cancel = func() { stop(); <-ended }
	t.Cleanup(cancel)
	return cancel
}

// TestATaskOfADeadNodeIsTakenOverAtOnce: what it had in hand, not what it had done, long before the period ends.
func TestATaskOfADeadNodeIsTakenOverAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		did := make(chan string, 10)
		tasks := func(name string, work func(context.Context) error) []task {
			return []task{
				{"done", time.Hour, func(context.Context) error { did <- name + " done"; return nil }},
				{"work", time.Hour, work},
			}
		}
		a, b := member(t, d), member(t, d)
		endless := func(ctx context.Context) error { did <- "a work"; <-ctx.Done(); return ctx.Err() }
		die := run(t, func(ctx context.Context) error { a.repeat(ctx, tasks("a", endless)); return nil })
		expect := func(want string) {
			t.Helper()
			if got := <-did; got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		expect("a done")
		expect("a work")
		looked := tasks("b", func(context.Context) error { did <- "b work"; return nil })
		looked = append(looked, task{"last", time.Hour, func(context.Context) error { did <- "b has looked at all"; return nil }})
		run(t, func(ctx context.Context) error { b.repeat(ctx, looked); return nil })
		expect("b has looked at all")
		die()
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return b.takeBackTasks(ctx, tx, a.domains.node.ID()) }); err != nil {
			t.Fatal(err)
		}
		expect("b work")
	})
}

// TestEventsAreKeptAsLongAsTheSettingSays, which is seven days without one.
func TestEventsAreKeptAsLongAsTheSettingSays(t *testing.T) {
	for setting, kept := range map[string]time.Duration{"": 7 * 24 * time.Hour, "--event-retention=2h": 2 * time.Hour} {
		args := []string{"--db", dbtest.SQLiteURL(t), "--data", t.TempDir(), "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0"}
		if setting != "" {
			args = append(args, setting)
		}
		cfg, err := config.Load(args, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := New(t.Context(), cfg, Build{Version: "test"}, io.Discard, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		run(t, a.Run)
		<-a.Ready()
		for _, at := range []time.Time{a.now().Add(-kept - time.Minute), a.now().Add(-kept + time.Minute)} {
			if err := a.db.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
				return a.domains.events.Append(tx, event.Event{Account: "kept", Type: "sms", RefID: "r", At: at})
			}); err != nil {
				t.Fatal(err)
			}
		}
		trim := slices.IndexFunc(a.tasks(), func(t task) bool { return t.name == "event_trim" })
		if err := a.tasks()[trim].run(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := a.domains.events.Read(t.Context(), event.Query{Account: "kept"})
		if err != nil || len(rows) != 1 {
			t.Errorf("%s: %d of two events are left, %v", setting, len(rows), err)
		}
	}
}
