package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/test/scenario/house"
)

// seen is one event as a reader got it.
type seen struct {
	cursor string
	sum    uint64 // of its bytes
}

// follower reads every event of the account over the websocket. It asks again from the last cursor whenever its connection ends, and some
// followers end it themselves now and then.
type follower struct {
	nodes *nodes
	notes *notes
	name  string
	seed  maphash.Seed
	from  string     // cursor before the first event
	fuss  *rand.Rand // when the follower leaves by itself; nil never

	mu     sync.Mutex
	events []seen
	own    map[string]uint64 // events of its own sign-ins by cursor: each came as the first frame of a connection, ahead of others
	calm   bool              // it does not leave by itself any more
	joins  int
}

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		err := f.listen(ctx, n)
		var late *lateError
		if errors.As(err, &late) {
			f.notes.complain("%s: %v", f.name, err)
		}
		wait(ctx, retryPause)
	}
}

// lateError is an event that should not have come.
type lateError struct{ cursor, last string }

func (e *lateError) Error() string { return fmt.Sprintf("event %s came after %s", e.cursor, e.last) }

// listen reads one connection to its end.
func (f *follower) listen(ctx context.Context, n int) error {
	if f.fussy() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 200*time.Millisecond+time.Duration(f.fuss.Int64N(int64(3*time.Second))))
		defer cancel()
	}
	conn, _, err := websocket.Dial(ctx, "ws"+f.nodes.client(n).Base[len("http"):]+"/", nil)
	if err != nil {
		return err
	}
	defer conn.CloseNow() //nolint:errcheck // the server may have closed it
	conn.SetReadLimit(4 << 20)
	last := f.last()
	for _, frame := range []map[string]any{
		{"type": "auth", "payload": house.Token},
		{"type": "subscribe", "payload": map[string]any{"types": []string{"*"}, "since": last}},
	} {
		b, err := json.Marshal(frame)
		if err != nil {
			return err
		}
		if err := conn.Write(ctx, websocket.MessageText, b); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.joins++
	f.mu.Unlock()
	for first := true; ; first = false {
		b, err := f.read(ctx, conn)
		if err != nil {
			return err
		}
		if !json.Valid(b) { // the library takes a connection that ends within a frame for the end of the frame
			if _, err := f.read(ctx, conn); err != nil {
				return err
			}
		}
		if err := f.take(b, first); err != nil {
			return err
		}
	}
}

// read gives up on a connection that is silent: a frozen server does not end it, and a client's ping is not answered either.
func (f *follower) read(ctx context.Context, conn *websocket.Conn) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, silenceLimit)
	defer cancel()
	_, b, err := conn.Read(ctx)
	return b, err
}

// take notes one frame. The first of a connection is the answer to the sign-in, which is an event of the log.
func (f *follower) take(b []byte, first bool) error {
	var e struct {
		Cursor  string          `json:"cursor"`
		Type    string          `json:"type"`
		Success *bool           `json:"success"`
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(b, &e); err != nil {
		f.notes.complain("%s: a frame is no JSON: %v", f.name, err)
		return err
	}
	if e.Cursor == "" {
		if e.Success != nil && !*e.Success {
			f.notes.complain("%s: %s refused: %s", f.name, e.Type, e.Message)
		}
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if first {
		f.own[e.Cursor] = maphash.Bytes(f.seed, b)
		return nil
	}
	if n := len(f.events); n > 0 && e.Cursor <= f.events[n-1].cursor {
		return &lateError{e.Cursor, f.events[n-1].cursor}
	}
	f.events = append(f.events, seen{e.Cursor, maphash.Bytes(f.seed, b)})
	return nil
}

func (f *follower) fussy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fuss != nil && !f.calm
}

// calmDown ends the follower's own departures: each sign-in is an event, and the log would never be quiet.
func (f *follower) calmDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calm = true
}

// signedIn tells whether an event is a sign-in of this follower.
func (f *follower) signedIn(cursor string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.own[cursor]
	return ok
}

// last is the cursor of the last event.
func (f *follower) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.events); n > 0 {
		return f.events[n-1].cursor
	}
	return f.from
}

// all gives every event; nobody adds to them any more.
func (f *follower) all() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events
}
