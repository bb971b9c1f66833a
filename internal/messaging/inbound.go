package messaging

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// fragmentQueue is the queue of jobs that deliver incomplete messages.
const fragmentQueue = "messaging.fragment"

// Inbound takes a message from a carrier and returns after its commit. One to a number without a subscription is dropped and counted, a double is ignored.
func (s *Service) Inbound(ctx context.Context, in carrier.Inbound) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if in.Concat != nil && in.Concat.Total > 1 {
			return s.takeFragment(ctx, tx, in)
		}
		_, err := s.deliver(ctx, tx, in, 0, "")
		return err
	})
}

// Simulate delivers a message as if a phone had sent it, and gives it as the wire shows it; 404 "TN lease not found" when the number takes none.
func (s *Service) Simulate(ctx context.Context, from, to, text string) (json.RawMessage, error) {
	var m *Message
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		m, err = s.deliver(ctx, tx, carrier.Inbound{Link: "sandbox", From: from, To: to, Text: text, At: s.now()}, 0, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fault.Missing("TN lease")
	}
	return s.render(ctx, m)
}

// Hosts tells which numbers are leased on this platform; drivers ask it.
func (s *Service) Hosts(ctx context.Context, tns []string) (map[string]bool, error) {
	list := make([]e164.Number, len(tns))
	for i, tn := range tns {
		list[i] = e164.Number(tn)
	}
	found, err := s.numbers.ByTNs(ctx, s.db.Read(), list)
	out := make(map[string]bool, len(found))
	for tn := range found {
		out[tn.Digits()] = true
	}
	return out, err
}

// deliver stores an inbound message and does what follows from it; nil when it was dropped or a double. segments 0 means: as the text needs.
func (s *Service) deliver(ctx context.Context, tx *db.Tx, in carrier.Inbound, segments int, reason string) (*Message, error) {
	f, err := s.receiver(ctx, tx, in.To)
	if err != nil {
		return nil, err
	}
	if f == nil {
		tx.After(func() { s.stats.Dropped.Add(1) })
		return nil, nil
	}
	m, err := s.inboundMessage(ctx, f, in, segments, reason)
	if err != nil {
		return nil, err
	}
	if m.Ref != "" {
		if known, err := byRefs(ctx, tx, []string{m.Ref}); err != nil || len(known) > 0 {
			tx.After(func() { s.stats.Doubles.Add(1) })
			return nil, err
		}
	}
	t, err := s.billing.Settle(ctx, tx, m.ID, billing.Entry{
		Account: m.Account, Amount: -m.Price, RefType: "sms_incoming", RefUUID: m.ID, Action: "sms_per_receive", Description: "SMS from " + m.From, At: m.Created,
	})
	if err != nil {
		return nil, err
	}
	m.Price = -t.Amount
	if err := s.insertMessages(ctx, tx, []*Message{m}); err != nil {
		return nil, err
	}
	if err := s.renewOwner(ctx, tx, m.Account); err != nil {
		return nil, err
	}
	if err := s.noteContact(ctx, tx, m, m.From, m.To); err != nil {
		return nil, err
	}
	if !in.Automated {
		if err := s.answer(ctx, tx, f, m); err != nil {
			return nil, err
		}
	}
	tx.After(func() { s.stats.Received.Add(1) })
	return m, s.announce(ctx, tx, m, nil, smsReceived)
}

// receiver finds the subscription of a called number; nil when there is none.
func (s *Service) receiver(ctx context.Context, q db.Querier, to string) (*senderFacts, error) {
	n, err := e164.Parse(to)
	if err != nil {
		return nil, nil
	}
	l, found, err := s.numbers.ByTN(ctx, q, n)
	if err != nil || !found {
		return nil, err
	}
	f, err := s.factsOf(ctx, q, l)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return f, err
}

func (s *Service) inboundMessage(ctx context.Context, f *senderFacts, in carrier.Inbound, segments int, reason string) (*Message, error) {
	now := s.now()
	from := in.From
	if n, err := e164.Parse(from); err == nil {
		from = n.Digits()
	}
	in.Text = strings.ReplaceAll(strings.ToValidUTF8(in.Text, "?"), "\x00", "?")
	a := gsm.Analyze(in.Text)
	if segments == 0 {
		segments = a.Segments
	}
	if in.Encoding == gsm.GSM7 || in.Encoding == gsm.UCS2 {
		a.Encoding = in.Encoding
	}
	price, err := f.prices.SMSReceive.Times(int64(segments))
	if err != nil {
		return nil, err
	}
	to := f.lease.TN.Digits()
	m := &Message{
		ID: ident.New(), Account: f.lease.Account, Type: Inbound, State: Success, From: from, To: to, Text: in.Text, Thread: e164.Thread(from, to), Delivered: true, Reason: reason,
		ReferenceID: in.ID, Profile: f.sub.Profile, Campaign: f.campaign, Created: now, Modified: now, DeliveredOn: now, Encoding: string(a.Encoding), Segments: segments, Price: price,
		Country: e164.Number(from).Country(), Context: f.context, ContextID: f.key, Link: in.Link,
	}
	if in.ID != "" {
		m.Ref = inboundRef(in)
	}
	return m, nil
}

// inboundRef names an inbound message or segment, unlike those of receipts.
func inboundRef(in carrier.Inbound) string { return in.Link + "<" + in.ID }

// answer acts on consent words, else sends the automatic reply that fits.
func (s *Service) answer(ctx context.Context, tx *db.Tx, f *senderFacts, in *Message) error {
	p, err := s.cachedProfile(ctx, in.Account, in.Profile)
	if err != nil || p == nil {
		return err
	}
	what, word := consentOf(in.Text, in.Country, f.words)
	out := false
	if what == yes || what == stop || what == stopAll || what == help {
		if out, err = optedOut(ctx, tx, in.Account, in.Profile, in.From); err != nil {
			return err
		}
	}
	switch {
	case what == yes && out:
		what = start
	case what == yes:
		what = nothing
	}
	text := ""
	switch what {
	case stop, stopAll:
		o := OptOut{Account: in.Account, Phone: in.From, Profile: in.Profile, Source: ByKeyword, Keyword: word, SMS: in.ID}
		if what == stopAll {
			o.Profile = ""
		}
		if _, err := s.optOut(ctx, tx, o); err != nil || out {
			return err // one confirmation, and nothing after it
		}
		text = firstText(p.OptOutMessage, f.words.OptoutMessage, optOutText)
	case start:
		if _, err := endOptOuts(ctx, tx, in.Account, in.Profile, in.From, s.now()); err != nil {
			return err
		}
		text = firstText(p.OptInMessage, f.words.OptinMessage, optInText)
	case help:
		if out {
			return nil // nothing but an opt-in is answered after it
		}
		text = firstText(p.HelpMessage, f.words.HelpMessage, helpText)
	default:
		return s.autoReply(ctx, tx, f, p, in)
	}
	if !p.OptOutEnable {
		return nil
	}
	return s.reply(ctx, tx, f, in, text)
}

// autoReply sends the first reply whose mask fits the text, at most once an hour in a thread, and never to who opted out.
func (s *Service) autoReply(ctx context.Context, tx *db.Tx, f *senderFacts, p *Profile, in *Message) error {
	text := strings.ToLower(strings.TrimSpace(in.Text))
	for _, r := range p.AutoReplies {
		if !fits(strings.ToLower(strings.TrimSpace(r.Pattern)), text) {
			continue
		}
		out, err := optedOut(ctx, tx, in.Account, in.Profile, in.From)
		if err != nil || out {
			return err
		}
		may, err := mayReply(ctx, tx, in.Thread, s.now())
		if err != nil || !may {
			return err
		}
		return s.reply(ctx, tx, f, in, r.Message)
	}
	return nil
}

// fits compares a text with a mask: * is any run, % is one character.
func fits(mask, text string) bool {
	m, t := []rune(mask), []rune(text)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(t) {
		switch {
		case i < len(m) && m[i] == '*':
			star, mark = i, j
			i++
		case i < len(m) && (m[i] == '%' || m[i] == t[j]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(m) && m[i] == '*' {
		i++
	}
	return i == len(m)
}

// reply sends an automatic message back to who wrote. An account without the money for it, or a number without a campaign, stays silent.
func (s *Service) reply(ctx context.Context, tx *db.Tx, f *senderFacts, in *Message, text string) error {
	to, ok := recipient(in.From)
	if !ok || needsCampaign(f.lease.TN) && !f.active {
		return nil
	}
	d := &draft{Request: Request{Account: in.Account, Text: text}, analysis: gsm.Analyze(text), now: s.now()}
	m, err := s.newMessage(ctx, d, f, to)
	if err != nil {
		return err
	}
	m.Automated = true
	err = s.enqueue(ctx, tx, []*Message{m})
	if fault.Is(err, fault.SMSBalance) {
		s.log.Info("automatic reply not sent", "account", in.Account, "sms", in.ID, "cause", "balance")
		return nil
	}
	if err == nil {
		tx.After(s.nudge)
	}
	return err
}

// takeFragment keeps a segment and delivers the message when it is whole. The first segment leaves a job that delivers what is there after fragmentWait.
func (s *Service) takeFragment(ctx context.Context, tx *db.Tx, in carrier.Inbound) error {
	if in.ID != "" { // one that comes again after its message was joined
		if known, err := byParts(ctx, tx, []string{inboundRef(in)}); err != nil || len(known) > 0 {
			tx.After(func() { s.stats.Doubles.Add(1) })
			return err
		}
	}
	joint := strings.Join([]string{in.Link, in.From, in.To, jointRef(in.Concat)}, "|")
	first, err := insertFragment(ctx, tx, joint, in, s.now())
	if err != nil {
		return err
	}
	list, err := fragments(ctx, tx, joint)
	if err != nil {
		return err
	}
	if len(list) == int(in.Concat.Total) {
		return s.deliverJoined(ctx, tx, joint, list, "")
	}
	if first {
		_, err = s.jobs.Enqueue(ctx, tx, jobs.New{Queue: fragmentQueue, RunAt: s.now().Add(fragmentWait), Payload: joint})
	}
	return err
}

func (s *Service) deliverJoined(ctx context.Context, tx *db.Tx, joint string, list []carrier.Inbound, reason string) error {
	whole := list[0]
	whole.Concat, whole.Text = nil, ""
	for _, f := range list {
		whole.Text += f.Text
	}
	if err := removeFragments(ctx, tx, joint); err != nil {
		return err
	}
	m, err := s.deliver(ctx, tx, whole, len(list), reason)
	if err != nil || m == nil {
		return err
	}
	var parts []part
	for _, f := range list {
		if f.ID != "" {
			parts = append(parts, part{inboundRef(f), m.ID})
		}
	}
	return insertParts(ctx, tx, parts)
}

// joinLate is the job that delivers an incomplete message.
func (s *Service) joinLate(ctx context.Context, j jobs.Job) jobs.Outcome {
	var joint string
	if err := j.Decode(&joint); err != nil {
		s.log.Error("incomplete message", "error", err)
		return jobs.Finished()
	}
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := fragments(ctx, tx, joint)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			if err := s.deliverJoined(ctx, tx, joint, list, "Incomplete"); err != nil {
				return err
			}
		}
		return jobs.Done(ctx, tx, j.ID)
	})
	if err != nil {
		return jobs.Again(s.now().Add(5*time.Second), err)
	}
	return jobs.Kept()
}
