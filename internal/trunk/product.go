package trunk

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
)

// DefaultProduct is the product of profiles that name no other.
const DefaultProduct = 1

// Types of products.
const (
	Public  = "public"
	Private = "private"
)

// Product decides rate table and route plan of calls.
type Product struct {
	ID          int
	Name        string
	Description string
	Type        string // Public, Private
	Account     string // owner of a private one
	TechPrefix  int
	RateTable   int
	RoutePlan   int
	Created     time.Time
	Modified    time.Time
}

// Products lists the public products and the account's private ones, newest first.
func (s *Service) Products(ctx context.Context, q db.Querier, account string) ([]Product, error) {
	return products(ctx, q, account)
}

// Product gives a product that the account may use, or a 404 "SIP product not found".
func (s *Service) Product(ctx context.Context, q db.Querier, account string, id int) (Product, error) {
	p, err := productByID(ctx, q, id)
	if err == nil && p.Type == Private && p.Account != account {
		return Product{}, fault.Missing("SIP product")
	}
	return p, err
}

// AddProduct keeps a new product under the next free id.
func (s *Service) AddProduct(ctx context.Context, p Product) (Product, error) {
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if err := s.checkProduct(ctx, p); err != nil {
			return err
		}
		p.ID, p.Created = 0, time.Time{}
		p, err = putProduct(ctx, tx, p, s.now())
		return err
	})
	return p, err
}

// ChangeProduct changes a product by change, which may run more than once.
func (s *Service) ChangeProduct(ctx context.Context, id int, change func(*Product)) (Product, error) {
	var p Product
	err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if p, err = productByID(ctx, tx, id); err != nil {
			return err
		}
		change(&p)
		if err := s.checkProduct(ctx, p); err != nil {
			return err
		}
		p, err = putProduct(ctx, tx, p, s.now())
		return err
	})
	return p, err
}

func (s *Service) checkProduct(ctx context.Context, p Product) error {
	switch {
	case p.Type == Private && p.Account == "":
		return fault.Invalid("account", "a private product needs an account", nil)
	case p.Type == Public && p.Account != "":
		return fault.Invalid("account", "a public product has no account", p.Account)
	case p.Account == "":
		return nil
	}
	_, err := s.accounts.Cached(ctx, p.Account)
	return err
}
