package messaging

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
)

// Request is a message, or many, to be sent.
type Request struct {
	Account     string
	User        string
	From        e164.Number // empty: chosen from the pool of Profile
	Profile     string
	To          []string
	Bulk        bool // To came as an array
	Text        string
	CallbackURL string
	Validity    time.Duration // zero: the profile's queue timeout
	MaxSegments int
	MaxPrice    *money.Amount
	Smart       bool // replace look-alikes
	Meta        json.RawMessage
	// Answer makes ready what is kept with the message for a retry of the request: what it gives runs in the transaction that accepts the message. It
	// reads with the context that it gets. nil: nothing is kept.
	Answer func(ctx context.Context, m *Message) (keep func(*db.Tx), err error)
}

// keep keeps the answer in the transaction that accepts the message.
func (r *Request) keep(ctx context.Context, tx *db.Tx, m *Message) error {
	if r.Answer == nil {
		return nil
	}
	keep, err := r.Answer(db.Join(ctx, tx), m)
	if err == nil {
		keep(tx)
	}
	return err
}

// senderFacts is what sending from a number needs to know. It is kept as long as the lease is not modified, at most factsFor.
type senderFacts struct {
	lease    number.Lease
	sub      number.Subscription
	prices   billing.Prices
	campaign string // campaignId
	active   bool   // the campaign
	words    CampaignDetails
	context  json.RawMessage
	key      string // of context
}

// needsCampaign tells US and Canada local numbers.
func needsCampaign(n e164.Number) bool {
	return (n.Country() == "US" || n.Country() == "CA") && !n.TollFree()
}

// draft is a request that passed the checks of its own form.
type draft struct {
	Request
	account  account.Account
	analysis gsm.Analysis
	profile  *Profile // of the pool, or nil
	now      time.Time
}

// Send accepts a request in one transaction and gives the message, or the request that stands for it. The checks run in the contract's order
// (messaging-semantics §2); their faults are 400, 404, 406, 403, 400, 405, 429.
func (s *Service) Send(ctx context.Context, r Request) (*Message, error) {
	d, err := s.draft(ctx, r)
	if err != nil {
		return nil, err
	}
	if !r.Bulk && r.From != "" {
		return s.sendOne(ctx, d)
	}
	var m *Message
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		d.now = s.now()
		if r.Bulk {
			m, err = s.acceptBulk(ctx, tx, d)
		} else {
			m, err = s.acceptPooled(ctx, tx, d)
		}
		if err != nil {
			return err
		}
		tx.After(s.nudge)
		return d.keep(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	s.stats.Accepted.Add(int64(len(d.To)))
	return m, nil
}

// draft checks what needs no sender.
func (s *Service) draft(ctx context.Context, r Request) (*draft, error) {
	d := &draft{Request: r, now: s.now()}
	var f fault.Fields
	d.analysis = d.check(&f)
	err := f.Err()
	if err != nil {
		return nil, err
	}
	if d.account, err = s.accounts.Cached(ctx, r.Account); err != nil {
		return nil, err
	}
	if r.From != "" {
		return d, nil
	}
	p, err := loadProfile(ctx, s.db.Read(), r.Account, r.Profile)
	if err != nil {
		return nil, err
	}
	if !p.Pool {
		return nil, fault.Invalid("messaging_profile", "number pool is disabled", r.Profile)
	}
	d.profile = &p
	return d, nil
}

// check is row 1 of the contract's table, without the price. It puts recipients and text into the form in which they are sent.
func (r *Request) check(f *fault.Fields) gsm.Analysis {
	checkRecipients(f, r.To, r.Bulk)
	if r.From == "" && r.Profile == "" {
		f.Add("from", "is required without messaging_profile", nil)
	}
	if r.Smart {
		r.Text = gsm.Smart(r.Text)
	}
	if n := utf8.RuneCountInString(r.Text); n < 1 || n > maxText {
		f.Add("message", "must have 1 to 918 characters", n)
	}
	if strings.ContainsRune(r.Text, 0) {
		f.Add("message", "must not hold the character U+0000", nil)
	}
	a := gsm.Analyze(r.Text)
	most := maxParts
	if r.MaxSegments > 0 {
		most = min(most, r.MaxSegments)
	}
	if a.Segments > most {
		f.Add("message", "needs more than "+strconv.Itoa(most)+" segments", a.Segments)
	}
	if len(r.Meta) > maxMeta {
		f.Add("meta", "must be at most 4096 bytes", len(r.Meta))
	}
	return a
}

// checkRecipients turns numbers into digits and notes those that are none.
func checkRecipients(f *fault.Fields, list []string, bulk bool) {
	for i, to := range list {
		n, ok := recipient(to)
		if !ok {
			path := "to"
			if bulk {
				path += "." + strconv.Itoa(i)
			}
			f.Add(path, "invalid number", to)
			continue
		}
		list[i] = n
	}
	if bulk && (len(list) == 0 || len(list) > maxRecipients) {
		f.Add("to", "must have 1 to 1000 items", len(list))
	}
}

// recipient reads a number, or a short code of 3 to 6 digits.
func recipient(s string) (string, bool) {
	if n, err := e164.Parse(s); err == nil {
		return n.Digits(), true
	}
	if len(s) < 3 || len(s) > 6 {
		return "", false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return s, true
}

// sender finds the lease of an own number with its subscription; 404 when it cannot send.
func (s *Service) sender(ctx context.Context, q db.Querier, acc string, from e164.Number) (*senderFacts, error) {
	l, found, err := s.numbers.ByTN(ctx, q, from)
	if err != nil {
		return nil, err
	}
	if !found || l.Account != acc {
		return nil, fault.Missing("TN lease")
	}
	return s.factsOf(ctx, q, l)
}

func (s *Service) factsOf(ctx context.Context, q db.Querier, l number.Lease) (*senderFacts, error) {
	key := l.ID + strconv.FormatInt(l.Modified.UnixMicro(), 36)
	return s.facts.get(key, func() (*senderFacts, error) {
		f := &senderFacts{lease: l}
		sub, on, err := s.numbers.SMS(ctx, q, l.ID)
		if err != nil {
			return nil, err
		}
		if !on || sub.State != "active" {
			return nil, fault.Missing("TN lease")
		}
		f.sub = sub
		if f.prices, err = s.billing.Prices(ctx, q, l.Account, l.Plan); err != nil {
			return nil, err
		}
		if sub.Campaign != "" {
			c, err := loadCampaign(ctx, q, l.Account, sub.Campaign)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return nil, err
			}
			f.campaign, f.active, f.words = c.CampaignID, c.Active(), c.Details
		}
		f.context, err = s.snapshot(ctx, q, f)
		f.key = contextID(f.context)
		return f, err
	})
}

// snapshot renders what a message keeps of its own number.
func (s *Service) snapshot(ctx context.Context, q db.Querier, f *senderFacts) (json.RawMessage, error) {
	tn, err := s.numbers.TNView(ctx, q, f.lease.TN)
	if err != nil {
		return nil, err
	}
	p, err := loadProfile(ctx, q, f.lease.Account, f.sub.Profile)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	profile := &object{}
	profile.some("uuid", p.ID)
	profile.text("name", p.Name)
	profile.some("callback_url", p.CallbackURL)
	lease := &object{}
	lease.text("uuid", f.lease.ID)
	lease.flag("autorenew", f.lease.AutoRenew)
	lease.time("expired_on", f.lease.Expires)
	lease.raw("messaging_profile", profile.end())
	sub := &object{}
	sub.text("uuid", f.sub.ID)
	sub.text("type", "sms")
	sub.time("created_on", f.sub.Created)
	sub.time("modified_on", f.sub.Modified)
	o := &object{}
	o.raw("tn", tn)
	o.raw("tn_lease", lease.end())
	o.raw("subscription", sub.end())
	return o.end(), nil
}

// newMessage makes the row of a message from a sender to a recipient.
func (s *Service) newMessage(ctx context.Context, d *draft, f *senderFacts, to string) (*Message, error) {
	price, err := f.prices.SMSSend.Times(int64(d.analysis.Segments))
	if err != nil {
		return nil, err
	}
	if d.MaxPrice != nil && price > *d.MaxPrice {
		return nil, fault.Invalid("max_price", "the message costs "+price.String(), d.MaxPrice.String())
	}
	wait := d.Validity
	if wait == 0 {
		p, err := s.cachedProfile(ctx, d.Account, f.sub.Profile)
		if err != nil {
			return nil, err
		}
		wait = 4 * time.Hour
		if p != nil {
			wait = p.QueueTimeout
		}
	}
	from := f.lease.TN.Digits()
	return &Message{
		ID: ident.New(), Account: d.Account, Type: Outbound, State: Created, From: from, To: to, Text: d.Text, Thread: e164.Thread(from, to), CallbackURL: d.CallbackURL,
		Profile: f.sub.Profile, Campaign: f.campaign, CreatedBy: d.User, Created: d.now, Modified: d.now, Encoding: string(d.analysis.Encoding), Segments: d.analysis.Segments,
		Price: price, Country: countryOf(to, f.lease.TN), Meta: d.Meta, Context: f.context, ContextID: f.key, Due: d.now, Expires: d.now.Add(wait),
	}, nil
}

// countryOf gives the recipient's country; a short code belongs to the sender's.
func countryOf(to string, from e164.Number) string {
	if len(to) < e164.MinDigits {
		return from.Country()
	}
	return e164.Number(to).Country()
}

// mayReceive is rows 3 to 5 of the contract's table: country, consent, campaign.
func (s *Service) mayReceive(ctx context.Context, q db.Querier, d *draft, f *senderFacts, m *Message) error {
	if !d.account.SMSTo(m.Country) {
		return fault.New(fault.CountryPermission)
	}
	out, err := optedOut(ctx, q, m.Account, m.Profile, m.To)
	if err != nil {
		return err
	}
	return consents(f, out)
}

// consents is rows 4 and 5.
func consents(f *senderFacts, out bool) error {
	if out {
		return fault.New(fault.OptedOut)
	}
	if needsCampaign(f.lease.TN) && !f.active {
		return fault.Invalid("from", "number has no active campaign", f.lease.TN.Digits())
	}
	return nil
}

// mayQueue is rows 6 and 7 for n messages, the cheapest of which costs price: money, and the room of the account's queue.
func (s *Service) mayQueue(ctx context.Context, q db.Querier, d *draft, price money.Amount, n int64) error {
	if d.account.Limits.SMSPerSecond <= 0 || n == 0 {
		return nil // the hold checks the money
	}
	room := max(1, int64(d.account.Limits.SMSPerSecond*queuedSeconds)) // else the slowest accounts could not send at all
	waiting, err := s.queued.get(d.Account, func() (*atomic.Int64, error) {
		n, err := countQueued(ctx, s.db.Read(), d.Account)
		c := &atomic.Int64{}
		c.Store(n)
		return c, err
	})
	if err != nil {
		return err
	}
	if waiting.Add(n) <= room {
		return nil
	}
	waiting.Add(-n)
	available, err := s.billing.Available(ctx, q, d.Account)
	if err != nil {
		return err
	}
	if available < price {
		return fault.New(fault.SMSBalance)
	}
	return fault.New(fault.RateLimited)
}

// enqueue holds the money of messages, writes their rows and events; all of them, or none for want of money.
func (s *Service) enqueue(ctx context.Context, tx *db.Tx, list []*Message) error {
	granted, err := s.billing.HoldAll(ctx, tx, holdsOf(filter(list, func(m *Message) bool { return m.State == Created && m.Type == Outbound })))
	if err != nil {
		return err
	}
	if slices.Contains(granted, false) {
		return fault.New(fault.SMSBalance)
	}
	if err := s.insertMessages(ctx, tx, list); err != nil {
		return err
	}
	for _, m := range list {
		if err := s.emit(ctx, tx, m, nil); err != nil {
			return err
		}
	}
	return nil
}

func holdsOf(list []*Message) []billing.Hold {
	out := make([]billing.Hold, len(list))
	for i, m := range list {
		out[i] = billing.Hold{ID: m.ID, Account: m.Account, Kind: "sms", Amount: m.Price, Expires: m.Expires.Add(time.Hour)}
	}
	return out
}

// acceptPooled accepts one message whose sender the pool chooses. The request's event says created; what it became is in its row and next event.
func (s *Service) acceptPooled(ctx context.Context, tx *db.Tx, d *draft) (*Message, error) {
	req := d.request()
	req.To = d.To[0]
	answer := *req
	if err := s.emit(ctx, tx, req, nil); err != nil {
		return nil, err
	}
	f, err := s.choose(ctx, tx, d, d.To[0])
	if err != nil {
		return nil, err
	}
	if f == nil {
		req.State, req.Error, req.Reason = Failed, "no_sender", errorTitles["no_sender"]
		if err := s.insertMessages(ctx, tx, []*Message{req}); err != nil {
			return nil, err
		}
		return &answer, s.announce(ctx, tx, req, nil, "sms_send_fails")
	}
	m, err := s.newMessage(ctx, d, f, d.To[0])
	if err != nil {
		return nil, err
	}
	if err := s.mayReceive(ctx, tx, d, f, m); err != nil {
		return nil, err
	}
	if err := s.mayQueue(ctx, tx, d, m.Price, 1); err != nil {
		return nil, err
	}
	m.Parent, req.From, req.Thread, req.Campaign, req.Context, req.ContextID, req.Country = req.ID, m.From, m.Thread, m.Campaign, m.Context, m.ContextID, m.Country
	if err := s.insertMessages(ctx, tx, []*Message{req}); err != nil {
		return nil, err
	}
	answer.Thread = m.Thread
	return &answer, s.enqueue(ctx, tx, []*Message{m})
}

// request makes the row that stands for a pool or bulk request.
func (d *draft) request() *Message {
	return &Message{
		ID: ident.New(), Account: d.Account, Type: Requests, State: Created, Text: d.Text, CallbackURL: d.CallbackURL, Profile: d.Profile, CreatedBy: d.User,
		Created: d.now, Modified: d.now, Encoding: string(d.analysis.Encoding), Segments: d.analysis.Segments, Meta: d.Meta,
	}
}

// fail ends a message that was not handed over.
func (m *Message) fail(code, reason string) {
	if reason == "" {
		reason = errorTitles[code]
	}
	m.State, m.Error, m.Reason, m.Due = Failed, code, reason, time.Time{}
}
