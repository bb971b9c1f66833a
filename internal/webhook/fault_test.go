package webhook_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// errAway is a database that cannot be reached.
var errAway = fmt.Errorf("away: %w", net.ErrClosed)

// eachFaulty runs a test on both engines with a database that fails as fault says.
func eachFaulty(t *testing.T, fn func(t *testing.T, d *db.DB, fault *atomic.Pointer[func(db.Stage) error])) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLiteURL, "postgres": dbtest.PostgresURL} {
		t.Run(name, func(t *testing.T) {
			var fault atomic.Pointer[func(db.Stage) error]
			d, err := db.Open(t.Context(), db.Config{URL: url(t), Fault: func(s db.Stage) error {
				if f := fault.Load(); f != nil {
					return (*f)(s)
				}
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
			if err := d.MigrateUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			fn(t, d, &fault)
		})
	}
}

// TestWhatCannotBeGivenBackNowIsGivenBackLater: the node does not dare to send, and the database is away when it says so.
func TestWhatCannotBeGivenBackNowIsGivenBackLater(t *testing.T) {
	eachFaulty(t, func(t *testing.T, d *db.DB, fault *atomic.Pointer[func(db.Stage) error]) {
		var asked, failed atomic.Int64
		away := func(s db.Stage) error {
			if s == db.Begin && failed.Add(1) <= 3 {
				return errAway
			}
			return nil
		}
		h := open(t, d, func(cfg *webhook.Config) {
			cfg.Now = nil
			cfg.Holds = func() bool {
				if asked.Add(1) > 1 {
					return true
				}
				fault.Store(&away)
				return false
			}
		})
		c := serve(t, ok)
		id, _ := h.endpoint(c.URL, "")
		h.run()
		h.emit("sms", ident.New(), 1)
		c.await(t, 1)
		h.delivery(id, "success", 2)
		if failed.Load() < 3 {
			t.Fatal(failed.Load())
		}
	})
}

// TestWhatWasClaimedWithoutKnowingItIsSent: the claim is on the disk, its answer is lost.
func TestWhatWasClaimedWithoutKnowingItIsSent(t *testing.T) {
	eachFaulty(t, func(t *testing.T, d *db.DB, fault *atomic.Pointer[func(db.Stage) error]) {
		var lost atomic.Bool
		losing := func(s db.Stage) error {
			var owned int
			if s != db.Committed || d.Read().QueryRow(context.Background(), "SELECT count(owner) FROM webhook_delivery").Scan(&owned) != nil || owned == 0 || lost.Swap(true) {
				return nil
			}
			return errAway
		}
		h := open(t, d, func(cfg *webhook.Config) { cfg.Now = nil })
		c := serve(t, ok)
		id, _ := h.endpoint(c.URL, "")
		h.run()
		fault.Store(&losing)
		h.emit("sms", ident.New(), 1)
		c.await(t, 1)
		h.delivery(id, "success", 2)
		if !lost.Load() {
			t.Fatal("nothing was lost")
		}
	})
}

// TestABodyThatCannotBeReadIsNoFailureOfTheEndpoint: it is read again, and the customer is told nothing of the database.
func TestABodyThatCannotBeReadIsNoFailureOfTheEndpoint(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		c := serve(t, func(n int, _ request) int { return map[bool]int{true: 500, false: 200}[n == 1] })
		id, _ := h.endpoint(c.URL, "")
		stop := h.run()
		h.emit("sms", ident.New(), 1)
		h.delivery(id, "pending", 1)
		stop()
		rename := func(from, to string) {
			err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				_, err := tx.Exec(ctx, "ALTER TABLE "+from+" RENAME TO "+to)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		rename("webhook_body", "lost_body")
		again := open(t, d, nil) // it has no bodies in memory
		again.account = h.account
		again.c.move(time.Minute)
		again.run()
		again.until("a try to read it", func() bool {
			var tries, owned int
			err := d.Read().QueryRow(t.Context(), "SELECT tries, count(owner) FROM webhook_delivery GROUP BY tries").Scan(&tries, &owned)
			return err == nil && tries == 2 && owned == 0
		})
		var fails, failures int
		err := d.Read().QueryRow(t.Context(), "SELECT e.fails, d.failures FROM webhook_endpoint AS e JOIN webhook_delivery AS d ON d.endpoint = e.uuid").Scan(&fails, &failures)
		if err != nil || fails != 1 || failures != 1 {
			t.Fatal(fails, failures, err)
		}
		rename("lost_body", "webhook_body")
		again.c.move(time.Minute)
		got := again.delivery(id, "success", 3)
		if a := got["attempts"].([]any)[1].(map[string]any); a["error"] != nil {
			t.Fatal(a)
		}
	})
}
