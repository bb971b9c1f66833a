package jobs_test

import (
	"context"
	"errors"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/jobs"
)

func enqueueAll(t *testing.T, d *db.DB, r *jobs.Runner, n int) {
	t.Helper()
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		for i := range n {
			if _, err := r.Enqueue(ctx, tx, jobs.New{Queue: "q", Payload: i}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func wantWaiting(t *testing.T, d *db.DB, want int) {
	t.Helper()
	if n, err := jobs.Waiting(t.Context(), d.Read(), "q"); err != nil || n != want {
		t.Errorf("%d jobs wait, want %d: %v", n, want, err)
	}
}

// TestJobsThatAreDueAtOnceAreDoneTogether, and one by one when that fails.
func TestJobsThatAreDueAtOnceAreDoneTogether(t *testing.T) {
	for name, trouble := range map[string]func() error{
		"error": func() error { return errors.New("one of them is bad") },
		"panic": func() error { panic("one of them is bad") },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d *db.DB) {
				r := jobs.NewRunner(jobs.Config{DB: d, Node: "a"})
				groups, alone := make(chan int, 30), make(chan int, 30)
				r.Handle("q", jobs.Options{Workers: 1, Batch: 16, Together: func(_ context.Context, list []jobs.Job) error {
					groups <- len(list)
					for _, j := range list {
						if string(j.Payload) == "13" {
							return trouble()
						}
					}
					return nil
				}}, func(_ context.Context, j jobs.Job) jobs.Outcome {
					alone <- j.Attempt
					return jobs.Finished()
				})
				enqueueAll(t, d, r, 20)
				stop := running(t, r)
				if first, second := <-groups, <-groups; first != 16 || second != 4 {
					t.Errorf("groups of %d and %d", first, second)
				}
				stop()
				if len(alone) != 16 || len(groups) != 0 {
					t.Errorf("%d were done alone, and %d more groups", len(alone), len(groups))
				}
				wantWaiting(t, d, 0)
			})
		})
	}
}

func TestJobsThatWereTakenBackAreNotEndedTogether(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		frozen, living := jobs.NewRunner(jobs.Config{DB: d, Node: "frozen"}), jobs.NewRunner(jobs.Config{DB: d, Node: "living"})
		began, thaw := make(chan int), make(chan struct{})
		frozen.Handle("q", jobs.Options{Workers: 1, Batch: 8, Together: func(_ context.Context, list []jobs.Job) error {
			began <- len(list)
			<-thaw
			return nil
		}}, func(context.Context, jobs.Job) jobs.Outcome { return jobs.Finished() })
		enqueueAll(t, d, frozen, 3)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- frozen.Run(ctx, func() {}) }()
		<-began
		takeBack(t, d, living, "frozen")
		cancel()
		close(thaw)
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantWaiting(t, d, 3)
	})
}
