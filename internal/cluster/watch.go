package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/failpoint"
)

// watcher is what this node has seen of the others.
type watcher struct {
	looked time.Time       // last look that the database answered
	peers  map[string]peer // by node
}

// peer is another living node.
type peer struct {
	name string
	beat int64
	seen time.Time // when this beat was seen first, by our own clock
}

// watch looks at the others' beats and declares those dead that stood still for too long. After a time in which this node could not look (it was frozen, or
// the database was away, for the others too) it gives everybody a new start.
func (m *Member) watch(ctx context.Context) error {
	now := m.now()
	beats, err := beatsOf(ctx, m.db.Read(), m.id)
	if err != nil {
		return err
	}
	w := &m.watcher
	blind := now.Sub(w.looked) > blindAfter
	w.looked = now
	peers := make(map[string]peer, len(beats))
	for id, p := range beats {
		p.seen = now
		if old, ok := w.peers[id]; ok && !blind && old.beat == p.beat {
			p.seen = old.seen
		}
		peers[id] = p
	}
	w.peers = peers
	var errs []error
	for id, p := range peers {
		if now.Sub(p.seen) < deadAfter {
			continue
		}
		if err := m.bury(ctx, id, &p.beat); err != nil {
			errs = append(errs, fmt.Errorf("take over from node %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// bury declares a node dead and takes its work over, in one transaction. With a beat it does so only if the node has not beaten since. A transaction of the
// node that runs at this moment proves that it lives, or ends soon: the next look tries again.
func (m *Member) bury(ctx context.Context, id string, beat *int64) error {
	buried, name := false, ""
	err := m.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		buried = false
		if beat != nil {
			if err := m.Fence(ctx, tx); err != nil { // a dead node declares nobody dead
				return err
			}
		}
		var free bool
		if name, free, err = lockLiving(ctx, tx, id, beat != nil); err != nil || !free {
			return err
		}
		if beat != nil {
			if newest, err := beatOf(ctx, tx, id); err != nil || newest != *beat {
				return err
			}
		}
		buried = true
		if err := markDead(ctx, tx, id, m.name, m.now()); err != nil {
			return err
		}
		return m.takeOver(ctx, tx, id)
	})
	if err == nil && buried && id != m.id {
		failpoint.Hit("cluster.declared_dead")
		m.log.Warn("node was lost, its work is taken over", "lost", id, "name", name, "earlier_run", name == m.name)
	}
	return err
}

// takeOver makes what a node had in hand due again.
func (m *Member) takeOver(ctx context.Context, tx *db.Tx, id string) error {
	for _, h := range m.hooks {
		if err := h.fn(ctx, tx, id); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	return nil
}

// LockDead holds the row of a dead node until the end of the transaction, so that one node at a time ends what it left open. It is false when the node lives or
// another one is at it. A node that has no row is one of long ago, and gets one.
func (m *Member) LockDead(ctx context.Context, tx *db.Tx, node string) (bool, error) {
	if err := m.Fence(ctx, tx); err != nil {
		return false, err
	}
	if err := insertDead(ctx, tx, node, m.name, m.now()); err != nil {
		return false, err
	}
	return lockDead(ctx, tx, node)
}

// Dead gives those of the nodes that do not live.
func (m *Member) Dead(ctx context.Context, nodes []string) ([]string, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	living, err := livingOf(ctx, m.db.Read(), nodes)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range nodes {
		if !slices.Contains(living, id) {
			out = append(out, id)
		}
	}
	return out, nil
}
