package voice

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// Types of the events of this package.
const (
	CallStateEvent  event.Type = "call_state"
	CallFlowEvent   event.Type = "call_flow"
	CallRecordEvent event.Type = "call_record"
)

// write puts changes into one transaction: rows, charges, events and webhooks. It may be called again with the same changes.
func (s *Service) write(ctx context.Context, changes []change) error {
	if len(changes) == 0 {
		return nil
	}
	var broke []string // legs whose account could not reserve money
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		broke = nil
		if err := saveRows(ctx, tx, changes); err != nil {
			return err
		}
		short, err := s.charge(ctx, tx, changes)
		if err != nil {
			return err
		}
		broke = short
		v := s.viewer(tx)
		for i := range changes {
			if err := s.report(ctx, tx, v, &changes[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range broke {
		s.endCall(id, call.Cause{Q850: 16, Reason: "no_balance", By: call.ByPlatform})
	}
	for i := range changes {
		s.awaited.tell(changes[i].leg.SIPCallID)
	}
	return nil
}

// saveRows writes each leg, record and command once, in its newest form.
func saveRows(ctx context.Context, tx *db.Tx, changes []change) error {
	legs, records := map[string]*Call{}, map[string]*Record{}
	var logs []*Log
	for i := range changes {
		c := &changes[i]
		legs[c.leg.ID] = &c.leg
		if c.record != nil {
			records[c.record.ID] = c.record
		}
		if c.log != nil {
			logs = append(logs, c.log)
		}
	}
	if err := saveLegs(ctx, tx, inOrder(legs)); err != nil {
		return err
	}
	if err := saveRecords(ctx, tx, inOrder(records)); err != nil {
		return err
	}
	return insertLogs(ctx, tx, logs)
}

// inOrder gives the values by key: rows are always locked in one order.
func inOrder[T any](m map[string]T) []T {
	out := make([]T, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// charge reserves and settles money, account by account, and names the legs that nothing could be reserved for.
func (s *Service) charge(ctx context.Context, tx *db.Tx, changes []change) (short []string, err error) {
	var due []*change
	for i := range changes {
		if changes[i].hold > 0 || changes[i].settle != nil {
			due = append(due, &changes[i])
		}
	}
	slices.SortStableFunc(due, func(a, b *change) int { return cmp.Compare(a.leg.Account, b.leg.Account) })
	for _, c := range due {
		if c.settle != nil {
			err = s.settle(ctx, tx, c)
		} else {
			err = s.cfg.Billing.Hold(ctx, tx, holdOf(&c.leg, c.hold, s.now()))
			if fault.Is(err, fault.Balance) {
				short, err = append(short, c.leg.ID), nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("charge call %s: %w", c.leg.ID, err)
		}
	}
	return short, nil
}

func holdOf(c *Call, amount money.Amount, now time.Time) billing.Hold {
	return billing.Hold{ID: c.ID, Account: c.Account, Kind: "call", Amount: amount, Expires: now.Add(longestCall + time.Hour)}
}

func (s *Service) settle(ctx context.Context, tx *db.Tx, c *change) error {
	if c.settle.amount == 0 {
		return s.cfg.Billing.Release(ctx, tx, c.leg.ID)
	}
	refType, action := "voice_incoming", "voice_charge_in"
	if c.leg.Charge == chargeOut {
		refType, action = "voice_outgoing", "voice_charge_out"
	}
	t, err := s.cfg.Billing.Settle(ctx, tx, c.leg.ID, billing.Entry{Account: c.leg.Account, Amount: -c.settle.amount, RefType: refType, RefUUID: c.leg.ID, Action: action,
		Description: fmt.Sprintf("Call %s > %s, %d s", c.leg.From, c.leg.To, c.settle.seconds)})
	if err != nil || c.leg.Charge != chargeOut || s.cfg.Routes == nil || c.leg.Profile == "" {
		return err
	}
	return s.cfg.Routes.Spent(ctx, tx, c.leg.Account, c.leg.Profile, -t.Amount, s.now())
}

// extend reserves the next stretch for the calls whose reserved money ends soon; a call that cannot be paid for is ended.
func (sh *shard) extend(ctx context.Context) {
	var soon []*legState
	now := sh.s.now()
	for _, st := range sh.legs {
		if !st.held.IsZero() && st.held.Before(now.Add(holdAhead/2)) {
			soon = append(soon, st)
		}
	}
	if len(soon) == 0 {
		return
	}
	slices.SortFunc(soon, func(a, b *legState) int {
		return cmp.Or(cmp.Compare(a.call.Account, b.call.Account), cmp.Compare(a.call.ID, b.call.ID))
	})
	var broke []string
	err := sh.s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		broke = nil
		for _, st := range soon {
			r := st.tag.rate
			_, amount, err := billing.CallCharge(r.PerMin, 0, holdAhead, 0, 1, 0)
			if err == nil {
				err = sh.s.cfg.Billing.Extend(ctx, tx, holdOf(&st.call, amount, now))
			}
			if fault.Is(err, fault.Balance) {
				broke, err = append(broke, st.call.ID), nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil { // the next tick tries again
		sh.s.log.Warn("reserving money for running calls", "error", err)
		return
	}
	for _, st := range soon {
		st.held = st.held.Add(holdAhead)
	}
	for _, id := range broke {
		sh.s.endCall(id, call.Cause{Q850: 16, Reason: "no_balance", By: call.ByPlatform})
	}
}

// report appends the event of a change and its webhook.
func (s *Service) report(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	if c.settle != nil {
		v.forget(c.leg.Account)
	}
	v.seed(c.tag)
	switch {
	case c.log != nil:
		return s.reportLog(ctx, tx, v, c)
	case c.record != nil:
		return s.reportRecord(ctx, tx, v, c)
	case c.state:
		if err := s.reportState(ctx, tx, v, c); err != nil {
			return err
		}
		return s.notify(ctx, tx, v, c)
	}
	return nil
}

// append adds an event of a call, with the account that every event has.
func (s *Service) append(ctx context.Context, tx *db.Tx, v *viewer, c *change, e event.Event, members ...event.Member) error {
	account, err := v.eventAccount(ctx, c.leg.Account)
	if err != nil {
		return err
	}
	e.Account, e.RefID, e.Members = c.leg.Account, c.leg.ID, append(members, event.Member{Name: "account", Value: account})
	if e.At.IsZero() {
		e.At = s.now()
	}
	return s.cfg.Events.Append(tx, e)
}

// The call of a call_state event: only the stamp of its state, no cause before the end.
type (
	stateStamps struct {
		InitOn    *string `json:"init_on,omitempty"`
		RingOn    *string `json:"ring_on,omitempty"`
		AnswerOn  *string `json:"answer_on,omitempty"`
		BridgeOn  *string `json:"bridge_on,omitempty"`
		HangupOn  *string `json:"hangup_on,omitempty"`
		DestroyOn *string `json:"destroy_on,omitempty"`
	}
	stateCause struct {
		Q850  *int    `json:"q850_cause,omitempty"`
		Name  *string `json:"q850_cause_string,omitempty"`
		Stack *string `json:"release_cause_from_protocol_stack,omitempty"`
	}
	stateCall struct {
		callHead
		stateStamps
		stateCause
		callFacts
		callRelations
		callOurs
	}
	// statePayload is what older readers know: the scalars of the call with all stamps.
	statePayload struct {
		callHead
		DurationMS int64 `json:"duration_ms"`
		callStamps
		StateEnd *string `json:"state_end"`
		stateCause
		callFacts
		callOurs
		TN      json.RawMessage `json:"tn"`
		Account json.RawMessage `json:"account"`
		App     json.RawMessage `json:"sip_control_app"`
	}
)

func stampOf(c *Call) stateStamps {
	switch c.State {
	case call.Init:
		return stateStamps{InitOn: on(c.InitOn)}
	case call.Ringing:
		return stateStamps{RingOn: on(c.RingOn)}
	case call.Live:
		return stateStamps{AnswerOn: on(c.AnswerOn)}
	case call.Bridged:
		return stateStamps{BridgeOn: on(c.BridgeOn)}
	case call.Hangup:
		return stateStamps{HangupOn: on(c.HangupOn)}
	}
	return stateStamps{DestroyOn: on(c.DestroyOn)}
}

func (s *Service) reportState(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	account, err := v.callAccount(ctx, c.leg.Account)
	if err != nil {
		return err
	}
	rel, err := v.relations(ctx, &c.leg, c.kin, account)
	if err != nil {
		return err
	}
	now := s.now()
	sc := scalarsOf(&c.leg, now)
	cause := stateCause(sc.callCause)
	payload := statePayload{sc.callHead, c.leg.length(now).Milliseconds(), sc.callStamps, sc.FinishedOn, cause, sc.callFacts, sc.callOurs, rel.TN, account, rel.App}
	message := fmt.Sprintf("%s %s %s > %s - %s", c.leg.Kind, c.leg.Direction, c.leg.From, c.leg.To, c.leg.State)
	return s.append(ctx, tx, v, c, event.Event{Type: CallStateEvent, Message: message, Payload: payload},
		event.Member{Name: "call", Value: stateCall{sc.callHead, stampOf(&c.leg), cause, sc.callFacts, rel, sc.callOurs}})
}

func (s *Service) reportLog(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	whole, err := v.wholeCall(ctx, &c.leg, c.kin)
	if err != nil {
		return err
	}
	l := c.log
	payload := struct {
		Command json.RawMessage `json:"command"`
		Call    callScalars     `json:"call"`
	}{l.Command, scalarsOf(&c.leg, s.now())}
	message := fmt.Sprintf("%s: success %t, reason: %s", l.Name, l.Success, l.Reason)
	return s.append(ctx, tx, v, c, event.Event{Type: CallFlowEvent, Message: message, Payload: payload},
		event.Member{Name: "success", Value: l.Success}, event.Member{Name: "command", Value: l.Name},
		event.Member{Name: "call", Value: whole}, event.Member{Name: "call_flow", Value: wireLog(l)})
}

// recordPayload is the payload of call_record.
type recordPayload struct {
	Event string `json:"event"`
	recordWire
	Transcript json.RawMessage `json:"transcript"`
}

func (s *Service) reportRecord(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	r := c.record
	if r.State != recordAvailable && r.State != recordFailed {
		return nil
	}
	whole, err := v.wholeCall(ctx, &c.leg, c.kin)
	if err != nil {
		return err
	}
	message := fmt.Sprintf("Record %s: %s", r.ID, r.State)
	if r.State == recordFailed {
		message += ": " + r.Reason
	}
	return s.append(ctx, tx, v, c, event.Event{Type: CallRecordEvent, Message: message, Payload: recordPayload{r.State, s.wireRecord(r), null}},
		event.Member{Name: "call", Value: whole})
}

// notify tells the app's webhook of a state.
func (s *Service) notify(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	h := c.tag.hook
	if h.url == "" || c.tag.refused || s.cfg.Webhooks == nil {
		return nil
	}
	n := Notice{Account: c.leg.Account, Order: c.leg.ID, Method: h.method, Secret: h.secret, Trigger: "call_state",
		URL: withFields(h.url, append([]field{{"state", string(c.leg.State)}}, callFields(&c.leg)...))}
	switch c.leg.State {
	case call.Init:
		n.Trigger = "sca_call_started"
	case call.Destroyed:
		n.Trigger = "sca_call_finished"
	}
	if h.timeout != nil {
		n.Timeout = time.Duration(*h.timeout) * time.Millisecond
		if n.Timeout == 0 {
			n.Timeout = -1
		}
	}
	if n.Method != "GET" {
		whole, err := v.wholeCall(ctx, &c.leg, c.kin)
		if err != nil {
			return err
		}
		n.Body = encode(whole)
	}
	return s.cfg.Webhooks.Notify(ctx, tx, n)
}
