package number

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
)

func (s *Service) orderRoutes(a *httpapi.API) {
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "TN_Order", Summary: summary, Auth: httpapi.User, Scope: "numbers"}
	}
	httpapi.Handle(a, op("CreateOrder", "POST", "/rest/order", "Order numbers"), s.createOrder)
	httpapi.Handle(a, op("CreateTNOrder", "POST", "/rest/order/tn", "Order numbers"), s.createOrder)
	price := op("GetOrderPrice", "POST", "/rest/order/price", "What an order would cost")
	price.Scope = "numbers:read"
	httpapi.Handle(a, price, s.priceOrder)
	search := op("SearchOrders", "POST", "/rest/order/search", "Search orders")
	search.Scope = "numbers:read"
	httpapi.Handle(a, search, s.searchOrders)
	httpapi.Handle(a, op("ListOrders", "GET", "/rest/order", "List orders"), s.listOrders)
	httpapi.Handle(a, op("GetOrderByUUID", "GET", "/rest/order/{uuid}", "Read an order"), s.getOrder)
}

// orderItem is one item of the newest or the older form.
type orderItem struct {
	TN        e164.Number `json:"tn,omitempty" required:"true"`
	Features  *[]string   `json:"features,omitempty" enum:"voice,sms,mms,fax,emergency"`
	Voice     *bool       `json:"voice,omitempty"`
	Fax       *bool       `json:"fax,omitempty"`
	SMS       *bool       `json:"sms,omitempty"`
	MMS       *bool       `json:"mms,omitempty"`
	Emergency *bool       `json:"emergency,omitempty"`
	Profile   string      `json:"profile,omitempty" maxLength:"255"`
	AutoRenew *bool       `json:"autorenew,omitempty"`
}

// orderBody is TnOrderNew of the contract, all three forms.
type orderBody struct {
	Body httpapi.Raw `raw:"json"`

	Items []orderItem   `json:"items,omitempty" maxItems:"1000"`
	TNs   []e164.Number `json:"tns,omitempty" maxItems:"1000"`

	Voice     *bool  `json:"voice,omitempty"`
	Fax       *bool  `json:"fax,omitempty"`
	SMS       *bool  `json:"sms,omitempty"`
	MMS       *bool  `json:"mms,omitempty"`
	Emergency *bool  `json:"emergency,omitempty"`
	AutoRenew *bool  `json:"autorenew,omitempty"`
	Profile   string `json:"profile,omitempty" maxLength:"255"`

	Connection       string `json:"sip_connection,omitempty" format:"uuid"`
	App              string `json:"sip_control_app,omitempty" format:"uuid"`
	MessagingProfile string `json:"messaging_profile,omitempty" format:"uuid"`
	Filter           string `json:"tn_profile,omitempty" format:"uuid"`
}

// Validate asks for one of the forms, except of a request without a body: that one means something else.
func (b *orderBody) Validate(f *fault.Fields) {
	if b.Body != nil && len(b.Items) == 0 && len(b.TNs) == 0 {
		f.Add("items", needsNumber, nil)
	}
	if b.App != "" && b.Connection != "" {
		f.Add("sip_connection", "only one of sip_control_app and sip_connection", b.Connection)
	}
}

const needsNumber = "needs at least one number"

func isOn(v *bool, otherwise bool) bool {
	if v == nil {
		return otherwise
	}
	return *v
}

func featuresOf(list *[]string, voice, sms, mms, fax, emergency *bool) Features {
	if list == nil {
		return Features{Voice: isOn(voice, true), SMS: isOn(sms, true), MMS: isOn(mms, false), Fax: isOn(fax, false), Emergency: isOn(emergency, false)}
	}
	var on Features
	for _, name := range *list {
		*map[string]*bool{"voice": &on.Voice, "sms": &on.SMS, "mms": &on.MMS, "fax": &on.Fax, "emergency": &on.Emergency}[name] = true
	}
	return on
}

// items reads whichever form was sent.
func (b *orderBody) items() ([]Item, error) {
	var out []Item
	for _, it := range b.Items {
		out = append(out, Item{TN: it.TN, On: featuresOf(it.Features, it.Voice, it.SMS, it.MMS, it.Fax, it.Emergency), Plan: it.Profile, AutoRenew: isOn(it.AutoRenew, true)})
	}
	if len(out) == 0 {
		for _, tn := range b.TNs {
			out = append(out, Item{TN: tn, On: featuresOf(nil, b.Voice, b.SMS, b.MMS, b.Fax, b.Emergency), Plan: b.Profile, AutoRenew: isOn(b.AutoRenew, true)})
		}
	}
	if len(out) == 0 {
		return nil, fault.Invalid("items", needsNumber, nil)
	}
	return out, nil
}

// orderNew is an order, or the window of the list of orders.
type orderNew struct {
	orderBody
	httpapi.List
}

// createOrder also answers like ListOrders when the body is empty: some clients ask for the list that way.
func (s *Service) createOrder(ctx context.Context, in *orderNew) (any, error) {
	if httpapi.BodyEmpty(ctx) {
		return s.listOrders(ctx, &in.List)
	}
	items, err := in.items()
	if err != nil {
		return nil, err
	}
	if in.Connection != "" {
		return nil, fault.Missing("SIP connection")
	}
	if in.Filter != "" {
		return nil, fault.Missing("TN profile")
	}
	who := httpapi.Who(ctx)
	o, err := s.Buy(ctx, Request{Account: who.Account, User: who.User, Items: items, App: in.App, MessagingProfile: in.MessagingProfile, Raw: json.RawMessage(in.Body), OldestForm: len(in.Items) == 0})
	if err != nil {
		return nil, err
	}
	httpapi.SetStatus(ctx, 201)
	return s.fullOrder(ctx, o, true)
}

type quoteItem struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description *string `json:"description"`
	billing.Prices
}

type quoteView struct {
	NRC   money.Amount `json:"nrc"`
	MRC   money.Amount `json:"mrc"`
	Items []quoteItem  `json:"items"`
}

func (s *Service) priceOrder(ctx context.Context, in *orderBody) (quoteView, error) {
	out := quoteView{Items: []quoteItem{}}
	items, err := in.items()
	if err != nil {
		return out, err
	}
	quoted, err := s.Quote(ctx, Request{Account: httpapi.Who(ctx).Account, Items: items, MessagingProfile: in.MessagingProfile})
	if err != nil {
		return out, err
	}
	for _, q := range quoted {
		for _, x := range q.parts {
			if strings.HasSuffix(x.action, "mrc") {
				out.MRC += x.amount
			} else {
				out.NRC += x.amount
			}
		}
		out.Items = append(out.Items, quoteItem{ID: q.Item.TN.Digits(), Name: q.Plan.Name, Description: text(q.Plan.Description), Prices: q.Plan.Prices})
	}
	return out, nil
}

func (s *Service) listOrders(ctx context.Context, in *httpapi.List) ([]orderView, error) {
	list, total, err := s.Orders(ctx, OrderFilter{Account: httpapi.Who(ctx).Account, Take: in.Take, Skip: in.Skip})
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, total)
	return s.orderViews(ctx, list)
}

func (s *Service) orderViews(ctx context.Context, list []Order) ([]orderView, error) {
	out := []orderView{}
	for _, o := range list {
		v, err := s.fullOrder(ctx, o, false)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

type uuidPath struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (s *Service) getOrder(ctx context.Context, in *uuidPath) (orderView, error) {
	o, err := s.OrderByID(ctx, s.db.Read(), httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return orderView{}, err
	}
	return s.fullOrder(ctx, o, true)
}

type orderSearch struct {
	httpapi.Search `orderable:"created_on,modified_on,state"`
	State          string `json:"state" enum:"created,verify,processing,success,failed"`
}

func (s *Service) searchOrders(ctx context.Context, in *orderSearch) (httpapi.Page[orderView], error) {
	f := OrderFilter{Account: httpapi.Who(ctx).Account, State: in.State, Or: in.Or(), Take: in.Take, Skip: in.Skip, Order: sortOf(in.Order)}
	f.CreatedFrom, f.CreatedTo, f.ModFrom, f.ModTo = ranges(in.Search)
	list, total, err := s.Orders(ctx, f)
	if err != nil {
		return httpapi.Page[orderView]{}, err
	}
	views, err := s.orderViews(ctx, list)
	return httpapi.PageOf(in.Search, total, views), err
}
