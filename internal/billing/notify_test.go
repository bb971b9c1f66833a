package billing_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// quiet is accounts that have balance events switched off.
type quiet struct{}

func (quiet) EventView(context.Context, db.Querier, string) (json.RawMessage, error) {
	return json.RawMessage(`{}`), nil
}

func (quiet) RefView(context.Context, db.Querier, string) (json.RawMessage, error) {
	return json.RawMessage(`{}`), nil
}

func (quiet) CountryView(string) json.RawMessage { return json.RawMessage(`null`) }

func (quiet) BalanceNotices(context.Context, db.Querier, string) (bool, error) { return false, nil }

// post collects letters.
type post struct{ letters []string }

func (p *post) Send(_ context.Context, _ *db.Tx, _, template string, vars map[string]string) error {
	p.letters = append(p.letters, template+" "+vars["balance"]+" "+vars["threshold"])
	return nil
}

func TestALowBalanceIsToldOnceForEachFall(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		log := event.NewLog(event.Config{DB: d})
		box := &post{}
		s := billing.New(billing.Config{DB: d, Events: log, Accounts: quiet{}, Letters: box, OpeningCredit: money.MustParse("10")})
		account := ident.New()
		must := func(fn func(ctx context.Context, tx *db.Tx) error) {
			t.Helper()
			if err := d.Update(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		must(func(ctx context.Context, tx *db.Tx) error {
			five := money.MustParse("5")
			if err := s.Open(ctx, tx, account); err != nil {
				return err
			}
			return s.SetLowBalance(ctx, tx, account, &five)
		})
		entry := func(amount string) billing.Entry {
			return billing.Entry{Account: account, Amount: money.MustParse(amount), RefType: "sms_outgoing", Action: "sms_per_send"}
		}
		hold := func(ctx context.Context, tx *db.Tx, amount string) string {
			id := ident.New()
			if err := s.Hold(ctx, tx, billing.Hold{ID: id, Account: account, Kind: "sms", Amount: money.MustParse(amount), Expires: time.Now().Add(time.Hour)}); err != nil {
				t.Error(err)
			}
			return id
		}
		post := func(amount string) func(context.Context, *db.Tx) error {
			return func(ctx context.Context, tx *db.Tx) error {
				_, err := s.Post(ctx, tx, entry(amount))
				return err
			}
		}
		for i, step := range []struct {
			do   func(ctx context.Context, tx *db.Tx) error
			told int
		}{
			{post("-5"), 0},   // 5 is not below 5
			{post("-0.5"), 1}, // 4.5
			{post("-1"), 1},   // 3.5
			{post("2"), 1},    // 5.5
			{func(ctx context.Context, tx *db.Tx) error {
				id := hold(ctx, tx, "0.6")
				_, err := s.Settle(ctx, tx, id, entry("-0.6"))
				return err
			}, 2}, // 4.9
			{post("1"), 2}, // 5.9
			{func(ctx context.Context, tx *db.Tx) error {
				var list []billing.Settlement
				for range 3 {
					list = append(list, billing.Settlement{Hold: hold(ctx, tx, "0.5"), Entry: entry("-0.5")})
				}
				_, err := s.SettleAll(ctx, tx, list)
				return err
			}, 3}, // 4.4
			{func(ctx context.Context, tx *db.Tx) error { return s.SetLowBalance(ctx, tx, account, nil) }, 3},
			{post("5"), 3},
			{post("-5"), 3},
		} {
			must(step.do)
			rows, err := log.Read(t.Context(), event.Query{Account: account, Types: []string{"balance"}})
			if err != nil || len(rows) != step.told || len(box.letters) != step.told {
				t.Fatalf("step %d: %d events, %v, %v", i, len(rows), box.letters, err)
			}
			if n := len(rows); n > 0 && !strings.Contains(string(rows[n-1].Body), `"source_action":"low_balance"`) {
				t.Errorf("%s", rows[n-1].Body)
			}
		}
		if box.letters[2] != "low_balance 4.4 5" {
			t.Error(box.letters)
		}
	})
}
