package account

import (
	"context"
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

func (s *Service) accountRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAccount", Method: "GET", Path: "/rest/account", Tag: "Account", Auth: httpapi.User,
		Summary: "The account with everything that belongs to it",
	}, s.httpAccount)
	httpapi.Handle(a, httpapi.Op{
		ID: "UpdateAccount", Method: "PATCH", Path: "/rest/account", Tag: "Account", Auth: httpapi.AccountAdmin,
		Summary: "Change the account's record",
	}, s.httpPatchAccount)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetAccountByUUID", Method: "GET", Path: "/rest/account/{uuid}", Tag: "Account", Auth: httpapi.User,
		Summary: "The account, by its uuid",
	}, s.httpAccountByID)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetUsersByAccount", Method: "GET", Path: "/rest/account/user", Tag: "Account", Auth: httpapi.User,
		Summary: "Users of the account, the deactivated ones too",
	}, s.httpUsers)
	httpapi.Handle(a, httpapi.Op{
		ID: "AddUserToAccount", Method: "POST", Path: "/rest/account/user", Tag: "Account", Auth: httpapi.AccountAdmin, Status: 201, Secret: true, Keeps: true,
		Summary: "Add a user",
	}, s.httpAddUser)
	httpapi.Handle(a, httpapi.Op{
		ID: "ReactivateUserAccountByUUID", Method: "PUT", Path: "/rest/account/user/{uuid}", Tag: "Account", Auth: httpapi.AccountAdmin,
		Summary: "Let a deactivated user in again",
	}, s.httpReactivate)
	httpapi.Handle(a, httpapi.Op{
		ID: "DeactivateUserAccountByUUID", Method: "DELETE", Path: "/rest/account/user/{uuid}", Tag: "Account", Auth: httpapi.AccountAdmin,
		Summary: "Deactivate a user: JWTs and API tokens end",
	}, s.httpDeactivate)
	httpapi.Handle(a, httpapi.Op{
		ID: "GetNotification", Method: "GET", Path: "/rest/account/notification", Tag: "Account", Auth: httpapi.User,
		Summary: "What the account wants to be told of",
	}, s.httpNotification)
	httpapi.Handle(a, httpapi.Op{
		ID: "UpdateNotification", Method: "PATCH", Path: "/rest/account/notification", Tag: "Account", Auth: httpapi.User,
		Summary: "Change what the account wants to be told of",
	}, s.httpPatchNotification)
}

func (s *Service) httpAccount(ctx context.Context, _ *struct{}) (accountWire, error) {
	a, err := loadAccount(ctx, s.db.Read(), httpapi.Who(ctx).Account)
	return s.whole(ctx, a, err)
}

// whole renders an account as the payload itself, unless there was a fault.
func (s *Service) whole(ctx context.Context, a Account, err error) (accountWire, error) {
	if err != nil {
		return accountWire{}, err
	}
	return s.accountFull(ctx, s.db.Read(), &a)
}

func (s *Service) httpAccountByID(ctx context.Context, in *userPath) (accountWire, error) {
	if id := httpapi.Who(ctx); in.UUID != id.Account && !id.IsAdmin() {
		return accountWire{}, fault.Missing("Account")
	}
	a, err := loadAccount(ctx, s.db.Read(), in.UUID)
	return s.whole(ctx, a, err)
}

type accountPatch struct {
	Name           httpapi.Opt[string]      `json:"name" minLength:"1" maxLength:"255" notnull:"true"`
	Email          httpapi.Opt[string]      `json:"email" minLength:"5" maxLength:"80" format:"email" notnull:"true"`
	Phone          httpapi.Opt[e164.Number] `json:"phone"`
	Address1       httpapi.Opt[string]      `json:"address1" maxLength:"255"`
	Address2       httpapi.Opt[string]      `json:"address2" maxLength:"255"`
	ZipCode        httpapi.Opt[string]      `json:"zip_code" maxLength:"12" lenient:"true"`
	City           httpapi.Opt[string]      `json:"city" maxLength:"255"`
	TimeZone       httpapi.Opt[string]      `json:"time_zone" maxLength:"64" doc:"IANA zone name"`
	ProfileDefault httpapi.Opt[string]      `json:"messaging_profile_default" format:"uuid"`
}

// Validate checks what the tags do not say.
func (in *accountPatch) Validate(f *fault.Fields) {
	if in.Email.Has() {
		checkEmail(f, "email", in.Email.V)
	}
	if zone := in.TimeZone.V; zone != "" && !isZone(zone) {
		f.Add("time_zone", "unknown time zone", zone)
	}
}

func (s *Service) httpPatchAccount(ctx context.Context, in *accountPatch) (accountWire, error) {
	p := Patch{
		Name: newValue(in.Name), Email: newValue(in.Email), Address1: newValue(in.Address1), Address2: newValue(in.Address2), ZipCode: newValue(in.ZipCode),
		City: newValue(in.City), TimeZone: newValue(in.TimeZone), DefaultProfile: newValue(in.ProfileDefault),
	}
	if in.Phone.Set {
		digits := in.Phone.V.Digits()
		p.Phone = &digits
	}
	a, err := s.Update(ctx, httpapi.Who(ctx).Account, p)
	return s.whole(ctx, a, err)
}

func (s *Service) httpUsers(ctx context.Context, in *httpapi.List) ([]userRef, error) {
	list, err := usersOf(ctx, s.db.Read(), httpapi.Who(ctx).Account)
	if err != nil {
		return nil, err
	}
	return httpapi.Listed(ctx, *in, list, func(u *User) (userRef, error) { return s.userRef(u), nil })
}

func (s *Service) httpAddUser(ctx context.Context, in *userMembers) (userWire, error) {
	id := httpapi.Who(ctx)
	n := in.plain()
	n.Made = s.keepUser
	u, err := s.AddUser(ctx, asker(id), id.Account, n)
	return s.shown(ctx, u, err)
}

func (s *Service) httpReactivate(ctx context.Context, in *userPath) ([]userRef, error) {
	u, err := s.Reactivate(ctx, asker(httpapi.Who(ctx)), in.UUID)
	return []userRef{s.userRef(&u)}, err
}

func (s *Service) httpDeactivate(ctx context.Context, in *userPath) ([]userRef, error) {
	u, err := s.Deactivate(ctx, asker(httpapi.Who(ctx)), in.UUID)
	return []userRef{s.userRef(&u)}, err
}

type notificationWire struct {
	BalanceChanged   bool          `json:"balance_changed"`
	SMSReceived      bool          `json:"smsi_received"`
	SMSSent          bool          `json:"sms_sent"`
	SMSDelivered     bool          `json:"sms_delivered"`
	SMSSendFails     bool          `json:"sms_send_fails"`
	SMSDeliveryFails bool          `json:"sms_delivery_fails"`
	OrderProcessed   bool          `json:"tnorder_processed"`
	LeasesReleased   bool          `json:"tnleases_released"`
	LeasesReleasing  bool          `json:"tnleases_releasing"`
	LowBalance       *money.Amount `json:"low_balance_threshold"`
}

func (s *Service) httpNotification(ctx context.Context, _ *struct{}) (notificationWire, error) {
	n, err := s.Notification(ctx, s.db.Read(), httpapi.Who(ctx).Account)
	return notificationWire(n), err
}

type notificationPatch struct {
	BalanceChanged   httpapi.Opt[bool]         `json:"balance_changed" alias:"balance" notnull:"true" doc:"gate of balance events on every channel"`
	SMSReceived      httpapi.Opt[bool]         `json:"smsi_received" notnull:"true"`
	SMSSent          httpapi.Opt[bool]         `json:"sms_sent" notnull:"true"`
	SMSDelivered     httpapi.Opt[bool]         `json:"sms_delivered" notnull:"true"`
	SMSSendFails     httpapi.Opt[bool]         `json:"sms_send_fails" notnull:"true"`
	SMSDeliveryFails httpapi.Opt[bool]         `json:"sms_delivery_fails" notnull:"true"`
	OrderProcessed   httpapi.Opt[bool]         `json:"tnorder_processed" notnull:"true"`
	LeasesReleased   httpapi.Opt[bool]         `json:"tnleases_released" notnull:"true"`
	LeasesReleasing  httpapi.Opt[bool]         `json:"tnleases_releasing" notnull:"true"`
	LowBalance       httpapi.Opt[money.Amount] `json:"low_balance_threshold" min:"0"`
}

func (s *Service) httpPatchNotification(ctx context.Context, in *notificationPatch) (notificationWire, error) {
	n, err := s.UpdateNotification(ctx, httpapi.Who(ctx).Account, func(n *Notification) {
		n.BalanceChanged = in.BalanceChanged.Or(n.BalanceChanged)
		n.SMSReceived = in.SMSReceived.Or(n.SMSReceived)
		n.SMSSent = in.SMSSent.Or(n.SMSSent)
		n.SMSDelivered = in.SMSDelivered.Or(n.SMSDelivered)
		n.SMSSendFails = in.SMSSendFails.Or(n.SMSSendFails)
		n.SMSDeliveryFails = in.SMSDeliveryFails.Or(n.SMSDeliveryFails)
		n.OrderProcessed = in.OrderProcessed.Or(n.OrderProcessed)
		n.LeasesReleased = in.LeasesReleased.Or(n.LeasesReleased)
		n.LeasesReleasing = in.LeasesReleasing.Or(n.LeasesReleasing)
		n.LowBalance = in.LowBalance.Ptr(n.LowBalance)
	})
	return notificationWire(n), err
}

func (s *Service) adminRoutes(a *httpapi.API) {
	httpapi.Handle(a, httpapi.Op{
		ID: "AdminSearchAccounts", Method: "POST", Path: "/rest/admin/account/search", Tag: "Admin", Auth: httpapi.Admin,
		Summary: "Search accounts",
	}, s.httpSearch)
	httpapi.Handle(a, httpapi.Op{
		ID: "AdminUpdateAccount", Method: "PATCH", Path: "/rest/admin/account/{uuid}", Tag: "Admin", Auth: httpapi.Admin,
		Summary: "Change level, limits, countries, credit or state of an account",
	}, s.httpAdminister)
}

type accountSearch struct {
	httpapi.Search `orderable:"name,email,level,created_on,modified_on"`
	Name           string `json:"name" maxLength:"255" doc:"mask"`
	Email          string `json:"email" maxLength:"255" doc:"mask"`
	Level          string `json:"level" enum:"ServiceAccount,Level0,Level1,Level2"`
	Disabled       *bool  `json:"disabled"`
}

func (s *Service) httpSearch(ctx context.Context, in *accountSearch) (httpapi.Page[accountListed], error) {
	f := Filter{Name: in.Name, Email: in.Email, Level: in.Level, Disabled: in.Disabled, Or: in.Or(), Take: in.Take, Skip: in.Skip}
	f.CreatedFrom, f.CreatedTo = moment(in.CreatedFrom), moment(in.CreatedTo)
	f.ModifiedFrom, f.ModifiedTo = moment(in.ModifiedFrom), moment(in.ModifiedTo)
	for _, by := range in.Order {
		f.Order = append(f.Order, Order{Column: by.Field, Desc: by.Desc})
	}
	list, total, err := s.Search(ctx, f)
	if err != nil {
		return httpapi.Page[accountListed]{}, err
	}
	out := make([]accountListed, len(list))
	for i := range list {
		if out[i], err = s.accountListed(ctx, s.db.Read(), &list[i]); err != nil {
			return httpapi.Page[accountListed]{}, err
		}
	}
	return httpapi.PageOf(in.Search, total, out), nil
}

type adminPatch struct {
	UUID        string                    `path:"uuid" format:"uuid"`
	Level       httpapi.Opt[string]       `json:"level" enum:"ServiceAccount,Level0,Level1,Level2" notnull:"true"`
	CreditLimit httpapi.Opt[money.Amount] `json:"credit_limit" min:"0" notnull:"true"`
	Limits      httpapi.Opt[limitsInput]  `json:"limits" doc:"null: those of the level"`
	Countries   *struct {
		Voice []string `json:"voice" required:"true" format:"a2" maxItems:"300"`
		SMS   []string `json:"sms" required:"true" format:"a2" maxItems:"300"`
	} `json:"countries"`
	Disabled httpapi.Opt[bool] `json:"disabled" notnull:"true"`
}

// limitsInput changes single limits; null lifts one, as does 0 where a number is read back.
type limitsInput struct {
	Channels     httpapi.Opt[int]          `json:"channels" min:"0"`
	CPS          httpapi.Opt[float64]      `json:"cps" min:"0"`
	SMSPerSecond httpapi.Opt[float64]      `json:"sms_per_second" min:"0"`
	DailySpend   httpapi.Opt[money.Amount] `json:"daily_spend" above:"0"`
}

func (in *limitsInput) patch(null bool) *LimitsPatch {
	return &LimitsPatch{Reset: null, Channels: newValue(in.Channels), CPS: newValue(in.CPS), SMSPerSecond: newValue(in.SMSPerSecond), DailySpend: newValue(in.DailySpend)}
}

// newValue is the new value of a member, the zero value for null, nil when it was not there.
func newValue[T any](o httpapi.Opt[T]) *T {
	if !o.Set {
		return nil
	}
	return &o.V
}

func (s *Service) httpAdminister(ctx context.Context, in *adminPatch) (accountWire, error) {
	p := AdminPatch{Disabled: newValue(in.Disabled), CreditLimit: newValue(in.CreditLimit)}
	if in.Level.Set {
		l := Level(in.Level.V)
		p.Level = &l
	}
	if in.Limits.Set {
		p.Limits = in.Limits.V.patch(in.Limits.Null)
	}
	if in.Countries != nil {
		p.Countries = &Countries{Voice: in.Countries.Voice, SMS: in.Countries.SMS}
	}
	a, err := s.Administer(ctx, in.UUID, p)
	return s.whole(ctx, a, err)
}

// CountryView renders Country.
func (s *Service) CountryView(a2 string) json.RawMessage {
	if s.parts.Dictionary != nil {
		return s.parts.Dictionary.Country(a2)
	}
	c := s.countries[a2]
	return raw(countryWire{A2: a2, A3: text(c.a3), Name: text(c.name), N: some(c.n), CountryCode: some(c.code), CreatedOn: httpapi.TimeOf(tablesOn()), ModifiedOn: httpapi.TimeOf(tablesOn())})
}

// countryWire is Country for a server without the dictionary.
type countryWire struct {
	A2           string       `json:"a2"`
	A3           *string      `json:"a3"`
	Name         *string      `json:"name"`
	N            *int         `json:"n"`
	CountryCode  *int         `json:"country_code"`
	NationalCode *int         `json:"national_code"`
	CreatedOn    httpapi.Time `json:"created_on"`
	ModifiedOn   httpapi.Time `json:"modified_on"`
}

// moment is what a nullable time of a search holds; the zero time is an open end.
func moment(t *httpapi.Time) time.Time { return val(t).Time }
