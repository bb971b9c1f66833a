package webhook

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/ident"
)

// feed keeps the newest events of accounts with endpoints as the relay of the log gives them, so that they need not be read back.
type feed struct {
	mu       sync.Mutex      // guards those below
	accounts map[string]bool // that have endpoints
	from, to int64           // rows holds all events of those accounts after from, up to to
	rows     []event.Row
	bytes    int
}

// follow starts afresh with other accounts.
func (f *feed) follow(accounts map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accounts, f.from, f.rows, f.bytes = accounts, f.to, nil, 0
}

// add takes an event and tells whether it may concern an endpoint. When too much waits it is dropped: the fan-out reads the log then.
func (f *feed) add(r event.Row) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.to != r.Seq-1 {
		f.from, f.rows, f.bytes = r.Seq-1, nil, 0
	}
	f.to = r.Seq
	if !f.accounts[r.Account] {
		return false
	}
	if len(f.rows) >= fanBuffer || f.bytes+len(r.Body) > fanBytes {
		f.from, f.rows, f.bytes = r.Seq, nil, 0
		return true
	}
	f.rows = append(f.rows, r)
	f.bytes += len(r.Body)
	return true
}

// after gives the events after a place, at most n, and up to where that is all; ok is false when the feed does not reach back so far.
func (f *feed) after(place int64, n int) (rows []event.Row, to int64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.rows) > 0 && f.rows[0].Seq <= place {
		f.bytes -= len(f.rows[0].Body)
		f.from = f.rows[0].Seq
		f.rows = f.rows[1:]
	}
	if place < f.from || place >= f.to {
		return nil, 0, false
	}
	if len(f.rows) <= n {
		return f.rows[:len(f.rows):len(f.rows)], f.to, true
	}
	return f.rows[:n:n], f.rows[n-1].Seq, true
}

// observe is the log's subscriber.
func (s *Service) observe(r event.Row) {
	if s.feed.add(r) {
		nudge(s.news)
	}
}

// errMoved says that another node moved on, or that an endpoint changed, in the middle of a step.
var errMoved = errors.New("webhook: the fan-out has moved")

// fan is what the fan-out of this node knows; it belongs to its goroutine.
type fan struct {
	s       *Service
	place   int64 // no endpoint of this version misses an event up to here
	version int64 // of endpoints; -1: not read
	byOwner map[string][]*Endpoint
	noted   time.Time // when the place was written
}

// fanOut makes deliveries of events until ctx ends. One node does it at a time: the others look again after its lease.
func (s *Service) fanOut(ctx context.Context) {
	f := &fan{s: s, version: -1}
	tick := time.NewTicker(s.pollEvery)
	defer tick.Stop()
	for {
		for more := true; more && ctx.Err() == nil; {
			var err error
			if more, err = f.step(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("fan-out of events", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.news:
		case <-tick.C:
		}
	}
}

// step handles the next events; more tells that there may be some left.
func (f *fan) step(ctx context.Context) (more bool, err error) {
	st, err := readFanout(ctx, f.s.db.Read())
	if err != nil {
		return false, err
	}
	if st.owner != "" && st.owner != f.s.node && st.until.After(f.s.now()) {
		return false, nil
	}
	if st.version != f.version {
		if err := f.load(ctx, st.version); err != nil {
			return false, err
		}
	}
	f.place = max(f.place, st.seq)
	rows, to, err := f.collect(ctx)
	if err != nil || to <= f.place {
		return false, err
	}
	// Endpoints that were made before one of these events was committed are known after this look.
	if again, err := readFanout(ctx, f.s.db.Read()); err != nil || again.version != f.version {
		return err == nil, err
	}
	list, to := f.match(rows, to)
	if len(list) == 0 {
		f.place = to
		if now := f.s.now(); now.Sub(f.noted) < fanLazy {
			return true, nil
		}
	}
	err = f.write(ctx, list, to)
	if errors.Is(err, errMoved) {
		f.version, f.place = -1, 0
		return true, nil
	}
	return err == nil, err
}

// load reads the endpoints again.
func (f *fan) load(ctx context.Context, version int64) error {
	list, err := activeEndpoints(ctx, f.s.db.Read())
	if err != nil {
		return err
	}
	f.version, f.byOwner = version, map[string][]*Endpoint{}
	accounts := map[string]bool{}
	for _, e := range list {
		f.byOwner[e.Account] = append(f.byOwner[e.Account], e)
		accounts[e.Account] = true
	}
	f.s.feed.follow(accounts)
	return nil
}

// collect gives the events after the present place, from memory when they are there, and up to where that is all.
func (f *fan) collect(ctx context.Context) ([]event.Row, int64, error) {
	if rows, to, ok := f.s.feed.after(f.place, fanBatch); ok {
		return rows, to, nil
	}
	head, _, err := f.s.events.Head(ctx)
	if err != nil || head <= f.place || len(f.byOwner) == 0 {
		return nil, head, err
	}
	rows, err := f.s.events.Read(ctx, event.Query{After: f.place, Limit: fanBatch})
	if err != nil {
		return nil, 0, err
	}
	if len(rows) < fanBatch {
		return rows, max(head, lastSeq(rows)), nil
	}
	return rows, lastSeq(rows), nil
}

func lastSeq(rows []event.Row) int64 {
	if len(rows) == 0 {
		return 0
	}
	return rows[len(rows)-1].Seq
}

// fanned is a delivery to be made.
type fanned struct {
	id       string
	endpoint *Endpoint
	row      event.Row
}

// match gives the deliveries of some events, about as many as fit one transaction, and up to where that is all.
func (f *fan) match(rows []event.Row, to int64) ([]fanned, int64) {
	var out []fanned
	for i, r := range rows {
		for _, e := range f.byOwner[r.Account] {
			if e.wants(r) {
				out = append(out, fanned{ident.New(), e, r})
			}
		}
		if len(out) >= fanBatch && i+1 < len(rows) {
			return out, r.Seq
		}
	}
	return out, to
}

// write inserts deliveries and moves the place of the log, together or not at all.
func (f *fan) write(ctx context.Context, list []fanned, to int64) error {
	s := f.s
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.fence(ctx, tx); err != nil {
			return err
		}
		now := s.now()
		moved, err := moveFanout(ctx, tx, fanState{seq: to, version: f.version, owner: s.node, until: now.Add(fanLease)}, f.place, now)
		if err != nil {
			return err
		}
		if !moved {
			return errMoved
		}
		failpoint.Hit("webhook.fanned")
		return insertFanned(ctx, tx, list, now)
	})
	if err != nil {
		return err
	}
	f.place, f.noted = to, s.now()
	lanes := map[string]struct{}{}
	for _, d := range list {
		s.bodies.put(d.row.UUID, Shorten(d.row.Type, d.row.Body))
		lanes[d.endpoint.ID] = struct{}{}
	}
	for l := range lanes {
		s.hint(l)
	}
	return nil
}
