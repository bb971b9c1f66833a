package messaging

import (
	"context"
	"fmt"
	"strings"
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

// chunks calls fn with pieces of few different sizes, so that their statements stay prepared. A piece between two sizes is filled up with its last item:
// fn's statement must do the same for one that comes again.
func chunks[T any](list []T, fn func([]T) error) error {
	most := chunkSizes[len(chunkSizes)-1]
	for len(list) > 0 {
		n := min(len(list), most)
		size := most
		for _, s := range chunkSizes {
			if s >= n {
				size = s
				break
			}
		}
		piece := list[:n]
		if n < size {
			piece = make([]T, size)
			for i := copy(piece, list[:n]); i < size; i++ {
				piece[i] = list[n-1]
			}
		}
		if err := fn(piece); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// chunkSizes are the lengths of the pieces that chunks makes.
var chunkSizes = []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256}

// texts are the statements of one question for each length of a piece.
type texts map[int]string

// typed makes the statements whose list of values stands between head and tail. The parameters have their SQL types: PostgreSQL cannot guess them in a
// joined list.
func typed(head, tail string, types ...string) texts {
	out := texts{}
	for _, size := range chunkSizes {
		var b strings.Builder
		b.WriteString(head)
		for r := range size {
			if r > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('(')
			for c, t := range types {
				if c > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "CAST($%d AS %s)", r*len(types)+c+1, t)
			}
			b.WriteByte(')')
		}
		b.WriteString(tail)
		out[size] = b.String()
	}
	return out
}

// untyped makes the statements of inserts, whose columns give the types.
func untyped(head string, columns int, tail string) texts {
	out := texts{}
	for _, size := range chunkSizes {
		out[size] = head + db.Values(size, columns) + tail
	}
	return out
}

// returned collects the uuids that a statement touched.
func returned(ctx context.Context, tx *db.Tx, into map[string]bool, query string, args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		into[id] = true
	}
	return rows.Err()
}

var handledSQL = typed(`UPDATE sms SET state = v.column2, due_on = v.column3, attempt = v.column4, reason = v.column5, error = v.column6, reference_id = v.column7,
	link = v.column8, ref = v.column9, sent_on = v.column10, modified_on = v.column11, price = v.column12, node = NULL FROM (VALUES `,
	`) AS v WHERE sms.uuid = v.column1 AND sms.state = 'sending' AND sms.node = v.column13 RETURNING sms.uuid`,
	"TEXT", "TEXT", "BIGINT", "BIGINT", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "TEXT")

// saveHandled writes what became of messages that this node had in hand, and tells which of them it still had.
func saveHandled(ctx context.Context, tx *db.Tx, node string, list []*Message) (map[string]bool, error) {
	touched := make(map[string]bool, len(list))
	err := chunks(list, func(part []*Message) error {
		args := make([]any, 0, len(part)*13+1)
		for _, m := range part {
			args = append(args, m.ID, m.State, db.At(m.Due), int64(m.Attempt), db.Text(m.Reason), db.Text(m.Error), db.Text(m.ReferenceID), db.Text(m.Link), db.Text(m.Ref),
				db.At(m.Sent), db.At(m.Modified), int64(m.Price), node)
		}
		err := returned(ctx, tx, touched, handledSQL[len(part)], args...)
		if err != nil {
			return fmt.Errorf("save results: %w", err)
		}
		return nil
	})
	return touched, err
}

// part is a segment of a message with several.
type part struct{ ref, sms string }

func insertParts(ctx context.Context, tx *db.Tx, list []part) error {
	return chunks(list, func(some []part) error {
		args := make([]any, 0, 3*len(some))
		for _, p := range some {
			args = append(args, p.ref, p.sms, false)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO sms_part (ref, sms, delivered) VALUES "+db.Values(len(some), 3)+" ON CONFLICT (ref) DO NOTHING", args...); err != nil {
			return fmt.Errorf("insert segments: %w", err)
		}
		return nil
	})
}

// cancel fails what still waits: the message itself, or the waiting ones of a bulk request.
func cancel(ctx context.Context, tx *db.Tx, id string, at time.Time) ([]*Message, error) {
	return collect(ctx, tx, `UPDATE sms SET state = 'failed', due_on = NULL, error = 'canceled', reason = $1, modified_on = $2
		WHERE (uuid = $3 OR parent = $3) AND type = 'smso' AND state = 'created' RETURNING `+messageColumns, errorTitles["canceled"], db.At(at), id)
}

// lastContact gives the own number that last exchanged a message with a phone, or "".
func lastContact(ctx context.Context, q db.Querier, profile, far string, since time.Time) (near string, err error) {
	err = q.QueryRow(ctx, "SELECT COALESCE(max(near), '') FROM sms_contact WHERE profile = $1 AND far = $2 AND at >= $3", profile, far, since.UnixMicro()).Scan(&near)
	if err != nil {
		return "", fmt.Errorf("last contact: %w", err)
	}
	return near, nil
}

func saveContact(ctx context.Context, tx *db.Tx, profile, far, near string, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO sms_contact (profile, far, near, at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (profile, far) DO UPDATE SET near = excluded.near, at = excluded.at`, profile, far, near, at.UnixMicro())
	if err != nil {
		return fmt.Errorf("save contact: %w", err)
	}
	return nil
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
