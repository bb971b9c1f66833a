package number

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
)

// Item is one number of an order.
type Item struct {
	TN        e164.Number `json:"tn"`
	On        Features    `json:"on"`
	Plan      string      `json:"plan"` // name, as asked; else that of the number's own, once it is known
	AutoRenew bool        `json:"autorenew"`
	State     string      `json:"state"`
	Lease     string      `json:"lease,omitempty"`
}

// ItemError says why an item failed.
type ItemError struct {
	Item   Item   `json:"item"`
	Reason string `json:"reason"`
}

// Request is an order to be.
type Request struct {
	Account, User    string
	Items            []Item
	App, Connection  string // voice target of the new leases, at most one
	MessagingProfile string
	CallerFilter     string
	Raw              json.RawMessage // as it came
	OldestForm       bool
}

// Order is a request to lease numbers and what became of it.
type Order struct {
	ID                                 string
	Account, CreatedBy                 string
	State                              string
	Total, Success, Processing, Failed int
	Price                              *money.Amount
	Request                            json.RawMessage
	Items                              []Item
	Errors                             []ItemError
	OldestForm                         bool
	Created, Modified                  time.Time
}

// Order states.
const (
	OrderCreated    = "created"
	OrderVerify     = "verify"
	OrderProcessing = "processing"
	OrderSuccess    = "success"
	OrderFailed     = "failed"
)

// priced is an item that can be leased, with what it costs.
type priced struct {
	item   *Item
	prices billing.Prices
	plan   string
}

// Buy verifies, charges and leases in one transaction; all numbers of the inventory are at hand, so the order is final when it returns. Not enough money
// refuses the whole request with fault.Balance and keeps nothing; numbers that cannot be had fail one by one.
func (s *Service) Buy(ctx context.Context, r Request) (Order, error) {
	var o Order
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		now := s.now()
		o = Order{ID: ident.New(), Account: r.Account, CreatedBy: r.User, State: OrderCreated, Items: unique(r.Items), Request: r.Raw, OldestForm: r.OldestForm, Created: now, Modified: now}
		o.Total, o.Processing = len(o.Items), len(o.Items)
		if err := s.checkTargets(ctx, tx, r); err != nil {
			return err
		}
		if err := s.report(ctx, tx, o); err != nil {
			return err
		}
		good, total, err := s.verify(ctx, tx, &o, r.MessagingProfile != "")
		if err != nil {
			return err
		}
		o.Price = &total
		if len(good) == 0 {
			return s.finish(ctx, tx, &o, OrderFailed)
		}
		available, err := s.billing.Available(ctx, tx, r.Account)
		if err != nil {
			return err
		}
		if available < total {
			return fault.New(fault.Balance)
		}
		o.State = OrderProcessing
		if err := s.report(ctx, tx, o); err != nil {
			return err
		}
		failpoint.Hit("number.held")
		for _, p := range good {
			if err := s.leaseItem(ctx, tx, &o, r, p); err != nil {
				return err
			}
		}
		return s.finish(ctx, tx, &o, OrderSuccess)
	})
	return o, err
}

// unique keeps the first of each number, in the order of the numbers: two orders that want the same ones lock them in the same order.
func unique(items []Item) []Item {
	seen := map[e164.Number]bool{}
	var out []Item
	for _, it := range items {
		if !seen[it.TN] {
			seen[it.TN] = true
			it.State = OrderProcessing
			out = append(out, it)
		}
	}
	slices.SortStableFunc(out, func(a, b Item) int { return strings.Compare(string(a.TN), string(b.TN)) })
	return out
}

// checkTargets refuses objects of other accounts before anything is bought.
func (s *Service) checkTargets(ctx context.Context, tx *db.Tx, r Request) error {
	if s.views == nil {
		return nil
	}
	if _, err := s.views.AppView(ctx, tx, r.Account, r.App); err != nil {
		return err
	}
	_, err := s.views.ProfileView(ctx, tx, r.Account, r.MessagingProfile)
	return err
}

// verify looks at every item and sums the price of those that can be had.
func (s *Service) verify(ctx context.Context, tx *db.Tx, o *Order, subscribe bool) (good []priced, total money.Amount, err error) {
	o.State = OrderVerify
	if err := s.report(ctx, tx, *o); err != nil {
		return nil, 0, err
	}
	for i := range o.Items {
		it := &o.Items[i]
		p, reason, err := s.verifyItem(ctx, tx, o.Account, it)
		if err != nil {
			return nil, 0, err
		}
		if reason != "" {
			it.State = OrderFailed
			o.Errors = append(o.Errors, ItemError{*it, reason})
			o.Failed++
			o.Processing--
			continue
		}
		good = append(good, p)
		sum, err := sumOf(orderParts(p.prices, *it, subscribe))
		if err != nil {
			return nil, 0, err
		}
		if total, err = total.Add(sum); err != nil {
			return nil, 0, err
		}
	}
	return good, total, nil
}

func (s *Service) verifyItem(ctx context.Context, tx *db.Tx, account string, it *Item) (p priced, reason string, err error) {
	c, found, err := lockTN(ctx, tx, it.TN)
	if err != nil {
		return p, "", err
	}
	if !found {
		return p, "Number not found", nil
	}
	asked := it.Plan
	if asked == "" {
		own, err := s.billing.Plan(ctx, tx, c.Plan)
		if err != nil {
			return p, "", err
		}
		it.Plan = own.Name
	}
	if !mayOrder(c, account, s.now()) {
		return p, "Number is no longer available", nil
	}
	if missing := it.On.missing(c.Features); missing != "" {
		return p, "Feature not offered: " + missing, nil
	}
	if asked != "" {
		if _, err := s.billing.Plan(ctx, tx, asked); fault.Is(err, fault.NotFound) {
			return p, "Profile not found", nil
		} else if err != nil {
			return p, "", err
		}
	}
	prices, err := s.billing.Prices(ctx, tx, account, c.Plan)
	return priced{item: it, prices: prices, plan: c.Plan}, "", err
}

func mayOrder(c claimable, account string, now time.Time) bool {
	switch c.State {
	case "available":
		return true
	case "quarantined":
		return c.lastAccount == account || !c.freeOn.IsZero() && !now.Before(c.freeOn)
	}
	return false
}

// missing names the first feature that is wanted but not offered.
func (f Features) missing(offered Features) string {
	for _, n := range f.names() {
		if !slices.Contains(offered.names(), n) {
			return n
		}
	}
	return ""
}

// names lists what is on, in the contract's order.
func (f Features) names() []string {
	out := []string{}
	for _, x := range []struct {
		on   bool
		name string
	}{{f.Voice, "voice"}, {f.SMS, "sms"}, {f.MMS, "mms"}, {f.Fax, "fax"}, {f.Emergency, "emergency"}} {
		if x.on {
			out = append(out, x.name)
		}
	}
	return out
}

// part is one charge of a number.
type part struct {
	amount  money.Amount
	refType string
	action  string
}

// feeWithSubscription tells whether a number pays sms_nrc when its sms subscription is made, and not already when the feature is switched on
// (numbers-and-money §2.2).
func feeWithSubscription(tn e164.Number) bool {
	c := tn.Country()
	return c == "US" || c == "CA"
}

// startParts lists what an order charges for a number, without what its sms subscription costs.
func startParts(p billing.Prices, tn e164.Number, on Features) []part {
	parts := []part{{p.NRC, "tnlease_nrc", "nrc"}, {p.MRC, "tnlease_mrc", "mrc"}}
	if on.Voice {
		parts = append(parts, part{p.VoiceNRC, "voice_nrc", "voice_nrc"}, part{p.VoiceMRC, "voice_mrc", "voice_mrc"})
	}
	if on.SMS && !feeWithSubscription(tn) {
		parts = append(parts, smsNRC(p))
	}
	if on.SMS {
		parts = append(parts, part{p.SMSMRC, "sms_mrc", "sms_mrc"})
	}
	if on.MMS {
		parts = append(parts, part{p.MMSNRC, "mms_nrc", "mms_nrc"}, part{p.MMSMRC, "mms_mrc", "mms_mrc"})
	}
	if on.Fax {
		parts = append(parts, part{p.FaxNRC, "fax_nrc", "fax_nrc"}, part{p.FaxMRC, "fax_mrc", "fax_mrc"})
	}
	if on.Emergency {
		parts = append(parts, part{p.EmergencyNRC, "emergency_nrc", "emergency_nrc"}, part{p.EmergencyMRC, "emergency_mrc", "emergency_mrc"})
	}
	return slices.DeleteFunc(parts, func(p part) bool { return p.amount == 0 })
}

// orderParts is startParts with the sms subscription that an order with a messaging profile makes.
func orderParts(p billing.Prices, it Item, subscribe bool) []part {
	parts := startParts(p, it.TN, it.On)
	if subscribe && it.On.SMS && feeWithSubscription(it.TN) && p.SMSNRC != 0 {
		parts = append(parts, smsNRC(p))
	}
	return parts
}

func sumOf(parts []part) (sum money.Amount, err error) {
	for _, x := range parts {
		if sum, err = sum.Add(x.amount); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// leaseItem makes the lease of a verified item and charges it.
func (s *Service) leaseItem(ctx context.Context, tx *db.Tx, o *Order, r Request, p priced) error {
	now := s.now()
	l := Lease{
		ID: ident.New(), Account: o.Account, TN: p.item.TN, State: Active, Plan: p.plan, AutoRenew: p.item.AutoRenew, On: p.item.On, App: r.App, Connection: r.Connection,
		CallerFilter: r.CallerFilter, Order: o.ID, CreatedBy: o.CreatedBy, Expires: AddMonth(now), Created: now, Modified: now,
	}
	if err := insertLease(ctx, tx, l); err != nil {
		return err
	}
	if err := setTNState(ctx, tx, l.TN, "leased", "", time.Time{}, now); err != nil {
		return err
	}
	if err := s.charge(ctx, tx, l, startParts(p.prices, l.TN, l.On)); err != nil {
		return err
	}
	if l.On.Voice {
		if _, err := s.voice(ctx, tx, l); err != nil {
			return err
		}
	}
	if r.MessagingProfile != "" && l.On.SMS {
		if _, err := s.enableSMS(ctx, tx, &l, r.MessagingProfile, ""); err != nil {
			return err
		}
		if err := updateLease(ctx, tx, l); err != nil {
			return err
		}
	}
	p.item.State, p.item.Lease = OrderSuccess, l.ID
	o.Success++
	o.Processing--
	return s.leaseEvent(ctx, tx, l, "created")
}

// finish stores the order in its final state.
func (s *Service) finish(ctx context.Context, tx *db.Tx, o *Order, state string) error {
	o.State, o.Modified = state, s.now()
	if err := insertOrder(ctx, tx, *o); err != nil {
		return err
	}
	if err := s.orderLetter(ctx, tx, *o); err != nil {
		return err
	}
	return s.report(ctx, tx, *o)
}

// Quoted is what an item of an order would cost now.
type Quoted struct {
	Item  Item
	Plan  billing.Plan // with the account's own prices
	parts []part
}

// Quote gives what each item of an order would cost now, by the rules of Buy; unknown numbers and plans are a 404.
func (s *Service) Quote(ctx context.Context, r Request) ([]Quoted, error) {
	var out []Quoted
	q := s.db.Read()
	for _, it := range unique(r.Items) {
		t, err := s.TN(ctx, q, it.TN)
		if err != nil {
			return nil, err
		}
		if it.Plan != "" {
			if _, err := s.billing.Plan(ctx, q, it.Plan); err != nil {
				return nil, err
			}
		}
		plan, err := s.billing.Plan(ctx, q, t.Plan)
		if err != nil {
			return nil, err
		}
		if plan.Prices, err = s.billing.Prices(ctx, q, r.Account, t.Plan); err != nil {
			return nil, err
		}
		out = append(out, Quoted{it, plan, orderParts(plan.Prices, it, r.MessagingProfile != "")})
	}
	return out, nil
}
