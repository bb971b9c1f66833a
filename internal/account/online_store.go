package account

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/db"
)

// Socket is an authenticated websocket of a user.
type Socket struct{ ID, User string }

// Sockets keeps which users have a websocket open on which node, so that all nodes know it. A server that is alone needs no rows: it sees all sockets itself.
type Sockets struct{ Node string }

var (
	openSockets  = db.NewBulk("INSERT INTO account_socket (id, user_id, node) {values}", 0, "TEXT", "TEXT", "TEXT")
	closeSockets = db.NewBulk("DELETE FROM account_socket WHERE id {in}", 0, "TEXT")
	countSockets = db.NewBulk("SELECT user_id, count(*) FROM account_socket WHERE node <> $1 AND user_id {in} GROUP BY user_id", 1, "TEXT")
)

// Open notes sockets of this node.
func (s Sockets) Open(ctx context.Context, tx *db.Tx, list []Socket) error {
	args := make([]any, 0, 3*len(list))
	for _, one := range list {
		args = append(args, one.ID, one.User, s.Node)
	}
	if _, err := openSockets.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("note websockets: %w", err)
	}
	return nil
}

// Close takes sockets away; those that are not there count for nothing.
func (s Sockets) Close(ctx context.Context, tx *db.Tx, ids []string) error {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	if _, err := closeSockets.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("take websockets away: %w", err)
	}
	return nil
}

// Elsewhere counts the sockets that users have on other nodes; those without any are left out.
func (s Sockets) Elsewhere(ctx context.Context, q db.Querier, users []string) (map[string]int, error) {
	args := make([]any, len(users))
	for i, id := range users {
		args[i] = id
	}
	out := map[string]int{}
	err := countSockets.Query(ctx, q, []any{s.Node}, args, func(into func(...any) error) error {
		var user string
		var n int
		err := into(&user, &n)
		out[user] = n
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count websockets: %w", err)
	}
	return out, nil
}

// Forget takes away the sockets of a node that is dead.
func (s Sockets) Forget(ctx context.Context, tx *db.Tx, node string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM account_socket WHERE node = $1", node); err != nil {
		return fmt.Errorf("take websockets away: %w", err)
	}
	return nil
}
