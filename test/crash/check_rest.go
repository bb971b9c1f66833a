package crash

import (
	"context"
	"fmt"
	"math"
)

// checkBalance wants the balance that a customer sees to be the sum of the transactions that it sees. Money is compared in micro-dollars.
func (r *run) checkBalance(ctx context.Context) error {
	c := r.nodes.client(0)
	micro := func(f float64) int64 { return int64(math.Round(f * 1e6)) }
	account, err := c.Do(ctx, "GET", "/rest/account", nil)
	if err != nil {
		return err
	}
	var sum int64
	entries, broken := 0, 0
	for {
		page, err := c.Do(ctx, "POST", fmt.Sprintf("/rest/transaction/search?take=100&skip=%d", entries), `{"order": {"created_on": "ASC"}}`)
		if err != nil {
			return err
		}
		list := page.List("data")
		if len(list) == 0 {
			break
		}
		for _, x := range list {
			entries++
			sum += micro(x.Num("amount"))
			if micro(x.Num("account_balance_before"))+micro(x.Num("amount")) != micro(x.Num("account_balance_after")) {
				broken++
			}
		}
	}
	if balance := micro(account.Num("balance")); sum != balance || broken > 0 {
		r.notes.complain("the API shows a balance of %d µ$ and %d transactions with a sum of %d µ$, %d of which do not add up", balance, entries, sum, broken)
	}
	if reserved := micro(account.Num("reserved")); reserved != 0 {
		r.notes.complain("the API shows %d µ$ set aside when nothing goes on", reserved)
	}
	return nil
}
