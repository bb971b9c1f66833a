package messaging

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// jointRef names the message that a segment belongs to, between one pair of numbers.
func jointRef(c *gsm.Concat) string {
	return strconv.Itoa(int(c.Ref)) + "/" + strconv.Itoa(int(c.Total)) + "/" + strconv.FormatBool(c.Wide)
}

// insertFragment keeps a segment and tells whether it is the first one of its message; a double changes nothing.
func insertFragment(ctx context.Context, tx *db.Tx, joint string, in carrier.Inbound, now time.Time) (first bool, err error) {
	if tx.Engine() == db.Postgres { // two segments at the same time must see each other
		if _, err := tx.Exec(ctx, "UPDATE sms_gate SET claims = claims + 1 WHERE one = 1"); err != nil {
			return false, fmt.Errorf("keep segment: %w", err)
		}
	}
	var before int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM sms_fragment WHERE joint = $1", joint).Scan(&before); err != nil {
		return false, fmt.Errorf("segments of an inbound message: %w", err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO sms_fragment (joint, seq, total, inbound, created_on) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (joint, seq) DO NOTHING",
		joint, int64(in.Concat.Seq), int64(in.Concat.Total), db.JSONOf(in), db.At(now))
	if err != nil {
		return false, fmt.Errorf("keep segment: %w", err)
	}
	return before == 0, nil
}

// fragments gives the segments of a message that are there, in order.
func fragments(ctx context.Context, tx *db.Tx, joint string) ([]carrier.Inbound, error) {
	rows, err := tx.Query(ctx, "SELECT inbound FROM sms_fragment WHERE joint = $1 ORDER BY seq", joint)
	if err != nil {
		return nil, fmt.Errorf("segments of an inbound message: %w", err)
	}
	defer rows.Close()
	var out []carrier.Inbound
	for rows.Next() {
		var in db.JSON[carrier.Inbound]
		if err := rows.Scan(&in); err != nil {
			return nil, fmt.Errorf("segments of an inbound message: %w", err)
		}
		out = append(out, in.V)
	}
	return out, rows.Err()
}

func removeFragments(ctx context.Context, tx *db.Tx, joint string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM sms_fragment WHERE joint = $1", joint); err != nil {
		return fmt.Errorf("remove segments: %w", err)
	}
	return nil
}

// mayReply takes the thread's turn for an automatic reply, when the last one is long enough ago.
func mayReply(ctx context.Context, tx *db.Tx, thread string, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `INSERT INTO sms_auto_reply (thread, at) VALUES ($1, $2) ON CONFLICT (thread) DO UPDATE SET at = excluded.at WHERE sms_auto_reply.at <= $3`,
		thread, now.UnixMicro(), now.Add(-replyPause).UnixMicro())
	if err != nil {
		return false, fmt.Errorf("automatic reply: %w", err)
	}
	return n == 1, nil
}
