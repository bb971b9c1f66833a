package crash

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// message is a row of sms.
type message struct {
	uuid, kind, state, text string
	delivered, sent         bool
	price                   int64
}

// rows reads the database of a run whose servers have stopped.
type rows struct {
	*run
	q    db.Querier
	refs map[string]int // ledger entries about an object
}

// checkRows counts every acknowledged effect, and wants the books to be right.
func (r *run) checkRows(ctx context.Context) error {
	u := r.plan.DB
	if u == "" {
		u = "sqlite:" + filepath.Join(r.plan.Dir, "node0", "opentact.db")
	}
	d, err := db.Open(ctx, db.Config{URL: u})
	if err != nil {
		return err
	}
	defer d.Close()
	c := rows{run: r, q: d.Read(), refs: map[string]int{}}
	for _, check := range []func(context.Context) error{c.ledger, c.books, c.messages, c.calls, c.orders} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with every row.
func (c *rows) each(ctx context.Context, query string, into []any, fn func()) error {
	found, err := c.q.Query(ctx, query)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if err := found.Scan(into...); err != nil {
			return err
		}
		fn()
	}
	return found.Err()
}

// effects compares the acknowledged requests of a kind with the objects that carry their tags.
func (c *rows) effects(kind string, found map[string][]string) {
	lost, doubled := 0, 0
	for tag, a := range c.notes.of(kind) {
		ids := found[tag]
		switch {
		case len(ids) == 0:
			lost++
			c.notes.complain("%s %s (%s, answered after %v at try %d, replayed %v) is lost", kind, tag, a.id, a.at.Round(time.Millisecond), a.tries, a.replayed)
		case kind == kindRing && len(ids) <= a.tries && slices.Contains(ids, a.id):
			// A simulated caller is a part of the server and dies with it: one that asks again rings again.
		case len(ids) > 1:
			doubled++
			c.notes.complain("%s %s (%s, answered after %v at try %d, replayed %v) was done %d times: %s", kind, tag, a.id, a.at.Round(time.Millisecond), a.tries, a.replayed, len(ids), strings.Join(ids, ", "))
		case a.id != "" && a.id != ids[0]:
			doubled++
			c.notes.complain("%s %s was answered with %s, but it is %s", kind, tag, a.id, ids[0])
		}
	}
	c.notes.mu.Lock()
	defer c.notes.mu.Unlock()
	c.notes.lost += lost
	c.notes.doubled += doubled
}

// ledger wants the credits once each, no charge twice, and entries that form one chain.
func (c *rows) ledger(ctx context.Context) error {
	var id, ref, kind, action, text db.Text
	var amount, before, after int64
	credits := map[string][]string{}
	type charge struct{ ref, kind, action string }
	charges := map[charge]int{}
	chain := map[int64]int{}
	err := c.each(ctx, "SELECT uuid, ref_uuid, ref_type, source_action, description, amount, balance_before, balance_after FROM ledger", []any{&id, &ref, &kind, &action, &text, &amount, &before, &after}, func() {
		if tag, ok := strings.CutPrefix(string(text), "credit "); ok {
			credits[tag] = append(credits[tag], string(id))
		}
		if ref != "" {
			c.refs[string(ref)]++
			charges[charge{string(ref), string(kind), string(action)}]++
		}
		chain[before]--
		chain[after]++
	})
	if err != nil {
		return err
	}
	for k, n := range charges {
		if n > 1 {
			c.notes.complain("%d ledger entries %s %s about %s", n, k.kind, k.action, k.ref)
		}
	}
	broken := 0
	for _, n := range chain {
		if n != 0 {
			broken++
		}
	}
	if broken > 2 { // the first begins at zero, the last ends at the balance
		c.notes.complain("the ledger is no chain: %d balances have no entry before or after them", broken)
	}
	c.effects(kindCredit, credits)
	return nil
}

// books wants each balance to be the sum of its entries, and nothing set aside any more.
func (c *rows) books(ctx context.Context) error {
	var account db.Text
	var balance, reserved, entries, holds, count int64
	return c.each(ctx, `SELECT account, balance, reserved,
		(SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM ledger WHERE ledger.account = balance.account),
		(SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM hold WHERE hold.account = balance.account),
		(SELECT COUNT(*) FROM hold WHERE hold.account = balance.account) FROM balance`, []any{&account, &balance, &reserved, &entries, &holds, &count}, func() {
		if balance != entries || reserved != holds {
			c.notes.complain("account %s has %d µ$ and %d set aside, its entries sum to %d and its holds to %d", account, balance, reserved, entries, holds)
		}
		if count > 0 {
			c.notes.complain("account %s has %d holds left", account, count)
		}
		c.notes.mu.Lock()
		c.notes.drift += max(balance-entries, entries-balance)
		c.notes.mu.Unlock()
	})
}

// messages wants each message once, final, and charged once when it has a price.
func (c *rows) messages(ctx context.Context) error {
	var id, kind, state, text db.Text
	var delivered, handed bool
	var price int64
	var all []message
	sent, received := map[string][]string{}, map[string][]string{}
	err := c.each(ctx, "SELECT uuid, type, state, message, delivered, sent_on IS NOT NULL, COALESCE(price, 0) FROM sms", []any{&id, &kind, &state, &text, &delivered, &handed, &price}, func() {
		m := message{string(id), string(kind), string(state), string(text), delivered, handed, price}
		all = append(all, m)
		if tag, ok := strings.CutPrefix(m.text, "m "); ok && m.kind == "smso" {
			sent[tag] = append(sent[tag], m.uuid)
		}
		if tag, ok := strings.CutPrefix(m.text, "i "); ok && m.kind == "smsi" {
			received[tag] = append(received[tag], m.uuid)
		}
	})
	if err != nil {
		return err
	}
	c.effects(kindSMS, sent)
	c.effects(kindInbound, received)
	open, free := 0, 0
	example := ""
	for _, m := range all {
		if m.state == "created" || m.state == "sending" || m.state == "success" && !m.delivered {
			open, example = open+1, m.uuid
		}
		if m.state == "success" && m.price > 0 && c.refs[m.uuid] == 0 {
			free, example = free+1, m.uuid
		}
	}
	if open+free > 0 {
		c.notes.complain("of %d messages %d are not final, %d have a price and no charge; one is %s", len(all), open, free, example)
	}
	c.checkCallbacks(all)
	return nil
}

// calls wants each call once, closed, and charged once when it has a price.
func (c *rows) calls(ctx context.Context) error {
	var id, direction, parent, from, state, sip, app, meta db.Text
	var own []string // calls of the app
	var price int64
	placed, rung, dialled := map[string][]string{}, map[string][]string{}, map[string]int{}
	open, free, all := 0, 0, 0
	example := ""
	err := c.each(ctx, "SELECT uuid, direction, parent, party_from, state, sip_call_id, app, meta, COALESCE(price, 0) FROM call_leg", []any{&id, &direction, &parent, &from, &state, &sip, &app, &meta, &price}, func() {
		all++
		if app != "" {
			own = append(own, string(id))
		}
		var m struct{ Tag string }
		if meta != "" && json.Unmarshal([]byte(meta), &m) == nil && m.Tag != "" && parent == "" {
			placed[m.Tag] = append(placed[m.Tag], string(id))
		}
		if direction == "in" {
			from := strings.TrimPrefix(string(from), "+")
			rung[from] = append(rung[from], string(id))
			dialled[string(sip)]++
		}
		if state != "destroyed" {
			open, example = open+1, string(id)
		}
		if price > 0 && c.refs[string(id)] == 0 {
			free, example = free+1, string(id)
		}
	})
	if err != nil {
		return err
	}
	c.effects(kindCall, placed)
	c.effects(kindRing, rung)
	if open+free > 0 {
		c.notes.complain("of %d calls %d are not closed, %d have a price and no charge; one is %s", all, open, free, example)
	}
	c.checkApp(own)
	c.phones(dialled)
	return nil
}

// phones wants at most one record of each call over SIP, and counts those that were answered and have none: an answer to a phone is no promise of a row, but
// there may be few of them.
func (c *rows) phones(dialled map[string]int) {
	p := c.work.calls
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.answered {
		switch n := dialled[id]; {
		case n == 0:
			p.unrecorded++
		case n > 1:
			c.notes.complain("call %s of a phone has %d records", id, n)
		}
	}
}

// orders wants each order once, with one lease that is charged.
func (c *rows) orders(ctx context.Context) error {
	var id, state, tn, order db.Text
	leases, byOrder := map[string][]string{}, map[string]int{}
	err := c.each(ctx, "SELECT uuid, state, CAST(tn AS TEXT), tn_order FROM tn_lease", []any{&id, &state, &tn, &order}, func() {
		leases[string(tn)] = append(leases[string(tn)], string(order))
		byOrder[string(order)]++
		if state == "active" && c.refs[string(id)] == 0 {
			c.notes.complain("lease %s of %s was never charged", id, tn)
		}
	})
	if err != nil {
		return err
	}
	c.effects(kindOrder, leases)
	return c.each(ctx, "SELECT uuid, state FROM tn_order", []any{&id, &state}, func() {
		if state != "success" || byOrder[string(id)] != 1 {
			c.notes.complain("order %s is %s with %d leases", id, state, byOrder[string(id)])
		}
	})
}
