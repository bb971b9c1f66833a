package messaging

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// names makes the arguments of a list.
func names(list []string) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = v
	}
	return args
}

var byRefsSQL = db.NewBulk("SELECT "+messageColumns+" FROM sms WHERE ref {in}", 0, "TEXT")

// byRefs gives messages by the names that carriers gave them.
func byRefs(ctx context.Context, q db.Querier, refs []string) (map[string]*Message, error) {
	out := make(map[string]*Message, len(refs))
	err := byRefsSQL.Query(ctx, q, nil, names(refs), func(scan func(...any) error) error {
		m, err := scanMessage(scan)
		out[m.Ref] = m
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("messages of receipts: %w", err)
	}
	return out, nil
}

var (
	byPartsSQL = db.NewBulk("SELECT ref, sms FROM sms_part WHERE ref {in}", 0, "TEXT")
	byIDsSQL   = db.NewBulk("SELECT "+messageColumns+" FROM sms WHERE uuid {in}", 0, "TEXT")
)

// byParts gives messages by the names of their segments.
func byParts(ctx context.Context, q db.Querier, refs []string) (map[string]*Message, error) {
	owner, byID := map[string]string{}, map[string]*Message{}
	err := byPartsSQL.Query(ctx, q, nil, names(refs), func(scan func(...any) error) error {
		var ref, id string
		err := scan(&ref, &id)
		owner[ref], byID[id] = id, nil
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("segments: %w", err)
	}
	err = byIDsSQL.Query(ctx, q, nil, names(slices.Collect(maps.Keys(byID))), func(scan func(...any) error) error {
		m, err := scanMessage(scan)
		byID[m.ID] = m
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("messages of segments: %w", err)
	}
	out := map[string]*Message{}
	for ref, id := range owner {
		if byID[id] != nil {
			out[ref] = byID[id]
		}
	}
	return out, nil
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

// A message that was remembered must be as it was: its time of modification tells. A reason that is not given stays as it is.
var (
	receiptSQL = db.NewBulk(`UPDATE sms SET state = v.column2, delivered = v.column3, delivered_on = v.column4, reason = v.column5, error = v.column6, operator = v.column7,
		modified_on = v.column8 FROM {rows} AS v WHERE sms.uuid = v.column1 AND sms.state = 'success' AND NOT sms.delivered
		AND (v.column9 IS NULL OR sms.modified_on = v.column9) RETURNING sms.uuid`, 0,
		"TEXT", "TEXT", "BOOLEAN", "BIGINT", "TEXT", "TEXT", "TEXT", "BIGINT", "BIGINT")
	sameReceiptSQL = db.NewBulk(`UPDATE sms SET state = $1, delivered = $2, delivered_on = $3, error = $4, operator = $5, modified_on = $6,
		reason = COALESCE(CAST($7 AS TEXT), reason) WHERE uuid {in} AND state = 'success' AND NOT delivered
		AND (CAST($8 AS BIGINT) IS NULL OR modified_on = CAST($9 AS BIGINT)) RETURNING uuid`, 9, "TEXT")
)

// change is a message that receipts changed.
type change struct {
	m   *Message
	was time.Time // when it was modified before, if it was not read in this transaction
}

// verdict is what a receipt changes. A delivery says nothing about the reason: it stays as it is.
type verdict struct {
	state                   string
	delivered               bool
	at, modified, was       int64
	reason, error, operator string
}

func (c change) verdict() verdict {
	m := c.m
	v := verdict{m.State, m.Delivered, m.DeliveredOn.UnixMicro(), m.Modified.UnixMicro(), c.was.UnixMicro(), m.Reason, m.Error, m.Operator}
	if m.Delivered {
		v.reason = ""
	}
	return v
}

// saveReceipts writes what receipts changed, and tells which messages were still open. Most of a batch say the same: these are written at once.
func saveReceipts(ctx context.Context, tx *db.Tx, list []change) (map[string]bool, error) {
	touched := make(map[string]bool, len(list))
	same := map[verdict][]change{}
	for _, c := range list {
		same[c.verdict()] = append(same[c.verdict()], c)
	}
	var rest []change
	for _, c := range list {
		v := c.verdict()
		alike := same[v]
		delete(same, v)
		if len(alike) < 4 {
			rest = append(rest, alike...)
			continue
		}
		if err := saveAlike(ctx, tx, v, alike, touched); err != nil {
			return nil, err
		}
	}
	return touched, saveUnlike(ctx, tx, rest, touched)
}

func saveAlike(ctx context.Context, tx *db.Tx, v verdict, list []change, touched map[string]bool) error {
	c := list[0]
	fixed := []any{v.state, v.delivered, db.At(c.m.DeliveredOn), db.Text(v.error), db.Text(v.operator), v.modified, db.Text(v.reason), db.At(c.was), db.At(c.was)}
	args := make([]any, len(list))
	for i, x := range list {
		args[i] = x.m.ID
	}
	if err := named(ctx, tx, sameReceiptSQL, touched, fixed, args); err != nil {
		return fmt.Errorf("save receipts: %w", err)
	}
	return nil
}

func saveUnlike(ctx context.Context, tx *db.Tx, list []change, touched map[string]bool) error {
	args := make([]any, 0, 9*len(list))
	for _, c := range list {
		m := c.m
		args = append(args, m.ID, m.State, m.Delivered, db.At(m.DeliveredOn), db.Text(m.Reason), db.Text(m.Error), db.Text(m.Operator), db.At(m.Modified), db.At(c.was))
	}
	if err := named(ctx, tx, receiptSQL, touched, nil, args); err != nil {
		return fmt.Errorf("save receipts: %w", err)
	}
	return nil
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

func scanParked(scan func(...any) error) (parked, error) {
	var p parked
	var r db.JSON[carrier.Receipt]
	var until db.Time
	err := scan(&p.id, &p.ref, &r, &until)
	p.receipt, p.until = r.V, until.Time
	return p, err
}

var takeParkedSQL = db.NewBulk("DELETE FROM sms_receipt WHERE ref {in} RETURNING uuid, ref, receipt, expires_on", 0, "TEXT")

// takeParked removes and gives the receipts of these names, oldest first.
func takeParked(ctx context.Context, tx *db.Tx, refs []string) ([]parked, error) {
	var out []parked
	err := takeParkedSQL.Query(ctx, tx, nil, names(refs), func(scan func(...any) error) error {
		p, err := scanParked(scan)
		out = append(out, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take kept receipts: %w", err)
	}
	return out, nil
}

func listParked(ctx context.Context, tx *db.Tx, n int) ([]parked, error) {
	rows, err := tx.Query(ctx, "SELECT uuid, ref, receipt, expires_on FROM sms_receipt WHERE NOT unknown ORDER BY expires_on"+db.Limit(n, 0)+tx.SkipLocked())
	return db.List("kept receipts", rows, err, scanParked)
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
