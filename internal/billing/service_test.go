package billing_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

func opened(t *testing.T, d *db.DB, credit string) (*billing.Service, string) {
	t.Helper()
	s := billing.New(billing.Config{DB: d, OpeningCredit: money.MustParse(credit)})
	account := ident.New()
	if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return s.Open(ctx, tx, account) }); err != nil {
		t.Fatal(err)
	}
	return s, account
}

func TestParallelDebitsAreExactAndNeverPassTheLimit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		s, account := opened(t, d, "1")
		var paid, refused atomic.Int64
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					if i%2 == 0 {
						_, err := s.Post(ctx, tx, billing.Entry{Account: account, Amount: money.MustParse("-0.0075"), RefType: "sms_outgoing", Action: "sms_per_send"})
						return err
					}
					id := fmt.Sprint("hold", i)
					if err := s.Hold(ctx, tx, billing.Hold{ID: id, Account: account, Kind: "sms", Amount: money.MustParse("0.0075"), Expires: time.Now().Add(time.Hour)}); err != nil {
						return err
					}
					_, err := s.Settle(ctx, tx, id, billing.Entry{Account: account, Amount: money.MustParse("-0.0075"), RefType: "sms_outgoing", Action: "sms_per_send"})
					return err
				})
				switch {
				case err == nil:
					paid.Add(1)
				case fault.Is(err, fault.Balance):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if paid.Load() != 133 || refused.Load() != 67 { // 1 / 0.0075
			t.Fatalf("%d paid, %d refused", paid.Load(), refused.Load())
		}
		b, _, r, err := s.Balance(t.Context(), d.Read(), account)
		if err != nil || b != money.MustParse("0.0025") || r != 0 {
			t.Fatalf("balance %s reserved %s %v", b, r, err)
		}
		if drift, err := s.Drift(t.Context(), account); err != nil || drift != 0 {
			t.Fatalf("drift %s %v", drift, err)
		}
	})
}

func TestHoldsReserveAndExpire(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		s, account := opened(t, d, "1")
		hold := func(id, amount string, until time.Duration) error {
			return d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
				return s.Hold(ctx, tx, billing.Hold{ID: id, Account: account, Kind: "order", Amount: money.MustParse(amount), Expires: time.Now().Add(until)})
			})
		}
		if err := hold("a", "0.8", -time.Second); err != nil {
			t.Fatal(err)
		}
		if err := hold("b", "0.3", time.Hour); !fault.Is(err, fault.Balance) {
			t.Fatalf("want refusal, got %v", err)
		}
		if n, err := s.ExpireHolds(t.Context(), 10); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if err := hold("b", "0.3", time.Hour); err != nil {
			t.Fatal(err)
		}
		var got billing.Transaction
		err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
			got, err = s.Settle(ctx, tx, "b", billing.Entry{Account: account, Amount: money.MustParse("-5"), RefType: "voice_outgoing", Action: "voice_charge_out"})
			return err
		})
		if err != nil || got.Amount != money.MustParse("-1") || got.After != 0 {
			t.Fatalf("capped charge: %+v %v", got, err)
		}
		for range 2 {
			if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return s.Release(ctx, tx, "b") }); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCallCharge(t *testing.T) {
	rate := money.MustParse("0.0085")
	for _, c := range []struct {
		talked            time.Duration
		minT, step, grace int
		billed            int
		amount            string
	}{
		{0, 6, 6, 0, 0, "0"},
		{200 * time.Millisecond, 6, 6, 0, 6, "0.00085"},
		{6 * time.Second, 6, 6, 0, 6, "0.00085"},
		{6001 * time.Millisecond, 6, 6, 0, 12, "0.0017"},
		{61 * time.Second, 60, 60, 0, 120, "0.017"},
		{3 * time.Second, 6, 6, 3, 0, "0"},
	} {
		billed, amount, err := billing.CallCharge(rate, 0, c.talked, c.minT, c.step, c.grace)
		if err != nil || billed != c.billed || amount.String() != c.amount {
			t.Errorf("%v: %d %s %v, want %d %s", c.talked, billed, amount, err, c.billed, c.amount)
		}
	}
}

func TestPlansAndSpecialPrices(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		s, account := opened(t, d, "1")
		for range 2 { // seeding twice changes nothing
			if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return s.SeedPlans(ctx, tx) }); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := s.Plan(t.Context(), d.Read(), billing.DefaultPlan)
		if err != nil {
			t.Fatal(err)
		}
		special := plan.Prices
		special.MRC = money.MustParse("0.5")
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			_, err := s.SaveSpecial(ctx, tx, account, plan.UUID, special, time.Now().Add(time.Hour))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p, err := s.Prices(t.Context(), d.Read(), account, billing.DefaultPlan)
		if err != nil || p.MRC != money.MustParse("0.5") {
			t.Fatal(p.MRC, err)
		}
		if p, err = s.Prices(t.Context(), d.Read(), "other", billing.DefaultPlan); err != nil || p.MRC != money.MustParse("1") {
			t.Fatal(p.MRC, err)
		}
		if _, err := s.Prices(t.Context(), d.Read(), account, "no such"); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
	})
}
