package jobs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/jobs"
)

// record is what the handlers of all nodes saw.
type record struct {
	mu      sync.Mutex
	running map[string]int
	done    map[int]int
	order   map[string][]int // first ends, by order
	left    int
	all     chan struct{}
	faults  []string
}

func (r *record) begin(order string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running[order]++; order != "" && r.running[order] > 1 {
		r.faults = append(r.faults, "two jobs of order "+order+" at once")
	}
}

func (r *record) end(order string, n int, did bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[order]--
	if !did {
		return
	}
	if r.done[n]++; r.done[n] > 1 {
		return
	}
	r.order[order] = append(r.order[order], n)
	if r.left--; r.left == 0 {
		close(r.all)
	}
}

// TestJobsSurviveNodesThatStopAndStart: two nodes live for a few jobs each, again and again, some of their jobs are cut off in the middle, and jobs are added
// all the while from parallel transactions.
func TestJobsSurviveNodesThatStopAndStart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		const total, orders = 240, 6
		rec := &record{running: map[string]int{}, done: map[int]int{}, order: map[string][]int{}, left: total, all: make(chan struct{})}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		var nodes sync.WaitGroup
		for _, name := range []string{"a", "b"} {
			nodes.Go(func() {
				for ctx.Err() == nil {
					liveOnce(ctx, t, d, name, rec)
				}
			})
		}
		adder := jobs.NewRunner(jobs.Config{DB: d, Node: "adder"})
		var add sync.WaitGroup
		for o := range orders {
			add.Go(func() { // one order's jobs are made one after the other, the orders at once
				for i := range total / orders {
					order := fmt.Sprint("o", o)
					if o == 0 {
						order = ""
					}
					enqueue(t, d, adder, jobs.New{Queue: "q", Order: order, Payload: o*1000 + i})
				}
			})
		}
		add.Wait()
		<-rec.all
		stop()
		nodes.Wait()
		for _, f := range rec.faults {
			t.Error(f)
		}
		for order, list := range rec.order {
			for k := 1; order != "" && k < len(list); k++ {
				if list[k] <= list[k-1] {
					t.Fatalf("order %s: %v", order, list)
				}
			}
		}
		if n, err := jobs.Waiting(t.Context(), d.Read(), "q"); err != nil || n > 2*5 { // those done but not ended when their node stopped
			t.Fatal(n, err)
		}
	})
}

// liveOnce runs a node until it has begun a few jobs.
func liveOnce(ctx context.Context, t *testing.T, d *db.DB, name string, rec *record) {
	r := jobs.NewRunner(jobs.Config{DB: d, Node: name})
	life, die := context.WithCancel(ctx)
	defer die()
	var mu sync.Mutex
	begun, last := 0, 5+rand.IntN(20)
	r.Handle("q", jobs.Options{Workers: 5}, func(ctx context.Context, j jobs.Job) jobs.Outcome {
		var n int
		if err := j.Decode(&n); err != nil {
			t.Error(err)
		}
		rec.begin(j.Order)
		mu.Lock()
		if begun++; begun == last {
			die()
		}
		mu.Unlock()
		did := ctx.Err() == nil && rand.IntN(8) > 0
		rec.end(j.Order, n, did)
		if !did {
			return jobs.Again(time.Now(), context.Canceled)
		}
		return jobs.Finished()
	})
	if err := r.Run(life, func() {}); err != nil {
		t.Error(err)
	}
}

// TestAYoungerRunningJobHoldsBackAnOlderOneOfItsOrder: transactions commit in another order than their jobs were made in.
func TestAYoungerRunningJobHoldsBackAnOlderOneOfItsOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
		begun, release := make(chan int, 4), make(chan struct{})
		r.Handle("q", jobs.Options{Workers: 4}, func(_ context.Context, j jobs.Job) jobs.Outcome {
			var n int
			_ = j.Decode(&n)
			begun <- n
			if n == 2 {
				<-release
			}
			return jobs.Finished()
		})
		running(t, r)
		enqueue(t, d, r, jobs.New{Queue: "q", Order: "o", Payload: 2})
		if n := <-begun; n != 2 {
			t.Fatal(n)
		}
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO job (id, queue, ord, run_at, attempt, created_on, payload) VALUES ('00000000-0000-7000-8000-000000000001', 'q', 'o', 1, 0, 1, '1')")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		enqueue(t, d, r, jobs.New{Queue: "q", Payload: 3}) // wakes the dispatcher; the older job of the order must not be claimed with it
		if n := <-begun; n != 3 {
			t.Fatalf("job %d began beside a running one of its order", n)
		}
		close(release)
		if n := <-begun; n != 1 {
			t.Fatal(n)
		}
	})
}

// TestLaterJobsDoNotPutOffTheTimer: a stream of jobs for later must not keep an earlier one from its time.
func TestLaterJobsDoNotPutOffTheTimer(t *testing.T) {
	d := dbtest.SQLite(t)
	r := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
	got := make(chan string, 100)
	r.Handle("q", jobs.Options{Workers: 2}, func(_ context.Context, j jobs.Job) jobs.Outcome {
		got <- string(j.Payload)
		return jobs.Finished()
	})
	running(t, r)
	start := time.Now()
	enqueue(t, d, r, jobs.New{Queue: "q", RunAt: start.Add(200 * time.Millisecond), Payload: "early"})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case s := <-got:
			if late := time.Since(start); s != `"early"` || late > 5*time.Second { // a timer that is put off never fires while the stream lasts
				t.Fatalf("%s after %v", s, late)
			}
			return
		case <-tick.C:
			if time.Since(start) > 6*time.Second {
				t.Fatal("put off")
			}
			enqueue(t, d, r, jobs.New{Queue: "q", RunAt: time.Now().Add(900 * time.Millisecond), Payload: "late"})
		}
	}
}

// TestMoveWakesTheDispatcherInTime, and blocked jobs of an order do not hide when the next one is due.
func TestMoveWakesTheDispatcherInTime(t *testing.T) {
	d := dbtest.SQLite(t)
	r := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
	got := make(chan time.Time, 10)
	r.Handle("q", jobs.Options{}, func(ctx context.Context, j jobs.Job) jobs.Outcome {
		got <- time.Now()
		if j.Attempt > 1 {
			return jobs.Finished()
		}
		if err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			return jobs.Move(ctx, tx, j.ID, time.Now().Add(150*time.Millisecond), nil)
		}); err != nil {
			t.Error(err)
		}
		return jobs.Kept()
	})
	running(t, r)
	enqueue(t, d, r, jobs.New{Queue: "q", Order: "x", RunAt: time.Now().Add(time.Hour), Payload: 0})
	enqueue(t, d, r, jobs.New{Queue: "q", Order: "x", Payload: 0}) // waits for the one above
	enqueue(t, d, r, jobs.New{Queue: "q", Payload: 1})
	first, second := <-got, <-got
	if gap := second.Sub(first); gap < 140*time.Millisecond || gap > 900*time.Millisecond {
		t.Fatalf("moved by 150 ms, ran after %v", gap)
	}
}

// TestOnlyAnOldLeaseOfAnotherNodeIsNobodys: the clocks of two machines may be far apart, and a node frees what its own handlers hang on to.
func TestOnlyAnOldLeaseOfAnotherNodeIsNobodys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		slow := jobs.NewRunner(jobs.Config{DB: d, Node: "slow"})
		started, hang := make(chan struct{}), make(chan struct{})
		slow.Handle("q", jobs.Options{Workers: 1}, func(context.Context, jobs.Job) jobs.Outcome { close(started); <-hang; return jobs.Finished() })
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- slow.Run(ctx, func() {}) }()
		enqueue(t, d, slow, jobs.New{Queue: "q", Payload: 1})
		<-started
		clock := func(ahead time.Duration) func() time.Time {
			return func() time.Time { return time.Now().Add(ahead) }
		}
		ahead := jobs.NewRunner(jobs.Config{DB: d, Node: "ahead", Now: clock(5 * time.Minute)})
		wrong, looked := make(chan struct{}, 10), make(chan struct{}, 10)
		ahead.Handle("q", jobs.Options{}, func(context.Context, jobs.Job) jobs.Outcome { wrong <- struct{}{}; return jobs.Finished() })
		ahead.Handle("other", jobs.Options{}, func(context.Context, jobs.Job) jobs.Outcome { looked <- struct{}{}; return jobs.Finished() })
		stopAhead := running(t, ahead)
		enqueue(t, d, ahead, jobs.New{Queue: "other", Payload: 1})
		<-looked
		stopAhead() // what the next node frees is anybody's
		later := jobs.NewRunner(jobs.Config{DB: d, Node: "later", Now: clock(time.Hour)})
		again, finish := make(chan struct{}), make(chan struct{})
		later.Handle("q", jobs.Options{}, func(context.Context, jobs.Job) jobs.Outcome { close(again); <-finish; return jobs.Finished() })
		running(t, later)
		<-again
		if len(wrong) > 0 {
			t.Fatal("a node that lives lost its job to another's clock")
		}
		close(hang)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n, err := jobs.Waiting(t.Context(), d.Read(), "q"); err != nil || n != 1 {
			t.Fatalf("%d jobs, %v: the late end took the job from its new run", n, err)
		}
		close(finish)
	})
}
