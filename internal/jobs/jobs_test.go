package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/jobs"
)

// running starts a runner; it ends with stop, at the latest when the test does.
func running(t *testing.T, r *jobs.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.Run(ctx, func() { close(ready) }) }()
	<-ready
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func enqueue(t *testing.T, d *db.DB, r *jobs.Runner, n jobs.New) {
	t.Helper()
	if err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		_, err := r.Enqueue(ctx, tx, n)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func TestEveryJobRunsOnceAndOrderIsKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		a := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
		b := jobs.NewRunner(jobs.Config{DB: d, Node: "b"})
		var mu sync.Mutex
		seen := map[string][]int{}
		left := 200
		all := make(chan struct{})
		h := func(_ context.Context, j jobs.Job) jobs.Outcome {
			var n int
			if err := j.Decode(&n); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[j.Order] = append(seen[j.Order], n)
			if left--; left == 0 {
				close(all)
			}
			return jobs.Finished()
		}
		a.Handle("q", jobs.Options{Workers: 5}, h)
		b.Handle("q", jobs.Options{Workers: 5}, h)
		running(t, a)
		running(t, b)
		for i := range 200 {
			enqueue(t, d, a, jobs.New{Queue: "q", Order: fmt.Sprintf("o%d", i%10), Payload: i})
		}
		<-all
		mu.Lock()
		defer mu.Unlock()
		for o, list := range seen {
			for k := 1; k < len(list); k++ {
				if list[k] <= list[k-1] {
					t.Errorf("order %s: %v", o, list)
				}
			}
			if len(list) != 20 {
				t.Errorf("order %s ran %d", o, len(list))
			}
		}
	})
}

func TestRetryAndPanicAndKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
		attempts := make(chan int, 10)
		r.Handle("again", jobs.Options{}, func(_ context.Context, j jobs.Job) jobs.Outcome {
			attempts <- j.Attempt
			if j.Attempt < 3 {
				return jobs.Again(time.Now().Add(10*time.Millisecond), errors.New("not yet"))
			}
			return jobs.Finished()
		})
		panicked := make(chan struct{}, 1)
		r.Handle("panic", jobs.Options{}, func(context.Context, jobs.Job) jobs.Outcome { panicked <- struct{}{}; panic("boom") })
		keptDone := make(chan struct{})
		r.Handle("kept", jobs.Options{}, func(ctx context.Context, j jobs.Job) jobs.Outcome {
			if err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return jobs.Done(ctx, tx, j.ID) }); err != nil {
				t.Error(err)
			}
			close(keptDone)
			return jobs.Kept()
		})
		running(t, r)
		enqueue(t, d, r, jobs.New{Queue: "again", Payload: 1})
		enqueue(t, d, r, jobs.New{Queue: "panic", Payload: 1})
		enqueue(t, d, r, jobs.New{Queue: "kept", Payload: 1})
		for want := 1; want <= 3; want++ {
			if got := <-attempts; got != want {
				t.Fatalf("attempt %d, want %d", got, want)
			}
		}
		<-panicked
		<-keptDone
		if n, err := jobs.Waiting(t.Context(), d.Read(), "kept"); err != nil || n != 0 {
			t.Fatal(n, err)
		}
	})
}

// takeBack is what the others do when they declare a node dead.
func takeBack(t *testing.T, d *db.DB, by *jobs.Runner, node string) {
	t.Helper()
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return by.TakeBack(ctx, tx, node) }); err != nil {
		t.Fatal(err)
	}
}

// TestTheJobsOfADeadNodeGoToAnother, and its own late ends, of either kind, end nothing.
func TestTheJobsOfADeadNodeGoToAnother(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var dead atomic.Bool
		gone := errors.New("declared dead")
		frozen := jobs.NewRunner(jobs.Config{DB: d, Node: "frozen", Fence: func(context.Context, *db.Tx) error {
			if dead.Load() {
				return gone
			}
			return nil
		}})
		started, thaw := make(chan string, 10), make(chan struct{})
		late := make(chan error, 3)
		in := func(ctx context.Context, end func(ctx context.Context, tx *db.Tx) error) {
			late <- d.Update(ctx, end)
		}
		hang := func(end func(ctx context.Context, j jobs.Job) jobs.Outcome) jobs.Handler {
			return func(ctx context.Context, j jobs.Job) jobs.Outcome {
				started <- j.Queue
				<-thaw
				return end(context.WithoutCancel(ctx), j)
			}
		}
		ends := map[string]jobs.Handler{
			"finished": hang(func(context.Context, jobs.Job) jobs.Outcome { return jobs.Finished() }),
			"again":    hang(func(context.Context, jobs.Job) jobs.Outcome { return jobs.Again(time.Now().Add(time.Hour), gone) }),
			"done": hang(func(ctx context.Context, j jobs.Job) jobs.Outcome {
				in(ctx, func(ctx context.Context, tx *db.Tx) error { return jobs.Done(ctx, tx, j.ID) })
				return jobs.Kept()
			}),
			"moved": hang(func(ctx context.Context, j jobs.Job) jobs.Outcome {
				in(ctx, func(ctx context.Context, tx *db.Tx) error {
					return jobs.Move(ctx, tx, j.ID, time.Now().Add(time.Hour), nil)
				})
				return jobs.Kept()
			}),
		}
		other := jobs.NewRunner(jobs.Config{DB: d, Node: "other"})
		again, finish := make(chan int, 10), make(chan struct{})
		for queue, h := range ends {
			frozen.Handle(queue, jobs.Options{Workers: 1}, h)
			other.Handle(queue, jobs.Options{Workers: 1}, func(_ context.Context, j jobs.Job) jobs.Outcome {
				again <- j.Attempt
				<-finish
				return jobs.Finished()
			})
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- frozen.Run(ctx, func() {}) }()
		for queue := range ends {
			enqueue(t, d, frozen, jobs.New{Queue: queue, Payload: 1})
		}
		for range ends {
			<-started
		}
		dead.Store(true)
		takeBack(t, d, other, "frozen")
		running(t, other)
		for range ends {
			if n := <-again; n != 2 {
				t.Fatalf("attempt %d", n)
			}
		}
		close(thaw)
		for range 2 {
			if err := <-late; !errors.Is(err, jobs.ErrTaken) {
				t.Fatal("a late end within the handler's transaction:", err)
			}
		}
		enqueue(t, d, frozen, jobs.New{Queue: "finished", Payload: 2}) // the frozen node claims nothing any more
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		for queue := range ends {
			want := 1
			if queue == "finished" {
				want = 2
			}
			if n, err := jobs.Waiting(t.Context(), d.Read(), queue); err != nil || n != want {
				t.Fatalf("%d jobs of %s, %v: a late end took it from its new run", n, queue, err)
			}
		}
		close(finish)
		if n := <-again; n != 1 {
			t.Fatalf("attempt %d of a job that the frozen node must not have claimed", n)
		}
	})
}

// TestAJobIsLeftAloneWhileItsClaimIsUnsure, and runs when it is sure again.
func TestAJobIsLeftAloneWhileItsClaimIsUnsure(t *testing.T) {
	d := dbtest.SQLite(t)
	asked := make(chan struct{}, 100)
	var sure atomic.Bool
	r := jobs.NewRunner(jobs.Config{DB: d, Node: "a", Holds: func() bool {
		asked <- struct{}{}
		return sure.Load()
	}})
	ran := make(chan int, 1)
	r.Handle("q", jobs.Options{}, func(_ context.Context, j jobs.Job) jobs.Outcome { ran <- j.Attempt; return jobs.Finished() })
	running(t, r)
	enqueue(t, d, r, jobs.New{Queue: "q", Payload: 1})
	<-asked
	if len(ran) > 0 {
		t.Fatal("ran")
	}
	sure.Store(true)
	if n := <-ran; n < 2 {
		t.Fatalf("attempt %d", n)
	}
}

func BenchmarkJobs(b *testing.B) {
	d := dbtest.SQLite(b)
	r := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
	var wg sync.WaitGroup
	r.Handle("q", jobs.Options{Workers: 128}, func(context.Context, jobs.Job) jobs.Outcome { wg.Done(); return jobs.Finished() })
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, func() {}) }()
	wg.Add(b.N)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
				_, err := r.Enqueue(ctx, tx, jobs.New{Queue: "q", Payload: 1})
				return err
			}); err != nil {
				b.Error(err)
			}
		}
	})
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	cancel()
	<-done
}
