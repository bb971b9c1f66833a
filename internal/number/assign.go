package number

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/db"
)

// Target is where calls to a number lead: one of the two.
type Target struct{ App, Connection string }

// Assign ties leases (by uuid or number) to a voice target and unties others, all or nothing, and gives the leases that are tied now.
func (s *Service) Assign(ctx context.Context, tx *db.Tx, by By, to Target, add, remove []string) ([]Lease, error) {
	if (to.App == "") == (to.Connection == "") {
		return nil, fmt.Errorf("number: no single voice target: %+v", to)
	}
	for _, key := range remove {
		l, err := lockByKey(ctx, tx, by.Account, key)
		if err != nil {
			return nil, err
		}
		if (Target{l.App, l.Connection}) != to {
			continue
		}
		l.App, l.Connection = "", ""
		if err := s.changed(ctx, tx, by, &l); err != nil {
			return nil, err
		}
	}
	for _, key := range add {
		l, err := lockByKey(ctx, tx, by.Account, key)
		if err != nil {
			return nil, err
		}
		if (Target{l.App, l.Connection}) == to {
			continue
		}
		l.App, l.Connection, l.SIPUser = to.App, to.Connection, ""
		if err := s.changed(ctx, tx, by, &l); err != nil {
			return nil, err
		}
	}
	return tied(ctx, tx, by.Account, to)
}
