package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// fanState is how far the fan-out is, with which endpoints, and who does it.
type fanState struct {
	seq, version int64
	owner        string
	until        time.Time
}

func readFanout(ctx context.Context, q db.Querier) (fanState, error) {
	var st fanState
	var owner db.Text
	var until int64
	err := q.QueryRow(ctx, "SELECT seq, version, owner, until FROM webhook_fanout WHERE one = 1").Scan(&st.seq, &st.version, &owner, &until)
	if err != nil {
		return st, fmt.Errorf("place of the fan-out: %w", err)
	}
	st.owner, st.until = string(owner), time.UnixMicro(until)
	return st, nil
}

// moveFanout moves the place, unless another node has been further than seen, does the fan-out now, or an endpoint changed.
func moveFanout(ctx context.Context, tx *db.Tx, to fanState, seen int64, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `UPDATE webhook_fanout SET seq = $1, owner = $2, until = $3 WHERE one = 1 AND version = $4 AND seq <= $5
		AND (owner IS NULL OR owner = $2 OR until <= $6)`, to.seq, to.owner, to.until.UnixMicro(), to.version, seen, now.UnixMicro())
	if err != nil {
		return false, fmt.Errorf("place of the fan-out: %w", err)
	}
	return n == 1, nil
}

// insertFanned writes the deliveries of events. One that is there already stays as it is.
func insertFanned(ctx context.Context, tx *db.Tx, list []fanned, now time.Time) error {
	const columns = 9
	for len(list) > 0 {
		n := chunkOf(len(list))
		args := []any{now.UnixMicro()}
		var b strings.Builder
		for i, d := range list[:n] {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('(')
			for c := range columns {
				b.WriteString("$" + strconv.Itoa(len(args)+c+1) + ",")
			}
			b.WriteString("'signed','pending',0,0,$1,$1,$1)")
			args = append(args, d.id, d.endpoint.Account, d.endpoint.ID, d.endpoint.ID, orderOf(d), d.row.Seq, d.row.UUID, d.row.Type, d.row.At.UnixMicro())
		}
		text := b.String()
		_, err := tx.Exec(ctx, `INSERT INTO webhook_delivery (uuid, account, lane, endpoint, ord, seq, event, trigger_name, created_on, schedule, state, tries, failures, due_on,
			planned_on, modified_on) VALUES `+text+" ON CONFLICT DO NOTHING", args...)
		if err != nil {
			return fmt.Errorf("insert deliveries: %w", err)
		}
		list = list[n:]
	}
	return nil
}

// orderOf is what deliveries about one object share; one about none has an order of its own.
func orderOf(d fanned) string {
	if d.row.RefID == "" {
		return d.id
	}
	return d.endpoint.ID + d.row.RefID
}

// storedBody gives the copy of an event's body, or nil.
func storedBody(ctx context.Context, q db.Querier, event string) ([]byte, error) {
	var body string
	err := q.QueryRow(ctx, "SELECT body FROM webhook_body WHERE event = $1", event).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("body of event: %w", err)
	}
	return []byte(body), nil
}
