package account

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

func (s *Service) addressRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "CreateAddress", Method: "POST", Path: "/rest/address", Tag: "Address", Auth: httpapi.User, Status: 201,
		Summary: "Keep a postal address",
	}, s.httpNewAddress)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAddressListByAccount", Method: "GET", Path: "/rest/address/account", Tag: "Address", Auth: httpapi.User,
		Summary: "Addresses of the account",
	}, s.httpAddresses)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAddressListByUser", Method: "GET", Path: "/rest/address/user", Tag: "Address", Auth: httpapi.User,
		Summary: "Addresses made by the user who asks",
	}, s.httpOwnAddresses)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAddress", Method: "GET", Path: "/rest/address/{uuid}", Tag: "Address", Auth: httpapi.User,
		Summary: "An address",
	}, s.httpAddress)
	httpapi.Handle(a, httpapi.Op{
		ID: "UpdateAddress", Method: "PATCH", Path: "/rest/address/{uuid}", Tag: "Address", Auth: httpapi.User,
		Summary: "Change an address",
	}, s.httpPatchAddress)
	httpapi.Handle(a, httpapi.Op{
		ID: "RemoveAddressByUUID", Method: "DELETE", Path: "/rest/address/{uuid}", Tag: "Address", Auth: httpapi.User,
		Summary: "Remove an address",
	}, s.httpRemoveAddress)
}

// addressListed is Address as an account carries it: scalars.
type addressListed struct {
	UUID       string       `json:"uuid"`
	Name       string       `json:"name"`
	Physical   bool         `json:"is_physical"`
	Billing    bool         `json:"is_billing"`
	Shipping   bool         `json:"is_shipping"`
	Address1   string       `json:"address1"`
	Address2   *string      `json:"address2"`
	ZipCode    string       `json:"zip_code"`
	City       string       `json:"city"`
	CreatedOn  httpapi.Time `json:"created_on"`
	ModifiedOn httpapi.Time `json:"modified_on"`
}

// addressWire is Address.
type addressWire struct {
	addressListed
	Country    json.RawMessage `json:"country"`
	User       *userRef        `json:"user"`
	Account    accountRef      `json:"account"`
	CreatedBy  *userRef        `json:"created_by"`
	ModifiedBy *userRef        `json:"modified_by"`
}

func listedAddress(a *Address) addressListed {
	return addressListed{
		UUID: a.ID, Name: a.Name, Physical: a.Physical, Billing: a.Billing, Shipping: a.Shipping, Address1: a.Address1, Address2: text(a.Address2),
		ZipCode: a.ZipCode, City: a.City, CreatedOn: httpapi.TimeOf(a.CreatedOn), ModifiedOn: httpapi.TimeOf(a.ModifiedOn),
	}
}

// people renders the owners of a list of objects, each once.
type people struct {
	s       *Service
	account accountRef
	users   map[string]*userRef
}

// peopleOf prepares for objects of one account.
func (s *Service) peopleOf(ctx context.Context, account string) (*people, error) {
	a, err := loadAccount(ctx, s.db.Read(), account)
	if err != nil {
		return nil, err
	}
	ref, err := s.accountRef(ctx, s.db.Read(), &a)
	return &people{s: s, account: ref, users: map[string]*userRef{}}, err
}

func (p *people) user(ctx context.Context, id string) (*userRef, error) {
	if id == "" || p.users[id] != nil {
		return p.users[id], nil
	}
	u, err := loadUser(ctx, p.s.db.Read(), id)
	if err != nil {
		return nil, err
	}
	ref := p.s.userRef(&u)
	p.users[id] = &ref
	return &ref, nil
}

// both renders who made and who last changed an object.
func (p *people) both(ctx context.Context, made, changed string) (by, then *userRef, err error) {
	if by, err = p.user(ctx, made); err != nil {
		return nil, nil, err
	}
	then, err = p.user(ctx, changed)
	return by, then, err
}

func (s *Service) addressView(ctx context.Context, p *people, a *Address) (addressWire, error) {
	by, then, err := p.both(ctx, a.CreatedBy, a.ModifiedBy)
	return addressWire{addressListed: listedAddress(a), Country: s.CountryView(a.Country), User: by, Account: p.account, CreatedBy: by, ModifiedBy: then}, err
}

// oneAddress renders an address as the payload itself, unless there was a fault.
func (s *Service) oneAddress(ctx context.Context, a Address, err error) (addressWire, error) {
	if err != nil {
		return addressWire{}, err
	}
	p, err := s.peopleOf(ctx, a.Account)
	if err != nil {
		return addressWire{}, err
	}
	return s.addressView(ctx, p, &a)
}

func (s *Service) manyAddresses(ctx context.Context, user string, w httpapi.List) ([]addressWire, error) {
	account := httpapi.Who(ctx).Account
	list, err := s.Addresses(ctx, account, user)
	if err != nil {
		return nil, err
	}
	p, err := s.peopleOf(ctx, account)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, w, list, func(a *Address) (addressWire, error) { return s.addressView(ctx, p, a) })
}

type addressNew struct {
	Name     string  `json:"name" required:"true" minLength:"1" maxLength:"24"`
	Physical bool    `json:"is_physical" default:"true"`
	Billing  bool    `json:"is_billing" default:"true"`
	Shipping bool    `json:"is_shipping" default:"true"`
	Address1 string  `json:"address1" required:"true" minLength:"1" maxLength:"255"`
	Address2 *string `json:"address2" maxLength:"255"`
	ZipCode  string  `json:"zip_code" required:"true" minLength:"1" maxLength:"12" lenient:"true"`
	City     string  `json:"city" required:"true" minLength:"1" maxLength:"255"`
	Country  string  `json:"country" required:"true" format:"a2"`
}

func (s *Service) httpNewAddress(ctx context.Context, in *addressNew) (addressWire, error) {
	a, err := s.AddAddress(ctx, asker(httpapi.Who(ctx)), AddressPatch{
		Name: &in.Name, Physical: &in.Physical, Billing: &in.Billing, Shipping: &in.Shipping,
		Address1: &in.Address1, Address2: in.Address2, ZipCode: &in.ZipCode, City: &in.City, Country: &in.Country,
	})
	return s.oneAddress(ctx, a, err)
}

func (s *Service) httpAddresses(ctx context.Context, in *httpapi.List) ([]addressWire, error) {
	return s.manyAddresses(ctx, "", *in)
}

func (s *Service) httpOwnAddresses(ctx context.Context, in *httpapi.List) ([]addressWire, error) {
	return s.manyAddresses(ctx, httpapi.Who(ctx).User, *in)
}

func (s *Service) httpAddress(ctx context.Context, in *userPath) (addressWire, error) {
	a, err := s.Address(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.oneAddress(ctx, a, err)
}

type addressPatch struct {
	UUID     string              `path:"uuid" format:"uuid"`
	Name     httpapi.Opt[string] `json:"name" minLength:"1" maxLength:"24" notnull:"true"`
	Physical httpapi.Opt[bool]   `json:"is_physical" notnull:"true"`
	Billing  httpapi.Opt[bool]   `json:"is_billing" notnull:"true"`
	Shipping httpapi.Opt[bool]   `json:"is_shipping" notnull:"true"`
	Address1 httpapi.Opt[string] `json:"address1" minLength:"1" maxLength:"255" notnull:"true"`
	Address2 httpapi.Opt[string] `json:"address2" maxLength:"255"`
	ZipCode  httpapi.Opt[string] `json:"zip_code" minLength:"1" maxLength:"12" lenient:"true" notnull:"true"`
	City     httpapi.Opt[string] `json:"city" minLength:"1" maxLength:"255" notnull:"true"`
	Country  httpapi.Opt[string] `json:"country" format:"a2" notnull:"true"`
}

func (s *Service) httpPatchAddress(ctx context.Context, in *addressPatch) (addressWire, error) {
	a, err := s.ChangeAddress(ctx, asker(httpapi.Who(ctx)), in.UUID, AddressPatch{
		Name: newValue(in.Name), Physical: newValue(in.Physical), Billing: newValue(in.Billing),
		Shipping: newValue(in.Shipping), Address1: newValue(in.Address1), Address2: newValue(in.Address2), ZipCode: newValue(in.ZipCode), City: newValue(in.City), Country: newValue(in.Country),
	})
	return s.oneAddress(ctx, a, err)
}

func (s *Service) httpRemoveAddress(ctx context.Context, in *userPath) (addressWire, error) {
	a, err := s.RemoveAddress(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.oneAddress(ctx, a, err)
}

func (s *Service) hoursRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAccountOfficeHoursList", Method: "GET", Path: "/rest/account/office_hours", Tag: "Account", Auth: httpapi.User,
		Summary: "Office hours of the account",
	}, s.httpHoursList)
	httpapi.Handle(a, httpapi.Op{
		ID: "CreateAccountOfficeHours", Method: "POST", Path: "/rest/account/office_hours", Tag: "Account", Auth: httpapi.User, Status: 201,
		Summary: "Add office hours",
	}, s.httpNewHours)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAccountOfficeHours", Method: "GET", Path: "/rest/account/office_hours/{uuid}", Tag: "Account", Auth: httpapi.User,
		Summary: "One entry of the office hours",
	}, s.httpHours)
	httpapi.Handle(a, httpapi.Op{
		ID: "UpdateAccountOfficeHours", Method: "PATCH", Path: "/rest/account/office_hours/{uuid}", Tag: "Account", Auth: httpapi.User,
		Summary: "Change an entry of the office hours",
	}, s.httpPatchHours)
	httpapi.Handle(a, httpapi.Op{
		ID: "RemoveAccountOfficeHoursByUUID", Method: "DELETE", Path: "/rest/account/office_hours/{uuid}", Tag: "Account", Auth: httpapi.User,
		Summary: "Remove an entry of the office hours",
	}, s.httpRemoveHours)
}

// hoursWire is OfficeHours.
type hoursWire struct {
	UUID       string       `json:"uuid"`
	Name       *string      `json:"name"`
	Type       string       `json:"type" enum:"nonworking,lunchtime,coffeebreak,weekends"`
	DOW        string       `json:"dow" enum:"sun,mon,tue,wed,thu,fri,sat"`
	TimeFrom   int64        `json:"time_from" doc:"second of the day, in the account's time zone"`
	TimeTo     int64        `json:"time_to"`
	Account    accountRef   `json:"account"`
	CreatedBy  *userRef     `json:"created_by"`
	ModifiedBy *userRef     `json:"modified_by"`
	CreatedOn  httpapi.Time `json:"created_on"`
	ModifiedOn httpapi.Time `json:"modified_on"`
}

func hoursView(ctx context.Context, p *people, h *OfficeHours) (hoursWire, error) {
	by, then, err := p.both(ctx, h.CreatedBy, h.ModifiedBy)
	return hoursWire{
		UUID: h.ID, Name: text(h.Name), Type: h.Type, DOW: h.Weekday, TimeFrom: int64(h.From / time.Second), TimeTo: int64(h.To / time.Second),
		Account: p.account, CreatedBy: by, ModifiedBy: then, CreatedOn: httpapi.TimeOf(h.CreatedOn), ModifiedOn: httpapi.TimeOf(h.ModifiedOn),
	}, err
}

func (s *Service) oneHours(ctx context.Context, h OfficeHours, err error) (hoursWire, error) {
	if err != nil {
		return hoursWire{}, err
	}
	p, err := s.peopleOf(ctx, h.Account)
	if err != nil {
		return hoursWire{}, err
	}
	return hoursView(ctx, p, &h)
}

type hoursList struct {
	httpapi.List
	DOW string `query:"dow" enum:"sun,mon,tue,wed,thu,fri,sat"`
}

func (s *Service) httpHoursList(ctx context.Context, in *hoursList) ([]hoursWire, error) {
	account := httpapi.Who(ctx).Account
	list, err := s.Hours(ctx, account, in.DOW)
	if err != nil {
		return nil, err
	}
	p, err := s.peopleOf(ctx, account)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, in.List, list, func(h *OfficeHours) (hoursWire, error) { return hoursView(ctx, p, h) })
}

type hoursNew struct {
	Name     *string `json:"name" maxLength:"255"`
	Type     string  `json:"type" required:"true" enum:"nonworking,lunchtime,coffeebreak,weekends"`
	DOW      string  `json:"dow" required:"true" enum:"sun,mon,tue,wed,thu,fri,sat"`
	TimeFrom int64   `json:"time_from" required:"true" min:"0" max:"86400"`
	TimeTo   int64   `json:"time_to" required:"true" min:"0" max:"86400"`
}

// Validate checks that the span is one.
func (in *hoursNew) Validate(f *fault.Fields) { checkSpan(f, in.TimeFrom, in.TimeTo) }

// checkSpan leaves an end of 0 to the rules: it also stands for one that is missing, or was refused already.
func checkSpan(f *fault.Fields, from, to int64) {
	if to > 0 && from >= to {
		f.Add("time_from", "must be before time_to", from)
	}
}

// seconds is a number of seconds as a duration; nil stays nil.
func seconds(n *int64) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}

func (s *Service) httpNewHours(ctx context.Context, in *hoursNew) (hoursWire, error) {
	h, err := s.AddHours(ctx, asker(httpapi.Who(ctx)), HoursPatch{Name: in.Name, Type: &in.Type, Weekday: &in.DOW, From: seconds(&in.TimeFrom), To: seconds(&in.TimeTo)})
	return s.oneHours(ctx, h, err)
}

func (s *Service) httpHours(ctx context.Context, in *userPath) (hoursWire, error) {
	h, err := s.OfficeHours(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.oneHours(ctx, h, err)
}

type hoursPatch struct {
	UUID     string              `path:"uuid" format:"uuid"`
	Name     httpapi.Opt[string] `json:"name" maxLength:"255"`
	Type     httpapi.Opt[string] `json:"type" enum:"nonworking,lunchtime,coffeebreak,weekends" notnull:"true"`
	DOW      httpapi.Opt[string] `json:"dow" enum:"sun,mon,tue,wed,thu,fri,sat" notnull:"true"`
	TimeFrom httpapi.Opt[int64]  `json:"time_from" min:"0" max:"86400" notnull:"true"`
	TimeTo   httpapi.Opt[int64]  `json:"time_to" min:"0" max:"86400" notnull:"true"`
}

// Validate checks that the span is one, when both ends are given.
func (in *hoursPatch) Validate(f *fault.Fields) {
	if in.TimeFrom.Set && in.TimeTo.Set {
		checkSpan(f, in.TimeFrom.V, in.TimeTo.V)
	}
}

func (s *Service) httpPatchHours(ctx context.Context, in *hoursPatch) (hoursWire, error) {
	h, err := s.ChangeHours(ctx, asker(httpapi.Who(ctx)), in.UUID, HoursPatch{
		Name: newValue(in.Name), Type: newValue(in.Type), Weekday: newValue(in.DOW),
		From: seconds(newValue(in.TimeFrom)), To: seconds(newValue(in.TimeTo)),
	})
	return s.oneHours(ctx, h, err)
}

func (s *Service) httpRemoveHours(ctx context.Context, in *userPath) (hoursWire, error) {
	h, err := s.RemoveHours(ctx, httpapi.Who(ctx).Account, in.UUID)
	return s.oneHours(ctx, h, err)
}
