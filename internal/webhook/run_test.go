package webhook_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/webhook"
)

// bodies of requests as numbers.
func numbers(t *testing.T, list []request) []int {
	t.Helper()
	var out []int
	for _, r := range list {
		text := r.body
		if _, rest, signed := strings.Cut(text, `"payload":`); signed {
			text, _, _ = strings.Cut(rest, ",")
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(r.body)
		}
		out = append(out, n)
	}
	return out
}

// queue leaves notices of one key in one transaction: their bodies are the numbers from 1 to n.
func (r *rig) queue(account, url string, n int) {
	r.t.Helper()
	err := r.d.Update(r.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		for i := range n {
			err := r.s.Notify(ctx, tx, webhook.Notice{Account: account, Key: "thread", URLs: []string{url}, Schedule: webhook.Messaging, Body: fmt.Append(nil, i+1), Trigger: "sms_sent"})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// warm sends one notice, so that the host is known to answer quickly.
func (r *rig) warm(account, url string) {
	r.t.Helper()
	r.notify(webhook.Notice{Account: account, URLs: []string{url}, Schedule: webhook.Messaging, Body: []byte("0"), Trigger: "sms_sent"})
	r.history(account, "success", 1)
}

// TestARunStopsAtAFailureAndKeepsItsOrder: what was claimed behind the one that failed is as if nobody had touched it, and waits.
func TestARunStopsAtAFailureAndKeepsItsOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		var failed atomic.Bool
		c := serve(t, func(_ int, in request) int {
			if in.body == "9" && !failed.Swap(true) {
				return 500
			}
			return 200
		})
		account := ident.New()
		r.run()
		r.warm(account, c.URL)
		r.queue(account, c.URL, 50)
		c.await(t, 10)
		for over := time.Now().Add(20 * time.Second); ; {
			var fresh, attempts int
			err := d.Read().QueryRow(t.Context(), `SELECT (SELECT count(*) FROM webhook_delivery WHERE tries = 0 AND owner IS NULL AND tried_on IS NULL AND block_until IS NULL AND due_on IS NOT NULL),
				(SELECT count(*) FROM webhook_attempt)`).Scan(&fresh, &attempts)
			if err == nil && fresh == 41 && attempts == 10 {
				break
			}
			if time.Now().After(over) {
				t.Fatalf("%d are untouched, %d attempts: %v", fresh, attempts, err)
			}
		}
		r.c.move(6 * time.Second)
		for i, n := range numbers(t, c.await(t, 52)) {
			if want := i - max(0, min(i-9, 1)); n != want {
				t.Fatalf("place %d has %d, want %d", i, n, want)
			}
		}
		for over := time.Now().Add(20 * time.Second); ; {
			var once, attempts int
			err := d.Read().QueryRow(t.Context(), "SELECT (SELECT count(*) FROM webhook_delivery WHERE tries = 1 AND state = 'success'), (SELECT count(*) FROM webhook_attempt WHERE status IS NOT NULL)").Scan(&once, &attempts)
			if err == nil && once == 50 && attempts == 52 {
				break
			}
			if time.Now().After(over) {
				t.Fatalf("%d were tried once, %d attempts: %v", once, attempts, err)
			}
		}
	})
}

// TestAFailureHoldsNoSignedEventBack: the run ends, the rest of it goes on at once and in order.
func TestAFailureHoldsNoSignedEventBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := open(t, d, nil)
		h.run()
		c := serve(t, func(_ int, r request) int {
			if strings.Contains(r.body, `"payload":9,`) {
				return 500
			}
			return 200
		})
		id, _ := h.endpoint(c.URL, "")
		h.emit("sms", ident.New(), 0)
		h.delivery(id, "success", 1)
		ref := ident.New()
		err := d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
			for i := range 50 {
				if err := h.log.Append(tx, event.Event{UUID: ident.New(), Account: h.account, Type: "sms", RefID: ref, Payload: i + 1, At: h.c.now()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range numbers(t, c.await(t, 51)) {
			if n != i {
				t.Fatalf("place %d has %d", i, n)
			}
		}
		h.until("all saved", func() bool {
			var good, attempts int
			_ = d.Read().QueryRow(t.Context(), "SELECT (SELECT count(*) FROM webhook_delivery WHERE state = 'success' AND tries = 1), (SELECT count(*) FROM webhook_attempt WHERE status IS NOT NULL)").Scan(&good, &attempts)
			return good == 50 && attempts == 51
		})
	})
}

// TestARunOfADeadNodeIsTakenBackInOrder: it had many in hand, and was away for longer than one that fails may hold back the others.
func TestARunOfADeadNodeIsTakenBackInOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d)
		reached, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		c := serve(t, func(_ int, in request) int {
			if in.body == "5" {
				once.Do(func() { close(reached); <-release })
			}
			return 200
		})
		account := ident.New()
		stop := r.run()
		r.warm(account, c.URL)
		r.queue(account, c.URL, 50)
		<-reached
		var owned int
		if err := d.Read().QueryRow(t.Context(), "SELECT count(owner) FROM webhook_delivery").Scan(&owned); err != nil || owned < 40 {
			t.Fatal(owned, err)
		}
		stop()
		close(release)
		again := build(t, d)
		again.c.move(2 * time.Hour)
		again.run()
		for i, n := range numbers(t, c.await(t, 52)) {
			if want := i - max(0, min(i-5, 1)); n != want {
				t.Fatalf("place %d has %d, want %d", i, n, want)
			}
		}
	})
}
