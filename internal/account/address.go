package account

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// Address is a postal address of an account.
type Address struct {
	ID         string
	Account    string
	Name       string
	Physical   bool
	Billing    bool
	Shipping   bool
	Address1   string
	Address2   string
	ZipCode    string
	City       string
	Country    string // ISO 3166-1 alpha-2
	CreatedBy  string
	ModifiedBy string
	CreatedOn  time.Time
	ModifiedOn time.Time
}

// AddressPatch makes or changes an address; nil members stay.
type AddressPatch struct {
	Name, Address1, Address2, ZipCode, City, Country *string
	Physical, Billing, Shipping                      *bool
}

func (s *Service) applyAddress(a *Address, p AddressPatch) error {
	var f fault.Fields
	set(p.Name, &a.Name, func(v string) { length(&f, "name", v, 1, 24) })
	set(p.Address1, &a.Address1, func(v string) { length(&f, "address1", v, 1, maxAddress) })
	set(p.Address2, &a.Address2, func(v string) { length(&f, "address2", v, 0, maxAddress) })
	set(p.ZipCode, &a.ZipCode, func(v string) { length(&f, "zip_code", v, 1, maxZip) })
	set(p.City, &a.City, func(v string) { length(&f, "city", v, 1, maxAddress) })
	for _, m := range []struct{ from, to *bool }{{p.Physical, &a.Physical}, {p.Billing, &a.Billing}, {p.Shipping, &a.Shipping}} {
		if m.from != nil {
			*m.to = *m.from
		}
	}
	set(p.Country, &a.Country, func(v string) { checkCountries(&f, "country", []string{v}) })
	if err := f.Err(); err != nil {
		return err
	}
	if s.parts.Dictionary != nil && s.parts.Dictionary.Country(a.Country) == nil || s.parts.Dictionary == nil && s.countries[a.Country].name == "" {
		return fault.New(fault.NotFound)
	}
	return nil
}

// AddAddress keeps an address made by the asker; fault.NotFound for a country that the dictionary does not know.
func (s *Service) AddAddress(ctx context.Context, by Asker, p AddressPatch) (Address, error) {
	now := s.now()
	a := Address{ID: newID(), Account: by.Account, Physical: true, Billing: true, Shipping: true, CreatedBy: by.User, CreatedOn: now, ModifiedOn: now}
	if err := s.applyAddress(&a, p); err != nil {
		return Address{}, err
	}
	return a, s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return insertAddress(ctx, tx, &a) })
}

// Addresses lists those of an account, newest first; by a user only those that the user made.
func (s *Service) Addresses(ctx context.Context, account, user string) ([]Address, error) {
	return addressesOf(ctx, s.db.Read(), account, user)
}

// Address reads one of the account's.
func (s *Service) Address(ctx context.Context, account, id string) (Address, error) {
	return addressOf(ctx, s.db.Read(), account, id)
}

// ChangeAddress changes an address of the asker's account.
func (s *Service) ChangeAddress(ctx context.Context, by Asker, id string, p AddressPatch) (Address, error) {
	var out Address
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		a, err := addressOf(ctx, tx, by.Account, id)
		if err != nil {
			return err
		}
		if err := s.applyAddress(&a, p); err != nil {
			return err
		}
		a.ModifiedBy, a.ModifiedOn = by.User, s.now()
		out = a
		return saveAddress(ctx, tx, &a)
	})
	return out, err
}

// RemoveAddress removes an address of the account and gives it.
func (s *Service) RemoveAddress(ctx context.Context, account, id string) (Address, error) {
	var out Address
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if out, err = addressOf(ctx, tx, account, id); err != nil {
			return err
		}
		return removeAddress(ctx, tx, account, id)
	})
	return out, err
}
