package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// flaw is a component that is broken on purpose, so that the checks have something to find.
type flaw string

// The flaws.
const (
	sound           flaw = ""
	losesReceipts   flaw = "a carrier's link acknowledges receipts and drops them"
	losesAnswers    flaw = "a carrier's link says that a message was not taken, after the carrier's answer"
	overtakes       flaw = "a carrier's link answers for messages that it brings to the carrier later"
	doublesCharges  flaw = "billing charges a message again"
	losesCallbacks  flaw = "callbacks are dropped"
	doublesCallback flaw = "callbacks are sent twice"
	repeatsJobs     flaw = "a job commits its work without its end"
	skipsEvents     flaw = "a customer is shown a log with a hole"
	losesMessages   flaw = "an accepted message is gone"
	losesDeliveries flaw = "the endpoint's deliveries about a message are dropped"
	repeatsDelivery flaw = "a delivery is sent again after its answer"
)

// forgetful acknowledges receipts that are not kept.
type forgetful struct{ carrier.Sink }

func (forgetful) Receipts(context.Context, []carrier.Receipt) error { return nil }

// takeLater answers as the carrier will, once it has the message.
func (d *driver) takeLater(m carrier.Message, key string, about []int) carrier.Submitted {
	n := d.net
	n.pending.Add(1)
	n.w.guests.Go(func() {
		defer n.pending.Add(-1)
		time.Sleep(10 * time.Second)
		d.take(m, key, about, true)
	})
	t := taking{names: d.names(m, about)}
	return t.submitted(d.hex)
}

// lose removes a message.
func (w *world) lose(id string) {
	w.call(func(ctx context.Context, l *life) error {
		return l.d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, "DELETE FROM sms WHERE uuid = $1", id)
			return err
		})
	})
}

// tamper drops the deliveries about a message that the endpoint is to get, or sends those again that arrived.
func (w *world) tamper(id string) {
	time.Sleep(2 * time.Second)
	w.call(func(ctx context.Context, l *life) error {
		return l.d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			which := "(SELECT uuid FROM webhook_delivery WHERE ord LIKE '%' || $1 AND state = 'success' AND owner IS NULL)"
			if w.flaw == repeatsDelivery {
				_, err := tx.Exec(ctx, "UPDATE webhook_delivery SET state = 'pending', due_on = created_on WHERE uuid IN "+which, id)
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM webhook_attempt WHERE delivery IN "+which, id); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "DELETE FROM webhook_delivery WHERE uuid IN "+which, id)
			return err
		})
	})
}

// chargeAgain takes the price of a message once more.
func (w *world) chargeAgain(id string) {
	w.call(func(ctx context.Context, l *life) error {
		return l.d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := l.billing.Post(ctx, tx, billing.Entry{Account: w.stock.Account, Amount: -7500, RefType: "sms_outgoing", RefUUID: id, Action: "sms_per_send"})
			return err
		})
	})
}

// tampered drops or doubles callbacks of messages that were handed over.
type tampered struct {
	messaging.Callbacks
	f flaw
}

func (c tampered) Notify(ctx context.Context, tx *db.Tx, n messaging.Callback) error {
	if n.Trigger == "sms_sent" {
		if c.f == losesCallbacks {
			return nil
		}
		if err := c.Callbacks.Notify(ctx, tx, n); err != nil {
			return err
		}
	}
	return c.Callbacks.Notify(ctx, tx, n)
}

// TestBrokenComponentsAreFound: the checks complain, in the right words, about components that are broken on purpose.
func TestBrokenComponentsAreFound(t *testing.T) {
	dir := ram(t)
	s := makeStock(t, dir)
	for f, words := range map[flaw]string{
		losesReceipts: "acknowledged and lost", losesAnswers: "handed over again after its answer", overtakes: "of the same thread", doublesCharges: "is charged [",
		losesCallbacks: "notifications sms_sent for", doublesCallback: "two notifications sms_sent", repeatsJobs: "changed the ledger 2 times",
		skipsEvents: "the customer with a cursor", losesMessages: "0 messages and 0 requests",
		losesDeliveries: "has no delivery", repeatsDelivery: "was delivered again after its answer",
	} {
		t.Run(string(f), func(t *testing.T) {
			var all []string
			for seed := 0; seed < 5*len(moods); seed += len(moods) { // calm ones: only the flaw is wrong
				w, problems := playSeed(t, seed, s, dir, f)
				for _, p := range problems {
					if strings.Contains(p, words) {
						return
					}
				}
				all = append(all, complaint(w, problems))
			}
			t.Errorf("no check complained that %q: %s", words, strings.Join(all, "\n"))
		})
	}
}
