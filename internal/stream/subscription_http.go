package stream

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// Routes registers the event subscriptions and the log.
func (g *Gate) Routes(a *httpapi.API) {
	const base = "/rest/event/subscription"
	op := func(id, method, path, summary string) httpapi.Op {
		return httpapi.Op{ID: id, Method: method, Path: path, Tag: "Event", Summary: summary, Auth: httpapi.User}
	}
	httpapi.Handle(a, op("ListEventSubscriptions", "GET", base, "List the event subscriptions of the user"), g.listSubscriptions)
	httpapi.Handle(a, op("CreateEventSubscription", "POST", base, "Subscribe to an event type; the same channel and type again updates it"), g.createSubscription)
	httpapi.Handle(a, op("GetEventSubscription", "GET", base+"/{uuid}", "Read an event subscription"), g.getSubscription)
	httpapi.Handle(a, op("UpdateEventSubscription", "PATCH", base+"/{uuid}", "Change an event subscription"), g.updateSubscription)
	httpapi.Handle(a, op("RemoveEventSubscription", "DELETE", base+"/{uuid}", "Remove an event subscription"), g.removeSubscription)
	httpapi.Handle(a, op("ListEvents", "GET", "/rest/event", "Read the event log, oldest first"), g.listEvents)
	httpapi.Handle(a, op("GetEvent", "GET", "/rest/event/{uuid}", "Read one event"), g.getEvent)
}

// subscriptionView is EventSubscription of the contract.
type subscriptionView struct {
	UUID     string          `json:"uuid"`
	Channel  string          `json:"channel"`
	Type     string          `json:"type"`
	Active   bool            `json:"is_active"`
	Expires  *httpapi.Time   `json:"expired_on"`
	Filter   *Filter         `json:"filter"`
	Created  httpapi.Time    `json:"created_on"`
	Modified httpapi.Time    `json:"modified_on"`
	User     json.RawMessage `json:"user,omitempty"` // in the create answer
}

func viewOf(s Subscription) subscriptionView {
	return subscriptionView{
		UUID: s.ID, Channel: s.Channel, Type: s.Type, Active: s.Active, Expires: httpapi.TimeOrNil(s.Expires), Filter: s.Filter,
		Created: httpapi.TimeOf(s.Created), Modified: httpapi.TimeOf(s.Modified),
	}
}

func (g *Gate) listSubscriptions(ctx context.Context, in *httpapi.List) ([]subscriptionView, error) {
	subs, err := list(ctx, g.db.Read(), httpapi.Who(ctx).User)
	if err != nil {
		return nil, err
	}
	httpapi.SetTotal(ctx, len(subs))
	out := []subscriptionView{}
	for i, s := range subs {
		if i >= in.Skip && len(out) < in.Take {
			out = append(out, viewOf(s))
		}
	}
	return out, nil
}

type newSubscription struct {
	Channel string        `json:"channel" required:"true" enum:"wss,webhook"`
	Type    string        `json:"type" required:"true" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease,*"`
	Active  *bool         `json:"is_active"`
	Expires *httpapi.Time `json:"expired_on"`
	Filter  *Filter       `json:"filter"`
}

// Validate refuses what is not served yet, by name.
func (n *newSubscription) Validate(f *fault.Fields) {
	if n.Channel == "webhook" {
		f.Add("channel", "this server delivers events over the websocket (wss) only", n.Channel)
	}
}

func (g *Gate) createSubscription(ctx context.Context, in *newSubscription) (subscriptionView, error) {
	who := httpapi.Who(ctx)
	s := Subscription{Account: who.Account, User: who.User, Channel: in.Channel, Type: in.Type, Active: in.Active == nil || *in.Active, Filter: in.Filter, Modified: g.now()}
	if t := in.Expires.Std(); t != nil {
		s.Expires = *t
	}
	var out Subscription
	var made bool
	var user json.RawMessage
	err := g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if out, made, err = save(ctx, tx, s); err != nil {
			return err
		}
		user, err = g.owner(ctx, tx, Session{Account: who.Account, User: who.User})
		return err
	})
	if err != nil {
		return subscriptionView{}, err
	}
	if made {
		httpapi.SetStatus(ctx, 201)
	}
	g.changed(ctx, who.User)
	v := viewOf(out)
	v.User = user
	return v, nil
}

// owner is the user with the account inside.
func (g *Gate) owner(ctx context.Context, tx *db.Tx, who Session) (json.RawMessage, error) {
	user, account, err := g.sessions.AuthViews(ctx, tx, who)
	if err != nil || len(user) < len(`{"uuid":""}`) {
		return user, err
	}
	return slices.Concat(user[:len(user)-1], []byte(`,"account":`), account, []byte("}")), nil
}

type subscriptionKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (g *Gate) getSubscription(ctx context.Context, in *subscriptionKey) (subscriptionView, error) {
	s, err := get(ctx, g.db.Read(), httpapi.Who(ctx).User, in.UUID)
	return viewOf(s), err
}

type subscriptionUpdate struct {
	subscriptionKey
	Active  *bool                     `json:"is_active"`
	Expires httpapi.Opt[httpapi.Time] `json:"expired_on"`
	Filter  httpapi.Opt[Filter]       `json:"filter"`
}

func (g *Gate) updateSubscription(ctx context.Context, in *subscriptionUpdate) (subscriptionView, error) {
	who := httpapi.Who(ctx)
	var s Subscription
	err := g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if s, err = get(ctx, tx, who.User, in.UUID); err != nil {
			return err
		}
		if in.Active != nil {
			s.Active = *in.Active
		}
		s.Expires, s.Filter, s.Modified = in.Expires.Or(httpapi.TimeOf(s.Expires)).Time, in.Filter.Ptr(s.Filter), g.now()
		return update(ctx, tx, s)
	})
	if err == nil {
		g.changed(ctx, who.User)
	}
	return viewOf(s), err
}

func (g *Gate) removeSubscription(ctx context.Context, in *subscriptionKey) (subscriptionView, error) {
	who := httpapi.Who(ctx)
	var s Subscription
	err := g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if s, err = get(ctx, tx, who.User, in.UUID); err != nil {
			return err
		}
		return remove(ctx, tx, s.ID)
	})
	if err == nil {
		g.changed(ctx, who.User)
	}
	return viewOf(s), err
}
