package number

import (
	"context"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// The letters of this package. Those of orders have the variables order, total, success and failed; those of leases tn and expired_on.
const (
	MailOrderSuccess  = "tnorder_success"
	MailOrderRejected = "tnorder_rejected"
	MailReleasing     = "tnleases_releasing"
	MailReleased      = "tnleases_released"
)

func (s *Service) letter(ctx context.Context, tx *db.Tx, account, template string, vars map[string]string) error {
	if s.letters == nil {
		return nil
	}
	return s.letters.Send(ctx, tx, account, template, vars)
}

func leaseVars(l Lease) map[string]string {
	return map[string]string{"tn": l.TN.Digits(), "expired_on": l.Expires.UTC().Format(time.RFC3339)}
}

// orderLetter tells what became of an order.
func (s *Service) orderLetter(ctx context.Context, tx *db.Tx, o Order) error {
	template := MailOrderSuccess
	if o.State == OrderFailed {
		template = MailOrderRejected
	}
	return s.letter(ctx, tx, o.Account, template, map[string]string{
		"order": o.ID, "total": strconv.Itoa(o.Total), "success": strconv.Itoa(o.Success), "failed": strconv.Itoa(o.Failed),
	})
}
