package number

import (
	"context"
	"fmt"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
)

var lookupSQL = db.NewBulk("SELECT "+leaseColumns+" FROM tn_lease WHERE tn {in} AND state <> 'released'", 0, "BIGINT")

// ByTNs is ByTN for many numbers; those without a lease are not in the answer.
func (s *Service) ByTNs(ctx context.Context, q db.Querier, tns []e164.Number) (map[e164.Number]Lease, error) {
	out := make(map[e164.Number]Lease, len(tns))
	args := make([]any, len(tns))
	for i, tn := range tns {
		args[i] = tn.Int()
	}
	err := lookupSQL.Query(ctx, q, nil, args, func(scan func(...any) error) error {
		l, err := scanLease(scan)
		out[l.TN] = l
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("leases by number: %w", err)
	}
	return out, nil
}
