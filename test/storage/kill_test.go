package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/jobs"
)

// childURL names the database of the child process that a test starts and kills.
const childURL = "OPENTACT_TEST_KILLED"

func TestMain(m *testing.M) {
	if u := os.Getenv(childURL); u != "" {
		if err := workUntilKilled(u); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// workUntilKilled changes things by many callers at once: a row, an event of it and a job for it in each transaction. It prints what was acknowledged.
func workUntilKilled(u string) error {
	d, err := db.Open(context.Background(), db.Config{URL: u})
	if err != nil {
		return err
	}
	log := event.NewLog(event.Config{DB: d})
	r := jobs.NewRunner(jobs.Config{DB: d, Node: "node"})
	r.Handle("q", jobs.Options{Workers: 8}, func(context.Context, jobs.Job) jobs.Outcome { return jobs.Finished() })
	go r.Run(context.Background(), func() {}) //nolint:errcheck // ends with the process
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("k%d.%d.%d", os.Getpid(), c, i)
				err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if _, err := tx.Exec(ctx, "INSERT INTO setting (name, value, modified_on) VALUES ($1, 'x', 1)", name); err != nil {
						return err
					}
					if _, err := r.Enqueue(ctx, tx, jobs.New{Queue: []string{"q", "later"}[i%2], Payload: name}); err != nil {
						return err
					}
					return log.Append(tx, event.Event{Account: "a", Type: "t", RefID: name})
				})
				if err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println("kept", name) // one write: lines of different callers do not mix
			}
		})
	}
	wg.Wait()
	return nil
}

// killed runs a child until it has acknowledged n changes, kills it, and gives all that it acknowledged.
func killed(t *testing.T, u string, n int) (kept []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childURL+"="+u)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "kept ")
		if !ok {
			t.Error(lines.Text())
			break
		}
		if kept = append(kept, name); len(kept) == n {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	return kept
}

func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	u := "sqlite:" + t.TempDir() + "/killed.db"
	d := opened(t, u)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var kept []string
	for n := 200; n <= 400; n += 100 {
		kept = append(kept, killed(t, u, n)...)
	}
	d = opened(t, u)
	t.Cleanup(func() { _ = d.Close() })
	rows := names(t, d, "SELECT name FROM setting WHERE name LIKE 'k%'")
	for _, name := range kept {
		if !rows[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	// Events: one per row, cursors without a gap up to the head.
	log := event.NewLog(event.Config{DB: d})
	head, _, err := log.Head(t.Context())
	if err != nil || head != int64(len(rows)) {
		t.Errorf("%d rows, head %d, %v", len(rows), head, err)
	}
	for at := int64(0); at < head; {
		list, err := log.Read(t.Context(), event.Query{After: at})
		if err != nil || len(list) == 0 {
			t.Fatalf("log ends at %d of %d: %v", at, head, err)
		}
		for _, r := range list {
			if at++; r.Seq != at || !rows[r.RefID] {
				t.Fatalf("place %d: cursor %d of %q", at, r.Seq, r.RefID)
			}
		}
	}
	// Jobs: those of a queue without a handler in the child are all there and run now; those of the other are done or run again, leased or not.
	left := names(t, d, "SELECT payload FROM job")
	again := jobs.NewRunner(jobs.Config{DB: d, Node: "again"})
	ran := make(chan string, len(left))
	h := func(_ context.Context, j jobs.Job) jobs.Outcome {
		ran <- string(j.Payload)
		return jobs.Finished()
	}
	again.Handle("q", jobs.Options{}, h)
	again.Handle("later", jobs.Options{}, h)
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return again.TakeBack(ctx, tx, "node") }); err != nil { // it was declared dead
		t.Fatal(err)
	}
	running(t, again)
	for range left {
		if p := <-ran; !left[p] || !rows[strings.Trim(p, `"`)] {
			t.Errorf("job of %s ran, its row is not there", p)
		}
	}
	later := 0
	for name := range rows {
		if parity := name[strings.LastIndexByte(name, '.')+1:]; (parity[len(parity)-1]-'0')%2 == 1 {
			later++
			if !left[`"`+name+`"`] {
				t.Errorf("job of %s is lost", name)
			}
		}
	}
	t.Logf("%d acknowledged, %d rows, %d jobs ran again (%d of them never before)", len(kept), len(rows), len(left), later)
}

func opened(t *testing.T, u string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Config{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func names(t *testing.T, d *db.DB, query string) map[string]bool {
	t.Helper()
	rows, err := d.Read().Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]bool{}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out[s] = true
	}
	return out
}

// running runs jobs until the test ends.
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
