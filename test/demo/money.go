package main

import (
	"context"
	"fmt"
	"time"
)

// transaction is one row of the ledger.
type transaction struct {
	Amount      float64   `json:"amount"`
	After       float64   `json:"account_balance_after"`
	RefType     string    `json:"ref_type"`
	Description string    `json:"description"`
	CreatedOn   time.Time `json:"created_on"`
}

// charges must each be in the ledger after the steps before.
var charges = []string{"tnlease_nrc", "tnlease_mrc", "sms_nrc", "sms_outgoing", "sms_incoming", "voice_incoming"}

// showMoney prints the ledger and checks that it sums up to the balance.
func (d *demo) showMoney(ctx context.Context) error {
	var page struct {
		Data []transaction `json:"data"`
	}
	if err := d.api.Do(ctx, "POST", "/rest/transaction/search", map[string]any{"take": 100, "order": map[string]string{"created_on": "ASC"}}, &page); err != nil {
		return fmt.Errorf("transactions: %w", err)
	}
	var account struct {
		Balance float64 `json:"balance"`
	}
	if err := d.api.Do(ctx, "GET", "/rest/account", nil, &account); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	sum, seen := int64(0), map[string]bool{}
	for _, t := range page.Data {
		d.say("%s  %10.4f  %10.4f  %-14s  %s", t.CreatedOn.Local().Format("15:04:05"), t.Amount, t.After, t.RefType, t.Description)
		sum += micro(t.Amount)
		seen[t.RefType] = true
	}
	d.say("balance %.4f", account.Balance)
	if sum != micro(account.Balance) {
		return fmt.Errorf("the transactions sum up to %.6f, the balance is %.6f", float64(sum)/1e6, account.Balance)
	}
	for _, c := range charges {
		if !seen[c] {
			return fmt.Errorf("there is no transaction %s", c)
		}
	}
	return nil
}

// micro gives millionths of a dollar; amounts have at most six decimals.
func micro(v float64) int64 {
	if v < 0 {
		return -micro(-v)
	}
	return int64(v*1e6 + 0.5)
}
