package stream

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
)

// What a client is told of a cursor that is none, and of one that no event has yet.
const (
	noCursor     = "not a cursor: want c_ and 16 hex digits, as an event or an answer carried them"
	futureCursor = "cursor is newer than the log: use the cursor of the last event that you saw"
)

// resumable tells whether an account may go on from a cursor. One that the log did not come to yet is a 400, one of another account's event a 404, one older than
// the retention a 410.
func (g *Gate) resumable(ctx context.Context, account string, seq int64) error {
	head, removed, err := g.events.Head(ctx)
	switch {
	case err != nil:
		return err
	case seq > head:
		return fault.Invalid("since", futureCursor, event.FormatCursor(seq))
	case seq < removed:
		return expired(seq, removed)
	case seq == 0:
		return nil
	}
	rows, err := g.events.Read(ctx, event.Query{After: seq - 1, Until: seq, Limit: 1})
	if err == nil && len(rows) == 1 && rows[0].Account != account {
		err = fault.Newf(fault.NotFound, "Cursor not found: use the cursor of an event of this account")
	}
	return err
}

// expired is the fixed answer to a cursor older than the retention, with the way on.
func expired(seq, removed int64) error {
	e := fault.New(fault.CursorExpired)
	advice := fmt.Sprintf("events up to %[1]s were removed: read again what they told of, and go on with %[1]s, which gives all that is left", event.FormatCursor(removed))
	e.Fields = map[string]fault.Field{"since": {Message: advice, Value: event.FormatCursor(seq)}}
	return e
}
