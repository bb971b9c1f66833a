package billing_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// money of one account as the books have it.
type books struct{ balance, credit, reserved, entries, holds int64 }

func readBooks(t interface{ Fatal(...any) }, d *db.DB, account string) books {
	var b books
	err := d.Read().QueryRow(context.Background(), `SELECT balance, credit_limit, reserved,
		(SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM ledger WHERE account = $1), (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM hold WHERE account = $1)
		FROM balance WHERE account = $1`, account).Scan(&b.balance, &b.credit, &b.reserved, &b.entries, &b.holds)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b books) check(t interface{ Fatalf(string, ...any) }) {
	if b.balance != b.entries || b.reserved != b.holds || b.balance+b.credit-b.reserved < 0 {
		t.Fatalf("books do not add up: %+v", b)
	}
}

// TestBooksAddUpAfterAnySequence runs random sequences of every path that moves money against a model.
func TestBooksAddUpAfterAnySequence(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		rapid.Check(t, func(t *rapid.T) {
			now := time.Unix(1_800_000_000, 0)
			s := billing.New(billing.Config{DB: d, OpeningCredit: money.MustParse("1"), Now: func() time.Time { return now }})
			account := ident.New()
			do := func(fn func(ctx context.Context, tx *db.Tx) error) {
				t.Helper()
				if err := d.Update(context.Background(), fn); err != nil && !fault.Is(err, fault.Balance) && !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Validation) {
					t.Fatal(err)
				}
			}
			do(func(ctx context.Context, tx *db.Tx) error { return s.Open(ctx, tx, account) })
			amount := rapid.Int64Range(0, 1_500_000)
			id := rapid.Map(rapid.IntRange(0, 4), func(n int) string { return fmt.Sprint(account, n) })
			until := rapid.Map(rapid.IntRange(0, 120), func(n int) time.Time { return now.Add(time.Duration(n) * time.Second) })
			entry := func(a int64) billing.Entry {
				return billing.Entry{Account: account, Amount: money.Amount(a), RefType: "adjustment", Action: "adjustment"}
			}
			steps := batchSteps(d, s, account, do, amount, until, entry)
			maps.Copy(steps, map[string]func(*rapid.T){
				"post": func(t *rapid.T) {
					a := rapid.Int64Range(-1_500_000, 1_500_000).Draw(t, "amount")
					do(func(ctx context.Context, tx *db.Tx) error { _, err := s.Post(ctx, tx, entry(a)); return err })
				},
				"hold": func(t *rapid.T) {
					h := billing.Hold{ID: id.Draw(t, "id"), Account: account, Kind: "call", Amount: money.Amount(amount.Draw(t, "amount")), Expires: until.Draw(t, "until")}
					do(func(ctx context.Context, tx *db.Tx) error { return s.Hold(ctx, tx, h) })
				},
				"extend": func(t *rapid.T) {
					h := billing.Hold{ID: id.Draw(t, "id"), Account: account, Kind: "call", Amount: money.Amount(amount.Draw(t, "amount")), Expires: until.Draw(t, "until")}
					do(func(ctx context.Context, tx *db.Tx) error { return s.Extend(ctx, tx, h) })
				},
				"settle": func(t *rapid.T) { // also of holds that never were, or that expired
					h, a := id.Draw(t, "id"), amount.Draw(t, "amount")
					before := readBooks(t, d, account)
					var got billing.Transaction
					do(func(ctx context.Context, tx *db.Tx) (err error) {
						got, err = s.Settle(ctx, tx, h, entry(-a))
						return err
					})
					after := readBooks(t, d, account)
					if charged := before.balance - after.balance; charged != -int64(got.Amount) || charged > a || charged < 0 {
						t.Fatalf("asked %d, charged %d, told %d", a, charged, got.Amount)
					}
				},
				"release": func(t *rapid.T) {
					h := id.Draw(t, "id")
					do(func(ctx context.Context, tx *db.Tx) error { return s.Release(ctx, tx, h) })
				},
				"credit limit": func(t *rapid.T) {
					a := amount.Draw(t, "limit")
					do(func(ctx context.Context, tx *db.Tx) error { return s.SetCreditLimit(ctx, tx, account, money.Amount(a)) })
				},
				"expire": func(t *rapid.T) {
					now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
					if _, err := s.ExpireHolds(context.Background(), 3); err != nil {
						t.Fatal(err)
					}
				},
				"": func(t *rapid.T) { readBooks(t, d, account).check(t) },
			})
			t.Repeat(steps)
		})
	})
}

// batchSteps are the paths that move money for many objects at once.
func batchSteps(d *db.DB, s *billing.Service, account string, do func(func(ctx context.Context, tx *db.Tx) error), amount *rapid.Generator[int64],
	until *rapid.Generator[time.Time], entry func(int64) billing.Entry,
) map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"hold all": func(t *rapid.T) {
			ids := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 6, rapid.ID[int]).Draw(t, "ids")
			var list []billing.Hold
			for _, n := range ids {
				a := money.Amount(amount.Draw(t, "amount"))
				list = append(list, billing.Hold{ID: fmt.Sprint(account, "all", n), Account: account, Kind: "sms", Amount: a, Expires: until.Draw(t, "until")})
			}
			before := readBooks(t, d, account)
			var granted []bool
			do(func(ctx context.Context, tx *db.Tx) (err error) {
				granted, err = s.HoldAll(ctx, tx, list)
				return err
			})
			if granted == nil { // held already
				return
			}
			left := before.balance + before.credit - before.reserved
			for i, ok := range granted {
				if ok != (int64(list[i].Amount) <= left) {
					t.Fatalf("%v of %v, %d left", granted, list, left)
				}
				if ok {
					left -= int64(list[i].Amount)
				}
			}
		},
		"settle all": func(t *rapid.T) {
			ids := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 6).Draw(t, "ids")
			var list []billing.Settlement
			for _, n := range ids {
				list = append(list, billing.Settlement{Hold: fmt.Sprint(account, "all", n), Entry: entry(-amount.Draw(t, "amount"))})
			}
			before := readBooks(t, d, account)
			var got []billing.Transaction
			do(func(ctx context.Context, tx *db.Tx) (err error) {
				got, err = s.SettleAll(ctx, tx, list)
				return err
			})
			at := before.balance
			for i, x := range got {
				if x.Amount > 0 || x.Amount < list[i].Entry.Amount || x.UUID != "" && (int64(x.Before) != at || x.After != x.Before+x.Amount) {
					t.Fatalf("asked %+v, at %d told %+v", list[i], at, x)
				}
				at += int64(x.Amount)
			}
			if after := readBooks(t, d, account); after.balance != at {
				t.Fatalf("balance %d, told %d", after.balance, at)
			}
		},
	}
}

// TestParallelSettlementsBeyondTheBalanceStayExact: charges above what is there meet each other, expiring holds and extensions on several accounts.
func TestParallelSettlementsBeyondTheBalanceStayExact(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		s := billing.New(billing.Config{DB: d, OpeningCredit: money.MustParse("1")})
		var accounts []string
		for range 8 {
			_, a := opened(t, d, "1")
			accounts = append(accounts, a)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 480 {
			account := accounts[i*5%len(accounts)]
			wg.Go(func() {
				hold := billing.Hold{ID: fmt.Sprint("h", i%96), Account: account, Kind: "call", Amount: money.MustParse("0.02"), Expires: start.Add(time.Duration(i%2)*time.Hour - time.Minute)}
				err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
					switch i % 3 {
					case 0:
						return s.Hold(ctx, tx, hold)
					case 1:
						return s.Extend(ctx, tx, hold)
					}
					_, err := s.Settle(ctx, tx, hold.ID, billing.Entry{Account: account, Amount: money.MustParse("-0.09"), RefType: "voice_outgoing", Action: "voice_charge_out"})
					return err
				})
				if err != nil && !fault.Is(err, fault.Balance) && !fault.Is(err, fault.Conflict) {
					t.Error(err)
				}
				if i%16 == 0 {
					if _, err := s.ExpireHolds(context.Background(), 5); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, a := range accounts {
			readBooks(t, d, a).check(t)
		}
	})
}
