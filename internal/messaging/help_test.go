package messaging_test

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// holdAll sets all of an account's money aside.
func holdAll(ctx context.Context, tx *db.Tx, r *rig, available money.Amount) error {
	return r.billing.Hold(ctx, tx, billing.Hold{ID: ident.New(), Account: r.account, Kind: "order", Amount: available, Expires: time.Now().Add(time.Hour)})
}

func concat(ref uint16, total, seq byte) *gsm.Concat {
	return &gsm.Concat{Ref: ref, Total: total, Seq: seq}
}
