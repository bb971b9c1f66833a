package webhook

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// delivery is a notification that is to be sent now.
type delivery struct {
	id       string
	notice   Notice
	tries    int // this one included
	failures int
	created  time.Time
}

// url is the address of this try.
func (d *delivery) url() string {
	i, _, _ := schedules[d.notice.Schedule].step(d.failures, len(d.notice.URLs))
	return d.notice.URLs[min(i, len(d.notice.URLs)-1)]
}

func insertDelivery(ctx context.Context, tx *db.Tx, id string, n Notice, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO webhook_delivery (uuid, account, ord, trigger_name, schedule, urls, method, header, body, secret, timeout_ms, state, tries, failures,
		due_on, created_on, modified_on) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'pending', 0, 0, $12, $12, $12)`,
		id, n.Account, db.Text(n.Key), n.Trigger, string(n.Schedule), db.JSONOf(n.URLs), n.Method, db.JSONOf(n.Header), db.Text(n.Body), db.Text(n.Secret),
		timeoutMS(n.Timeout), now.UnixMicro())
	if err != nil {
		return fmt.Errorf("insert delivery: %w", err)
	}
	return nil
}

// timeoutMS keeps "no limit" as -1.
func timeoutMS(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

// claim takes up to n due deliveries and writes their attempts. One waits for all older ones of its key that still hold it back: those that were never
// tried, and those whose time to block is not over.
func (s *Service) claim(ctx context.Context, tx *db.Tx, n int, now time.Time) ([]*delivery, error) {
	rows, err := tx.Query(ctx, `UPDATE webhook_delivery SET owner = $1, due_on = $2, tries = tries + 1,
		block_until = COALESCE(block_until, CASE WHEN schedule = 'app' THEN CAST($3 AS BIGINT) ELSE CAST($4 AS BIGINT) END) WHERE uuid IN (
		SELECT j.uuid FROM webhook_delivery AS j WHERE j.due_on <= $5 AND NOT EXISTS (SELECT 1 FROM webhook_delivery AS e WHERE e.ord = j.ord AND e.due_on IS NOT NULL
			AND e.uuid < j.uuid AND (e.block_until IS NULL OR e.block_until > $5))
		ORDER BY j.due_on, j.uuid`+db.Limit(n, 0)+tx.SkipLocked()+`)
		RETURNING uuid, account, trigger_name, schedule, urls, method, header, body, secret, timeout_ms, tries, failures, created_on`,
		s.node, now.Add(maxHold).UnixMicro(), now.Add(schedules[App].block).UnixMicro(), now.Add(schedules[Messaging].block).UnixMicro(), now.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	list, err := scanDeliveries(rows)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		if _, err := tx.Exec(ctx, "INSERT INTO webhook_attempt (delivery, n, url, started_on) VALUES ($1, $2, $3, $4)", d.id, int64(d.tries), redacted(d.url()), now.UnixMicro()); err != nil {
			return nil, fmt.Errorf("insert attempt: %w", err)
		}
	}
	return list, nil
}

func scanDeliveries(rows *sql.Rows) ([]*delivery, error) {
	defer rows.Close()
	var out []*delivery
	for rows.Next() {
		d := &delivery{}
		var urls db.JSON[[]string]
		var header db.JSON[map[string]string]
		var body, secret db.Text
		var timeout int64
		var created db.Time
		n := &d.notice
		if err := rows.Scan(&d.id, &n.Account, &n.Trigger, &n.Schedule, &urls, &n.Method, &header, &body, &secret, &timeout, &d.tries, &d.failures, &created); err != nil {
			return nil, fmt.Errorf("claim deliveries: %w", err)
		}
		n.URLs, n.Header, n.Body, n.Secret, d.created = urls.V, header.V, json.RawMessage(body), string(secret), created.Time
		n.Timeout = time.Duration(timeout) * time.Millisecond
		out = append(out, d)
	}
	return out, rows.Err()
}

// outcome is what came of an attempt.
type outcome struct {
	status   int
	err      string
	response string
	took     time.Duration
}

func (o outcome) good() bool { return o.status >= 200 && o.status < 300 }

// finish writes what came of an attempt: the end of the delivery, or its next try.
func (s *Service) finish(ctx context.Context, tx *db.Tx, d *delivery, o outcome) error {
	now := s.now()
	_, err := tx.Exec(ctx, "UPDATE webhook_attempt SET duration_ms = $1, status = $2, error = $3, response = $4 WHERE delivery = $5 AND n = $6",
		o.took.Milliseconds(), int64(o.status), db.Text(o.err), db.Text(o.response), d.id, int64(d.tries))
	if err != nil {
		return fmt.Errorf("finish attempt: %w", err)
	}
	state, failures, due := "success", d.failures, db.Time{}
	if !o.good() {
		failures++
		state = "failed"
		if _, wait, more := schedules[d.notice.Schedule].step(failures, len(d.notice.URLs)); more {
			state, due = "pending", db.At(now.Add(wait))
		}
	}
	_, err = tx.Exec(ctx, "UPDATE webhook_delivery SET state = $1, failures = $2, due_on = $3, owner = NULL, modified_on = $4 WHERE uuid = $5 AND state = 'pending' AND tries = $6",
		state, int64(failures), due, now.UnixMicro(), d.id, int64(d.tries))
	if err != nil {
		return fmt.Errorf("finish delivery: %w", err)
	}
	return nil
}

// takeBack makes due what this node was sending when it ended.
func takeBack(ctx context.Context, tx *db.Tx, node string, now time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE webhook_delivery SET owner = NULL, due_on = $1 WHERE due_on IS NOT NULL AND owner = $2", now.UnixMicro(), node)
	if err != nil {
		return fmt.Errorf("take back deliveries: %w", err)
	}
	return nil
}

// nextDue gives when the next delivery is due; zero when none waits.
func nextDue(ctx context.Context, q db.Querier) (time.Time, error) {
	var at sql.NullInt64
	if err := q.QueryRow(ctx, "SELECT min(due_on) FROM webhook_delivery WHERE due_on IS NOT NULL").Scan(&at); err != nil || !at.Valid {
		return time.Time{}, err
	}
	return time.UnixMicro(at.Int64), nil
}

// Attempt is one request of a delivery.
type Attempt struct {
	N        int
	URL      string
	Started  time.Time
	Duration time.Duration
	Status   int // zero: no answer, or not yet
	Error    string
	Response string // cut
}

// Delivery is a notification with its history.
type Delivery struct {
	ID       string
	Trigger  string
	State    string // pending, success, failed
	Next     time.Time
	Created  time.Time
	Attempts []Attempt
}

// Deliveries lists an account's notifications, newest first, with their attempts.
func (s *Service) Deliveries(ctx context.Context, account string, take, skip int) ([]Delivery, error) {
	q := s.db.Read()
	rows, err := q.Query(ctx, "SELECT uuid, trigger_name, state, due_on, created_on FROM webhook_delivery WHERE account = $1 ORDER BY uuid DESC"+db.Limit(take, skip), account)
	if err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	defer rows.Close()
	out := []Delivery{}
	for rows.Next() {
		var d Delivery
		var next, created db.Time
		if err := rows.Scan(&d.ID, &d.Trigger, &d.State, &next, &created); err != nil {
			return nil, fmt.Errorf("deliveries: %w", err)
		}
		d.Next, d.Created = next.Time, created.Time
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	for i := range out {
		if out[i].Attempts, err = attempts(ctx, q, out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func attempts(ctx context.Context, q db.Querier, id string) ([]Attempt, error) {
	rows, err := q.Query(ctx, "SELECT n, url, started_on, duration_ms, status, error, response FROM webhook_attempt WHERE delivery = $1 ORDER BY n", id)
	if err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	defer rows.Close()
	out := []Attempt{}
	for rows.Next() {
		var a Attempt
		var started db.Time
		var ms, status sql.NullInt64
		var failure, response db.Text
		if err := rows.Scan(&a.N, &a.URL, &started, &ms, &status, &failure, &response); err != nil {
			return nil, fmt.Errorf("attempts: %w", err)
		}
		a.Started, a.Duration, a.Status, a.Error, a.Response = started.Time, time.Duration(ms.Int64)*time.Millisecond, int(status.Int64), string(failure), string(response)
		out = append(out, a)
	}
	return out, rows.Err()
}

// Trim removes finished deliveries older than a time, at most limit of them, and gives their number.
func (s *Service) Trim(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		rows, err := tx.Query(ctx, "SELECT uuid FROM webhook_delivery WHERE created_on < $1 AND due_on IS NULL ORDER BY created_on"+db.Limit(limit, 0), before.UnixMicro())
		if err != nil {
			return err
		}
		var ids []any
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				_ = rows.Close()
				return err
			}
			ids = append(ids, id)
		}
		if err := rows.Close(); err != nil || len(ids) == 0 {
			return err
		}
		marks := db.Values(1, len(ids))
		if _, err := tx.Exec(ctx, "DELETE FROM webhook_attempt WHERE delivery IN "+marks, ids...); err != nil {
			return err
		}
		n, err = tx.Exec(ctx, "DELETE FROM webhook_delivery WHERE uuid IN "+marks, ids...)
		return err
	})
	return n, err
}

// redacted hides credentials of an address in the history.
func redacted(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	host, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return scheme + "://***@" + rest[i+1:]
	}
	return u
}
