package lifecycle

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// diary records what happened in which order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(s string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, s)
}

func (d *diary) part(name string, stage int, startTakes, stopTakes time.Duration) Part {
	return Part{name, stage, func(ctx context.Context, ready func()) error {
		d.add("start " + name)
		time.Sleep(startTakes)
		ready()
		<-ctx.Done()
		time.Sleep(stopTakes)
		d.add("stop " + name)
		return ctx.Err()
	}}
}

func TestStagesStartInOrderAndStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := NewGroup(d.part("http", 4, 0, time.Second), d.part("db", 1, time.Second, 0), d.part("jobs", 2, time.Second, time.Second))
		if got := g.Ready(); !slices.Equal(got, []string{"db", "jobs", "http"}) {
			t.Errorf("before the start: %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- g.Run(ctx) }()
		time.Sleep(1500 * time.Millisecond)
		if got := g.Ready(); !slices.Equal(got, []string{"jobs", "http"}) {
			t.Errorf("half way: %v", got)
		}
		time.Sleep(time.Second)
		if got := g.Ready(); got != nil {
			t.Errorf("all started, but %v", got)
		}
		cancel()
		synctest.Wait()
		if got := g.Ready(); len(got) != 3 {
			t.Errorf("while stopping: %v", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		want := []string{"start db", "start jobs", "start http", "stop http", "stop jobs", "stop db"}
		if !slices.Equal(d.lines, want) {
			t.Errorf("%v", d.lines)
		}
	})
}

func TestFirstFailureStopsTheOthersAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		broken := errors.New("disk on fire")
		g := NewGroup(d.part("db", 1, 0, 0), Part{"relay", 2, func(ctx context.Context, ready func()) error {
			ready()
			time.Sleep(time.Hour)
			return broken
		}}, d.part("http", 3, 0, 0))
		err := g.Run(t.Context())
		var pe *PartError
		if !errors.As(err, &pe) || pe.Name != "relay" || !errors.Is(err, broken) || err.Error() != "part relay: disk on fire" {
			t.Errorf("%v", err)
		}
		if !slices.Equal(d.lines, []string{"start db", "start http", "stop http", "stop db"}) {
			t.Errorf("%v", d.lines)
		}
	})
}

func TestFailureWhileStartingNeverStartsTheNextStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := NewGroup(d.part("db", 1, 0, 0), Part{"bind", 2, func(context.Context, func()) error { return errors.New("address in use") }}, d.part("http", 3, 0, 0))
		if err := g.Run(t.Context()); err == nil || err.Error() != "part bind: address in use" {
			t.Errorf("%v", err)
		}
		if slices.Contains(d.lines, "start http") || !slices.Contains(d.lines, "stop db") {
			t.Errorf("%v", d.lines)
		}
	})
}

func TestStartLimitNamesWhatIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := Part{"dns", 1, func(ctx context.Context, _ func()) error { <-ctx.Done(); return context.Cause(ctx) }}
		g := NewGroup(stuck, Part{"fine", 1, func(ctx context.Context, ready func()) error { ready(); <-ctx.Done(); return nil }})
		began := time.Now()
		err := g.Run(t.Context())
		if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "stage 1: dns:") || time.Since(began) != DefaultStartLimit {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestStopLimitNamesWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := NewGroup(Part{"calls", 1, func(ctx context.Context, ready func()) error { ready(); <-release; return nil }})
		g.StopLimit = 5 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := g.Run(ctx)
		if !errors.Is(err, ErrNotStopped) || !strings.Contains(err.Error(), "calls") {
			t.Errorf("%v", err)
		}
		close(release)
	})
}

func TestPartsOfOneStageStopTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := NewGroup(d.part("a", 1, 0, 3*time.Second), d.part("b", 1, 0, 3*time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := g.Run(ctx); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestPanicBecomesAnErrorOfItsPart(t *testing.T) {
	for name, run := range map[string]func(){"panic": func() { panic("kaboom") }, "goexit": runtime.Goexit} {
		synctest.Test(t, func(t *testing.T) {
			g := NewGroup(Part{"x", 1, func(context.Context, func()) error { run(); return nil }})
			err := g.Run(t.Context())
			var pe *PartError
			if !errors.As(err, &pe) || pe.Name != "x" || !errors.Is(err, ErrPanic) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestEndingBeforeReadyIsAFailureAndAfterwardsIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := NewGroup(Part{"x", 1, func(context.Context, func()) error { return nil }}).Run(t.Context()); !errors.Is(err, ErrEnded) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		g := NewGroup(Part{"once", 1, func(_ context.Context, ready func()) error { ready(); return nil }})
		began := time.Now()
		if err := g.Run(ctx); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestFailureWhileStoppingIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(
			Part{"db", 1, func(ctx context.Context, ready func()) error {
				ready()
				<-ctx.Done()
				return errors.New("close failed")
			}},
			Part{"http", 2, func(ctx context.Context, ready func()) error {
				ready()
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), ErrStopping) {
					return context.Cause(ctx)
				}
				return nil
			}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Run(ctx); err == nil || err.Error() != "part db: close failed" {
			t.Errorf("%v", err)
		}
	})
}

func TestContextEndWhileStartingStopsWhatWasStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		g := NewGroup(d.part("db", 1, 0, 0), d.part("slow", 2, time.Minute/2, 0), d.part("http", 3, 0, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
		if !slices.Equal(d.lines, []string{"start db", "start slow", "stop slow", "stop db"}) {
			t.Errorf("%v", d.lines)
		}
	})
}

func TestGroupRefusesDoubledNamesAndSecondRuns(t *testing.T) {
	run := func(ctx context.Context, ready func()) error { ready(); return nil }
	if err := NewGroup(Part{"a", 1, run}, Part{"a", 2, run}).Run(t.Context()); err == nil {
		t.Error("doubled name accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := NewGroup(Part{"a", 1, run})
	if err := g.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := g.Run(ctx); err == nil {
		t.Error("second run accepted")
	}
}
