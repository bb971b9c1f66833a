package db_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
)

// TestTheLeadIsNeverLost: whatever callers meet, give up, or end their goroutines, the next one is served.
func TestTheLeadIsNeverLost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		for round := range 300 {
			var wg sync.WaitGroup
			for i := range 2 + round%40 {
				wg.Go(func() {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					if i%5 == 0 {
						time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, cancel)
					}
					_ = d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
						if round%50 == 0 && i == 7 {
							runtime.Goexit()
						}
						var n int
						return tx.QueryRow(ctx, "SELECT 1").Scan(&n)
					})
				})
			}
			wg.Wait()
			// Nobody waits now: a lost lead would keep this one waiting for ever.
			for range 4 {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				if err := d.Update(ctx, func(context.Context, *db.Tx) error { return nil }); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				cancel()
			}
		}
	})
}

// TestFunctionsThatHideAFailedStatementHarmNobody: PostgreSQL gives the whole transaction up after a failed statement.
func TestFunctionsThatHideAFailedStatementHarmNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if i%10 == 3 {
						_, _ = tx.Exec(ctx, "INSERT INTO no_such_table (x) VALUES (1)")
						return nil
					}
					return put(ctx, tx, fmt.Sprintf("h%d", i), "x")
				})
				if err != nil && i%10 != 3 {
					t.Error(err)
				}
				if d.Engine() == db.Postgres && err == nil && i%10 == 3 {
					t.Error("a transaction that PostgreSQL gave up counts as kept")
				}
			})
		}
		wg.Wait()
		if n := count(t, d, "h%"); n != 90 {
			t.Fatal(n)
		}
	})
}

// picky is a collector that refuses some items.
type picky struct{}

func (picky) Flush(ctx context.Context, tx *db.Tx, items []any) error {
	for _, it := range items {
		if it == "bad" {
			return errors.New("bad item")
		}
		if err := put(ctx, tx, it.(string), "x"); err != nil {
			return err
		}
	}
	return nil
}
func (picky) Committed() {}

func TestAnItemThatItsCollectorRefusesFailsOnlyItsOwner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				name := fmt.Sprintf("p%d", i)
				if i%20 == 5 {
					name = "bad"
				}
				err := d.Update(context.Background(), func(_ context.Context, tx *db.Tx) error { tx.Collect(picky{}, name); return nil })
				if (err != nil) != (name == "bad") {
					t.Error(name, err)
				}
			})
		}
		wg.Wait()
		if n := count(t, d, "p%"); n != 57 {
			t.Fatal(n)
		}
	})
}

func TestPanicAfterTheCommitHarmsNobody(t *testing.T) {
	d := dbtest.SQLite(t)
	for i := range 3 {
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			tx.After(func() { panic("boom") })
			return put(ctx, tx, fmt.Sprint("after", i), "x")
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUpdateWithinUpdateIsRefused(t *testing.T) {
	d := dbtest.SQLite(t)
	err := d.Update(t.Context(), func(ctx context.Context, _ *db.Tx) error {
		return d.Update(context.WithoutCancel(ctx), func(context.Context, *db.Tx) error { return nil })
	})
	if err == nil {
		t.Fatal("a function waited for its own transaction")
	}
}

// TestFunctionsThatShareRowsDoNotMeetInDeadlocks: each locks two rows of many in any order, in groups that run at the same time.
func TestFunctionsThatShareRowsDoNotMeetInDeadlocks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		const rows = 12
		for i := range rows {
			if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return put(ctx, tx, fmt.Sprintf("row%d", i), "0") }); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 600 {
			wg.Go(func() {
				name := fmt.Sprintf("row%d", i*7%rows)
				err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if i%3 == 0 { // some write before
						if err := put(ctx, tx, fmt.Sprintf("own%d", i), "x"); err != nil {
							return err
						}
					}
					if err := tx.Lock(ctx, name, "SELECT 1 FROM setting WHERE name = $1", name); err != nil {
						return fmt.Errorf("lock: %w", err)
					}
					_, err := tx.Exec(ctx, "UPDATE setting SET modified_on = modified_on + 1, value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = $1", name)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		var sum int
		if err := d.Read().QueryRow(t.Context(), "SELECT CAST(sum(CAST(value AS BIGINT)) AS BIGINT) FROM setting WHERE name LIKE 'row%'").Scan(&sum); err != nil || sum != 600 {
			t.Fatal(sum, err)
		}
		if took := time.Since(start); took > 10*time.Second { // a deadlock costs its victim a second
			t.Errorf("took %v", took)
		}
	})
}

func TestAnswersOfAnUnreachableServerAreUnavailable(t *testing.T) {
	if _, err := db.Open(t.Context(), db.Config{URL: "postgres://x@127.0.0.1:1/x?sslmode=disable"}); err == nil || !db.Down(err) {
		t.Fatal(err)
	}
	d := dbtest.SQLite(t)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Update(t.Context(), func(context.Context, *db.Tx) error { return nil }); !fault.Is(err, fault.Unavailable) {
		t.Fatal(err)
	}
}
