package account

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

// currency is that of all amounts of the platform.
const currency = "USD"

// userRef is User as other objects carry it.
type userRef struct {
	UUID           string        `json:"uuid"`
	Email          string        `json:"email"`
	Role           Role          `json:"role" enum:"Admin,User,Provider"`
	WSSOnline      bool          `json:"wss_online" doc:"at least one authenticated websocket is open"`
	PhoneNumber    *string       `json:"phone_number"`
	FirstName      *string       `json:"first_name"`
	LastName       *string       `json:"last_name"`
	Avatar         *string       `json:"avatar"`
	Gender         *string       `json:"gender"`
	DOB            *httpapi.Time `json:"dob"`
	GmailUserID    *string       `json:"gmail_user_id"`
	FacebookUserID *string       `json:"facebook_user_id"`
	AppleUserID    *string       `json:"apple_user_id"`
	WechatUserID   *string       `json:"wechat_user_id"`
	DeletedOn      *httpapi.Time `json:"deleted_on"`
	CreatedOn      httpapi.Time  `json:"created_on"`
	ModifiedOn     httpapi.Time  `json:"modified_on"`
}

// userWire is User as the payload itself.
type userWire struct {
	userRef
	Account accountRef `json:"account"`
	Token   string     `json:"token,omitempty" doc:"JWT; only in answers of /rest/auth"`
}

// The pieces of Account, in the order of its schema.
type (
	accountHead struct {
		UUID  string `json:"uuid"`
		Email string `json:"email"`
		Name  string `json:"name"`
		Level Level  `json:"level" enum:"ServiceAccount,Level0,Level1,Level2"`
	}
	accountPlace struct {
		Address1 *string `json:"address1"`
		Address2 *string `json:"address2"`
		ZipCode  *string `json:"zip_code"`
		City     *string `json:"city"`
	}
	accountTail struct {
		Class4ID   *int          `json:"class4_id" doc:"always null"`
		DeletedOn  *httpapi.Time `json:"deleted_on"`
		DisabledOn *httpapi.Time `json:"disabled_on"`
		CreatedOn  httpapi.Time  `json:"created_on"`
		ModifiedOn httpapi.Time  `json:"modified_on"`
	}
	accountFunds struct {
		Currency    string       `json:"currency"`
		CreditLimit money.Amount `json:"credit_limit"`
		Reserved    money.Amount `json:"reserved"`
		Available   money.Amount `json:"available"`
	}
)

// accountPlain is Account without its money, as the event of a sign-in carries it.
type accountPlain struct {
	accountHead
	Phone *string `json:"phone"`
	accountPlace
	accountTail
}

// accountEvent is Account in the envelope of events.
type accountEvent struct {
	accountHead
	Balance money.Amount `json:"balance"`
	Phone   *string      `json:"phone"`
	accountPlace
	accountTail
}

// accountCall is Account in call events, where the phone is an integer.
type accountCall struct {
	accountHead
	Balance money.Amount `json:"balance"`
	Phone   *int64       `json:"phone"`
	accountPlace
	TimeZone json.RawMessage `json:"time_zone"`
	accountTail
}

// accountRef is Account as other objects carry it: its scalars.
type accountRef struct {
	accountHead
	Balance money.Amount `json:"balance"`
	Phone   *string      `json:"phone"`
	accountPlace
	accountTail
	accountFunds
}

// accountListed is Account in lists.
type accountListed struct {
	accountHead
	Balance money.Amount `json:"balance"`
	Phone   *string      `json:"phone"`
	accountPlace
	TimeZone json.RawMessage `json:"time_zone"`
	accountTail
	accountFunds
	Countries countriesWire `json:"countries"`
	Limits    limitsWire    `json:"limits"`
}

// accountWire is Account as the payload itself.
type accountWire struct {
	accountListed
	Admin             *userRef          `json:"admin"`
	Users             []userRef         `json:"users"`
	ProfileDefault    json.RawMessage   `json:"messaging_profile_default"`
	MessagingProfiles []json.RawMessage `json:"messaging_profiles"`
	Addresses         []addressListed   `json:"addresses"`
}

type countriesWire struct {
	Voice []string `json:"voice" doc:"destinations allowed, ISO 3166-1 alpha-2"`
	SMS   []string `json:"sms"`
}

// limitsWire shows 0, and for money null, where there is no limit.
type limitsWire struct {
	Channels     int           `json:"channels" doc:"0: no limit"`
	CPS          float64       `json:"cps" doc:"0: no limit"`
	SMSPerSecond float64       `json:"sms_per_second" doc:"0: no limit"`
	DailySpend   *money.Amount `json:"daily_spend" doc:"null: no limit"`
}

// text is a nullable string: nil when empty.
func text(s string) *string { return some(s) }

// some is nil for the zero value.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (s *Service) userRef(u *User) userRef {
	return userRef{
		UUID: u.ID, Email: u.Email, Role: u.Role, WSSOnline: s.online(u), PhoneNumber: text(u.PhoneNumber), FirstName: text(u.FirstName), LastName: text(u.LastName),
		Avatar: text(u.Avatar), Gender: text(u.Gender), DOB: httpapi.TimeOrNil(u.DOB), GmailUserID: text(u.GmailUserID), FacebookUserID: text(u.FacebookUserID),
		AppleUserID: text(u.AppleUserID), WechatUserID: text(u.WechatUserID), DeletedOn: httpapi.TimeOrNil(u.DeletedOn),
		CreatedOn: httpapi.TimeOf(u.CreatedOn), ModifiedOn: httpapi.TimeOf(u.ModifiedOn),
	}
}

// userFull renders a user with its account.
func (s *Service) userFull(ctx context.Context, q db.Querier, u *User) (userWire, error) {
	a, err := loadAccount(ctx, q, u.Account)
	if err != nil {
		return userWire{}, err
	}
	out := userWire{userRef: s.userRef(u)}
	out.Account, err = s.accountRef(ctx, q, &a)
	return out, err
}

func (s *Service) accountRef(ctx context.Context, q db.Querier, a *Account) (accountRef, error) {
	funds, balance, err := s.funds(ctx, q, a.ID)
	return accountRef{accountHead: head(a), Balance: balance, Phone: text(string(a.Phone)), accountPlace: place(a), accountTail: tail(a), accountFunds: funds}, err
}

func head(a *Account) accountHead {
	return accountHead{UUID: a.ID, Email: a.Email, Name: a.Name, Level: a.Level}
}

func place(a *Account) accountPlace {
	return accountPlace{Address1: text(a.Address1), Address2: text(a.Address2), ZipCode: text(a.ZipCode), City: text(a.City)}
}

func tail(a *Account) accountTail {
	return accountTail{
		DeletedOn: httpapi.TimeOrNil(a.DeletedOn), DisabledOn: httpapi.TimeOrNil(a.DisabledOn),
		CreatedOn: httpapi.TimeOf(a.CreatedOn), ModifiedOn: httpapi.TimeOf(a.ModifiedOn),
	}
}

func (s *Service) funds(ctx context.Context, q db.Querier, account string) (accountFunds, money.Amount, error) {
	balance, credit, reserved, err := s.balance(ctx, q, account)
	return accountFunds{Currency: currency, CreditLimit: credit, Reserved: reserved, Available: balance + credit - reserved}, balance, err
}

func (s *Service) accountListed(ctx context.Context, q db.Querier, a *Account) (accountListed, error) {
	funds, balance, err := s.funds(ctx, q, a.ID)
	return accountListed{
		accountHead: head(a), Balance: balance, Phone: text(string(a.Phone)), accountPlace: place(a), TimeZone: s.zoneView(a.TimeZone), accountTail: tail(a), accountFunds: funds,
		Countries: countriesWire{Voice: orEmpty(a.Countries.Voice), SMS: orEmpty(a.Countries.SMS)},
		Limits:    limitsWire{Channels: a.Limits.Channels, CPS: a.Limits.CPS, SMSPerSecond: a.Limits.SMSPerSecond, DailySpend: some(a.Limits.DailySpend)},
	}, err
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// accountFull renders an account with everything that belongs to it.
func (s *Service) accountFull(ctx context.Context, q db.Querier, a *Account) (accountWire, error) {
	var out accountWire
	var err error
	if out.accountListed, err = s.accountListed(ctx, q, a); err != nil {
		return out, err
	}
	users, err := usersOf(ctx, q, a.ID)
	if err != nil {
		return out, err
	}
	out.Users = make([]userRef, len(users))
	for i := range users {
		out.Users[i] = s.userRef(&users[i])
		if users[i].ID == a.Admin {
			out.Admin = &out.Users[i]
		}
	}
	views, err := s.profiles(ctx, q, a.ID)
	if err != nil {
		return out, err
	}
	out.MessagingProfiles = []json.RawMessage{}
	for _, v := range views {
		out.MessagingProfiles = append(out.MessagingProfiles, v.View)
		if v.ID == a.DefaultProfile {
			out.ProfileDefault = v.View
		}
	}
	list, err := addressesOf(ctx, q, a.ID, "")
	if err != nil {
		return out, err
	}
	out.Addresses = make([]addressListed, len(list))
	for i := range list {
		out.Addresses[i] = listedAddress(&list[i])
	}
	return out, nil
}

// zoneWire is TimeZone for a server without the dictionary; names that are links only have no place.
type zoneWire struct {
	Name        string       `json:"name"`
	CountryCode *string      `json:"country_code"`
	Offset      float64      `json:"utc_offset"`
	DSTOffset   float64      `json:"utc_dst_offset"`
	Latitude    *string      `json:"latitude"`
	Longitude   *string      `json:"longitude"`
	Note        *string      `json:"note"`
	CreatedOn   httpapi.Time `json:"created_on"`
	ModifiedOn  httpapi.Time `json:"modified_on"`
}

func (s *Service) zoneView(name string) json.RawMessage {
	if name == "" {
		return nil
	}
	if s.parts.Dictionary != nil {
		return s.parts.Dictionary.TimeZone(name)
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	year := s.now().Year()
	_, winter := time.Date(year, 1, 1, 0, 0, 0, 0, loc).Zone()
	_, summer := time.Date(year, 7, 1, 0, 0, 0, 0, loc).Zone()
	z := s.zones[name]
	return raw(zoneWire{
		Name: name, CountryCode: text(z.country), Offset: float64(min(winter, summer)) / 3600, DSTOffset: float64(max(winter, summer)) / 3600,
		Latitude: text(z.latitude), Longitude: text(z.longitude), Note: text(z.note), CreatedOn: httpapi.TimeOf(tablesOn()), ModifiedOn: httpapi.TimeOf(tablesOn()),
	})
}

// raw renders a wire shape of this package; such a shape always marshals.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// RefView renders an account as other REST objects carry it: its scalars.
func (s *Service) RefView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	a, err := loadAccount(ctx, q, id)
	if err != nil {
		return nil, err
	}
	ref, err := s.accountRef(ctx, q, &a)
	return raw(ref), err
}

// PlainView is RefView without money.
func (s *Service) PlainView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	a, err := loadAccount(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return raw(accountPlain{accountHead: head(&a), Phone: text(string(a.Phone)), accountPlace: place(&a), accountTail: tail(&a)}), nil
}

// EventView renders an account for the envelope of events: scalars with balance.
func (s *Service) EventView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	a, err := loadAccount(ctx, q, id)
	if err != nil {
		return nil, err
	}
	balance, _, _, err := s.balance(ctx, q, id)
	return raw(accountEvent{accountHead: head(&a), Balance: balance, Phone: text(string(a.Phone)), accountPlace: place(&a), accountTail: tail(&a)}), err
}

// CallView renders an account for call events: as EventView, with the phone as an integer or null, and with the time zone.
func (s *Service) CallView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	a, err := loadAccount(ctx, q, id)
	if err != nil {
		return nil, err
	}
	balance, _, _, err := s.balance(ctx, q, id)
	return raw(accountCall{
		accountHead: head(&a), Balance: balance, Phone: some(a.Phone.Int()), accountPlace: place(&a), TimeZone: s.zoneView(a.TimeZone), accountTail: tail(&a),
	}), err
}

// UserView renders a user as other objects and events carry it (created_by, payload.user): scalars.
func (s *Service) UserView(ctx context.Context, q db.Querier, id string) (json.RawMessage, error) {
	u, err := loadUser(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return raw(s.userRef(&u)), nil
}

// withMember adds a member at the end of a JSON object.
func withMember(object json.RawMessage, name string, v any) (json.RawMessage, error) {
	body := bytes.TrimRight(object, " \t\r\n")
	if len(body) < 2 || body[len(body)-1] != '}' {
		return nil, errors.New("account: a view is no JSON object")
	}
	key, err := json.Marshal(name)
	if err != nil {
		return nil, err
	}
	val, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	out := bytes.Clone(body[:len(body)-1])
	if len(bytes.TrimSpace(out)) > 1 {
		out = append(out, ',')
	}
	out = append(append(append(out, key...), ':'), val...)
	return append(out, '}'), nil
}
