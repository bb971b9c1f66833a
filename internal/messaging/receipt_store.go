package messaging

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// marksFrom gives the places of n arguments, the first of which has a number.
func marksFrom(first, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteByte("(,"[min(i, 1)])
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
	return b.String() + ")"
}

// inList runs a query for pieces of a list; the query ends with "IN ".
func inList(list []string, fn func(marks string, args []any) error) error {
	return chunks(list, func(some []string) error {
		args := make([]any, len(some))
		for i, v := range some {
			args[i] = v
		}
		return fn(db.Values(1, len(some)), args)
	})
}

// byRefs gives messages by the names that carriers gave them.
func byRefs(ctx context.Context, q db.Querier, refs []string) (map[string]*Message, error) {
	out := make(map[string]*Message, len(refs))
	err := inList(refs, func(marks string, args []any) error {
		list, err := queryMessages(ctx, q, "WHERE ref IN "+marks, args...)
		for _, m := range list {
			out[m.Ref] = m
		}
		return err
	})
	return out, err
}

// byParts gives messages by the names of their segments.
func byParts(ctx context.Context, q db.Querier, refs []string) (map[string]*Message, error) {
	owner := map[string]string{}
	err := inList(refs, func(marks string, args []any) error {
		rows, err := q.Query(ctx, "SELECT ref, sms FROM sms_part WHERE ref IN "+marks, args...)
		if err != nil {
			return fmt.Errorf("segments: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var ref, id string
			if err := rows.Scan(&ref, &id); err != nil {
				return err
			}
			owner[ref] = id
		}
		return rows.Err()
	})
	out := map[string]*Message{}
	byID := map[string]*Message{}
	for ref, id := range owner {
		if byID[id] == nil {
			m, err := scanMessage(q.QueryRow(ctx, "SELECT "+messageColumns+" FROM sms WHERE uuid = $1", id).Scan)
			if err != nil {
				return nil, fmt.Errorf("message of a segment: %w", err)
			}
			byID[id] = m
		}
		out[ref] = byID[id]
	}
	return out, err
}

// deliverPart notes that a segment arrived and tells whether all have.
func deliverPart(ctx context.Context, tx *db.Tx, ref, sms string) (whole bool, err error) {
	// The message's row is the lock of its segments: two receipts at the same time must not both see the other's segment missing.
	if tx.Engine() == db.Postgres {
		if _, err := tx.Exec(ctx, "SELECT uuid FROM sms WHERE uuid = $1"+tx.ForUpdate(), sms); err != nil {
			return false, fmt.Errorf("lock message: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, "UPDATE sms_part SET delivered = $1 WHERE ref = $2", true, ref); err != nil {
		return false, fmt.Errorf("segment arrived: %w", err)
	}
	var left int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM sms_part WHERE sms = $1 AND delivered = $2", sms, false).Scan(&left); err != nil {
		return false, fmt.Errorf("segments left: %w", err)
	}
	return left == 0, nil
}

var receiptSQL = typed(`UPDATE sms SET state = v.column2, delivered = v.column3, delivered_on = v.column4, reason = v.column5, error = v.column6, operator = v.column7,
	modified_on = v.column8 FROM (VALUES `, `) AS v WHERE sms.uuid = v.column1 AND sms.state = 'success' AND NOT sms.delivered RETURNING sms.uuid`,
	"TEXT", "TEXT", "BOOLEAN", "BIGINT", "TEXT", "TEXT", "TEXT", "BIGINT")

var sameReceiptSQL = func() texts {
	out := texts{}
	for _, size := range chunkSizes {
		out[size] = "UPDATE sms SET state = $1, delivered = $2, delivered_on = $3, reason = $4, error = $5, operator = $6, modified_on = $7 WHERE uuid IN " +
			marksFrom(8, size) + " AND state = 'success' AND NOT delivered RETURNING uuid"
	}
	return out
}()

// verdict is what a receipt changes.
type verdict struct {
	state                   string
	delivered               bool
	at, modified            int64
	reason, error, operator string
}

// saveReceipts writes what receipts changed, and tells which messages were still open. Most of a batch say the same: these are written at once.
func saveReceipts(ctx context.Context, tx *db.Tx, list []*Message) (map[string]bool, error) {
	touched := make(map[string]bool, len(list))
	same := map[verdict][]*Message{}
	for _, m := range list {
		v := verdict{m.State, m.Delivered, m.DeliveredOn.UnixMicro(), m.Modified.UnixMicro(), m.Reason, m.Error, m.Operator}
		same[v] = append(same[v], m)
	}
	var rest []*Message
	for _, m := range list {
		v := verdict{m.State, m.Delivered, m.DeliveredOn.UnixMicro(), m.Modified.UnixMicro(), m.Reason, m.Error, m.Operator}
		alike := same[v]
		delete(same, v)
		if len(alike) < 4 {
			rest = append(rest, alike...)
			continue
		}
		if err := saveAlike(ctx, tx, alike, touched); err != nil {
			return nil, err
		}
	}
	return touched, saveUnlike(ctx, tx, rest, touched)
}

func saveAlike(ctx context.Context, tx *db.Tx, list []*Message, touched map[string]bool) error {
	m := list[0]
	return chunks(list, func(some []*Message) error {
		args := append(make([]any, 0, 7+len(some)), m.State, m.Delivered, db.At(m.DeliveredOn), db.Text(m.Reason), db.Text(m.Error), db.Text(m.Operator), db.At(m.Modified))
		for _, x := range some {
			args = append(args, x.ID)
		}
		if err := returned(ctx, tx, touched, sameReceiptSQL[len(some)], args...); err != nil {
			return fmt.Errorf("save receipts: %w", err)
		}
		return nil
	})
}

func saveUnlike(ctx context.Context, tx *db.Tx, list []*Message, touched map[string]bool) error {
	return chunks(list, func(some []*Message) error {
		args := make([]any, 0, 8*len(some))
		for _, m := range some {
			args = append(args, m.ID, m.State, m.Delivered, db.At(m.DeliveredOn), db.Text(m.Reason), db.Text(m.Error), db.Text(m.Operator), db.At(m.Modified))
		}
		err := returned(ctx, tx, touched, receiptSQL[len(some)], args...)
		if err != nil {
			return fmt.Errorf("save receipts: %w", err)
		}
		return nil
	})
}

func insertParked(ctx context.Context, tx *db.Tx, ref string, r carrier.Receipt, until time.Time) error {
	_, err := tx.Exec(ctx, "INSERT INTO sms_receipt (uuid, ref, receipt, expires_on, unknown) VALUES ($1, $2, $3, $4, $5)", ident.New(), ref, db.JSONOf(r), db.At(until), false)
	if err != nil {
		return fmt.Errorf("keep receipt: %w", err)
	}
	return nil
}

// anyParked tells whether receipts wait; it is asked at each hand-over, so it is one look at an index that is mostly empty.
func anyParked(ctx context.Context, q db.Querier) (bool, error) {
	var n int
	if err := q.QueryRow(ctx, "SELECT count(*) FROM (SELECT 1 FROM sms_receipt WHERE NOT unknown LIMIT 1) AS one").Scan(&n); err != nil {
		return false, fmt.Errorf("kept receipts: %w", err)
	}
	return n > 0, nil
}

// parked is a receipt that waits for its message.
type parked struct {
	id, ref string
	receipt carrier.Receipt
	until   time.Time
}

func parkedRows(ctx context.Context, q db.Querier, query string, args ...any) ([]parked, error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("kept receipts: %w", err)
	}
	defer rows.Close()
	var out []parked
	for rows.Next() {
		var p parked
		var r db.JSON[carrier.Receipt]
		var until db.Time
		if err := rows.Scan(&p.id, &p.ref, &r, &until); err != nil {
			return nil, fmt.Errorf("kept receipts: %w", err)
		}
		p.receipt, p.until = r.V, until.Time
		out = append(out, p)
	}
	return out, rows.Err()
}

// takeParked removes and gives the receipts of these names, oldest first.
func takeParked(ctx context.Context, tx *db.Tx, refs []string) ([]parked, error) {
	var out []parked
	err := inList(refs, func(marks string, args []any) error {
		list, err := parkedRows(ctx, tx, "DELETE FROM sms_receipt WHERE ref IN "+marks+" RETURNING uuid, ref, receipt, expires_on", args...)
		out = append(out, list...)
		return err
	})
	return out, err
}

func listParked(ctx context.Context, tx *db.Tx, n int) ([]parked, error) {
	return parkedRows(ctx, tx, "SELECT uuid, ref, receipt, expires_on FROM sms_receipt WHERE NOT unknown ORDER BY expires_on"+db.Limit(n, 0)+tx.SkipLocked())
}

func removeParked(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM sms_receipt WHERE uuid = $1", id); err != nil {
		return fmt.Errorf("remove kept receipt: %w", err)
	}
	return nil
}

func giveUpParked(ctx context.Context, tx *db.Tx, id string) error {
	if _, err := tx.Exec(ctx, "UPDATE sms_receipt SET unknown = $1 WHERE uuid = $2", true, id); err != nil {
		return fmt.Errorf("give up receipt: %w", err)
	}
	return nil
}

// byPair gives the one message of a number pair that was handed over within a minute of a receipt's time; nil when none or several fit.
func byPair(ctx context.Context, q db.Querier, r carrier.Receipt) (*Message, error) {
	if r.From == "" || r.To == "" {
		return nil, nil
	}
	list, err := queryMessages(ctx, q, "WHERE sender = $1 AND recipient = $2 AND link = $3 AND sent_on BETWEEN $4 AND $5 AND uuid >= $6 AND state = 'success' AND NOT delivered LIMIT 2",
		r.From, r.To, r.Link, r.At.Add(-pairWindow).UnixMicro(), r.At.Add(pairWindow).UnixMicro(), firstID(r.At.Add(-50*time.Hour)))
	if err != nil || len(list) != 1 {
		return nil, err
	}
	return list[0], nil
}
