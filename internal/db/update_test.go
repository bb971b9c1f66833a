package db_test

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
)

func put(ctx context.Context, tx *db.Tx, name, value string) error {
	_, err := tx.Exec(ctx, "INSERT INTO setting (name, value, modified_on) VALUES ($1, $2, $3)", name, value, db.At(time.Now()))
	return err
}

func count(t *testing.T, d *db.DB, like string) int {
	t.Helper()
	var n int
	if err := d.Read().QueryRow(context.Background(), "SELECT count(*) FROM setting WHERE name LIKE $1", like).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFailedFunctionsLeaveNothingAndHarmNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		refuse := errors.New("no")
		var wg sync.WaitGroup
		var good, bad atomic.Int64
		for i := range 300 {
			wg.Go(func() {
				err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if err := put(ctx, tx, fmt.Sprintf("n%d", i), "x"); err != nil {
						return err
					}
					if i%7 == 0 {
						return refuse
					}
					if i%11 == 0 {
						return put(ctx, tx, fmt.Sprintf("n%d", i), "again") // violates the key
					}
					return nil
				})
				switch {
				case err == nil:
					good.Add(1)
				case errors.Is(err, refuse) || db.IsUnique(err):
					bad.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, d, "n%"); int64(n) != good.Load() || good.Load()+bad.Load() != 300 || bad.Load() == 0 {
			t.Fatalf("%d rows, %d good, %d bad", n, good.Load(), bad.Load())
		}
		tx, fn := d.Stats()
		if fn != good.Load() || tx > fn {
			t.Fatalf("stats: %d transactions, %d functions, want %d", tx, fn, good.Load())
		}
	})
}

func TestPanicInOneFunctionIsItsOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		err := d.Update(context.Background(), func(context.Context, *db.Tx) error { panic("boom") })
		if err == nil {
			t.Fatal("panic lost")
		}
		if err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error { return put(ctx, tx, "after", "x") }); err != nil {
			t.Fatal(err)
		}
	})
}

type gather struct {
	mu   sync.Mutex
	got  []any
	hits int
}

func (g *gather) Flush(ctx context.Context, tx *db.Tx, items []any) error {
	for _, it := range items {
		if err := put(ctx, tx, it.(string), "collected"); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.got = append(g.got, items...)
	return nil
}

func (g *gather) Committed() { g.mu.Lock(); g.hits++; g.mu.Unlock() }

func TestCollectedItemsShareTheFateOfTheirFunction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		g := &gather{}
		afters := atomic.Int64{}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_ = d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					tx.Collect(g, fmt.Sprintf("c%d", i))
					tx.After(func() { afters.Add(1) })
					if i%2 == 0 {
						return errors.New("no")
					}
					return nil
				})
			})
		}
		wg.Wait()
		if n := count(t, d, "c%"); n != 50 || afters.Load() != 50 {
			t.Fatalf("%d collected, %d afters", n, afters.Load())
		}
	})
}

func TestCancelledCallerWritesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return put(ctx, tx, "gone", "x") })
		if !errors.Is(err, context.Canceled) || count(t, d, "gone") != 0 {
			t.Fatal(err)
		}
	})
}

func TestSynchronousFull(t *testing.T) {
	d := dbtest.SQLite(t)
	var mode int
	var journal string
	err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		if err := tx.QueryRow(ctx, "PRAGMA synchronous").Scan(&mode); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "PRAGMA journal_mode").Scan(&journal)
	})
	if err != nil || mode != 2 || journal != "wal" {
		t.Fatalf("synchronous %d, journal %s, %v", mode, journal, err)
	}
}

func TestWhere(t *testing.T) {
	var w db.Where
	w.Fix("account = ?", "a")
	w.Or = true
	w.Mask("name", "Ab*c_%")
	w.In("state", []string{"x", "y"})
	w.NotIn("s", []string{"q"})
	got, args := w.SQL()
	want := " WHERE account = $1 AND (fold_case(name) LIKE fold_case($2) ESCAPE '!' OR state IN ($3,$4) OR (s IS NULL OR s NOT IN ($5)))"
	if got != want || len(args) != 5 || args[1] != "Ab%c!__" {
		t.Fatalf("%s %v", got, args)
	}
}

func BenchmarkUpdate(b *testing.B) {
	d := dbtest.SQLite(b)
	var n atomic.Int64
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			if err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
				return put(ctx, tx, fmt.Sprintf("b%d", i), "x")
			}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}
