package number

import (
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

// tnView is Tn of the contract.
type tnView struct {
	TN         int64         `json:"tn"`
	Type       string        `json:"type"`
	Voice      bool          `json:"voice"`
	Fax        bool          `json:"fax"`
	SMS        bool          `json:"sms"`
	MMS        bool          `json:"mms"`
	Emergency  bool          `json:"emergency"`
	Registered bool          `json:"registered"`
	Class4     *int          `json:"class4_did_id"`
	Deleted    *httpapi.Time `json:"deleted_on"`
	Created    httpapi.Time  `json:"created_on"`
	Modified   httpapi.Time  `json:"modified_on"`
	Profile    any           `json:"profile,omitempty"`
	Country    string        `json:"country"`
	Province   *string       `json:"province"`
	City       *string       `json:"city"`
	RateCenter *string       `json:"rate_center"`
	Features   []string      `json:"features"`
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func viewTN(t TN, on Features) tnView {
	return tnView{
		TN: t.Number.Int(), Type: t.Kind, Voice: on.Voice, Fax: on.Fax, SMS: on.SMS, MMS: on.MMS, Emergency: on.Emergency, Registered: true,
		Created: httpapi.TimeOf(t.Created), Modified: httpapi.TimeOf(t.Modified), Country: t.Country, Province: text(t.Province), City: text(t.City), RateCenter: text(t.RateCenter), Features: on.names(),
	}
}

// subscriptionView is Subscription of the contract.
type subscriptionView struct {
	UUID       string          `json:"uuid"`
	Type       string          `json:"type"`
	Profile    json.RawMessage `json:"messaging_profile,omitempty"`
	Campaign   json.RawMessage `json:"sms_campaign,omitempty"`
	State      string          `json:"state,omitempty"`
	Reason     json.RawMessage `json:"reason,omitempty"` // of sms; null when there is none
	App        json.RawMessage `json:"sip_control_app,omitempty"`
	Connection json.RawMessage `json:"sip_connection,omitempty"`
	SIPUser    json.RawMessage `json:"sip_user,omitempty"`
	Created    httpapi.Time    `json:"created_on"`
	Modified   httpapi.Time    `json:"modified_on"`
}

var null = json.RawMessage("null")

func (s *Service) viewSubscription(ctx context.Context, q db.Querier, b Subscription, l Lease) (v subscriptionView, err error) {
	v = subscriptionView{UUID: b.ID, Type: b.Kind, State: b.State, Created: httpapi.TimeOf(b.Created), Modified: httpapi.TimeOf(b.Modified)}
	if b.Kind == "voice" {
		v.State, v.Connection, v.SIPUser = "", null, null
		v.App, err = s.views.AppView(ctx, q, b.Account, l.App)
		return v, err
	}
	if v.Profile, err = s.views.ProfileView(ctx, q, b.Account, b.Profile); err != nil {
		return v, err
	}
	if v.Reason, err = json.Marshal(text(b.Reason)); err != nil {
		return v, err
	}
	v.Campaign, err = s.views.CampaignView(ctx, q, b.Account, b.Campaign)
	return v, err
}

// leaseView is TnLease of the contract.
type leaseView struct {
	UUID          string             `json:"uuid"`
	Expires       httpapi.Time       `json:"expired_on"`
	AutoRenew     bool               `json:"autorenew"`
	TN            tnView             `json:"tn"`
	Subscriptions []subscriptionView `json:"subscriptions"`
	Profile       json.RawMessage    `json:"messaging_profile"`
	Connection    json.RawMessage    `json:"sip_connection"`
	App           json.RawMessage    `json:"sip_control_app"`
	SIPUser       json.RawMessage    `json:"sip_user"`
	Filter        json.RawMessage    `json:"tn_profile"`
	Order         any                `json:"tnorder"`
	Account       json.RawMessage    `json:"account"`
	Class4Product *int               `json:"class4_product_item_id"`
	Class4Prefix  *int               `json:"class4_resource_prefix_id"`
	Name          *string            `json:"name"`
	State         string             `json:"state"`
	CreatedBy     json.RawMessage    `json:"created_by"`
	ModifiedBy    json.RawMessage    `json:"modified_by"`
	Created       httpapi.Time       `json:"created_on"`
	Modified      httpapi.Time       `json:"modified_on"`
}

// orderRef is an order inside a lease: its scalars.
type orderRef struct {
	UUID       string        `json:"uuid"`
	State      string        `json:"state"`
	Total      int           `json:"total"`
	Success    int           `json:"success"`
	Processing int           `json:"processing"`
	Failed     int           `json:"failed"`
	Price      *money.Amount `json:"price"`
	Created    httpapi.Time  `json:"created_on"`
	Modified   httpapi.Time  `json:"modified_on"`
}

func (s *Service) viewLease(ctx context.Context, q db.Querier, l Lease) (leaseView, error) {
	t, err := s.TN(ctx, q, l.TN)
	if err != nil {
		return leaseView{}, err
	}
	v := leaseView{
		UUID: l.ID, Expires: httpapi.TimeOf(l.Expires), AutoRenew: l.AutoRenew, TN: viewTN(t, l.On), Subscriptions: []subscriptionView{}, Connection: null, SIPUser: null, Filter: null,
		Name: text(l.Name), State: l.State, CreatedBy: null, ModifiedBy: null, Created: httpapi.TimeOf(l.Created), Modified: httpapi.TimeOf(l.Modified),
	}
	subs, err := s.Subscriptions(ctx, q, l.ID)
	if err != nil {
		return v, err
	}
	for _, b := range subs {
		sv, err := s.viewSubscription(ctx, q, b, l)
		if err != nil {
			return v, err
		}
		v.Subscriptions = append(v.Subscriptions, sv)
	}
	return v, s.relateLease(ctx, q, l, &v)
}

// relateLease fills in the objects that the lease points to.
func (s *Service) relateLease(ctx context.Context, q db.Querier, l Lease, v *leaseView) (err error) {
	if v.Profile, err = s.views.ProfileView(ctx, q, l.Account, l.MessagingProfile); err != nil {
		return err
	}
	if v.App, err = s.views.AppView(ctx, q, l.Account, l.App); err != nil {
		return err
	}
	if v.Account, err = s.accounts.RefView(ctx, q, l.Account); err != nil {
		return err
	}
	if l.CreatedBy != "" {
		if v.CreatedBy, err = s.accounts.UserView(ctx, q, l.CreatedBy); err != nil {
			return err
		}
	}
	if l.ModifiedBy != "" {
		if v.ModifiedBy, err = s.accounts.UserView(ctx, q, l.ModifiedBy); err != nil {
			return err
		}
	}
	if l.Order != "" {
		o, err := s.OrderByID(ctx, q, l.Account, l.Order)
		if err == nil {
			v.Order = orderRef{o.ID, o.State, o.Total, o.Success, o.Processing, o.Failed, o.Price, httpapi.TimeOf(o.Created), httpapi.TimeOf(o.Modified)}
		}
		return nil // written later in the same transaction: null until then
	}
	return nil
}

func (s *Service) viewLeases(ctx context.Context, list []Lease) ([]leaseView, error) {
	out := make([]leaseView, 0, len(list))
	for _, l := range list {
		v, err := s.viewLease(ctx, s.db.Read(), l)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// LeaseViews shows leases as other products answer with them.
func (s *Service) LeaseViews(ctx context.Context, list []Lease) ([]json.RawMessage, error) {
	views, err := s.viewLeases(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(views))
	for i, v := range views {
		if out[i], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// LeaseView shows a lease of an account, a released one too, or gives a 404.
func (s *Service) LeaseView(ctx context.Context, account, id string) (json.RawMessage, error) {
	l, err := leaseOf(ctx, s.db.Read(), account, id)
	if err != nil {
		return nil, err
	}
	v, err := s.viewLease(ctx, s.db.Read(), l)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// itemView is TnOrderItem of the contract.
type itemView struct {
	TN        int64    `json:"tn"`
	Features  []string `json:"features"`
	Voice     bool     `json:"voice"`
	Fax       bool     `json:"fax"`
	SMS       bool     `json:"sms"`
	MMS       bool     `json:"mms"`
	Emergency bool     `json:"emergency"`
	Profile   *string  `json:"profile"`
	AutoRenew bool     `json:"autorenew"`
	State     string   `json:"state"`
	Lease     *string  `json:"tn_lease"`
}

func viewItem(it Item) itemView {
	plan := it.Plan
	if plan == "" {
		plan = billing.DefaultPlan
	}
	return itemView{TN: it.TN.Int(), Features: it.On.names(), Voice: it.On.Voice, Fax: it.On.Fax, SMS: it.On.SMS, MMS: it.On.MMS, Emergency: it.On.Emergency, Profile: &plan, AutoRenew: it.AutoRenew, State: it.State, Lease: text(it.Lease)}
}

type errorView struct {
	Item        itemView `json:"item"`
	Reason      string   `json:"reason"`
	Description *string  `json:"description"`
}

// orderView is TnOrder of the contract.
type orderView struct {
	UUID       string          `json:"uuid"`
	State      string          `json:"state"`
	Total      int             `json:"total"`
	Success    int             `json:"success"`
	Processing int             `json:"processing"`
	Failed     int             `json:"failed"`
	Price      *money.Amount   `json:"price"`
	Request    json.RawMessage `json:"request"`
	Items      []itemView      `json:"items"`
	Errors     []errorView     `json:"errors"`
	TNs        []tnView        `json:"tns,omitzero"` // of the whole order, as the next
	Leases     []leaseView     `json:"tnleases,omitzero"`
	Voice      *bool           `json:"voice,omitempty"`
	Fax        *bool           `json:"fax,omitempty"`
	SMS        *bool           `json:"sms,omitempty"`
	MMS        *bool           `json:"mms,omitempty"`
	Emergency  *bool           `json:"emergency,omitempty"`
	AutoRenew  *bool           `json:"autorenew,omitempty"`
	Account    json.RawMessage `json:"account,omitempty"`
	CreatedBy  json.RawMessage `json:"created_by"`
	ModifiedBy json.RawMessage `json:"modified_by"`
	Created    httpapi.Time    `json:"created_on"`
	Modified   httpapi.Time    `json:"modified_on"`
}

func (s *Service) viewOrder(o Order, account, by json.RawMessage) orderView {
	v := orderView{
		UUID: o.ID, State: o.State, Total: o.Total, Success: o.Success, Processing: o.Processing, Failed: o.Failed, Price: o.Price, Request: o.Request, Items: []itemView{}, Errors: []errorView{},
		Account: account, CreatedBy: by, ModifiedBy: null, Created: httpapi.TimeOf(o.Created), Modified: httpapi.TimeOf(o.Modified),
	}
	if v.Request == nil {
		v.Request = null
	}
	if v.CreatedBy == nil {
		v.CreatedBy = null
	}
	for _, it := range o.Items {
		v.Items = append(v.Items, viewItem(it))
	}
	for _, e := range o.Errors {
		v.Errors = append(v.Errors, errorView{Item: viewItem(e.Item), Reason: e.Reason})
	}
	if o.OldestForm && len(o.Items) > 0 {
		on := o.Items[0].On
		v.Voice, v.Fax, v.SMS, v.MMS, v.Emergency, v.AutoRenew = &on.Voice, &on.Fax, &on.SMS, &on.MMS, &on.Emergency, &o.Items[0].AutoRenew
	}
	return v
}

// fullOrder adds accounts and makers; with leases also the numbers and leases that came of it, the released ones too.
func (s *Service) fullOrder(ctx context.Context, o Order, withLeases bool) (orderView, error) {
	q := s.db.Read()
	account, err := s.accounts.RefView(ctx, q, o.Account)
	if err != nil {
		return orderView{}, err
	}
	by := null
	if o.CreatedBy != "" {
		if by, err = s.accounts.UserView(ctx, q, o.CreatedBy); err != nil {
			return orderView{}, err
		}
	}
	v := s.viewOrder(o, account, by)
	if !withLeases {
		return v, nil
	}
	list, err := ofOrder(ctx, q, o.ID)
	if err != nil {
		return v, err
	}
	if v.Leases, err = s.viewLeases(ctx, list); err != nil {
		return v, err
	}
	v.TNs = make([]tnView, 0, len(v.Leases))
	for _, l := range v.Leases {
		v.TNs = append(v.TNs, l.TN)
	}
	return v, nil
}
