package voice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// errStopping ends the scripts when the server stops.
var errStopping = errors.New("voice: server is stopping")

// Limits of the care for lost calls.
const (
	lostBatch  = 200              // legs that are closed in one transaction
	sweepEvery = 15 * time.Second // for what the node that should have closed it left
)

// lostCause says in place of a cause of the protocol, and as the reason of a recording, why it ended.
const lostCause = "Node was lost"

// Nodes tells which nodes are gone; cluster is it.
type Nodes interface {
	// Dead gives those of the nodes that do not live.
	Dead(ctx context.Context, nodes []string) ([]string, error)
	// LockDead holds a dead node for one transaction, so that one node at a time ends what it left; false when another is at it.
	LockDead(ctx context.Context, tx *db.Tx, node string) (bool, error)
}

// TakeBack has this node close the calls of one that was declared dead, once that is committed.
func (s *Service) TakeBack(_ context.Context, tx *db.Tx, _ string) error {
	tx.After(func() {
		select {
		case s.lost <- struct{}{}:
		default:
		}
	})
	return nil
}

// sweep closes lost calls until ctx ends, whenever a node was declared dead, and now and then.
func (s *Service) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lost:
		case <-tick.C:
		}
		if err := s.closeLost(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("closing the calls of lost nodes", "error", err)
		}
	}
}

// closeLost ends the rows of calls that dead nodes left open: their phones are gone and nobody else will.
func (s *Service) closeLost(ctx context.Context) error {
	nodes, err := s.lostNodes(ctx)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if err := s.closeOf(ctx, node); err != nil {
			return fmt.Errorf("calls of node %s: %w", node, err)
		}
	}
	return nil
}

// lostNodes are the dead nodes that have open legs. Without the other nodes it is an earlier run under this name.
func (s *Service) lostNodes(ctx context.Context) ([]string, error) {
	if s.cfg.Nodes == nil {
		return []string{s.cfg.Node}, nil
	}
	nodes, err := nodesWithCalls(ctx, s.db.Read(), s.cfg.Node)
	if err != nil {
		return nil, err
	}
	return s.cfg.Nodes.Dead(ctx, nodes)
}

// closeOf closes the calls of a dead node, batch by batch, unless another node does.
func (s *Service) closeOf(ctx context.Context, node string) error {
	for {
		lost, err := openLegs(ctx, s.db.Read(), node, lostBatch)
		if err != nil || len(lost) == 0 {
			return err
		}
		closed, err := s.closeLegs(ctx, node, lost)
		if err != nil || closed == 0 {
			return err
		}
		s.log.Warn("calls were closed: node "+node+" was lost", "legs", closed)
	}
}

// closeLegs closes those of a dead node's legs that are still open, in one transaction; 0 when another node is at it.
func (s *Service) closeLegs(ctx context.Context, node string, lost []Call) (closed int, err error) {
	changes := make(map[string][]change, len(lost))
	ids := make([]string, len(lost))
	for i := range lost {
		ids[i] = lost[i].ID
		if changes[ids[i]], err = s.lostChanges(ctx, lost[i]); err != nil {
			return 0, err
		}
	}
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		closed = 0
		if s.cfg.Nodes != nil {
			if free, err := s.cfg.Nodes.LockDead(ctx, tx, node); err != nil || !free {
				return err
			}
		}
		open, err := stillOpen(ctx, tx, ids)
		if err != nil {
			return err
		}
		var due []change
		for _, id := range ids {
			if slices.Contains(open, id) {
				due = append(due, changes[id]...)
			}
		}
		closed = len(open)
		return s.write(db.Join(ctx, tx), due)
	})
	return closed, err
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
		if r := &st.records[i]; r.underWay() {
			r.State, r.Reason, r.Modified = recordFailed, lostCause, now
			failed := *r
			out = append(out, change{leg: st.call, tag: st.tag, record: &failed})
		}
	}
	if c.State == call.Destroyed { // only recordings of it were under way
		st.call.FinishedOn = now
		out = append(out, change{leg: st.call, tag: st.tag})
	}
	for _, state := range missingStates(c.State) {
		if state == call.Hangup {
			st.call.HangupOn, st.call.Q850, st.call.Stack, st.call.Reason, st.call.HangupBy = now, call.TemporaryFailure, lostCause, "internal", call.ByPlatform
		}
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

// missingStates are those that a lost leg did not reach.
func missingStates(reached call.State) []call.State {
	switch reached {
	case call.Destroyed:
		return nil
	case call.Hangup:
		return []call.State{call.Destroyed}
	}
	return []call.State{call.Hangup, call.Destroyed}
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
