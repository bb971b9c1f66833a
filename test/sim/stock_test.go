package sim

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/webhook"
)

// stock is what every world begins with: a migrated database with one account and its numbers.
type stock struct {
	Path    string
	Account string
	User    string
	Profile string
	Senders []e164.Number
}

// makeStock makes the database that every world begins with.
func makeStock(t testing.TB, dir string) *stock {
	t.Helper()
	ctx := context.Background()
	s := &stock{Path: filepath.Join(dir, "stock.db")}
	d, err := db.Open(ctx, db.Config{URL: "sqlite:" + s.Path})
	if err != nil {
		t.Fatal(err)
	}
	if err = d.MigrateUp(ctx); err == nil {
		err = s.fill(ctx, d)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stock) fill(ctx context.Context, d *db.DB) error {
	n, err := build(d, "stock", fetch.New(fetch.Options{}), nil, sound, alive{})
	if err != nil {
		return err
	}
	if err := d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := n.billing.SeedPlans(ctx, tx); err != nil {
			return err
		}
		return n.numbers.Seed(ctx, tx)
	}); err != nil {
		return err
	}
	u, err := n.acc.SignUp(ctx, account.Asker{Admin: true}, account.NewUser{Email: "sim@example.org", Password: "secret word", AccountName: "Harbor Books"})
	if err != nil {
		return err
	}
	s.Account, s.User = u.Account, u.ID
	zero := 0.0
	if _, err := n.acc.Administer(ctx, u.Account, account.AdminPatch{Limits: &account.LimitsPatch{SMSPerSecond: &zero}}); err != nil {
		return err
	}
	profiles, err := n.sms.Profiles(ctx, s.Account)
	if err != nil {
		return err
	}
	s.Profile = profiles[0].ID
	if _, err := n.sms.ModifyProfile(ctx, s.Account, s.Profile, s.User, func(p *messaging.Profile) {
		p.Pool, p.Sticky, p.CallbackURL, p.CallbackURL2, p.CallbackSecret = true, true, firstURL, secondURL, secret
	}); err != nil {
		return err
	}
	found, _, err := n.numbers.Find(ctx, number.Search{Account: s.Account, Province: "NY", Country: "US", Take: 2})
	if err != nil {
		return err
	}
	for _, f := range found {
		if _, err := n.numbers.Buy(ctx, number.Request{Account: s.Account, Items: []number.Item{{TN: f.Number, On: number.Features{SMS: true}}}}); err != nil {
			return err
		}
		if _, err := n.numbers.EnableSMS(ctx, number.By{Account: s.Account}, f.Number.Digits(), s.Profile, ""); err != nil {
			return err
		}
		s.Senders = append(s.Senders, f.Number)
	}
	_, err = n.hooks.CreateEndpoint(ctx, webhook.NewEndpoint{Account: s.Account, URL: eventsURL, Types: []string{"*"}, Secret: secret})
	return err
}

// stockFile names the stock's facts beside its database.
const stockFile = "stock.json"

// save leaves the stock for other processes.
func (s *stock) save(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stockFile), b, 0o600)
}

func loadStock(dir string) (*stock, error) {
	b, err := os.ReadFile(filepath.Join(dir, stockFile))
	if err != nil {
		return nil, err
	}
	s := &stock{}
	return s, json.Unmarshal(b, s)
}
