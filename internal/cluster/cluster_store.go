package cluster

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// A node's row is held shared by the transactions of that node that must not meet its death, and alone by the one that declares it dead. While a node works
// nobody waits for it: whoever waits may hold other rows, and the one who has it may be frozen.

// holdNode tells whether a node lives, and keeps it so until the end of the transaction.
func holdNode(ctx context.Context, tx *db.Tx, id string) (lives bool, err error) {
	lock := ""
	if tx.Engine() == db.Postgres {
		lock = " FOR SHARE SKIP LOCKED"
	}
	var one int
	switch err = tx.QueryRow(ctx, "SELECT 1 FROM node WHERE id = $1 AND dead_on IS NULL"+lock, id).Scan(&one); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("life of this node: %w", err)
	}
	return true, nil
}

// lockLiving holds the row of a living node alone, to declare it dead. free is false when it is dead already, or when skip is set and somebody holds it.
func lockLiving(ctx context.Context, tx *db.Tx, id string, skip bool) (name string, free bool, err error) {
	lock := tx.ForUpdate()
	if skip {
		lock = tx.SkipLocked()
	}
	switch err = tx.QueryRow(ctx, "SELECT name FROM node WHERE id = $1 AND dead_on IS NULL"+lock, id).Scan(&name); {
	case errors.Is(err, sql.ErrNoRows):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("lock node %s: %w", id, err)
	}
	return name, true, nil
}

// lockDead holds the row of a dead node alone; false when it lives or somebody holds it.
func lockDead(ctx context.Context, tx *db.Tx, id string) (bool, error) {
	var one int
	switch err := tx.QueryRow(ctx, "SELECT 1 FROM node WHERE id = $1 AND dead_on IS NOT NULL"+tx.SkipLocked(), id).Scan(&one); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("lock dead node %s: %w", id, err)
	}
	return true, nil
}

func markDead(ctx context.Context, tx *db.Tx, id, by string, at time.Time) error {
	if _, err := tx.Exec(ctx, "UPDATE node SET dead_on = $1, dead_by = $2 WHERE id = $3", at.UnixMicro(), by, id); err != nil {
		return fmt.Errorf("declare node %s dead: %w", id, err)
	}
	return nil
}

func insertNode(ctx context.Context, tx *db.Tx, id, name string, at time.Time) error {
	_, err := tx.Exec(ctx, "INSERT INTO node (id, name, started_on) VALUES ($1, $2, $3)", id, name, at.UnixMicro())
	if err == nil {
		_, err = tx.Exec(ctx, "INSERT INTO node_beat (node, beat) VALUES ($1, 1)", id)
	}
	if err != nil {
		return fmt.Errorf("row of this node: %w", err)
	}
	return nil
}

// insertDead makes a row for a node that has none.
func insertDead(ctx context.Context, tx *db.Tx, id, by string, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO node (id, name, started_on, dead_on, dead_by) VALUES ($1, '', $2, $3, $4) ON CONFLICT (id) DO NOTHING`, id, at.UnixMicro(), at.UnixMicro(), by)
	if err != nil {
		return fmt.Errorf("row of node %s: %w", id, err)
	}
	return nil
}

func countBeat(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "UPDATE node_beat SET beat = beat + 1 WHERE node = $1", id); err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	return nil
}

func beatOf(ctx context.Context, tx *db.Tx, id string) (beat int64, err error) {
	if err = tx.QueryRow(ctx, "SELECT beat FROM node_beat WHERE node = $1", id).Scan(&beat); err != nil {
		return 0, fmt.Errorf("beat of node %s: %w", id, err)
	}
	return beat, nil
}

// beatsOf gives the living nodes but one.
func beatsOf(ctx context.Context, q db.Querier, but string) (map[string]peer, error) {
	rows, err := q.Query(ctx, "SELECT n.id, n.name, b.beat FROM node n JOIN node_beat b ON b.node = n.id WHERE n.dead_on IS NULL AND n.id <> $1", but)
	if err != nil {
		return nil, fmt.Errorf("beats of the other nodes: %w", err)
	}
	defer rows.Close()
	out := map[string]peer{}
	for rows.Next() {
		var id string
		var p peer
		if err := rows.Scan(&id, &p.name, &p.beat); err != nil {
			return nil, fmt.Errorf("beats of the other nodes: %w", err)
		}
		out[id] = p
	}
	return out, rows.Err()
}

// earlierRuns are the living rows of a name.
func earlierRuns(ctx context.Context, q db.Querier, name string) ([]string, error) {
	return ids(ctx, q, "SELECT id FROM node WHERE name = $1 AND dead_on IS NULL", name)
}

// livingOf gives those of the nodes that live.
func livingOf(ctx context.Context, q db.Querier, nodes []string) ([]string, error) {
	w := &db.Where{}
	w.In("id", nodes)
	w.Fix("dead_on IS NULL")
	where, args := w.SQL()
	return ids(ctx, q, "SELECT id FROM node"+where, args...)
}

func ids(ctx context.Context, q db.Querier, query string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("nodes: %w", err)
		}
		out = append(out, id)
	}
	return out, rows.Err()
}

// buriedBy is the name of the node that declared one dead.
func buriedBy(ctx context.Context, q db.Querier, id string) (string, error) {
	var by db.Text
	err := q.QueryRow(ctx, "SELECT dead_by FROM node WHERE id = $1", id).Scan(&by)
	return string(by), err
}

// forget removes the rows of nodes that died long ago.
func forget(ctx context.Context, tx *db.Tx, before time.Time) error {
	if _, err := tx.Exec(ctx, "DELETE FROM node WHERE dead_on < $1", before.UnixMicro()); err != nil {
		return fmt.Errorf("old nodes: %w", err)
	}
	return nil
}
