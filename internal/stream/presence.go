package stream

import (
	"context"
	"errors"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/db"
)

// Presence tells the nodes of each other's sockets; account.Sockets is one.
type Presence interface {
	Open(ctx context.Context, tx *db.Tx, list []account.Socket) error
	Close(ctx context.Context, tx *db.Tx, ids []string) error
	// Elsewhere counts the sockets that users have on other nodes.
	Elsewhere(ctx context.Context, q db.Querier, users []string) (map[string]int, error)
}

// errCrowded says that a user has all sockets that one may have, here and on other nodes.
var errCrowded = errors.New("too many sockets")

// arrival is a socket that signs in, on its way through a transaction.
type arrival struct {
	socket account.Socket
	err    error // why it may not stay, known when the transaction ends
}

// arrivals writes the sockets that sign in in one transaction with one statement.
type arrivals struct{ gate *Gate }

// Flush notes the sockets, unless this node was declared dead, whose rows nobody would take away any more, and decides who is one too many. The log's part of
// the transaction comes before and holds the row of the head until the commit, so of two nodes the later one sees the sockets of the earlier.
func (a arrivals) Flush(ctx context.Context, tx *db.Tx, items []any) error {
	g := a.gate
	list := make([]account.Socket, len(items))
	users := make([]string, len(items))
	for i, it := range items {
		in := it.(*arrival)
		list[i], users[i] = in.socket, in.socket.User
	}
	if g.fence != nil {
		err := g.fence(ctx, tx)
		if errors.Is(err, cluster.ErrLost) {
			for _, it := range items {
				it.(*arrival).err = err
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := g.presence.Open(ctx, tx, list); err != nil {
		return err
	}
	elsewhere, err := g.presence.Elsewhere(ctx, tx, users)
	if err != nil {
		return err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	for user, n := range elsewhere {
		elsewhere[user] = n + len(g.users[user]) - socketsPerUser
	}
	for _, it := range items {
		in := it.(*arrival)
		if over := elsewhere[in.socket.User]; over > 0 {
			in.err = errCrowded
			elsewhere[in.socket.User] = over - 1
		}
	}
	return nil
}

// Committed has nothing to tell anybody.
func (arrivals) Committed() {}

// crowded tells whether a user whose socket was just admitted has too many with those on other nodes; it saves the log the event of one that cannot stay.
func (g *Gate) crowded(ctx context.Context, user string) (bool, error) {
	if g.presence == nil {
		return false, nil
	}
	elsewhere, err := g.presence.Elsewhere(ctx, g.db.Read(), []string{user})
	if err != nil || elsewhere[user] == 0 {
		return false, err
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return elsewhere[user]+len(g.users[user]) > socketsPerUser, nil
}

// part notes that a socket that stands in the database has ended; g.mu is held. Run takes it away.
func (g *Gate) part(s *socket) {
	if !s.listed {
		return
	}
	g.parted = append(g.parted, s.id)
	select {
	case g.parting <- struct{}{}:
	default: // it is about to look anyway
	}
}

// takeAway removes the sockets that ended meanwhile, all at once. Without the database they are kept for the next time.
func (g *Gate) takeAway(ctx context.Context) {
	g.mu.Lock()
	ids := g.parted
	g.parted = nil
	g.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	err := g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return g.presence.Close(ctx, tx, ids) })
	if err == nil {
		return
	}
	if ctx.Err() == nil {
		g.log.Warn("websockets that ended", "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parted = append(g.parted, ids...)
}
