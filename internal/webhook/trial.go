package webhook

import (
	"context"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
)

// Test sends a sample event of a type once, now, and gives what came of it. It tells nothing about the endpoint's health and is not tried again. It is one of the
// requests that the endpoint may get at once, and waits for its turn.
func (s *Service) Test(ctx context.Context, account, id, typ string) (Delivery, error) {
	e, err := ownedEndpoint(ctx, s.db.Read(), account, id)
	if err != nil {
		return Delivery{}, err
	}
	leave, err := s.slots.enter(ctx, e.ID, laneWidth)
	if err != nil {
		return Delivery{}, err
	}
	defer leave()
	now := s.now()
	d := &delivery{
		id: ident.New(), lane: e.ID, event: ident.New(), endpoint: e, tries: 1, started: now, planned: now,
		notice: Notice{Account: account, Trigger: typ, Schedule: Signed, Key: s.node},
	}
	body, known := Sample(typ, d.event, account, now)
	if !known {
		return Delivery{}, fault.Invalid("type", "is no type of an event", typ)
	}
	d.notice.Body = body
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := openGate(ctx, tx); err != nil {
			return err
		}
		hands, err := inHand(ctx, tx, s.node)
		if err != nil {
			return err
		}
		if has := hands[e.ID]; has.others > 0 && has.own+has.others >= laneWidth {
			return fault.New(fault.RateLimited)
		}
		return insertTrial(ctx, tx, d, now)
	})
	if err != nil {
		return Delivery{}, err
	}
	o, err := s.send(ctx, d)
	if err != nil {
		o.err = "Canceled"
	}
	save, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer cancel()
	err = s.persist(save, "save test delivery", func(ctx context.Context, tx *db.Tx) error {
		list := []result{{d: d, o: o, sent: true}}
		if err := saveAttempts(ctx, tx, list); err != nil {
			return err
		}
		if o.good() {
			return s.saveSuccesses(ctx, tx, list, s.now())
		}
		return s.saveFailure(ctx, tx, d, again{lane: d.lane, failures: len(schedules[Signed].quick)}, s.now())
	})
	if err != nil {
		return Delivery{}, err
	}
	return s.Delivery(save, account, id, d.id)
}
