package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/jobs"
)

// running starts a runner and stops it when the test ends.
func running(t *testing.T, r *jobs.Runner) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
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

func TestLeaseOfADeadNodeIsTakenBackAtItsRestart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		dead := jobs.NewRunner(jobs.Config{DB: d, Node: "n"})
		started := make(chan struct{})
		hang := make(chan struct{})
		dead.Handle("q", jobs.Options{Workers: 1}, func(context.Context, jobs.Job) jobs.Outcome { close(started); <-hang; return jobs.Kept() })
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- dead.Run(ctx, func() {}) }()
		enqueue(t, d, dead, jobs.New{Queue: "q", Payload: 1})
		<-started
		again := jobs.NewRunner(jobs.Config{DB: d, Node: "n"})
		got := make(chan int, 1)
		again.Handle("q", jobs.Options{}, func(_ context.Context, j jobs.Job) jobs.Outcome { got <- j.Attempt; return jobs.Finished() })
		running(t, again)
		if n := <-got; n != 2 {
			t.Fatalf("attempt %d", n)
		}
		cancel()
		close(hang)
		<-done
	})
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
