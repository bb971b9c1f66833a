package stream

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const columns = "uuid, account, usr, channel, type, is_active, expired_on, filter, created_on, modified_on"

func scan(row func(...any) error) (Subscription, error) {
	var s Subscription
	var expires, created, modified db.Time
	var filter db.JSON[*event.Filter]
	err := row(&s.ID, &s.Account, &s.User, &s.Channel, &s.Type, &s.Active, &expires, &filter, &created, &modified)
	s.Expires, s.Filter, s.Created, s.Modified = expires.Time, filter.V, created.Time, modified.Time
	return s, err
}

// save makes a subscription, or changes the one of the same user, channel and type; made tells which.
func save(ctx context.Context, tx *db.Tx, s Subscription) (out Subscription, made bool, err error) {
	s.ID = ident.New()
	row := tx.QueryRow(ctx, "INSERT INTO event_subscription ("+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
		ON CONFLICT (usr, channel, type) DO UPDATE SET is_active = excluded.is_active, expired_on = excluded.expired_on, filter = excluded.filter, modified_on = excluded.modified_on
		RETURNING `+columns, s.ID, s.Account, s.User, s.Channel, s.Type, s.Active, db.At(s.Expires), db.JSONOf(s.Filter), db.At(s.Modified))
	if out, err = scan(row.Scan); err != nil {
		return out, false, fmt.Errorf("save event subscription: %w", err)
	}
	return out, out.ID == s.ID, nil
}

func get(ctx context.Context, q db.Querier, user, id string) (Subscription, error) {
	s, err := scan(q.QueryRow(ctx, "SELECT "+columns+" FROM event_subscription WHERE uuid = $1 AND usr = $2", id, user).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return s, fault.Missing("Event subscription")
	}
	if err != nil {
		return s, fmt.Errorf("event subscription: %w", err)
	}
	return s, nil
}

func list(ctx context.Context, q db.Querier, user string) ([]Subscription, error) {
	rows, err := q.Query(ctx, "SELECT "+columns+" FROM event_subscription WHERE usr = $1 ORDER BY created_on DESC, uuid DESC", user)
	return db.List("event subscriptions", rows, err, scan)
}

func update(ctx context.Context, tx *db.Tx, s Subscription) error {
	_, err := tx.Exec(ctx, "UPDATE event_subscription SET is_active = $1, expired_on = $2, filter = $3, modified_on = $4 WHERE uuid = $5",
		s.Active, db.At(s.Expires), db.JSONOf(s.Filter), db.At(s.Modified), s.ID)
	if err != nil {
		return fmt.Errorf("change event subscription: %w", err)
	}
	return nil
}

func remove(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM event_subscription WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("remove event subscription: %w", err)
	}
	return nil
}
