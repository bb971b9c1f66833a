package voice

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// errStopping ends the scripts when the server stops.
var errStopping = errors.New("voice: server is stopping")

// closeLost ends the rows of calls that a dead run of this node left open: their phones are gone and nobody else will.
func (s *Service) closeLost(ctx context.Context) error {
	for {
		lost, err := openLegs(ctx, s.db.Read(), s.cfg.Node)
		if err != nil || len(lost) == 0 {
			return err
		}
		var changes []change
		for i := range lost {
			more, err := s.lostChanges(ctx, lost[i])
			if err != nil {
				return err
			}
			changes = append(changes, more...)
		}
		s.log.Warn("calls of an earlier run were lost", "legs", len(lost))
		if err := s.write(ctx, changes); err != nil {
			return err
		}
	}
}

// lostChanges are the missing states of one leg and the failures of its recordings. What was reserved for it is released: a
// call whose end nobody saw is not charged.
func (s *Service) lostChanges(ctx context.Context, c Call) ([]change, error) {
	st, err := s.stateOf(ctx, c)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var out []change
	for i := range st.records {
		if r := &st.records[i]; r.State != recordAvailable && r.State != recordFailed && r.State != recordDeleted {
			r.State, r.Reason, r.Modified = recordFailed, "Server was restarted", now
			failed := *r
			out = append(out, change{leg: st.call, tag: st.tag, record: &failed})
		}
	}
	states := []call.State{call.Hangup, call.Destroyed}
	if c.State == call.Hangup {
		states = states[1:]
	} else {
		st.call.HangupOn, st.call.Q850, st.call.Reason, st.call.HangupBy = now, call.TemporaryFailure, "internal", call.ByPlatform
	}
	for _, state := range states {
		st.call.State, st.call.Modified, st.call.BridgedTo = state, now, ""
		ch := change{tag: st.tag, state: true}
		if state == call.Destroyed {
			st.call.DestroyOn, st.call.FinishedOn = now, now
			if c.Charge != "" {
				zero, none := 0, money.Amount(0)
				st.call.Billed, st.call.Price = &zero, &none
				ch.settle = &settlement{}
			}
		}
		ch.leg = st.call
		out = append(out, ch)
	}
	for i := range out {
		out[i].kin = kin{parent: st.parent(ctx, s), children: st.children, records: st.records, logs: st.logs}
	}
	return out, nil
}

// loadState reads what the journal has forgotten of a leg.
func (s *Service) loadState(ctx context.Context, id string) (*legState, error) {
	c, err := legOf(ctx, s.db.Read(), "", id)
	if err != nil {
		return nil, err
	}
	return s.stateOf(ctx, c)
}

func (s *Service) stateOf(ctx context.Context, c Call) (*legState, error) {
	k, err := kinOf(ctx, s.viewer(s.db.Read()), &c)
	if err != nil {
		return nil, err
	}
	t := &tag{lease: c.Lease, tn: c.TN, profile: c.Profile, meta: &metaBag{values: c.Meta}}
	if c.App != "" {
		a, err := appOf(ctx, s.db.Read(), c.Account, c.App)
		if err == nil {
			t.app, t.hook = &a, hookOf(&a)
		} else if !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	return &legState{call: c, tag: t, children: k.children, records: k.records, logs: k.logs}, nil
}

// parent reads the leg that dialled this one; nil when there is none any more.
func (st *legState) parent(ctx context.Context, s *Service) *Call {
	if st.call.Parent == "" {
		return nil
	}
	p, err := legOf(ctx, s.db.Read(), st.call.Account, st.call.Parent)
	if err != nil {
		return nil
	}
	return &p
}

// hookOf is where the states of an app's calls go.
func hookOf(a *App) hook {
	return hook{url: a.WebhookURL, method: a.WebhookMethod, secret: a.WebhookSecret, timeout: a.WebhookTimeout}
}

// waiters are those who wait for the row of an inbound call, by its Call-ID.
type waiters struct {
	mu       sync.Mutex
	byCallID map[string][]chan struct{}
}

func (w *waiters) add(callID string) chan struct{} {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byCallID[callID] = append(w.byCallID[callID], ch)
	return ch
}

func (w *waiters) remove(callID string, ch chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.byCallID[callID][:0]
	for _, other := range w.byCallID[callID] {
		if other != ch {
			left = append(left, other)
		}
	}
	w.byCallID[callID] = left
	if len(left) == 0 {
		delete(w.byCallID, callID)
	}
}

func (w *waiters) tell(callID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.byCallID[callID] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// AwaitInbound gives the Call entity of the inbound leg with a Call-ID as soon as it is written; fault.Missing("Call") when ctx ends first.
func (s *Service) AwaitInbound(ctx context.Context, sipCallID string) ([]byte, error) {
	news := s.awaited.add(sipCallID)
	defer s.awaited.remove(sipCallID, news)
	for {
		c, ok, err := legBySIP(ctx, s.db.Read(), sipCallID)
		if err != nil {
			return nil, err
		}
		if ok {
			return s.callJSON(ctx, s.db.Read(), &c)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, fault.Missing("Call")
		}
	}
}

// callJSON renders the Call entity of a leg.
func (s *Service) callJSON(ctx context.Context, q db.Querier, c *Call) ([]byte, error) {
	v := s.viewer(q)
	k, err := kinOf(ctx, v, c)
	if err != nil {
		return nil, err
	}
	whole, err := v.wholeCall(ctx, c, k)
	return encode(whole), err
}

// Expire erases the sound of recordings whose time is over, and gives their number.
func (s *Service) Expire(ctx context.Context, limit int) (int, error) {
	old, err := expiredRecords(ctx, s.db.Read(), s.now(), limit)
	for i := range old {
		if _, err := s.RemoveRecord(ctx, old[i].Account, old[i].ID); err != nil {
			return i, err
		}
	}
	return len(old), err
}

// millis is a wire duration.
func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
