package db_test

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
)

// writers puts rows by many callers at once and remembers what each was told.
type writers struct {
	d     *db.DB
	mu    sync.Mutex
	n     int
	kept  map[string]bool
	other []error // errors that are no fault.Unavailable
	no    int     // refusals
	slow  time.Duration
}

// write adds two rows that belong together.
func (w *writers) write(fill string) error {
	w.mu.Lock()
	w.n++
	name := fmt.Sprintf("w%d", w.n)
	w.mu.Unlock()
	start := time.Now()
	err := w.d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		if err := put(ctx, tx, name+"/a", fill); err != nil {
			return err
		}
		return put(ctx, tx, name+"/b", fill)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = max(w.slow, time.Since(start))
	switch {
	case err == nil:
		w.kept[name] = true
	case fault.Is(err, fault.Unavailable):
		w.no++
	default:
		w.other = append(w.other, err)
	}
	return err
}

// check compares what the database has with what the callers were told. lost may hold rows whose commit was cut off: they may be there, but both or none.
func (w *writers) check(t *testing.T, unknown bool) {
	t.Helper()
	rows, err := w.d.Read().Query(t.Context(), "SELECT name FROM setting WHERE name LIKE 'w%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]int{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		found[strings.SplitN(name, "/", 2)[0]]++
	}
	for name := range w.kept {
		if found[name] != 2 {
			t.Errorf("%s was acknowledged, %d of 2 rows are there", name, found[name])
		}
	}
	for name, n := range found {
		if n != 2 || !unknown && !w.kept[name] {
			t.Errorf("%s was refused, %d rows are there", name, n)
		}
	}
	for _, err := range w.other {
		t.Error("neither kept nor unavailable:", err)
	}
}

// fillUp writes by 32 callers until each was refused once.
func (w *writers) fillUp() {
	var wg sync.WaitGroup
	fill := strings.Repeat("x", 9000)
	for range 32 {
		wg.Go(func() {
			for range 200 {
				if w.write(fill) != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

func (w *writers) recovers(t *testing.T) {
	t.Helper()
	for range 20 {
		if err := w.write("x"); err != nil {
			t.Fatal("after the end of the trouble:", err)
		}
	}
}

func pragma(t *testing.T, d *db.DB, text string) (n int64) {
	t.Helper()
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, text).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFullDatabaseRefusesAndRecovers(t *testing.T) {
	d := dbtest.SQLite(t)
	w := &writers{d: d, kept: map[string]bool{}}
	pragma(t, d, fmt.Sprintf("PRAGMA max_page_count = %d", pragma(t, d, "PRAGMA page_count")+400))
	w.fillUp()
	if w.no != 32 || len(w.kept) == 0 {
		t.Fatalf("%d kept, %d refused", len(w.kept), w.no)
	}
	w.check(t, false)
	pragma(t, d, "PRAGMA max_page_count = 1000000")
	w.recovers(t)
	w.check(t, false)
}

// TestFullDiskRefusesAndRecovers limits the size of files, which fails writes in the middle of a commit as a full disk does.
func TestFullDiskRefusesAndRecovers(t *testing.T) {
	d := dbtest.SQLite(t)
	w := &writers{d: d, kept: map[string]bool{}}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) //nolint:errcheck // second time, in case of a failed test
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 3 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	w.fillUp()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if w.no != 32 || len(w.kept) == 0 {
		t.Fatalf("%d kept, %d refused, others %v", len(w.kept), w.no, w.other)
	}
	w.recovers(t)
	w.check(t, true) // a commit whose sync failed may be found by the next reader of the file
}

func TestCrashOfPostgresUnderLoad(t *testing.T) {
	cluster, err := dbtest.NewCluster()
	if err != nil {
		t.Fatalf("PostgreSQL for tests (Debian package postgresql): %v", err)
	}
	t.Cleanup(func() {
		if err := cluster.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := cluster.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Kill() })
	d, err := db.Open(t.Context(), db.Config{URL: cluster.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.MigrateUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &writers{d: d, kept: map[string]bool{}}
	for range 2 {
		load, quiet := context.WithCancel(t.Context())
		w.mu.Lock()
		begun, refused := len(w.kept), w.no
		w.mu.Unlock()
		warm, felt := make(chan struct{}), make(chan struct{})
		var once, twice sync.Once
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				pause := time.NewTicker(2 * time.Millisecond)
				defer pause.Stop()
				for load.Err() == nil {
					_ = w.write("x")
					w.mu.Lock()
					if len(w.kept) > begun+500 {
						once.Do(func() { close(warm) })
					}
					if w.no > refused+200 {
						twice.Do(func() { close(felt) })
					}
					w.mu.Unlock()
					<-pause.C
				}
			})
		}
		<-warm
		if err := cluster.Kill(); err != nil {
			t.Fatal(err)
		}
		<-felt
		if err := cluster.Start(); err != nil {
			t.Fatal(err)
		}
		quiet()
		wg.Wait()
		w.recovers(t)
	}
	w.check(t, true)
	if w.slow > 5*time.Second {
		t.Errorf("a caller waited %v", w.slow)
	}
	t.Logf("%d kept, %d refused, longest wait %v", len(w.kept), w.no, w.slow)
}

// TestCallersThatGiveUpLeaveTheQueue: who gives up while it waits for its turn is let go at once.
func TestCallersThatGiveUpLeaveTheQueue(t *testing.T) {
	d := dbtest.SQLite(t)
	busy, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.Update(context.Background(), func(context.Context, *db.Tx) error {
			close(busy)
			<-release
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-busy
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return put(ctx, tx, "late", "x") })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	if count(t, d, "late") != 0 {
		t.Error("written after its caller was told that it was not")
	}
}
