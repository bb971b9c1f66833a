package billing_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// BenchmarkPost has 128 callers that charge 64 accounts in turn.
func BenchmarkPost(b *testing.B) {
	for name, open := range map[string]func(testing.TB) *db.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			d := open(b)
			s := billing.New(billing.Config{DB: d, OpeningCredit: money.MustParse("100000")})
			var accounts []string
			for range 64 {
				id := ident.New()
				accounts = append(accounts, id)
				if err := d.Update(b.Context(), func(ctx context.Context, tx *db.Tx) error { return s.Open(ctx, tx, id) }); err != nil {
					b.Fatal(err)
				}
			}
			var n atomic.Int64
			b.SetParallelism(128 / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e := billing.Entry{Account: accounts[int(n.Add(1)*31)%len(accounts)], Amount: money.MustParse("-0.0075"), RefType: "sms_outgoing", Action: "sms_per_send"}
					if err := d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
						_, err := s.Post(ctx, tx, e)
						return err
					}); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "charges/s")
		})
	}
}
