package messaging

import (
	"context"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// ready is the messages that this node took in hand when it accepted them: they need not be claimed. What does not get in here waits in the table.
type ready struct {
	mu      sync.Mutex // guards those below
	open    bool       // somebody will take them
	groups  []group
	waiting int // messages in them
}

// group is messages that were accepted together. Their threads are in no other group.
type group struct {
	list  []*Message
	until time.Time // later than this a carrier must not get them any more: their lease may end meanwhile
}

// maxReady is how many messages wait in memory; further ones wait in the table.
const maxReady = 4 * batch

func (r *ready) room() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open && r.waiting < maxReady
}

func (r *ready) setOpen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = true
}

// close forgets what waits: its rows are taken back.
func (r *ready) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open, r.groups, r.waiting = false, nil, 0
}

// put adds a group; when nobody takes it any more its lease ends, and another node claims its rows.
func (r *ready) put(g group) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return
	}
	r.groups = append(r.groups, g)
	r.waiting += len(g.list)
}

// take gives whole groups, at least one if there is any, with most messages together; more tells that others wait.
func (r *ready) take(most int, now time.Time) (list []*Message, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.groups) > 0 && (len(list) == 0 || len(list)+len(r.groups[0].list) <= most) {
		g := r.groups[0]
		r.groups[0] = group{}
		r.groups = r.groups[1:]
		r.waiting -= len(g.list)
		if now.Before(g.until) {
			list = append(list, g.list...)
		}
	}
	return list, len(r.groups) > 0
}

// inHand gives the rows to write for new messages: those whose threads are free are in this node's hands from the start, the others wait in the queue. The
// messages themselves are not changed: to their sender they are only created.
func (s *Service) inHand(ctx context.Context, tx *db.Tx, list []*Message) ([]*Message, error) {
	if !s.ready.room() {
		tx.After(s.nudge)
		return list, nil
	}
	busy, err := busyThreads(ctx, tx, list)
	if err != nil {
		return nil, err
	}
	now := s.now()
	rows := make([]*Message, len(list))
	g := group{until: now.Add(submitLease - submitTimeout)}
	for i, m := range list {
		rows[i] = m
		if busy[m.Thread] {
			continue
		}
		mine := *m
		mine.State, mine.Due, mine.Node = Sending, now.Add(submitLease), s.node
		rows[i] = &mine
		g.list = append(g.list, &mine)
	}
	if len(g.list) < len(list) {
		tx.After(s.nudge)
	}
	if len(g.list) > 0 {
		tx.After(func() {
			s.ready.put(g)
			s.wakeOne()
		})
	}
	return rows, nil
}
