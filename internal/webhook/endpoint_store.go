package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

const endpointColumns = `uuid, account, url, description, own, types, filter, is_active, disabled_on, disabled_reason, secret, old_secret, old_until, after_seq, created_on,
	modified_on, fails, failing_since, probe_on, released_on, slow_until, pace_us, paced_on, last_success_on, last_failure_on, last_try`

func scanEndpoint(into func(...any) error) (*Endpoint, error) {
	e := &Endpoint{}
	var description, reason, old, try db.Text
	var types db.JSON[[]string]
	var filter db.JSON[*event.Filter]
	var t [11]db.Time
	var pace int64
	err := into(&e.ID, &e.Account, &e.URL, &description, &e.Own, &types, &filter, &e.Active, &t[0], &reason, &e.Secret, &old, &t[1], &e.After, &t[2], &t[3], &e.Fails,
		&t[4], &t[5], &t[6], &t[7], &pace, &t[8], &t[9], &t[10], &try)
	e.Description, e.Reason, e.OldSecret, e.LastTry, e.Types, e.Filter = string(description), string(reason), string(old), string(try), types.V, filter.V
	e.Disabled, e.OldUntil, e.Created, e.Modified, e.FailingSince, e.ProbeOn = t[0].Time, t[1].Time, t[2].Time, t[3].Time, t[4].Time, t[5].Time
	e.ReleasedOn, e.SlowUntil, e.PacedOn, e.LastSuccess, e.LastFailure = t[6].Time, t[7].Time, t[8].Time, t[9].Time, t[10].Time
	e.Pace = time.Duration(pace) * time.Microsecond
	if e.Types == nil {
		e.Types = []string{}
	}
	return e, err
}

// oneEndpoint reads an endpoint with its subscriptions.
func oneEndpoint(ctx context.Context, q db.Querier, where string, args ...any) (*Endpoint, bool, error) {
	e, err := scanEndpoint(q.QueryRow(ctx, "SELECT "+endpointColumns+" FROM webhook_endpoint WHERE "+where, args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("endpoint: %w", err)
	}
	rows, err := q.Query(ctx, "SELECT "+subscriptionColumns+" FROM webhook_subscription AS s WHERE s.endpoint = $1 ORDER BY s.created_on, s.uuid", e.ID)
	e.Subscriptions, err = db.List("subscriptions of an endpoint", rows, err, scanSubscription)
	return e, err == nil, err
}

// endpointByID reads an endpoint of any account.
func endpointByID(ctx context.Context, q db.Querier, id string) (*Endpoint, bool, error) {
	return oneEndpoint(ctx, q, "uuid = $1", id)
}

// endpointByURL reads the endpoint of an account that has this address.
func endpointByURL(ctx context.Context, q db.Querier, account, url string) (*Endpoint, bool, error) {
	return oneEndpoint(ctx, q, "account = $1 AND url = $2", account, url)
}

// ownedEndpoint reads an endpoint of an account, or gives a 404.
func ownedEndpoint(ctx context.Context, q db.Querier, account, id string) (*Endpoint, error) {
	e, found, err := oneEndpoint(ctx, q, "uuid = $1 AND account = $2", id, account)
	if err == nil && !found {
		err = fault.Missing("Webhook")
	}
	return e, err
}

// lockEndpoint reads an endpoint whose health is to be changed, and keeps other nodes from doing the same.
func lockEndpoint(ctx context.Context, tx *db.Tx, id string) (*Endpoint, bool, error) {
	return endpointAlone(ctx, tx, id, tx.ForUpdate())
}

// endpointAlone reads an endpoint without its subscriptions.
func endpointAlone(ctx context.Context, q db.Querier, id, lock string) (*Endpoint, bool, error) {
	e, err := scanEndpoint(q.QueryRow(ctx, "SELECT "+endpointColumns+" FROM webhook_endpoint WHERE uuid = $1"+lock, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("endpoint: %w", err)
	}
	return e, true, nil
}

func endpointsOf(ctx context.Context, q db.Querier, account string) ([]*Endpoint, error) {
	rows, err := q.Query(ctx, "SELECT "+endpointColumns+" FROM webhook_endpoint WHERE account = $1 ORDER BY created_on DESC, uuid DESC", account)
	list, err := db.List("endpoints", rows, err, scanEndpoint)
	if err != nil {
		return nil, err
	}
	rows, err = q.Query(ctx, "SELECT "+subscriptionColumns+" FROM webhook_subscription AS s WHERE s.account = $1 ORDER BY s.created_on, s.uuid", account)
	return withSubscriptions(list, rows, err)
}

// activeEndpoints reads all that get events, of all accounts.
func activeEndpoints(ctx context.Context, q db.Querier) ([]*Endpoint, error) {
	rows, err := q.Query(ctx, "SELECT "+endpointColumns+" FROM webhook_endpoint WHERE is_active ORDER BY uuid")
	list, err := db.List("endpoints", rows, err, scanEndpoint)
	if err != nil {
		return nil, err
	}
	rows, err = q.Query(ctx, "SELECT "+subscriptionColumns+" FROM webhook_subscription AS s WHERE s.is_active")
	return withSubscriptions(list, rows, err)
}

func withSubscriptions(list []*Endpoint, rows *sql.Rows, err error) ([]*Endpoint, error) {
	subs, err := db.List("subscriptions of endpoints", rows, err, scanSubscription)
	if err != nil {
		return nil, err
	}
	byID := map[string]*Endpoint{}
	for _, e := range list {
		byID[e.ID] = e
	}
	for _, s := range subs {
		if e := byID[s.Endpoint]; e != nil {
			e.Subscriptions = append(e.Subscriptions, s)
		}
	}
	return list, nil
}

func countEndpoints(ctx context.Context, q db.Querier, account string) (n int, err error) {
	if err := q.QueryRow(ctx, "SELECT count(*) FROM webhook_endpoint WHERE account = $1", account).Scan(&n); err != nil {
		return 0, fmt.Errorf("endpoints: %w", err)
	}
	return n, nil
}

// insertEndpoint writes a new endpoint; it gets the events after the newest one that is in the log now.
func insertEndpoint(ctx context.Context, tx *db.Tx, e *Endpoint) error {
	_, err := tx.Exec(ctx, `INSERT INTO webhook_endpoint (uuid, account, url, own, types, is_active, secret, after_seq, fails, pace_us, created_on, modified_on)
		SELECT $1, $2, $3, $4, $5, $6, $7, seq, 0, 0, CAST($8 AS BIGINT), CAST($8 AS BIGINT) FROM event_head WHERE one = 1`,
		e.ID, e.Account, e.URL, e.Own, db.JSONOf(e.Types), e.Active, e.Secret, db.At(e.Created))
	if db.IsUnique(err) {
		return fault.Taken("Webhook")
	}
	if err != nil {
		return fmt.Errorf("insert endpoint: %w", err)
	}
	return nil
}

// saveEndpoint writes what an endpoint is. One that is switched on gets the events after the newest one that is in the log now.
func saveEndpoint(ctx context.Context, tx *db.Tx, e *Endpoint) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_endpoint SET url = $2, description = $3, own = $4, types = $5, filter = $6, is_active = $7, disabled_on = $8, disabled_reason = $9,
		secret = $10, old_secret = $11, old_until = $12, modified_on = $13,
		after_seq = CASE WHEN $7 AND NOT is_active THEN (SELECT h.seq FROM event_head AS h WHERE h.one = 1) ELSE after_seq END WHERE uuid = $1`,
		e.ID, e.URL, db.Text(e.Description), e.Own, db.JSONOf(e.Types), db.JSONOf(e.Filter), e.Active, db.At(e.Disabled), db.Text(e.Reason),
		e.Secret, db.Text(e.OldSecret), db.At(e.OldUntil), db.At(e.Modified))
	if db.IsUnique(err) {
		return fault.Taken("Webhook")
	}
	if err != nil {
		return fmt.Errorf("save endpoint: %w", err)
	}
	return saveHealth(ctx, tx, e.ID, e.Health)
}

func saveHealth(ctx context.Context, tx *db.Tx, id string, h Health) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_endpoint SET fails = $2, failing_since = $3, probe_on = $4, released_on = $5, slow_until = $6, pace_us = $7, paced_on = $8,
		last_success_on = $9, last_failure_on = $10, last_try = $11 WHERE uuid = $1`,
		id, int64(h.Fails), db.At(h.FailingSince), db.At(h.ProbeOn), db.At(h.ReleasedOn), db.At(h.SlowUntil), h.Pace.Microseconds(), db.At(h.PacedOn),
		db.At(h.LastSuccess), db.At(h.LastFailure), db.Text(h.LastTry))
	if err != nil {
		return fmt.Errorf("save health of endpoint: %w", err)
	}
	return nil
}

// savePace notes when the next attempt at a reduced rate may start.
func savePace(ctx context.Context, tx *db.Tx, id string, at time.Time) error {
	if _, err := tx.Exec(ctx, "UPDATE webhook_endpoint SET paced_on = $2 WHERE uuid = $1", id, at.UnixMicro()); err != nil {
		return fmt.Errorf("save pace of endpoint: %w", err)
	}
	return nil
}

// saveDrained notes that nothing waits any more of what an outage held up.
func saveDrained(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "UPDATE webhook_endpoint SET released_on = NULL WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("save endpoint: %w", err)
	}
	return nil
}

func deleteEndpoint(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM webhook_endpoint WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("remove endpoint: %w", err)
	}
	return nil
}

// cancelPending ends all deliveries of an endpoint that were not sent, in the given state.
func cancelPending(ctx context.Context, tx *db.Tx, id, state string, now time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE webhook_delivery SET state = $1, due_on = NULL, owner = NULL, modified_on = $2 WHERE lane = $3 AND due_on IS NOT NULL", state, now.UnixMicro(), id)
	if err != nil {
		return fmt.Errorf("cancel deliveries: %w", err)
	}
	return nil
}

// growVersion tells the fan-out of all nodes that endpoints changed.
func growVersion(ctx context.Context, tx *db.Tx) error {
	if _, err := tx.Exec(ctx, "UPDATE webhook_fanout SET version = version + 1 WHERE one = 1"); err != nil {
		return fmt.Errorf("version of endpoints: %w", err)
	}
	return nil
}

const subscriptionColumns = `s.uuid, s.account, s.usr, s.endpoint, (SELECT e.url FROM webhook_endpoint AS e WHERE e.uuid = s.endpoint), s.type, s.is_active, s.expired_on,
	s.filter, s.after_seq, s.created_on, s.modified_on`

func scanSubscription(into func(...any) error) (Subscription, error) {
	var s Subscription
	var expires, created, modified db.Time
	var filter db.JSON[*event.Filter]
	err := into(&s.ID, &s.Account, &s.User, &s.Endpoint, &s.URL, &s.Type, &s.Active, &expires, &filter, &s.After, &created, &modified)
	s.Expires, s.Filter, s.Created, s.Modified = expires.Time, filter.V, created.Time, modified.Time
	return s, err
}

// saveSubscription inserts a subscription, or changes that of the same endpoint and type; made tells which.
func saveSubscription(ctx context.Context, tx *db.Tx, s Subscription) (out Subscription, made bool, err error) {
	if s.ID == "" {
		s.ID = ident.New()
		made = true
	}
	var id string
	err = tx.QueryRow(ctx, `INSERT INTO webhook_subscription (uuid, account, usr, endpoint, type, is_active, expired_on, filter, after_seq, created_on, modified_on)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT h.seq FROM event_head AS h WHERE h.one = 1), $9, $10) ON CONFLICT (endpoint, type) DO UPDATE
		SET usr = excluded.usr, is_active = excluded.is_active, expired_on = excluded.expired_on, filter = excluded.filter, modified_on = excluded.modified_on,
		after_seq = CASE WHEN excluded.is_active AND NOT webhook_subscription.is_active THEN excluded.after_seq ELSE webhook_subscription.after_seq END RETURNING uuid`,
		s.ID, s.Account, s.User, s.Endpoint, s.Type, s.Active, db.At(s.Expires), db.JSONOf(s.Filter), db.At(s.Created), db.At(s.Modified)).Scan(&id)
	if err != nil {
		return out, false, fmt.Errorf("save event subscription: %w", err)
	}
	out, _, err = subscriptionByID(ctx, tx, s.Account, id)
	return out, made && id == s.ID, err
}

func subscriptionByID(ctx context.Context, q db.Querier, account, id string) (Subscription, bool, error) {
	s, err := scanSubscription(q.QueryRow(ctx, "SELECT "+subscriptionColumns+" FROM webhook_subscription AS s WHERE s.uuid = $1 AND s.account = $2", id, account).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("event subscription: %w", err)
	}
	return s, true, nil
}

func subscriptionsOf(ctx context.Context, q db.Querier, account, user string) ([]Subscription, error) {
	rows, err := q.Query(ctx, "SELECT "+subscriptionColumns+" FROM webhook_subscription AS s WHERE s.account = $1 AND s.usr = $2 ORDER BY s.created_on DESC, s.uuid DESC", account, user)
	return db.List("event subscriptions", rows, err, scanSubscription)
}

func deleteSubscription(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM webhook_subscription WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("remove event subscription: %w", err)
	}
	return nil
}
