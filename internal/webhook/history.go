package webhook

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
)

// Attempt is one request of a delivery with what came of it.
type Attempt struct {
	N        int
	URL      string
	Started  time.Time
	Duration time.Duration
	Status   int // zero: no answer, or not yet
	Error    string
	Header   map[string]string // of the answer
	Response string            // cut
}

// Delivery is a notification with its history.
type Delivery struct {
	ID, Account, Endpoint, Event string
	Trigger, State               string // state: pending, success, failed, canceled
	Next                         time.Time
	Created, Modified            time.Time
	Attempts                     []Attempt
	Body                         json.RawMessage // in the answer of one delivery; nil when it is no longer kept

	seq int64
	own json.RawMessage // body of its own: of a trial
}

// MessageID is the webhook-id of all attempts.
func (d *Delivery) MessageID() string { return "msg_" + d.Event }

// DeliveryQuery chooses deliveries of an endpoint, newest first.
type DeliveryQuery struct {
	State, Type, Event string
	Take, Skip         int
}

// Deliveries lists those of an endpoint with their attempts, and tells how many there are in all; 404 when the account has no such endpoint.
func (s *Service) Deliveries(ctx context.Context, account, endpoint string, q DeliveryQuery) ([]Delivery, int, error) {
	if _, err := ownedEndpoint(ctx, s.db.Read(), account, endpoint); err != nil {
		return nil, 0, err
	}
	return listDeliveries(ctx, s.db.Read(), endpoint, q)
}

// Delivery reads one with its attempts and its body; 404 when the endpoint has no such delivery.
func (s *Service) Delivery(ctx context.Context, account, endpoint, id string) (Delivery, error) {
	if _, err := ownedEndpoint(ctx, s.db.Read(), account, endpoint); err != nil {
		return Delivery{}, err
	}
	d, err := oneDelivery(ctx, s.db.Read(), endpoint, id)
	if err != nil {
		return d, err
	}
	body, err := s.bodyOf(ctx, &delivery{event: d.Event, seq: d.seq, notice: Notice{Body: d.own}})
	if err == nil {
		d.Body = body
	}
	return d, nil
}

// Replay sends a delivery again: with the same id and body, and a schedule that starts afresh. One that is still under way goes on at once.
func (s *Service) Replay(ctx context.Context, account, endpoint, id string) (Delivery, error) {
	var d Delivery
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		e, err := ownedEndpoint(ctx, tx, account, endpoint)
		if err != nil {
			return err
		}
		if d, err = oneDelivery(ctx, tx, e.ID, id); err != nil {
			return err
		}
		if d.own != nil {
			return fault.Newf(fault.Conflict, "A test is sent once; make another one")
		}
		if err := requeue(ctx, tx, []string{id}, s.now()); err != nil {
			return err
		}
		tx.After(func() { s.hint(e.ID) })
		d, err = oneDelivery(ctx, tx, e.ID, id)
		return err
	})
	return d, err
}

// ReplayQuery chooses deliveries to be sent again.
type ReplayQuery struct {
	From, To time.Time
	Types    []string // empty: all
	State    string
}

// ReplayAll sends deliveries of a time again, but for tests, oldest first, and tells how many; no more than 100,000 at once.
func (s *Service) ReplayAll(ctx context.Context, account, endpoint string, q ReplayQuery) (queued int, err error) {
	if q.To.Before(q.From) {
		return 0, fault.Invalid("created_on_to", "must not be before created_on_from", nil)
	}
	if _, err := ownedEndpoint(ctx, s.db.Read(), account, endpoint); err != nil {
		return 0, err
	}
	from, last := q.From, ""
	for queued < maxReplay {
		var n int
		var at time.Time
		var id string
		err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			list, err := replayable(ctx, tx, endpoint, q, from, last, replayStep)
			n = len(list)
			if err != nil || n == 0 {
				return err
			}
			ids := make([]string, n)
			for i, d := range list {
				ids[i] = d.ID
			}
			at, id = list[n-1].Created, list[n-1].ID
			return requeue(ctx, tx, ids, s.now())
		})
		if err != nil {
			return queued, err
		}
		if queued += n; n < replayStep {
			break
		}
		from, last = at, id
	}
	db.Then(ctx, func(context.Context) { s.hint(endpoint) })
	return queued, nil
}

// Report tells how the deliveries of an event went, for the member delivery_report of the event.
func (s *Service) Report(ctx context.Context, account, event string) (json.RawMessage, error) {
	return reportOf(ctx, s.db.Read(), account, event)
}

// Keep copies the bodies of events up to a time whose deliveries may be sent again: call it before the log forgets them.
func (s *Service) Keep(ctx context.Context, before time.Time) error {
	if s.events == nil {
		return nil
	}
	for {
		list, err := unkept(ctx, s.db.Read(), before, keepStep)
		if err != nil || len(list) == 0 {
			return err
		}
		copies := make([][]byte, len(list))
		for i, d := range list {
			rows, err := s.events.Read(ctx, event.Query{After: d.seq - 1, Until: d.seq, Limit: 1})
			if err != nil {
				return err
			}
			if len(rows) == 1 && rows[0].UUID == d.Event {
				copies[i] = Shorten(rows[0].Type, rows[0].Body)
			}
		}
		upTo := list[len(list)-1].Created
		if len(list) < keepStep {
			upTo = before
		}
		err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return keepBodies(ctx, tx, list, copies, upTo) })
		if err != nil || len(list) < keepStep {
			return err
		}
	}
}

// Trim removes finished deliveries older than a time, in transactions of at most step of them, and gives their number.
func (s *Service) Trim(ctx context.Context, before time.Time, step int) (total int64, err error) {
	for {
		var n int64
		err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			n, err = trimDeliveries(ctx, tx, before, step)
			return err
		})
		if total += n; err != nil || n < int64(step) {
			return total, err
		}
	}
}

// RequestHeader is what an attempt sent, with its signatures masked.
func (d *Delivery) RequestHeader(a Attempt) map[string]string {
	return map[string]string{
		"webhook-id": d.MessageID(), "webhook-timestamp": strconv.FormatInt(a.Started.Unix(), 10), "webhook-signature": "v1," + mask,
		"content-type": "application/json", "x-opentact-event": d.Trigger, "x-opentact-attempt": strconv.Itoa(a.N),
	}
}

// redacted hides credentials of an address in the history.
func redacted(u string) string {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return u
	}
	host, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		return scheme + "://***@" + rest[i+1:]
	}
	return u
}
