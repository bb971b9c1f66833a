package messaging

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// gateSQL chooses the row that nodes lock while they claim.
const gateSQL = "SELECT 1 FROM sms_gate WHERE one = 1"

// claim takes up to n due messages into this node's hands, oldest first. A message waits for all older ones of its thread: those in somebody's hands or put
// off are not due, and those that are due come before it in this batch. Rows below floor are not looked at: PostgreSQL may read all of the table from there on.
func claim(ctx context.Context, tx *db.Tx, node, floor string, now time.Time, n int) ([]*Message, error) {
	if tx.Engine() == db.Postgres {
		if err := tx.Lock(ctx, "sms gate", gateSQL); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, gateSQL+tx.ForUpdate()); err != nil { // Lock leaves it to a transaction's only function
			return nil, fmt.Errorf("claim messages: %w", err)
		}
	}
	return collect(ctx, tx, `UPDATE sms SET state = 'sending', due_on = $1, node = $2 WHERE uuid IN (
		SELECT j.uuid FROM sms AS j WHERE j.due_on <= $3 AND j.uuid >= $4
		AND NOT EXISTS (SELECT 1 FROM sms AS e WHERE e.thread = j.thread AND e.due_on IS NOT NULL AND e.uuid < j.uuid AND e.due_on > $3)
		ORDER BY j.uuid`+db.Limit(n, 0)+`) RETURNING `+messageColumns,
		now.Add(submitLease).UnixMicro(), node, now.UnixMicro(), floor)
}

var busySQL = db.NewBulk("SELECT v.column1 FROM {rows} AS v WHERE EXISTS (SELECT 1 FROM sms WHERE sms.thread = v.column1 AND sms.due_on IS NOT NULL)", 0, "TEXT")

// busyThreads gives the threads of messages that have another one in the queue, or in somebody's hands.
func busyThreads(ctx context.Context, tx *db.Tx, list []*Message) (map[string]bool, error) {
	busy := map[string]bool{}
	args := make([]any, len(list))
	for i, m := range list {
		args[i] = m.Thread
	}
	if err := named(ctx, tx, busySQL, busy, nil, args); err != nil {
		return nil, fmt.Errorf("busy threads: %w", err)
	}
	return busy, nil
}

// oldestQueued gives the least uuid, from floor on, of what waits or is in somebody's hands; empty when there is none.
func oldestQueued(ctx context.Context, q db.Querier, floor string) (string, error) {
	var id db.Text
	err := q.QueryRow(ctx, "SELECT min(uuid) FROM sms WHERE due_on IS NOT NULL AND uuid >= $1", floor).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("oldest message in the queue: %w", err)
	}
	return string(id), nil
}

// takeBack makes due what this node had in hand when it ended.
func takeBack(ctx context.Context, tx *db.Tx, node string, now time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE sms SET state = 'created', due_on = $1, node = NULL WHERE due_on IS NOT NULL AND state = 'sending' AND node = $2", now.UnixMicro(), node)
	if err != nil {
		return fmt.Errorf("take back messages: %w", err)
	}
	return nil
}

// named runs a statement and collects the names that it gives, such as the uuids of the rows that it touched.
func named(ctx context.Context, tx *db.Tx, b *db.Bulk, into map[string]bool, fixed, args []any) error {
	return b.Query(ctx, tx, fixed, args, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		into[name] = true
		return err
	})
}

var handledSQL = db.NewBulk(`UPDATE sms SET state = v.column2, due_on = v.column3, attempt = v.column4, reason = v.column5, error = v.column6, reference_id = v.column7,
	link = v.column8, ref = v.column9, sent_on = v.column10, modified_on = v.column11, price = v.column12, node = NULL
	FROM {rows} AS v WHERE sms.uuid = v.column1 AND sms.state = 'sending' AND sms.node = $1 RETURNING sms.uuid`, 1,
	"TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT")

// takenSQL is handledSQL for messages that one link took at one time, as most do.
var takenSQL = db.NewBulk(`UPDATE sms SET state = 'success', due_on = NULL, node = NULL, link = CAST($1 AS TEXT), sent_on = CAST($2 AS BIGINT), modified_on = CAST($3 AS BIGINT),
	reason = v.column2, reference_id = v.column3, ref = v.column4 FROM {rows} AS v
	WHERE sms.uuid = v.column1 AND sms.state = 'sending' AND sms.node = CAST($4 AS TEXT) RETURNING sms.uuid`, 4, "TEXT", "TEXT", "TEXT", "TEXT")

// saveHandled writes what became of messages that this node had in hand, and tells which of them it still had.
func saveHandled(ctx context.Context, tx *db.Tx, node string, list []*Message) (map[string]bool, error) {
	touched := make(map[string]bool, len(list))
	type way struct {
		link string
		at   int64
	}
	taken := map[way][]*Message{}
	var rest []*Message
	for _, m := range list {
		if m.State != Success {
			rest = append(rest, m)
			continue
		}
		w := way{m.Link, m.Modified.UnixMicro()}
		taken[w] = append(taken[w], m)
	}
	for w, mine := range taken {
		args := make([]any, 0, 4*len(mine))
		for _, m := range mine {
			args = append(args, m.ID, db.Text(m.Reason), db.Text(m.ReferenceID), db.Text(m.Ref))
		}
		if err := named(ctx, tx, takenSQL, touched, []any{db.Text(w.link), w.at, w.at, node}, args); err != nil {
			return nil, fmt.Errorf("save taken messages: %w", err)
		}
	}
	args := make([]any, 0, 12*len(rest))
	for _, m := range rest {
		args = append(args, m.ID, m.State, db.At(m.Due), int64(m.Attempt), db.Text(m.Reason), db.Text(m.Error), db.Text(m.ReferenceID), db.Text(m.Link), db.Text(m.Ref),
			db.At(m.Sent), db.At(m.Modified), int64(m.Price))
	}
	if err := named(ctx, tx, handledSQL, touched, []any{node}, args); err != nil {
		return nil, fmt.Errorf("save results: %w", err)
	}
	return touched, nil
}

// part is a segment of a message with several.
type part struct{ ref, sms string }

var partsSQL = db.NewBulk("INSERT INTO sms_part (ref, sms, delivered) {values} ON CONFLICT (ref) DO NOTHING", 0, "TEXT", "TEXT", "BOOLEAN")

func insertParts(ctx context.Context, tx *db.Tx, list []part) error {
	args := make([]any, 0, 3*len(list))
	for _, p := range list {
		args = append(args, p.ref, p.sms, false)
	}
	if _, err := partsSQL.Exec(ctx, tx, nil, args); err != nil {
		return fmt.Errorf("insert segments: %w", err)
	}
	return nil
}

// cancel fails what still waits: the message itself, or the waiting ones of a bulk request.
func cancel(ctx context.Context, tx *db.Tx, id string, at time.Time) ([]*Message, error) {
	return collect(ctx, tx, `UPDATE sms SET state = 'failed', due_on = NULL, error = 'canceled', reason = $1, modified_on = $2
		WHERE (uuid = $3 OR parent = $3) AND type = 'smso' AND state = 'created' RETURNING `+messageColumns, errorTitles["canceled"], db.At(at), id)
}

// cancelSender fails what waits to be sent from a number.
func cancelSender(ctx context.Context, tx *db.Tx, sender string, at time.Time) ([]*Message, error) {
	return collect(ctx, tx, `UPDATE sms SET state = 'failed', due_on = NULL, error = 'no_sender', reason = $1, modified_on = $2
		WHERE uuid IN (SELECT j.uuid FROM sms AS j WHERE j.due_on IS NOT NULL AND j.sender = $3 AND j.state = 'created' AND j.type = 'smso')
		AND state = 'created' RETURNING `+messageColumns, errorTitles["no_sender"], db.At(at), sender)
}

// unhealthy gives the account's numbers whose last 50 final messages of 24 hours have under 50 % delivered or over 20 % carrier rejections.
func unhealthy(ctx context.Context, q db.Querier, account string, now time.Time) (map[string]bool, error) {
	rows, err := q.Query(ctx, `SELECT sender, state, delivered, error FROM sms WHERE account = $1 AND created_on >= $2 AND type = 'smso' AND (state = 'failed' OR delivered)
		ORDER BY uuid DESC LIMIT 20000`, account, now.Add(-24*time.Hour).UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("health of numbers: %w", err)
	}
	defer rows.Close()
	type tally struct{ n, delivered, rejected int }
	all := map[string]*tally{}
	for rows.Next() {
		var sender, state, code db.Text
		var delivered bool
		if err := rows.Scan(&sender, &state, &delivered, &code); err != nil {
			return nil, fmt.Errorf("health of numbers: %w", err)
		}
		t := all[string(sender)]
		if t == nil {
			t = &tally{}
			all[string(sender)] = t
		}
		if t.n == 50 {
			continue
		}
		t.n++
		if delivered {
			t.delivered++
		}
		if code == "carrier_rejected" {
			t.rejected++
		}
	}
	sick := map[string]bool{}
	for n, t := range all {
		sick[n] = t.n >= 20 && (t.delivered*100 < t.n*50 || t.rejected*100 > t.n*20)
	}
	return sick, rows.Err()
}

// noReceipt notes on messages handed over long ago that nothing was heard of them.
func noReceipt(ctx context.Context, tx *db.Tx, from, to string, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE sms SET reason = 'No receipt', modified_on = $1 WHERE uuid BETWEEN $2 AND $3 AND type = 'smso' AND state = 'success'
		AND delivered = $4 AND reason <> 'No receipt'`, now.UnixMicro(), from, to, false)
	if err != nil {
		return fmt.Errorf("note missing receipts: %w", err)
	}
	return nil
}
