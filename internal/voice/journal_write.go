package voice

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/failpoint"
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
	failpoint.Hit("voice.before_write")
	var broke []string // legs whose account could not reserve money
	err := s.update(ctx, func(ctx context.Context, tx *db.Tx) error {
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
	failpoint.Hit("voice.written")
	for _, id := range broke {
		s.endCall(id, call.Cause{Q850: 16, Reason: "no_balance", By: call.ByPlatform})
	}
	for i := range changes {
		s.awaited.tell(changes[i].leg.SIPCallID)
		s.awaited.tell(changes[i].leg.ID)
		changes[i].tag.tellKept()
	}
	return nil
}

// errLost tells that this node was declared dead: others have closed its calls, and what it still knows of them must not be written.
var errLost = errors.New("voice: this node was declared dead")

// update is a transaction of the journal, which the fence begins. errLost when that does not let it through.
func (s *Service) update(ctx context.Context, fn func(ctx context.Context, tx *db.Tx) error) error {
	if s.cfg.Fence == nil {
		return s.db.Update(ctx, fn)
	}
	var refused error
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if refused = s.cfg.Fence(ctx, tx); refused != nil {
			return refused
		}
		return fn(ctx, tx)
	})
	away := db.Down(refused) || fault.Of(refused) == nil && fault.Is(err, fault.Unavailable) // the database, not the fence
	if err != nil && refused != nil && !away {
		return fmt.Errorf("%w: %w", errLost, refused)
	}
	return err
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
	due := map[string][]*change{}
	for i := range changes {
		if c := &changes[i]; c.hold > 0 || c.settle != nil {
			due[c.leg.Account] = append(due[c.leg.Account], c)
		}
	}
	for _, account := range slices.Sorted(maps.Keys(due)) { // rows are always locked in one order
		refused, err := s.holdAll(ctx, tx, due[account])
		if err == nil {
			err = s.settleAll(ctx, tx, due[account])
		}
		if err != nil {
			return nil, fmt.Errorf("charge calls of account %s: %w", account, err)
		}
		short = append(short, refused...)
	}
	return short, nil
}

func holdOf(c *Call, amount money.Amount, now time.Time) billing.Hold {
	return billing.Hold{ID: c.ID, Account: c.Account, Kind: "call", Amount: amount, Expires: now.Add(longestCall + time.Hour)}
}

// holdAll reserves money for the legs of one account that were answered, and names those that there was none for.
func (s *Service) holdAll(ctx context.Context, tx *db.Tx, due []*change) (short []string, err error) {
	var holds []billing.Hold
	for _, c := range due {
		if c.hold > 0 {
			holds = append(holds, holdOf(&c.leg, c.hold, s.now()))
		}
	}
	if len(holds) == 0 {
		return nil, nil
	}
	granted, err := s.cfg.Billing.HoldAll(ctx, tx, holds)
	if err != nil {
		return nil, err
	}
	for i, ok := range granted {
		if !ok {
			short = append(short, holds[i].ID)
		}
	}
	return short, nil
}

// settleAll charges the legs of one account that have ended.
func (s *Service) settleAll(ctx context.Context, tx *db.Tx, due []*change) error {
	var list []billing.Settlement
	var legs []*Call
	for _, c := range due {
		if c.settle == nil {
			continue
		}
		refType, action := "voice_incoming", "voice_charge_in"
		if c.leg.Charge == chargeOut {
			refType, action = "voice_outgoing", "voice_charge_out"
		}
		legs = append(legs, &c.leg)
		list = append(list, billing.Settlement{Hold: c.leg.ID, Entry: billing.Entry{
			Account: c.leg.Account, Amount: -c.settle.amount, RefType: refType, RefUUID: c.leg.ID, Action: action,
			Description: "Call " + c.leg.From + " > " + c.leg.To + ", " + strconv.Itoa(c.settle.seconds) + " s",
		}})
	}
	if len(list) == 0 {
		return nil
	}
	done, err := s.cfg.Billing.SettleAll(ctx, tx, list)
	if err != nil || s.cfg.Routes == nil {
		return err
	}
	spent := map[string]money.Amount{}
	for i, c := range legs {
		if c.Charge == chargeOut && c.Profile != "" && done[i].Amount != 0 {
			spent[c.Profile] -= done[i].Amount
		}
	}
	for _, profile := range slices.Sorted(maps.Keys(spent)) {
		if err := s.cfg.Routes.Spent(ctx, tx, legs[0].Account, profile, spent[profile], s.now()); err != nil {
			return err
		}
	}
	return nil
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
	err := sh.s.update(ctx, func(ctx context.Context, tx *db.Tx) error {
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
	if errors.Is(err, errLost) {
		sh.lose(err, 0)
		return
	}
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
	t, err := v.ties(ctx, &c.leg)
	if err != nil {
		return err
	}
	e.Account, e.RefID, e.Members = c.leg.Account, c.leg.ID, append(members, event.Member{Name: "account", Value: t.inEvent})
	if e.At.IsZero() {
		e.At = s.now()
	}
	return s.cfg.Events.Append(tx, e)
}

func (s *Service) reportState(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	t, err := v.ties(ctx, &c.leg)
	if err != nil {
		return err
	}
	now := s.now()
	b := appendStatePayload(v.scratch[:0], &c.leg, t, now) // Append copies what it is given: one buffer serves all
	n := len(b)
	b = v.appendState(b, &c.leg, t, &c.kin, now)
	v.scratch = b
	message := c.leg.Kind + " " + c.leg.Direction + " " + c.leg.From + " > " + c.leg.To + " - " + string(c.leg.State)
	return s.append(ctx, tx, v, c, event.Event{Type: CallStateEvent, Message: message, Payload: json.RawMessage(b[:n])},
		event.Member{Name: "call", Value: json.RawMessage(b[n:])})
}

func (s *Service) reportLog(ctx context.Context, tx *db.Tx, v *viewer, c *change) error {
	t, err := v.ties(ctx, &c.leg)
	if err != nil {
		return err
	}
	l, now := c.log, s.now()
	b := appendRaw(append(v.scratch[:0], `{"command":`...), l.Command)
	b = append(appendScalars(append(b, `,"call":`...), &c.leg, now), '}')
	payload := len(b)
	b = v.appendWhole(b, &c.leg, t, &c.kin, now)
	whole := len(b)
	b = appendLog(b, l)
	v.scratch = b
	message := l.Name + ": success " + strconv.FormatBool(l.Success) + ", reason: " + l.Reason
	return s.append(ctx, tx, v, c, event.Event{Type: CallFlowEvent, Message: message, Payload: json.RawMessage(b[:payload])},
		event.Member{Name: "success", Value: l.Success}, event.Member{Name: "command", Value: l.Name},
		event.Member{Name: "call", Value: json.RawMessage(b[payload:whole])}, event.Member{Name: "call_flow", Value: json.RawMessage(b[whole:])})
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
	if err := s.orderTranscript(ctx, tx, r); err != nil {
		return err
	}
	whole, err := v.whole(ctx, &c.leg, &c.kin)
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
	n := Notice{
		Account: c.leg.Account, Order: c.leg.ID, Method: h.method, Secret: h.secret, Trigger: "call_state",
		URL: withFields(h.url, append([]field{{"state", string(c.leg.State)}}, callFields(&c.leg)...)),
	}
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
		whole, err := v.whole(ctx, &c.leg, &c.kin)
		if err != nil {
			return err
		}
		n.Body = whole
	}
	return s.cfg.Webhooks.Notify(ctx, tx, n)
}
