package account

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// Bounds of a user's scratch data.
const (
	maxCartPayload = 64 << 10 // bytes
	maxCartEntries = 1000     // of a user
)

// CartEntry is scratch data of a user's programs.
type CartEntry struct {
	ID         string
	User       string
	Payload    json.RawMessage
	TTL        time.Duration
	ExpiredOn  time.Time
	CreatedOn  time.Time
	ModifiedOn time.Time
}

// Cart lists a user's entries that are not over, newest first.
func (s *Service) Cart(ctx context.Context, user string) ([]CartEntry, error) {
	return cartOf(ctx, s.db.Read(), user, s.now())
}

// AddToCart keeps an entry for ttl.
func (s *Service) AddToCart(ctx context.Context, user string, payload json.RawMessage, ttl time.Duration) (CartEntry, error) {
	if err := checkCart(payload, ttl); err != nil {
		return CartEntry{}, err
	}
	now := s.now()
	e := CartEntry{ID: newID(), User: user, Payload: payload, TTL: ttl, ExpiredOn: now.Add(ttl), CreatedOn: now, ModifiedOn: now}
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		n, err := cartSize(ctx, tx, user)
		if err != nil {
			return err
		}
		if n >= maxCartEntries {
			return fault.Newf(fault.Conflict, "The cart is full")
		}
		return insertCart(ctx, tx, &e)
	})
	return e, err
}

func checkCart(payload json.RawMessage, ttl time.Duration) error {
	var f fault.Fields
	checkPayload(&f, payload)
	if ttl < minTTL {
		f.Add("ttl", "must be at least 60 seconds", int64(ttl/time.Second))
	}
	return f.Err()
}

func checkPayload(f *fault.Fields, payload json.RawMessage) {
	if len(payload) > maxCartPayload {
		f.Add("payload", "must have at most 64 KiB", nil)
	}
}

// ChangeCart changes an entry; a nil payload or a zero ttl stays as it was. A given ttl begins now.
func (s *Service) ChangeCart(ctx context.Context, user, id string, payload json.RawMessage, ttl time.Duration) (CartEntry, error) {
	var out CartEntry
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		e, err := cartEntry(ctx, tx, user, id, s.now())
		if err != nil {
			return err
		}
		e.ModifiedOn = s.now()
		if payload != nil {
			e.Payload = payload
		}
		if ttl != 0 {
			e.TTL, e.ExpiredOn = ttl, e.ModifiedOn.Add(ttl)
		}
		if err := checkCart(e.Payload, e.TTL); err != nil {
			return err
		}
		out = e
		return saveCart(ctx, tx, &e)
	})
	return out, err
}

// TakeFromCart removes an entry and gives it.
func (s *Service) TakeFromCart(ctx context.Context, user, id string) (CartEntry, error) {
	var out CartEntry
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if out, err = cartEntry(ctx, tx, user, id, s.now()); err != nil {
			return err
		}
		return removeCart(ctx, tx, user, id)
	})
	return out, err
}

// ClearCart removes all entries of a user.
func (s *Service) ClearCart(ctx context.Context, user string) error {
	return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return removeCart(ctx, tx, user, "") })
}
