package number_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

func (h *house) buy(account string, n int) []string {
	h.t.Helper()
	tns := h.pick(account, `{"npa":"206"}`, n)
	if status, o := h.do(account, "POST", "/rest/order", `{"tns":[`+strings.Join(tns, ",")+`]}`); status != 201 {
		h.t.Fatal(status, o)
	}
	return tns
}

func (h *house) at(month time.Month, day, hour int) {
	h.now.Store(time.Date(2026, month, day, hour, 0, 0, 0, time.UTC).UnixMicro())
}

// charges counts the entries of a kind.
func (h *house) charges(account, refType string) (n int) {
	h.t.Helper()
	if err := h.d.Read().QueryRow(context.Background(), "SELECT count(*) FROM ledger WHERE account = $1 AND ref_type = $2", account, refType).Scan(&n); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestNodesThatRenewAtOnceChargeOnce, and what customers change meanwhile is not lost.
func TestNodesThatRenewAtOnceChargeOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tns := h.buy(a, 12)
		h.at(time.February, 28, 9)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := h.numbers.Renew(context.Background(), 5); err != nil {
					t.Error(err)
				}
			})
		}
		for i, tn := range tns {
			wg.Go(func() {
				name := fmt.Sprint("desk ", i)
				if _, err := h.numbers.Modify(context.Background(), number.By{Account: a}, tn, number.Change{Name: &name}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := h.charges(a, "tnlease_mrc"); n != 2*len(tns) {
			t.Errorf("%d monthly charges for %d numbers in their second month", n, len(tns))
		}
		for i, tn := range tns {
			if _, l := h.do(a, "GET", "/rest/lease/tn/"+tn, ""); get(l, "expired_on") != "2026-03-28T10:00:00.000Z" || get(l, "name") != fmt.Sprint("desk ", i) {
				t.Errorf("%v until %v", get(l, "name"), get(l, "expired_on"))
			}
		}
	})
}

// TestUnpaidAndBrokenLeasesDoNotKeepOthersFromTheirRenewal: they stay in the list for days.
func TestUnpaidAndBrokenLeasesDoNotKeepOthersFromTheirRenewal(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		poor, broken, rich := h.account(), h.account(), h.account()
		unpaid := h.buy(poor, 3)
		odd := h.buy(broken, 2)
		h.at(time.January, 31, 11)
		paid := h.buy(rich, 2)
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE tn_lease SET plan = 'gone' WHERE account = $1", broken); err != nil {
				return err
			}
			left, err := h.billing.Available(ctx, tx, poor)
			if err != nil {
				return err
			}
			_, err = h.billing.Post(ctx, tx, billing.Entry{Account: poor, Amount: -left, RefType: "adjustment", Action: "adjustment"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		h.at(time.February, 28, 8)
		if n, err := h.numbers.Renew(t.Context(), 1); err != nil || n != 7 {
			t.Fatalf("%d looked at, %v", n, err)
		}
		if _, l := h.do(rich, "GET", "/rest/lease/tn/"+paid[1], ""); get(l, "expired_on") != "2026-03-28T11:00:00.000Z" {
			t.Error("not renewed", get(l, "expired_on"))
		}
		if status, l := h.do(broken, "GET", "/rest/lease/tn/"+odd[0], ""); status != 200 || get(l, "expired_on") != "2026-02-28T10:00:00.000Z" {
			t.Error(status, l)
		}
		if _, page := h.do(poor, "POST", "/rest/lease/tn/search", `{}`); get(page, "total").(float64) != 3 || get(page, "data", 0, "state") != "releasing" {
			t.Error("unpaid leases go on for a while", page)
		}
		// Paid within the grace: renewed. The others go when it is over.
		pay := func(amount string) {
			if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				_, err := h.billing.Post(ctx, tx, billing.Entry{Account: poor, Amount: money.MustParse(amount), RefType: "payment", Action: "payment"})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		pay("1") // of one number
		h.at(time.March, 2, 12)
		if _, err := h.numbers.Renew(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		h.at(time.March, 3, 11)
		if _, err := h.numbers.Renew(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if _, page := h.do(poor, "POST", "/rest/lease/tn/search", `{}`); get(page, "total").(float64) != 1 || get(page, "data", 0, "expired_on") != "2026-03-28T10:00:00.000Z" {
			t.Error(page)
		}
		// The end of a quarantine opens the number to everybody, not a moment sooner.
		order := `{"items":[{"tn":` + unpaid[2] + `,"features":["voice"]}]}`
		h.at(time.April, 2, 10)
		if _, o := h.do(rich, "POST", "/rest/order", order); get(o, "state") != "failed" {
			t.Error(o)
		}
		h.at(time.April, 2, 11)
		if _, o := h.do(rich, "POST", "/rest/order", order); get(o, "state") != "success" {
			t.Error(o)
		}
	})
}

func TestOwnersHearOfTheEndOfALease(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "100")
		a := h.account()
		tns := h.buy(a, 2) // until 28 February, 10:00
		if status, l := h.do(a, "PATCH", "/rest/lease/tn/"+tns[0], `{"autorenew":false}`); status != 200 {
			t.Fatal(status, l)
		}
		told := 0
		for _, step := range []struct{ day, hour, told int }{
			{21, 9, 0}, {21, 11, 1}, {21, 12, 1}, {24, 0, 1}, {25, 10, 2}, {26, 0, 2}, {27, 11, 3}, {28, 9, 3},
		} {
			h.at(time.February, step.day, step.hour)
			if _, err := h.numbers.Warn(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			told = 0
			for _, e := range h.events(a, "tn_lease") {
				if get(e, "action") == "releasing" && fmt.Sprintf("%.0f", get(e, "tn", "tn")) == tns[0] && get(e, "state") == "releasing" {
					told++
				}
			}
			if told != step.told || h.post.count("tnleases_releasing "+tns[0]) != step.told {
				t.Errorf("day %d, %d o'clock: told %d times, want %d", step.day, step.hour, told, step.told)
			}
		}
		if _, l := h.do(a, "PATCH", "/rest/lease/tn/"+tns[0], `{"autorenew":true}`); get(l, "state") != "active" {
			t.Error(l)
		}
		if _, l := h.do(a, "GET", "/rest/lease/tn/"+tns[1], ""); get(l, "state") != "active" {
			t.Error("this one is renewed", l)
		}
		// Whoever decides late hears of it once, not three times.
		h.do(a, "PATCH", "/rest/lease/tn/"+tns[0], `{"autorenew":false}`)
		for range 2 {
			if _, err := h.numbers.Warn(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
		}
		if n := h.post.count("tnleases_releasing " + tns[0]); n != told+1 {
			t.Error(n)
		}
	})
}

func TestAnUnpaidRenewalIsTriedEverySixHours(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d, "1.1")
		a := h.account()
		tn := h.buy(a, 1)[0]
		run := func(day, hour int) any {
			h.at(time.February, day, hour)
			if _, err := h.numbers.Renew(t.Context(), 10); err != nil {
				t.Fatal(err)
			}
			_, l := h.do(a, "GET", "/rest/lease/tn/"+tn, "")
			return get(l, "state")
		}
		if s := run(28, 1); s != "releasing" {
			t.Fatal(s)
		}
		if status, out := h.do(a, "POST", "/rest/admin/account/"+a+"/credit", `{"amount":5,"description":"late"}`); status != 201 {
			t.Fatal(status, out)
		}
		if _, l := h.do(a, "PATCH", "/rest/lease/tn/"+tn, `{"autorenew":true}`); get(l, "state") != "releasing" {
			t.Error("what was on already pays nothing", l)
		}
		if s := run(28, 6); s != "releasing" {
			t.Error("tried before its time", s)
		}
		if s := run(28, 7); s != "active" {
			t.Error(s)
		}
	})
}
