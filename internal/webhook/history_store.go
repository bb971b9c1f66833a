package webhook

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

const historyColumns = "uuid, account, endpoint, event, trigger_name, state, due_on, planned_on, owner, seq, body, created_on, modified_on"

func scanHistory(into func(...any) error) (Delivery, error) {
	var d Delivery
	var endpoint, event, owner, body db.Text
	var due, planned, created, modified db.Time
	err := into(&d.ID, &d.Account, &endpoint, &event, &d.Trigger, &d.State, &due, &planned, &owner, &d.seq, &body, &created, &modified)
	d.Endpoint, d.Event, d.Next, d.Created, d.Modified = string(endpoint), string(event), due.Time, created.Time, modified.Time
	if owner != "" {
		d.Next = planned.Time // due_on is the end of the owner's lease
	}
	if body != "" {
		d.own = json.RawMessage(body)
	}
	return d, err
}

func listDeliveries(ctx context.Context, q db.Querier, endpoint string, f DeliveryQuery) ([]Delivery, int, error) {
	var w db.Where
	w.Fix("endpoint = ?", endpoint)
	if f.State != "" {
		w.Add("state = ?", f.State)
	}
	if f.Type != "" {
		w.Add("trigger_name = ?", f.Type)
	}
	if f.Event != "" {
		w.Add("event = ?", f.Event)
	}
	where, args := w.SQL()
	var total int
	if err := q.QueryRow(ctx, "SELECT count(*) FROM webhook_delivery"+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("deliveries: %w", err)
	}
	rows, err := q.Query(ctx, "SELECT "+historyColumns+" FROM webhook_delivery"+where+" ORDER BY created_on DESC, uuid DESC"+db.Limit(f.Take, f.Skip), args...)
	list, err := db.List("deliveries", rows, err, scanHistory)
	if err != nil {
		return nil, 0, err
	}
	for i := range list {
		if list[i].Attempts, err = attempts(ctx, q, list[i].ID); err != nil {
			return nil, 0, err
		}
	}
	return list, total, nil
}

func oneDelivery(ctx context.Context, q db.Querier, endpoint, id string) (Delivery, error) {
	d, err := scanHistory(q.QueryRow(ctx, "SELECT "+historyColumns+" FROM webhook_delivery WHERE uuid = $1 AND endpoint = $2", id, endpoint).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return d, fault.Missing("Webhook")
	}
	if err != nil {
		return d, fmt.Errorf("delivery: %w", err)
	}
	d.Attempts, err = attempts(ctx, q, id)
	return d, err
}

// attempts gives the newest of a delivery, oldest first.
func attempts(ctx context.Context, q db.Querier, id string) ([]Attempt, error) {
	rows, err := q.Query(ctx, `SELECT n, url, started_on, duration_ms, status, error, header, response FROM (SELECT * FROM webhook_attempt WHERE delivery = $1
		ORDER BY n DESC`+db.Limit(listed, 0)+") AS newest ORDER BY n", id)
	return db.List("attempts", rows, err, func(into func(...any) error) (Attempt, error) {
		var a Attempt
		var started db.Time
		var ms, status sql.NullInt64
		var failure, response db.Text
		var header db.JSON[map[string]string]
		err := into(&a.N, &a.URL, &started, &ms, &status, &failure, &header, &response)
		a.Started, a.Duration, a.Status, a.Error = started.Time, time.Duration(ms.Int64)*time.Millisecond, int(status.Int64), string(failure)
		a.Header, a.Response = header.V, string(response)
		return a, err
	})
}

// requeue makes deliveries pending and due. Those that somebody has in hand are left alone.
func requeue(ctx context.Context, tx *db.Tx, ids []string, now time.Time) error {
	for len(ids) > 0 {
		n := chunkOf(len(ids))
		args := []any{now.UnixMicro()}
		list := make([]*delivery, n)
		for i, id := range ids[:n] {
			list[i] = &delivery{id: id}
		}
		_, err := tx.Exec(ctx, "UPDATE webhook_delivery SET state = 'pending', failures = 0, due_on = $1, not_before = NULL, planned_on = $1, block_until = $1, modified_on = $1 WHERE owner IS NULL AND uuid IN ("+
			marksOf(list, &args)+")", args...)
		if err != nil {
			return fmt.Errorf("replay deliveries: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}

// replayable gives deliveries of a time after the last one of before, oldest first.
func replayable(ctx context.Context, tx *db.Tx, endpoint string, f ReplayQuery, from time.Time, last string, n int) ([]Delivery, error) {
	var w db.Where
	w.Fix("endpoint = ? AND created_on <= ?", endpoint, f.To.UnixMicro()+999)
	w.Fix("(created_on > ? OR created_on = ? AND uuid > ?)", from.UnixMicro(), from.UnixMicro(), last)
	w.Fix("state = ? AND NOT ("+isTrial+")", f.State)
	if len(f.Types) > 0 {
		w.In("trigger_name", f.Types)
	}
	where, args := w.SQL()
	rows, err := tx.Query(ctx, "SELECT "+historyColumns+" FROM webhook_delivery"+where+" ORDER BY created_on, uuid"+db.Limit(n, 0), args...)
	return db.List("deliveries to replay", rows, err, scanHistory)
}

func insertTrial(ctx context.Context, tx *db.Tx, d *delivery, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO webhook_delivery (uuid, account, lane, endpoint, seq, event, trigger_name, schedule, body, state, tries, failures, owner, due_on, planned_on,
		tried_on, created_on, modified_on) VALUES ($1, $2, $3, $3, $4, $5, $6, 'signed', $7, 'pending', 1, 9, $8, $9, $10, $10, $10, $10)`,
		d.id, d.notice.Account, d.lane, d.seq, d.event, d.notice.Trigger, string(d.notice.Body), d.notice.Key, now.Add(maxHold).UnixMicro(), now.UnixMicro())
	if err != nil {
		return fmt.Errorf("insert test delivery: %w", err)
	}
	return insertAttempts(ctx, tx, []*delivery{d})
}

// reportLine is one line of an event's delivery_report.
type reportLine struct {
	Channel      string  `json:"channel"`
	Subscription *string `json:"subscription"`
	Webhook      string  `json:"webhook"`
	State        string  `json:"state"`
	Status       *int64  `json:"status"`
	Attempt      int64   `json:"attempt"`
	Attempted    *string `json:"attempted_on"`
}

func reportOf(ctx context.Context, q db.Querier, account, event string) (json.RawMessage, error) {
	rows, err := q.Query(ctx, `SELECT d.endpoint, d.state, d.tries, d.tried_on, (SELECT a.status FROM webhook_attempt AS a WHERE a.delivery = d.uuid AND a.n = d.tries),
		(SELECT min(s.uuid) FROM webhook_subscription AS s WHERE s.endpoint = d.endpoint AND s.type IN (d.trigger_name, '*'))
		FROM webhook_delivery AS d WHERE d.event = $1 AND d.account = $2 ORDER BY d.uuid`, event, account)
	list, err := db.List("delivery report", rows, err, func(into func(...any) error) (reportLine, error) {
		l := reportLine{Channel: "webhook"}
		var tried db.Time
		var status sql.NullInt64
		err := into(&l.Webhook, &l.State, &l.Attempt, &tried, &status, &l.Subscription)
		if status.Valid && status.Int64 != 0 {
			l.Status = &status.Int64
		}
		if !tried.IsZero() {
			at := tried.UTC().Format("2006-01-02T15:04:05.000Z")
			l.Attempted = &at
		}
		return l, err
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(list)
}

// unkept gives deliveries of events up to a time whose bodies were not copied yet, oldest first.
func unkept(ctx context.Context, q db.Querier, before time.Time, n int) ([]Delivery, error) {
	rows, err := q.Query(ctx, "SELECT "+historyColumns+` FROM webhook_delivery AS d WHERE created_on > (SELECT kept_on FROM webhook_fanout WHERE one = 1) AND created_on <= $1
		AND endpoint IS NOT NULL AND body IS NULL AND NOT EXISTS (SELECT 1 FROM webhook_body AS b WHERE b.event = d.event) ORDER BY created_on`+db.Limit(n, 0), before.UnixMicro())
	return db.List("deliveries whose body is not kept", rows, err, scanHistory)
}

// keepBodies writes copies; that of an event which the log has lost is empty, so that nobody asks for it again.
func keepBodies(ctx context.Context, tx *db.Tx, list []Delivery, copies [][]byte, upTo time.Time) error {
	for i, d := range list {
		_, err := tx.Exec(ctx, "INSERT INTO webhook_body (event, body, created_on) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", d.Event, string(copies[i]), d.Created.UnixMicro())
		if err != nil {
			return fmt.Errorf("keep body of event: %w", err)
		}
	}
	// Others of the same time may follow: they are found again, and their bodies are there.
	if _, err := tx.Exec(ctx, "UPDATE webhook_fanout SET kept_on = $1 WHERE one = 1 AND kept_on < $1", upTo.UnixMicro()-1); err != nil {
		return fmt.Errorf("keep bodies of events: %w", err)
	}
	return nil
}

func trimDeliveries(ctx context.Context, tx *db.Tx, before time.Time, limit int) (n int64, err error) {
	rows, err := tx.Query(ctx, "SELECT uuid FROM webhook_delivery WHERE created_on < $1 AND due_on IS NULL ORDER BY created_on"+db.Limit(limit, 0), before.UnixMicro())
	ids, err := db.List("trim deliveries", rows, err, func(into func(...any) error) (id string, err error) { err = into(&id); return id, err })
	if err != nil {
		return 0, err
	}
	for len(ids) > 0 {
		size := chunkOf(len(ids))
		args := make([]any, size)
		for i, id := range ids[:size] {
			args[i] = id
		}
		marks := db.Values(1, size)
		if _, err := tx.Exec(ctx, "DELETE FROM webhook_attempt WHERE delivery IN "+marks, args...); err != nil {
			return 0, fmt.Errorf("trim attempts: %w", err)
		}
		k, err := tx.Exec(ctx, "DELETE FROM webhook_delivery WHERE uuid IN "+marks, args...)
		if err != nil {
			return 0, fmt.Errorf("trim deliveries: %w", err)
		}
		n += k
		ids = ids[size:]
	}
	if _, err := tx.Exec(ctx, "DELETE FROM webhook_body WHERE created_on < $1", before.UnixMicro()); err != nil {
		return 0, fmt.Errorf("trim bodies: %w", err)
	}
	return n, nil
}
