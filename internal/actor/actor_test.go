package actor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an actor until the test ends.
func start(t *testing.T, inbox int) *Actor[[]int] {
	t.Helper()
	a := New([]int(nil), inbox)
	go a.Run(t.Context())
	t.Cleanup(func() { a.Close(); <-a.Done() })
	return a
}

func push(n int) func(*[]int) { return func(v *[]int) { *v = append(*v, n) } }

func TestFunctionsRunInTheOrderTheyWereSent(t *testing.T) {
	a := start(t, 8)
	const n = 1000
	for i := range n {
		if i%3 == 0 {
			for errors.Is(a.Post(push(i)), ErrFull) {
				a.Ask(t.Context(), func(*[]int) {})
			}
		} else if err := a.Ask(t.Context(), push(i)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Query(t.Context(), a, func(v *[]int) []int { return append([]int(nil), *v...) })
	if err != nil || len(got) != n {
		t.Fatalf("%d of %d: %v", len(got), n, err)
	}
	for i, v := range got {
		if i != v {
			t.Fatalf("%d at place %d", v, i)
		}
	}
}

func TestFullInboxRefusesPostAndLetsAskWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, 2)
		release := make(chan struct{})
		a.Post(func(*[]int) { <-release })
		synctest.Wait() // taken out of the inbox, running
		if err := errors.Join(a.Post(push(1)), a.Post(push(2))); err != nil || a.Waiting() != 2 {
			t.Fatalf("%v, %d waiting", err, a.Waiting())
		}
		if err := a.Post(push(3)); !errors.Is(err, ErrFull) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := a.Ask(ctx, push(4)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		asked := make(chan error)
		go func() { asked <- a.Ask(t.Context(), push(5)) }()
		synctest.Wait()
		close(release)
		if err := <-asked; err != nil {
			t.Error(err)
		}
		got, _ := Query(t.Context(), a, func(v *[]int) []int { return *v })
		if len(got) != 3 || got[2] != 5 {
			t.Errorf("%v", got)
		}
	})
}

func TestAskThatGaveUpNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, 4)
		release := make(chan struct{})
		a.Post(func(*[]int) { <-release })
		cause := errors.New("call ended")
		ctx, cancel := context.WithCancelCause(t.Context())
		asked := make(chan error)
		go func() { asked <- a.Ask(ctx, push(1)) }()
		synctest.Wait()
		cancel(cause)
		if err := <-asked; err != cause {
			t.Errorf("%v", err)
		}
		if err := a.Ask(ctx, push(2)); err != cause {
			t.Errorf("%v", err)
		}
		close(release)
		got, err := Query(t.Context(), a, func(v *[]int) int { return len(*v) })
		if err != nil || got != 0 {
			t.Errorf("%d ran: %v", got, err)
		}
	})
}

func TestAskWaitsForAFunctionThatRunsAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, 4)
		release := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan error)
		go func() { asked <- a.Ask(ctx, func(*[]int) { <-release }) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-asked:
			t.Fatalf("returned while the function ran: %v", err)
		default:
		}
		close(release)
		if err := <-asked; err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestWhatWasTakenRunsAfterClose(t *testing.T) {
	for name, end := range map[string]func(a *Actor[[]int], cancel func()){
		"close":   func(a *Actor[[]int], _ func()) { a.Close(); a.Close() },
		"context": func(_ *Actor[[]int], cancel func()) { cancel() },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a := New([]int(nil), 0)
			ran := make(chan error)
			go func() { ran <- a.Run(ctx) }()
			release := make(chan struct{})
			a.Post(func(*[]int) { <-release })
			var sum int
			for i := range 10 {
				a.Post(func(*[]int) { sum += i })
			}
			asked := make(chan error)
			go func() { asked <- a.Ask(t.Context(), push(1)) }()
			synctest.Wait()
			end(a, cancel)
			synctest.Wait()
			close(release)
			if err := errors.Join(<-asked, <-ran); err != nil || sum != 45 {
				t.Errorf("%s: %v, sum %d", name, err, sum)
			}
			<-a.Done()
			if err := a.Post(push(1)); !errors.Is(err, ErrStopped) {
				t.Errorf("%s: post: %v", name, err)
			}
			if err := a.Ask(t.Context(), push(1)); !errors.Is(err, ErrStopped) {
				t.Errorf("%s: ask: %v", name, err)
			}
			if err := a.Run(t.Context()); !errors.Is(err, ErrRunning) {
				t.Errorf("%s: run: %v", name, err)
			}
		})
	}
}

func TestBusyActorNoticesTheEndOfItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := New(0, 1)
	var again func(*int)
	again = func(n *int) {
		if *n++; *n == 1000 {
			cancel()
		}
		a.Post(again) // there is always one more
	}
	if err := a.Post(again); err != nil {
		t.Fatal(err)
	}
	if err := a.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestPanicGoesToRunsCallerAndFreesThoseWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(0, 8)
		panicked := make(chan any)
		release := make(chan struct{})
		go func() {
			defer func() { panicked <- recover() }()
			a.Run(t.Context())
		}()
		a.Post(func(*int) { <-release; panic("kaboom") })
		asked := make(chan error, 3)
		for range 3 {
			go func() { asked <- a.Ask(t.Context(), func(*int) { t.Error("ran after the panic") }) }()
		}
		synctest.Wait()
		close(release)
		if v := <-panicked; v != "kaboom" {
			t.Errorf("%v", v)
		}
		for range 3 {
			if err := <-asked; !errors.Is(err, ErrStopped) {
				t.Errorf("%v", err)
			}
		}
		<-a.Done()
	})
}

// No accepted function may be lost, and no refused one may run, however sending and closing meet.
func TestNothingIsLostBetweenCloseAndStop(t *testing.T) {
	for range 50 {
		a := New(0, 4)
		ran := make(chan error, 1)
		go func() { ran <- a.Run(t.Context()) }()
		var accepted, executed atomic.Int64
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for {
					var err error
					if i%2 == 0 {
						err = a.Post(func(*int) { executed.Add(1) })
					} else {
						err = a.Ask(t.Context(), func(*int) { executed.Add(1) })
					}
					switch {
					case err == nil:
						accepted.Add(1)
					case errors.Is(err, ErrStopped):
						return
					case a.Ask(t.Context(), func(*int) {}) != nil: // full: wait for room
						return
					}
				}
			})
		}
		wg.Go(func() {
			a.Ask(t.Context(), func(*int) {})
			a.Close()
		})
		wg.Wait()
		<-a.Done()
		if err := <-ran; err != nil || accepted.Load() != executed.Load() || a.Waiting() != 0 {
			t.Fatalf("%v: %d accepted, %d ran, %d waiting", err, accepted.Load(), executed.Load(), a.Waiting())
		}
	}
}

func BenchmarkAsk(b *testing.B) {
	a := New(0, 0)
	go a.Run(b.Context())
	for b.Loop() {
		if err := a.Ask(b.Context(), func(n *int) { *n++ }); err != nil {
			b.Fatal(err)
		}
	}
	a.Close()
	<-a.Done()
}
