package messaging

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/ident"
)

// Sources of an opt-out.
const (
	ByKeyword = "keyword"
	ByAPI     = "api"
)

// OptOut is an entry of the consent ledger: a phone that is not to be texted. Entries are ended, never erased.
type OptOut struct {
	ID      string
	Account string
	Phone   string // digits
	Profile string // empty: the whole account
	Active  bool
	Source  string
	Keyword string
	SMS     string // the message that asked for it
	Reason  string
	Created time.Time
	Ended   time.Time
}

// OptOutFilter chooses entries of the ledger.
type OptOutFilter struct {
	Account                  string
	Phone                    string  // mask
	Profile                  Related // none: of the whole account
	Active                   *bool
	From, To                 time.Time // created
	ModifiedFrom, ModifiedTo time.Time
	Or                       bool
	Order                    []Sort
	Take, Skip               int
}

// CreateOptOut opts a phone out; one that is out already in the same scope keeps its entry, which is given.
func (s *Service) CreateOptOut(ctx context.Context, o OptOut) (OptOut, error) {
	var out OptOut
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if o.Profile != "" {
			if _, err := loadProfile(ctx, tx, o.Account, o.Profile); err != nil {
				return err
			}
		}
		out, err = s.optOut(ctx, tx, o)
		return err
	})
	return out, err
}

func (s *Service) optOut(ctx context.Context, tx *db.Tx, o OptOut) (OptOut, error) {
	o.ID, o.Active, o.Created = ident.New(), true, s.now()
	return saveOptOut(ctx, tx, o)
}

// RemoveOptOut ends an entry; it stays in the ledger.
func (s *Service) RemoveOptOut(ctx context.Context, account, id string) (OptOut, error) {
	var out OptOut
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if out, err = loadOptOut(ctx, tx, account, id); err != nil || !out.Active {
			return err
		}
		out.Active, out.Ended = false, s.now()
		return endOptOut(ctx, tx, out.ID, out.Ended)
	})
	return out, err
}
