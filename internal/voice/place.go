package voice

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// NewCall is a call to be made.
type NewCall struct {
	Account       string
	To            string // number, sip:user@host or user@host
	Lease, From   string // caller ID: a lease (uuid or number), or a number; for SIP addresses any name
	Profile       string
	XML, URL      string // at most one of XML, URL, App
	Method        string
	App           string
	WebhookURL    string
	WebhookMethod string
	Ring, Longest time.Duration
	Record, ASR   bool
	Meta          map[string]any
	// Ahead runs right before the call rings: it may write the call's record (save) together with what it promises to others. An error of it means that the
	// call must not ring. nil: the journal writes the record.
	Ahead func(ctx context.Context, c *Call, save func(context.Context, *db.Tx) error) error
}

// PlaceCall makes a call: its document runs when it is answered. Faults as voice-semantics §5 lists them.
func (s *Service) PlaceCall(ctx context.Context, n NewCall) (Call, error) {
	owner, err := s.cfg.Accounts.Cached(ctx, n.Account)
	if err != nil {
		return Call{}, err
	}
	if !owner.Active() {
		return Call{}, fault.New(fault.AccessDenied)
	}
	sc, err := s.planCall(ctx, &n)
	if err != nil {
		return Call{}, err
	}
	free := func() {}
	if s.cfg.Channels == nil { // else the route takes a channel
		var ok bool
		if free, ok = s.admit(owner); !ok {
			return Call{}, fault.Newf(fault.RateLimited, "too many calls at once")
		}
	}
	placed, t, err := s.ring(ctx, &n, sc)
	if err != nil {
		free()
		return Call{}, restFault(err)
	}
	ready := s.newScript(placed, t, sc.doc)
	ready.ready, ready.placed, ready.record, ready.park, ready.account, ready.autoAnswer = sc.ready, true, sc.record, sc.park, owner, false
	leg := asPlaced(placed.A())
	s.start(ready, free)
	failpoint.Hit("voice.placed")
	if err := s.written(ctx, n.Account, leg.ID); err != nil {
		placed.Hangup(call.Cause{Q850: call.TemporaryFailure, Reason: "internal", By: call.ByPlatform})
		return Call{}, err
	}
	row := s.newLeg(&leg)
	row.follow(&leg)
	row.Meta = t.meta.all()
	return row, nil
}

// asPlaced is a leg as it was when it was placed. The far side may ring at once: that is for the events to tell, and not for the answer to the request.
func asPlaced(l call.Leg) call.Leg {
	return call.Leg{ID: l.ID, Account: l.Account, Type: l.Type, Direction: l.Direction, From: l.From, To: l.To, State: call.Init, InitOn: l.InitOn, Tag: l.Tag}
}

// written waits until the journal has put a leg on the disk: a 201 promises that the call will be found. Storage that is away for too long is a 503.
func (s *Service) written(ctx context.Context, account, leg string) error {
	news := s.awaited.add(leg)
	defer s.awaited.remove(leg, news)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writtenWait)
	defer cancel()
	for {
		_, err := legOf(ctx, s.db.Read(), account, leg)
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fault.New(fault.Unavailable)
		}
	}
}

// planCall finds what the call will run.
func (s *Service) planCall(ctx context.Context, n *NewCall) (*script, error) {
	sc := &script{park: defaultParkTimeout, tag: &tag{meta: &metaBag{values: n.Meta}, profile: n.Profile}}
	if n.Record || n.ASR {
		sc.record = &call.RecordOptions{ASR: n.ASR, Channels: "mono"}
	}
	switch {
	case n.XML != "":
		doc, err := flow.Parse([]byte(n.XML))
		if err != nil {
			return nil, err
		}
		sc.ready = doc
	case n.URL != "":
		sc.doc = document{origin: originCall, url: n.URL, method: cmp.Or(n.Method, "GET")}
	case n.App != "":
		a, err := s.App(ctx, n.Account, n.App)
		if err != nil {
			return nil, err
		}
		sc.tag.app, sc.tag.hook, sc.doc, sc.park = &a, hookOf(&a), documentOf(&a), a.ParkTimeout
		sc.tag.profile = cmp.Or(n.Profile, a.Profile)
		if a.MaxMinutes > 0 {
			n.Longest = min(cmp.Or(n.Longest, longestCall), time.Duration(a.MaxMinutes)*time.Minute)
		}
	}
	if n.WebhookURL != "" {
		sc.tag.hook = hook{url: n.WebhookURL, method: cmp.Or(n.WebhookMethod, "POST")}
	}
	return sc, nil
}

// ring routes the call and places its leg.
func (s *Service) ring(ctx context.Context, n *NewCall, sc *script) (live, *tag, error) {
	caller := n.From
	if n.Lease != "" {
		l, err := s.cfg.Numbers.ByKey(ctx, s.db.Read(), n.Account, n.Lease)
		if err != nil {
			return nil, nil, err
		}
		caller, sc.tag.lease, sc.tag.leased, sc.tag.tn = string(l.TN), l.ID, &l, l.TN
	}
	ways, err := s.routeTo(ctx, target{account: n.Account, to: n.To, callerID: caller, profile: sc.tag.profile, parent: sc.tag})
	if err != nil {
		return nil, nil, err
	}
	t := *tagOf(&call.Leg{Tag: ways[0].Tag})
	t.meta = sc.tag.meta
	if err := s.ownNumber(ctx, n.Account, ways[0].From, &t); err != nil {
		release(ways)
		return nil, nil, err
	}
	if sc.record == nil {
		sc.record = ways[0].Record
	}
	id := ident.New()
	if err := s.ahead(ctx, n, call.Leg{ID: id, Account: n.Account, Type: kindXML, Direction: call.Out, From: ways[0].From, To: ways[0].To, Tag: &t}); err != nil {
		release(ways)
		return nil, nil, err
	}
	c, err := s.engine.Place(context.WithValue(ctx, preparedKey{}, ways), call.Outbound{
		ID: id, Account: n.Account, Type: kindXML, From: caller,
		Targets: []call.Target{{To: strings.TrimSpace(n.To), Timeout: cmp.Or(n.Ring, defaultRing)}}, Timeout: cmp.Or(n.Ring, defaultRing), MaxDuration: cmp.Or(n.Longest, longestCall), Tag: &t,
	})
	if err != nil && n.Ahead != nil {
		err = errors.Join(err, s.db.Update(context.WithoutCancel(ctx), func(ctx context.Context, tx *db.Tx) error { return dropLeg(ctx, tx, id) }))
	}
	return c, &t, err
}

// ahead lets the caller promise the call before it rings. A crash in between leaves a record that is closed like those of other lost calls.
func (s *Service) ahead(ctx context.Context, n *NewCall, l call.Leg) error {
	if n.Ahead == nil {
		return nil
	}
	l.State, l.InitOn = call.Init, s.now()
	row := s.newLeg(&l)
	row.follow(&l)
	row.Meta = tagOf(&l).meta.all()
	return n.Ahead(ctx, &row, func(ctx context.Context, tx *db.Tx) error { return saveLegs(ctx, tx, []*Call{&row}) })
}

// ownNumber notes the lease of the shown number on the leg, when the account has it.
func (s *Service) ownNumber(ctx context.Context, account, shown string, t *tag) error {
	n, err := e164.Parse(shown)
	if err != nil || t.lease != "" {
		return nil
	}
	l, ok, err := s.cfg.Numbers.ByTN(ctx, s.db.Read(), n)
	if ok && l.Account == account {
		t.lease, t.leased, t.tn = l.ID, &l, l.TN
	}
	return err
}

func release(ways []call.Attempt) {
	for _, w := range ways {
		if w.Release != nil {
			w.Release()
		}
	}
}

// restFault is what REST says of a call that could not be placed.
func restFault(err error) error {
	var r *Refusal
	if errors.As(err, &r) && r.Err != nil {
		return r.Err
	}
	var ended *call.EndedError
	if errors.As(err, &ended) {
		return fault.Newf(fault.NotFound, "no route")
	}
	if errors.Is(err, call.ErrDraining) {
		return fault.New(fault.Unavailable)
	}
	return err
}

// liveCall finds a live call of the account. A 404 for a call that is not the account's, fault.CallEnded when it is over, *elsewhereError when another node
// has it.
func (s *Service) liveCall(ctx context.Context, account, id string) (live, error) {
	if c, ok := s.engine.Find(id); ok {
		if leg := c.A(); leg.Account != account {
			return nil, fault.Missing("Call")
		}
		if c.Context().Err() == nil {
			return c, nil
		}
		return nil, fault.New(fault.CallEnded)
	}
	c, err := legOf(ctx, s.db.Read(), account, id)
	if err != nil {
		return nil, err
	}
	return nil, s.notHere(ctx, &c)
}

// HangupCall ends a live leg with a Q.850 cause. With a leg that was dialled the Dial ends, and the document that dialled it goes on.
func (s *Service) HangupCall(ctx context.Context, account, id string, q850 int) error {
	c, err := s.liveCall(ctx, account, id)
	if err != nil {
		return s.forward(ctx, err, errand{Do: "hangup", Account: account, Call: id, Q850: q850})
	}
	if !c.HangupLeg(id, call.Cause{Q850: q850, Reason: "api", By: call.ByAPI}) {
		return fault.New(fault.CallEnded)
	}
	return nil
}

// PushFlow runs a document on a live call: at once, or behind the running one.
func (s *Service) PushFlow(ctx context.Context, account, id, xml string, appended bool) error {
	doc, err := flow.Parse([]byte(xml))
	if err != nil {
		return err
	}
	c, err := s.liveCall(ctx, account, id)
	if err != nil {
		return s.forward(ctx, err, errand{Do: "push", Account: account, Call: id, XML: []byte(xml), Append: appended})
	}
	sc, ok := s.scripts.find(c.A().ID)
	if !ok {
		return fault.New(fault.CallEnded)
	}
	if c.A().ID != id {
		return fault.Newf(fault.Conflict, "the call is controlled by %s", c.A().ID)
	}
	return sc.push(doc, appended)
}

// SendKeys presses keys towards a leg of a live call: the controlled one, the other one, or both.
func (s *Service) SendKeys(ctx context.Context, account, id, digits, which string, each time.Duration) error {
	c, err := s.liveCall(ctx, account, id)
	if err != nil {
		return s.forward(ctx, err, errand{Do: "keys", Account: account, Call: id, Digits: digits, Leg: which, Each: each})
	}
	b, bridged := c.B()
	if which == "bleg" || which == "both" {
		if !bridged {
			return fault.Newf(fault.Conflict, "the call has no other leg")
		}
		if err := c.SendKeysTo(ctx, b.ID, digits, each); err != nil || which == "bleg" {
			return endedFault(err)
		}
	}
	if a := c.A(); a.ID != id { // a leg that was dialled: it is meant itself
		return endedFault(c.SendKeysTo(ctx, id, digits, each))
	}
	return endedFault(c.SendKeys(ctx, digits, each))
}

// endedFault turns the engine's errors of a live command into faults.
func endedFault(err error) error {
	var ended *call.EndedError
	switch {
	case errors.As(err, &ended):
		return fault.New(fault.CallEnded)
	case errors.Is(err, call.ErrNotAnswered):
		return fault.Newf(fault.Conflict, "the call is not answered")
	}
	return err
}

// RemoveRecord erases the sound of a recording; the entity stays. fault.Conflict while the sound is still being made: what is written after would stay.
func (s *Service) RemoveRecord(ctx context.Context, account, id string) (Record, error) {
	var out Record
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		r, err := recordOf(ctx, tx, account, id)
		if err != nil {
			return err
		}
		if r.underWay() {
			return fault.Newf(fault.Conflict, "Record is not ready")
		}
		r.State, r.Text, r.TranscriptState, r.Transcript, r.Modified = recordDeleted, "", transcriptNone, nil, s.now()
		out = r
		return saveRecords(ctx, tx, []*Record{&r})
	})
	if err != nil || s.cfg.Blob == nil || out.Key == "" {
		return out, err
	}
	if err := s.cfg.Blob.Delete(ctx, out.Key); err != nil {
		s.log.Warn("erasing a recording", "record", id, "error", err)
	}
	return out, nil
}
