package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// delivery is a notification that is to be sent now.
type delivery struct {
	id, lane, ord string
	seq           int64
	notice        Notice
	event         string    // of a signed one
	endpoint      *Endpoint // of a signed one, as it was at the claim
	tries         int       // this one included
	failures      int
	planned       time.Time // when it was due
	started       time.Time
	gap           time.Duration // between the attempts of its lane before it
	tried         db.Time       // start of the try before
	block         db.Time       // what block_until was before this try
}

// extra tells an attempt that the schedule did not ask for: its failure moves nothing.
func (d *delivery) extra() bool { return d.planned.After(d.started) }

// url is the address of this try.
func (d *delivery) url() string {
	if d.endpoint != nil {
		return d.endpoint.URL
	}
	i, _, _ := schedules[d.notice.Schedule].step(d.failures, len(d.notice.URLs))
	return d.notice.URLs[min(i, len(d.notice.URLs)-1)]
}

// messageID is the webhook-id: the same on every try and replay.
func (d *delivery) messageID() string {
	if d.event != "" {
		return "msg_" + d.event
	}
	return "msg_" + d.id
}

func insertNotice(ctx context.Context, tx *db.Tx, id, lane string, n Notice, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO webhook_delivery (uuid, account, lane, ord, seq, trigger_name, schedule, urls, method, header, body, secret, timeout_ms, state,
		tries, failures, due_on, planned_on, created_on, modified_on) VALUES ($1, $2, $3, $4, $13, $5, $6, $7, $8, $9, $10, $11, $12, 'pending', 0, 0, $13, $13, $13, $13)`,
		id, n.Account, lane, cmp.Or(n.Key, id), n.Trigger, string(n.Schedule), db.JSONOf(n.URLs), n.Method, db.JSONOf(n.Header), db.Text(n.Body), db.Text(n.Secret),
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

const deliveryColumns = `j.uuid, j.account, j.lane, j.ord, j.seq, j.event, j.trigger_name, j.schedule, j.urls, j.method, j.header, j.body, j.secret, j.timeout_ms,
	j.tries, j.failures, j.due_on, j.tried_on, j.block_until`

func scanDelivery(into func(...any) error) (*delivery, error) {
	d := &delivery{}
	var urls db.JSON[[]string]
	var header db.JSON[map[string]string]
	var ord, event, method, body, secret db.Text
	var timeout *int64
	var due db.Time
	n := &d.notice
	if err := into(&d.id, &n.Account, &d.lane, &ord, &d.seq, &event, &n.Trigger, &n.Schedule, &urls, &method, &header, &body, &secret, &timeout,
		&d.tries, &d.failures, &due, &d.tried, &d.block); err != nil {
		return nil, err
	}
	d.ord, d.event, d.planned = string(ord), string(event), due.Time
	n.URLs, n.Method, n.Header, n.Body, n.Secret = urls.V, string(method), header.V, json.RawMessage(body), string(secret)
	if timeout != nil {
		n.Timeout = time.Duration(*timeout) * time.Millisecond
	}
	return d, nil
}

// dueIn is the due deliveries of a lane, those that are due for longest first. What a node has in hand is its own as long as it lives (TakeBack): its clock is
// not ours. Only what nobody came back to for a day counts as lost.
func dueIn(lane string, now time.Time) fronts {
	return fronts{
		what:     "due deliveries",
		args:     []any{lane, now.UnixMicro(), now.Add(-strayAfter).UnixMicro()},
		eligible: "j.due_on <= $2 AND (j.owner IS NULL OR j.due_on <= $3)",
		blocks:   "e.block_until IS NULL OR e.block_until > $2",
		order:    "j.due_on, j.seq, j.uuid",
	}
}

// free is the condition of a delivery j that nobody has in hand and whose next try may be made before it is due: no answer asked for a later one (Retry-After).
const free = "j.due_on IS NOT NULL AND j.owner IS NULL AND (j.not_before IS NULL OR j.not_before <= $2)"

// waitingIn is the deliveries of a lane that were not tried since a time, in the order of the log and whenever they are due. One that an answer put off holds
// nothing back.
func waitingIn(lane string, now, since time.Time) fronts {
	return fronts{
		what:     "waiting deliveries",
		args:     []any{lane, now.UnixMicro(), since.UnixMicro()},
		eligible: free + " AND (j.tried_on IS NULL OR j.tried_on <= $3)",
		blocks:   "e.block_until IS NULL OR e.block_until > $2 OR e.tried_on <= $3 AND (e.not_before IS NULL OR e.not_before <= $2)",
		order:    "j.seq, j.uuid",
	}
}

// elderOf gives the oldest delivery of the same order that was not tried since d became due, or nil.
func elderOf(ctx context.Context, tx *db.Tx, d *delivery, now time.Time) (*delivery, error) {
	if d.ord == "" {
		return nil, nil
	}
	rows, err := tx.Query(ctx, "SELECT "+deliveryColumns+` FROM webhook_delivery AS j WHERE j.ord = $1 AND `+free+`
		AND (j.seq, j.uuid) < ($3, $4) AND j.tried_on < $5 ORDER BY j.seq, j.uuid LIMIT 1`, d.ord, now.UnixMicro(), d.seq, d.id, d.planned.UnixMicro())
	return first(db.List("older delivery", rows, err, scanDelivery))
}

// oldestIn gives the oldest delivery of a lane that may be tried now, or nil.
func oldestIn(ctx context.Context, tx *db.Tx, lane string, now time.Time) (*delivery, error) {
	rows, err := tx.Query(ctx, "SELECT "+deliveryColumns+" FROM webhook_delivery AS j WHERE j.lane = $1 AND "+free+" ORDER BY j.seq, j.uuid LIMIT 1", lane, now.UnixMicro())
	return first(db.List("oldest delivery", rows, err, scanDelivery))
}

func first(list []*delivery, err error) (*delivery, error) {
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// openGate lets one node at a time claim, so that none sends more at once than an endpoint may get.
func openGate(ctx context.Context, tx *db.Tx) error {
	if tx.Engine() != db.Postgres {
		return nil
	}
	const query = "SELECT 1 FROM webhook_gate WHERE one = 1"
	if err := tx.Lock(ctx, "webhook gate", query); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, query+tx.ForUpdate()); err != nil { // Lock leaves it to a transaction's only function
		return fmt.Errorf("claim deliveries: %w", err)
	}
	return nil
}

// hand is how many deliveries of a lane are in the hands of this node and of others.
type hand struct{ own, others int }

// inHand counts the deliveries of each lane that nodes are sending.
func inHand(ctx context.Context, tx *db.Tx, node string) (map[string]hand, error) {
	rows, err := tx.Query(ctx, "SELECT lane, count(CASE WHEN owner = $1 THEN 1 END), count(CASE WHEN owner <> $1 THEN 1 END) FROM webhook_delivery WHERE owner IS NOT NULL GROUP BY lane", node)
	type row struct {
		lane string
		hand
	}
	list, err := db.List("deliveries in hand", rows, err, func(into func(...any) error) (r row, err error) {
		err = into(&r.lane, &r.own, &r.others)
		return r, err
	})
	out := map[string]hand{}
	for _, r := range list {
		out[r.lane] = r.hand
	}
	return out, err
}

// own takes deliveries into this node's hands and writes their attempts. It gives those that nobody changed in the meantime.
func (s *Service) own(ctx context.Context, tx *db.Tx, runs []run, now time.Time) ([]run, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	taken := map[string]bool{}
	for rest := slices.Concat(runs...); len(rest) > 0; {
		n := chunkOf(len(rest))
		args := []any{
			s.node, now.Add(maxHold).UnixMicro(), now.UnixMicro(), now.Add(schedules[App].block).UnixMicro(), now.Add(schedules[Messaging].block).UnixMicro(),
			now.Add(-strayAfter).UnixMicro(),
		}
		marks := marksOf(rest[:n], &args)
		rows, err := tx.Query(ctx, `UPDATE webhook_delivery SET owner = $1, planned_on = due_on, due_on = $2, tries = tries + 1, tried_on = $3, block_until = CASE schedule
			WHEN 'signed' THEN CAST($2 AS BIGINT) WHEN 'app' THEN COALESCE(block_until, CAST($4 AS BIGINT)) ELSE COALESCE(block_until, CAST($5 AS BIGINT)) END
			WHERE uuid IN (`+marks+`) AND due_on IS NOT NULL AND (owner IS NULL OR due_on <= $6) RETURNING uuid`, args...)
		ids, err := db.List("claim deliveries", rows, err, func(into func(...any) error) (id string, err error) { err = into(&id); return id, err })
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			taken[id] = true
		}
		rest = rest[n:]
	}
	out := make([]run, 0, len(runs))
	for _, r := range runs {
		r = slices.DeleteFunc(r, func(d *delivery) bool { return !taken[d.id] })
		for _, d := range r {
			d.tries++
			d.started = now
		}
		if len(r) > 0 {
			out = append(out, r)
		}
	}
	return out, insertAttempts(ctx, tx, slices.Concat(out...))
}

func insertAttempts(ctx context.Context, tx *db.Tx, list []*delivery) error {
	for len(list) > 0 {
		n := chunkOf(len(list))
		args := make([]any, 0, n*4)
		for _, d := range list[:n] {
			args = append(args, d.id, int64(d.tries), redacted(d.url()), d.started.UnixMicro())
		}
		if _, err := tx.Exec(ctx, "INSERT INTO webhook_attempt (delivery, n, url, started_on) VALUES "+db.Values(n, 4), args...); err != nil {
			return fmt.Errorf("insert attempts: %w", err)
		}
		list = list[n:]
	}
	return nil
}

// marksOf adds the ids of deliveries to the arguments of a statement and gives their marks.
func marksOf(list []*delivery, args *[]any) string {
	var b strings.Builder
	for i, d := range list {
		*args = append(*args, d.id)
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(len(*args)))
	}
	return b.String()
}

func deliveriesOf(list []result) []*delivery {
	out := make([]*delivery, len(list))
	for i, r := range list {
		out[i] = r.d
	}
	return out
}

// chunkOf gives the largest of a few sizes that fits, so that statements stay prepared.
func chunkOf(rows int) int {
	for _, size := range []int{64, 16, 4} {
		if rows >= size {
			return size
		}
	}
	return 1
}

// saveAttempts writes what came of attempts.
func saveAttempts(ctx context.Context, tx *db.Tx, list []result) error {
	for len(list) > 0 {
		n := chunkOf(len(list))
		args := make([]any, 0, n*9)
		for _, r := range list[:n] {
			args = append(args, r.d.id, int64(r.d.tries), redacted(r.d.url()), r.d.started.UnixMicro(), r.o.took.Milliseconds(), int64(r.o.status), db.Text(r.o.err),
				db.JSONOf(r.o.header), db.Text(r.o.response))
		}
		_, err := tx.Exec(ctx, "INSERT INTO webhook_attempt (delivery, n, url, started_on, duration_ms, status, error, header, response) VALUES "+db.Values(n, 9)+
			` ON CONFLICT (delivery, n) DO UPDATE SET started_on = excluded.started_on, duration_ms = excluded.duration_ms, status = excluded.status, error = excluded.error, header = excluded.header,
			response = excluded.response`, args...)
		if err != nil {
			return fmt.Errorf("save attempts: %w", err)
		}
		list = list[n:]
	}
	return nil
}

// saveSuccesses ends deliveries that arrived, as far as they are still this node's.
func (s *Service) saveSuccesses(ctx context.Context, tx *db.Tx, list []result, now time.Time) error {
	for len(list) > 0 {
		n := chunkOf(len(list))
		args := []any{now.UnixMicro(), s.node}
		marks := marksOf(deliveriesOf(list[:n]), &args)
		_, err := tx.Exec(ctx, `UPDATE webhook_delivery SET state = 'success', due_on = NULL, owner = NULL, modified_on = $1
			WHERE owner = $2 AND uuid IN (`+marks+")", args...)
		if err != nil {
			return fmt.Errorf("save deliveries: %w", err)
		}
		list = list[n:]
	}
	return nil
}

// saveFailure writes the next try of a delivery, or its end when due is zero, as far as it is still this node's.
func (s *Service) saveFailure(ctx context.Context, tx *db.Tx, d *delivery, n again, now time.Time) error {
	state := "pending"
	if n.due.IsZero() {
		state = "failed"
	}
	_, err := tx.Exec(ctx, `UPDATE webhook_delivery SET state = $1, lane = $2, failures = $3, due_on = $4, not_before = $9, owner = NULL, modified_on = $5,
		block_until = CASE schedule WHEN 'signed' THEN $5 ELSE block_until END WHERE uuid = $6 AND owner = $7 AND tries = $8`,
		state, n.lane, int64(n.failures), db.At(n.due), now.UnixMicro(), d.id, s.node, int64(d.tries), db.At(n.notBefore))
	if err != nil {
		return fmt.Errorf("save delivery: %w", err)
	}
	return nil
}

// unblocked is what block_until becomes of a delivery whose try came to nothing: one that never failed keeps its place before the newer ones of its order, and
// of those that did a signed one holds nothing back. $1 is the present time.
const unblocked = "CASE WHEN failures = 0 AND ord IS NOT NULL THEN NULL WHEN schedule = 'signed' THEN CAST($1 AS BIGINT) ELSE block_until END"

// letGo gives back what this node had in hand and did not send, unless it was declared dead.
func (s *Service) letGo(ctx context.Context, tx *db.Tx, list []*delivery) error {
	if len(list) == 0 {
		return nil
	}
	if err := s.fence(ctx, tx); err != nil {
		return err
	}
	now := s.now()
	for _, d := range list {
		_, err := tx.Exec(ctx, "UPDATE webhook_delivery SET owner = NULL, due_on = $2, planned_on = $2, block_until = "+unblocked+" WHERE uuid = $3 AND owner = $4 AND tries = $5",
			now.UnixMicro(), now.Add(unheldWait).UnixMicro(), d.id, s.node, int64(d.tries))
		if err != nil {
			return fmt.Errorf("let deliveries go: %w", err)
		}
	}
	return nil
}

// putBack makes deliveries of a run what they were before the claim: their turn never came.
func (s *Service) putBack(ctx context.Context, tx *db.Tx, list []*delivery) error {
	if len(list) == 0 {
		return nil
	}
	if err := s.fence(ctx, tx); err != nil {
		return err
	}
	for _, d := range list {
		n, err := tx.Exec(ctx, `UPDATE webhook_delivery SET owner = NULL, due_on = planned_on, tries = tries - 1, tried_on = $1, block_until = $2
			WHERE uuid = $3 AND owner = $4 AND tries = $5 AND due_on IS NOT NULL`, d.tried, d.block, d.id, s.node, int64(d.tries))
		if err != nil {
			return fmt.Errorf("put deliveries back: %w", err)
		}
		if n == 0 { // canceled in the meantime
			continue
		}
		if _, err := tx.Exec(ctx, "DELETE FROM webhook_attempt WHERE delivery = $1 AND n = $2", d.id, int64(d.tries)); err != nil {
			return fmt.Errorf("put deliveries back: %w", err)
		}
	}
	return nil
}

// ownedBy gives what bears a node's name, but for tests, which are in the hands of those who wait for them. Only the ids and tries are there.
func ownedBy(ctx context.Context, tx *db.Tx, node string) ([]*delivery, error) {
	rows, err := tx.Query(ctx, "SELECT uuid, tries FROM webhook_delivery WHERE owner = $1 AND NOT ("+isTrial+")", node)
	return db.List("deliveries in hand", rows, err, func(into func(...any) error) (*delivery, error) {
		d := &delivery{}
		return d, into(&d.id, &d.tries)
	})
}

// isTrial is the condition of a test: a delivery of an endpoint with a body of its own. It is sent once.
const isTrial = "endpoint IS NOT NULL AND body IS NOT NULL"

// takeBack makes due what a node had in hand; tests end.
func takeBack(ctx context.Context, tx *db.Tx, node string, now time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE webhook_delivery SET state = 'failed', owner = NULL, due_on = NULL, modified_on = $1 WHERE owner = $2 AND "+isTrial, now.UnixMicro(), node)
	if err != nil {
		return fmt.Errorf("end tests: %w", err)
	}
	_, err = tx.Exec(ctx, "UPDATE webhook_delivery SET owner = NULL, due_on = $1, planned_on = $1, block_until = "+unblocked+" WHERE owner = $2", now.UnixMicro(), node)
	if err != nil {
		return fmt.Errorf("take back deliveries: %w", err)
	}
	_, err = tx.Exec(ctx, "UPDATE webhook_fanout SET owner = NULL, until = 0 WHERE owner = $1", node)
	if err != nil {
		return fmt.Errorf("take back the fan-out: %w", err)
	}
	return nil
}

// dueLanes gives every lane that something waits in, and when its next delivery is due: one look-up in the index for each lane.
func dueLanes(ctx context.Context, q db.Querier) (map[string]time.Time, error) {
	rows, err := q.Query(ctx, `WITH RECURSIVE l (lane) AS (SELECT min(lane) FROM webhook_delivery WHERE due_on IS NOT NULL UNION ALL
		SELECT (SELECT min(d.lane) FROM webhook_delivery AS d WHERE d.due_on IS NOT NULL AND d.lane > l.lane) FROM l WHERE l.lane IS NOT NULL)
		SELECT lane, (SELECT min(d.due_on) FROM webhook_delivery AS d WHERE d.lane = l.lane AND d.due_on IS NOT NULL) FROM l WHERE lane IS NOT NULL`)
	type row struct {
		lane string
		due  db.Time
	}
	list, err := db.List("lanes", rows, err, func(into func(...any) error) (r row, err error) {
		err = into(&r.lane, &r.due)
		return r, err
	})
	out := make(map[string]time.Time, len(list))
	for _, r := range list {
		out[r.lane] = r.due.Time
	}
	return out, err
}

// backlog counts the deliveries with a try to come and the endpoints that take nothing.
func backlog(ctx context.Context, q db.Querier) (waiting, open int64, err error) {
	err = q.QueryRow(ctx, `SELECT (SELECT count(*) FROM webhook_delivery WHERE due_on IS NOT NULL), (SELECT count(*) FROM webhook_endpoint WHERE is_active AND fails >= $1)`,
		int64(breakAfter)).Scan(&waiting, &open)
	if err != nil {
		return 0, 0, fmt.Errorf("count deliveries: %w", err)
	}
	return waiting, open, nil
}
