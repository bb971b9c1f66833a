package number

import (
	"context"
	"strconv"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
)

// place is an area code of the sandbox inventory.
type place struct {
	npa                                         int
	country, province, city, center, postalCode string
}

var places = []place{
	{212, "US", "NY", "New York", "NWYRCYZN01", "10001"},
	{718, "US", "NY", "Brooklyn", "NWYRCYZN05", "11201"},
	{617, "US", "MA", "Boston", "BOSTON", "02108"},
	{215, "US", "PA", "Philadelphia", "PHILA", "19102"},
	{202, "US", "DC", "Washington", "WSHNGTNZN1", "20001"},
	{404, "US", "GA", "Atlanta", "ATLANTA", "30303"},
	{305, "US", "FL", "Miami", "MIAMI", "33101"},
	{312, "US", "IL", "Chicago", "CHICAGO", "60601"},
	{313, "US", "MI", "Detroit", "DETROITZN1", "48201"},
	{612, "US", "MN", "Minneapolis", "TWINCITIES", "55401"},
	{512, "US", "TX", "Austin", "AUSTIN", "78701"},
	{713, "US", "TX", "Houston", "HOUSTON", "77002"},
	{303, "US", "CO", "Denver", "DENVER", "80202"},
	{602, "US", "AZ", "Phoenix", "PHOENIX", "85003"},
	{206, "US", "WA", "Seattle", "SEATTLE", "98101"},
	{503, "US", "OR", "Portland", "PORTLAND", "97204"},
	{415, "US", "CA", "San Francisco", "SNFC CNTRL", "94102"},
	{213, "US", "CA", "Los Angeles", "LSAN DA 01", "90012"},
	{416, "CA", "ON", "Toronto", "TORONTO", "M5H 2N2"},
	{514, "CA", "QC", "Montreal", "MONTREAL", "H2Y 1C6"},
	{604, "CA", "BC", "Vancouver", "VANCOUVER", "V5K 0A1"},
	{403, "CA", "AB", "Calgary", "CALGARY", "T2P 2M5"},
	{613, "CA", "ON", "Ottawa", "OTTAWAHULL", "K1P 1J1"},
	{902, "CA", "NS", "Halifax", "HALIFAX", "B3J 1S9"},
}

var tollFreeCodes = []int{800, 833, 844, 855, 866, 877, 888}

const (
	perPlace    = 80
	perTollFree = 20
)

// Seed fills an empty inventory with the sandbox's numbers: the same ones in every installation, so that examples in documents hold. Exchange 555 and exchanges
// that end in 11 are left out.
func (s *Service) Seed(ctx context.Context, tx *db.Tx) error {
	if n, err := inventorySize(ctx, tx); err != nil || n > 0 {
		return err
	}
	local, err := s.billing.Plan(ctx, tx, billing.DefaultPlan)
	if err != nil {
		return err
	}
	free, err := s.billing.Plan(ctx, tx, billing.TollFreePlan)
	if err != nil {
		return err
	}
	now := s.now()
	base := TN{Kind: "long_code", Plan: local.UUID, State: "available", Features: Features{Voice: true, SMS: true, MMS: true, Fax: true}, Source: "sandbox", Created: now, Modified: now}
	var list []TN
	for _, p := range places {
		for i := range perPlace {
			t := base
			t.Country, t.Province, t.City, t.RateCenter, t.PostalCode = p.country, p.province, p.city, p.center, p.postalCode
			t.Number = generated(p.npa, i)
			list = append(list, t)
		}
	}
	base.Kind, base.Plan, base.Country = "toll_free", free.UUID, "US"
	for _, npa := range tollFreeCodes {
		for i := range perTollFree {
			t := base
			t.Number = generated(npa, i)
			list = append(list, t)
		}
	}
	_, err = insertTNs(ctx, tx, list)
	return err
}

// generated gives the i-th number of an area code: spread over exchanges by a fixed multiplicative walk, no two alike for i below 100.
func generated(npa, i int) e164.Number {
	exchange := 220 + (i*37+npa)%700
	if exchange%100 == 11 || exchange == 555 {
		exchange++
	}
	line := 1000 + (i*617+npa*13)%9000
	return e164.Number("1" + strconv.Itoa(npa*1e7+exchange*1e4+line))
}
