package messaging

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// snapshotsFor is how long a node remembers snapshots: they never change and are never removed.
const snapshotsFor = time.Hour

// contextID names a snapshot by its text.
func contextID(snapshot json.RawMessage) string {
	if len(snapshot) == 0 {
		return ""
	}
	sum := sha256.Sum256(snapshot)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// keepContexts stores the snapshots of messages that are not stored yet: most messages of a number share one.
func (s *Service) keepContexts(ctx context.Context, tx *db.Tx, list []*Message) error {
	fresh := map[string]json.RawMessage{}
	for _, m := range list {
		if m.ContextID != "" && len(m.Context) > 0 && !s.contexts.has(m.ContextID) {
			fresh[m.ContextID] = m.Context
		}
	}
	for _, id := range slices.Sorted(maps.Keys(fresh)) { // in one order: nobody waits for another in a circle
		if _, err := tx.Exec(ctx, "INSERT INTO sms_context (id, body) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", id, string(fresh[id])); err != nil {
			return fmt.Errorf("keep snapshot: %w", err)
		}
		tx.After(func() { s.contexts.put(id, fresh[id]) })
	}
	return nil
}

// fillContext gives a message that was read from the database its snapshot.
func (s *Service) fillContext(ctx context.Context, q db.Querier, m *Message) (err error) {
	if m == nil || m.ContextID == "" || len(m.Context) > 0 {
		return nil
	}
	m.Context, err = s.contexts.get(m.ContextID, func() (json.RawMessage, error) {
		var body string
		err := q.QueryRow(ctx, "SELECT body FROM sms_context WHERE id = $1", m.ContextID).Scan(&body)
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", m.ContextID, err)
		}
		return json.RawMessage(body), nil
	})
	return err
}
