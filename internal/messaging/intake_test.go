package messaging_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/money"
)

// TestRequestsThatAreAcceptedTogetherAreRefusedEachForItself: some opted out, and money for a part of the others only.
func TestRequestsThatAreAcceptedTogetherAreRefusedEachForItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		from := r.lease(1, "")[0]
		send := func(ctx context.Context, to string) error {
			_, err := r.sms.Send(ctx, messaging.Request{Account: r.account, User: r.user, From: from, To: []string{to}, Text: "Your atlas is ready"})
			return err
		}
		if err := send(t.Context(), "15005550101"); err != nil {
			t.Fatal(err)
		}
		balance, credit, price, err := r.billing.Balance(t.Context(), d.Read(), r.account)
		if err != nil || price <= 0 {
			t.Fatal(price, err)
		}
		const affordable, wishes, outs = 7, 40, 5
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			return holdAll(ctx, tx, r, balance+credit-price-affordable*price)
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.sms.CreateOptOut(t.Context(), messaging.OptOut{Account: r.account, Phone: "15005550102", Source: messaging.ByAPI}); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		var accepted, broke, out atomic.Int64
		var wg sync.WaitGroup
		for i := range wishes + outs {
			wg.Go(func() {
				to := fmt.Sprintf("1312555%04d", i)
				if i < outs {
					to = "15005550102"
				}
				switch err := send(t.Context(), to); {
				case err == nil:
					accepted.Add(1)
				case fault.Is(err, fault.SMSBalance):
					broke.Add(1)
				case fault.Is(err, fault.OptedOut):
					out.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if accepted.Load() != affordable || broke.Load() != wishes-affordable || out.Load() != outs {
			t.Errorf("%d accepted, %d without money, %d opted out", accepted.Load(), broke.Load(), out.Load())
		}
		if left, err := r.billing.Available(t.Context(), d.Read(), r.account); err != nil || left != money.Amount(0) {
			t.Errorf("%s left, %v", left, err)
		}
		if _, total, err := r.sms.Search(t.Context(), messaging.Filter{Account: r.account, Take: 1}); err != nil || total != 1+affordable {
			t.Errorf("%d messages, %v", total, err)
		}
		if err := send(gone, "15005550101"); err == nil {
			t.Error("a request that is gone was accepted")
		}
	})
}
