package db_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
)

// part is code that knows nothing of the transaction that it is made a part of.
func part(ctx context.Context, d *db.DB, name string, err error) error {
	return d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if e := put(ctx, tx, name, "x"); e != nil {
			return e
		}
		return err
	})
}

func names(t *testing.T, ctx context.Context, d *db.DB) []string {
	t.Helper()
	rows, err := d.Read().Query(ctx, "SELECT name FROM setting WHERE name LIKE 'j%' ORDER BY name")
	out, err := db.List("names", rows, err, func(into func(...any) error) (s string, err error) { return s, into(&s) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJoinedUpdatesAreKeptOrLostTogether(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		no := errors.New("no")
		for _, end := range []error{no, nil} {
			ran, then := 0, 0
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				ctx = db.Join(ctx, tx)
				if !db.Joined(ctx) {
					t.Error("not joined")
				}
				if err := part(ctx, d, "j1", nil); err != nil {
					return err
				}
				if !slices.Equal(names(t, ctx, d), []string{"j1"}) {
					t.Error("a read does not see what its transaction wrote")
				}
				if len(names(t, db.Apart(ctx), d)) != 0 {
					t.Error("a read apart sees what is not committed")
				}
				if err := part(ctx, d, "j2", no); !errors.Is(err, no) {
					return fmt.Errorf("got %w", err)
				}
				if err := part(ctx, d, "j1", nil); !db.IsUnique(err) { // PostgreSQL has to be told to forget it
					return fmt.Errorf("want a violated uniqueness, got %w", err)
				}
				_ = d.Update(ctx, func(context.Context, *db.Tx) error { panic("one part's") })
				if err := part(ctx, d, "j3", nil); err != nil {
					return err
				}
				tx.After(func() { ran++ })
				db.Then(ctx, func(ctx context.Context) {
					if then++; db.Joined(ctx) || len(names(t, ctx, d)) != 2 {
						t.Error("what comes then is not after the commit")
					}
				})
				return end
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			want := 0
			if end == nil {
				want = 1
			}
			if ran != want || then != want || len(names(t, t.Context(), d)) != 2*want {
				t.Error(end, ran, then, names(t, t.Context(), d))
			}
		}
	})
}

func TestPartsWithinPartsTakeBackTheirOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		no := errors.New("no")
		after := 0
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			after = 0
			ctx = db.Join(ctx, tx)
			err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
				if err := d.Update(ctx, func(context.Context, *db.Tx) error { return nil }); err == nil {
					t.Error("a part that did not ask for it was joined")
				}
				ctx = db.Join(ctx, tx)
				if err := part(ctx, d, "j1", no); !errors.Is(err, no) {
					return err
				}
				tx.After(func() { after++ })
				return part(ctx, d, "j2", nil)
			})
			if err != nil {
				return err
			}
			err = d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
				tx.After(func() { t.Error("of a part that failed") })
				if err := part(db.Join(ctx, tx), d, "j3", nil); err != nil {
					return err
				}
				return no
			})
			if !errors.Is(err, no) {
				return err
			}
			return part(ctx, d, "j4", nil)
		})
		if got := names(t, t.Context(), d); err != nil || after != 1 || !slices.Equal(got, []string{"j2", "j4"}) {
			t.Error(err, after, got)
		}
	})
}

// TestManyJoinedFunctionsShareCommits is what a stream of requests does: some fail after writing, others meet rows that are held.
func TestManyJoinedFunctionsShareCommits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		if err := part(t.Context(), d, "row", nil); err != nil {
			t.Fatal(err)
		}
		const n = 200
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				refused := fault.New(fault.Balance)
				err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
					ctx = db.Join(ctx, tx)
					err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
						if err := tx.Lock(ctx, "row", "SELECT 1 FROM setting WHERE name = 'row'"); err != nil {
							return errors.New("hidden") // the transaction knows all the same
						}
						if err := put(ctx, tx, fmt.Sprintf("jx%03d", i), "x"); err != nil {
							return err
						}
						if i%3 == 0 {
							return refused
						}
						return nil
					})
					if i%3 == 0 && !errors.Is(err, refused) || i%3 != 0 && err != nil {
						return err
					}
					return part(ctx, d, fmt.Sprintf("jy%03d", i), nil)
				})
				if err != nil {
					t.Error(i, err)
				}
			})
		}
		all.Wait()
		if got := len(names(t, t.Context(), d)); got != n+n-(n+2)/3 {
			t.Error("rows", got)
		}
	})
}

func TestAContextOutlivesItsTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var kept context.Context
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			kept = db.Join(t.Context(), tx)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if db.Joined(kept) || part(kept, d, "j1", nil) != nil || len(names(t, kept, d)) != 1 {
			t.Error("it still means the transaction that is over")
		}
	})
}

func TestNewFilesHaveLargePages(t *testing.T) {
	d := dbtest.SQLite(t)
	var page int
	var mode string
	if err := errors.Join(d.Read().QueryRow(t.Context(), "PRAGMA page_size").Scan(&page), d.Read().QueryRow(t.Context(), "PRAGMA journal_mode").Scan(&mode)); err != nil {
		t.Fatal(err)
	}
	if page != 8192 || mode != "wal" {
		t.Error(page, mode)
	}
}

// waiting is a context that tells when its caller stands in the queue: Update asks for its end only then.
type waiting struct {
	context.Context
	stands func()
}

func (w waiting) Done() <-chan struct{} {
	w.stands()
	return w.Context.Done()
}

// TestAPartThatMeetsALockedRowIsTakenBackWhole: it has written before it met the row, and runs again in another transaction than that of its group.
func TestAPartThatMeetsALockedRowIsTakenBackWhole(t *testing.T) {
	url := dbtest.PostgresURL(t)
	open := func() *db.DB {
		d, err := db.Open(t.Context(), db.Config{URL: url})
		if err == nil {
			err = d.MigrateUp(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	d, other := open(), open()
	if err := part(t.Context(), d, "row", nil); err != nil {
		t.Fatal(err)
	}
	const row = "SELECT 1 FROM setting WHERE name = 'row'"
	var all sync.WaitGroup
	update := func(d *db.DB, fn func(ctx context.Context, tx *db.Tx) error) {
		queued := make(chan struct{})
		stands := sync.OnceFunc(func() { close(queued) })
		all.Go(func() {
			err := d.Update(waiting{t.Context(), stands}, func(ctx context.Context, tx *db.Tx) error {
				stands() // it had the lead at once
				return fn(ctx, tx)
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-queued
	}
	held, released := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	update(other, func(ctx context.Context, tx *db.Tx) error {
		var one int
		err := tx.QueryRow(ctx, row+" FOR UPDATE").Scan(&one)
		close(held)
		<-released
		return err
	})
	<-held
	start := make(chan struct{})
	update(d, func(context.Context, *db.Tx) error { <-start; return nil }) // keeps the lead until the next two stand in the queue
	update(d, func(ctx context.Context, tx *db.Tx) error {
		var one int
		return tx.QueryRow(ctx, "SELECT 1").Scan(&one)
	})
	runs := 0
	update(d, func(ctx context.Context, tx *db.Tx) error {
		if runs++; runs > 1 {
			release()
		}
		return d.Update(db.Join(ctx, tx), func(ctx context.Context, tx *db.Tx) error {
			if err := put(ctx, tx, "j1", "x"); err != nil {
				return err
			}
			return tx.Lock(ctx, "row", row)
		})
	})
	close(start)
	all.Wait()
	if got := names(t, t.Context(), d); runs < 2 || !slices.Equal(got, []string{"j1"}) {
		t.Error("after", runs, "runs:", got)
	}
}
