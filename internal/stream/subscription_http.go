package stream

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
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
	made := op("CreateEventSubscription", "POST", base, "Subscribe to an event type; the same channel and type again updates it")
	made.Ahead = g.checkSubscription
	httpapi.Handle(a, made, g.createSubscription)
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
	Filter   *event.Filter   `json:"filter"`
	Created  httpapi.Time    `json:"created_on"`
	Modified httpapi.Time    `json:"modified_on"`
	URL      string          `json:"url,omitempty"`     // of the channel webhook
	Webhook  string          `json:"webhook,omitempty"` // of the channel webhook: uuid of the endpoint
	Secret   string          `json:"secret,omitempty"`  // in the answer that made the endpoint
	User     json.RawMessage `json:"user,omitempty"`    // in the create answer
}

func hookView(h Hook) subscriptionView {
	v := viewOf(h.Subscription)
	v.URL, v.Webhook, v.Secret = h.URL, h.Endpoint, h.Secret
	return v
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
	hooks, err := g.hooksOf(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]subscriptionView, 0, len(subs)+len(hooks))
	for _, s := range subs {
		all = append(all, viewOf(s))
	}
	for _, h := range hooks {
		all = append(all, hookView(h))
	}
	slices.SortStableFunc(all, func(a, b subscriptionView) int { return b.Created.Compare(a.Created.Time) })
	httpapi.SetTotal(ctx, len(all))
	return all[min(in.Skip, len(all)):min(in.Skip+in.Take, len(all))], nil
}

// hooksOf lists the user's subscriptions of the channel webhook.
func (g *Gate) hooksOf(ctx context.Context) ([]Hook, error) {
	if g.hooks == nil {
		return nil, nil
	}
	who := httpapi.Who(ctx)
	return g.hooks.List(ctx, who.Account, who.User)
}

// hook finds one of them.
func (g *Gate) hook(ctx context.Context, id string) (Hook, bool, error) {
	hooks, err := g.hooksOf(ctx)
	for _, h := range hooks {
		if h.ID == id {
			return h, true, nil
		}
	}
	return Hook{}, false, err
}

type newSubscription struct {
	Channel string        `json:"channel" required:"true" enum:"wss,webhook"`
	Type    string        `json:"type" required:"true" enum:"auth,call_state,call_flow,call_record,sms,tn_order,balance,campaign,batch,sip_registration,tn_lease,*"`
	Active  *bool         `json:"is_active"`
	Expires *httpapi.Time `json:"expired_on"`
	Filter  *event.Filter `json:"filter"`
	URL     string        `json:"url" doc:"of the channel webhook"`
	Secret  string        `json:"secret" doc:"of the channel webhook: whsec_ and the base64 of 24 to 64 bytes; made when absent"`
}

// Validate tells what the channel webhook needs.
func (n *newSubscription) Validate(f *fault.Fields) {
	if n.Channel == "webhook" && n.URL == "" {
		f.Add("url", "is required for the channel webhook", nil)
	}
}

// checkSubscription looks where the URL of a subscription leads.
func (g *Gate) checkSubscription(ctx context.Context, in any) error {
	n := in.(*newSubscription)
	if n.Channel != "webhook" || g.hooks == nil {
		return nil
	}
	return g.hooks.Check(ctx, n.URL)
}

func (g *Gate) createSubscription(ctx context.Context, in *newSubscription) (subscriptionView, error) {
	if in.Channel == "webhook" {
		return g.createHook(ctx, in)
	}
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
	db.Then(ctx, func(ctx context.Context) { g.changed(ctx, who.User) })
	v := viewOf(out)
	v.User = user
	return v, nil
}

// createHook makes a subscription of the channel webhook, or changes that of the same URL and type.
func (g *Gate) createHook(ctx context.Context, in *newSubscription) (subscriptionView, error) {
	if g.hooks == nil {
		return subscriptionView{}, fault.Invalid("channel", "this server delivers events over the websocket (wss) only", in.Channel)
	}
	who := httpapi.Who(ctx)
	h := Hook{URL: in.URL, Secret: in.Secret, Subscription: Subscription{
		Account: who.Account, User: who.User, Channel: in.Channel, Type: in.Type, Active: in.Active == nil || *in.Active, Filter: in.Filter,
	}}
	if t := in.Expires.Std(); t != nil {
		h.Expires = *t
	}
	out, made, err := g.hooks.Save(ctx, h)
	if err != nil {
		return subscriptionView{}, err
	}
	if made {
		httpapi.SetStatus(ctx, 201)
	}
	v := hookView(out)
	err = g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		v.User, err = g.owner(ctx, tx, Session{Account: who.Account, User: who.User})
		return err
	})
	return v, err
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
	if h, found, err := g.hook(ctx, in.UUID); err != nil || found {
		return hookView(h), err
	}
	s, err := get(ctx, g.db.Read(), httpapi.Who(ctx).User, in.UUID)
	return viewOf(s), err
}

type subscriptionUpdate struct {
	subscriptionKey
	Active  *bool                     `json:"is_active"`
	Expires httpapi.Opt[httpapi.Time] `json:"expired_on"`
	Filter  httpapi.Opt[event.Filter] `json:"filter"`
	URL     string                    `json:"url" doc:"of the channel webhook"`
}

func (g *Gate) updateSubscription(ctx context.Context, in *subscriptionUpdate) (subscriptionView, error) {
	if h, found, err := g.hook(ctx, in.UUID); err != nil || found {
		return g.updateHook(ctx, h, in, err)
	}
	who := httpapi.Who(ctx)
	var s Subscription
	err := g.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if s, err = get(ctx, tx, who.User, in.UUID); err != nil {
			return err
		}
		in.change(&s)
		s.Modified = g.now()
		return update(ctx, tx, s)
	})
	if err == nil {
		g.changed(ctx, who.User)
	}
	return viewOf(s), err
}

// change applies what was given.
func (in *subscriptionUpdate) change(s *Subscription) {
	if in.Active != nil {
		s.Active = *in.Active
	}
	s.Expires, s.Filter = in.Expires.Or(httpapi.TimeOf(s.Expires)).Time, in.Filter.Ptr(s.Filter)
}

func (g *Gate) updateHook(ctx context.Context, h Hook, in *subscriptionUpdate, err error) (subscriptionView, error) {
	if err != nil {
		return subscriptionView{}, err
	}
	in.change(&h.Subscription)
	if in.URL != "" {
		h.URL = in.URL
	}
	out, _, err := g.hooks.Save(ctx, h)
	return hookView(out), err
}

func (g *Gate) removeSubscription(ctx context.Context, in *subscriptionKey) (subscriptionView, error) {
	who := httpapi.Who(ctx)
	if h, found, err := g.hook(ctx, in.UUID); err != nil || found {
		if err == nil {
			err = g.hooks.Drop(ctx, who.Account, h.ID)
		}
		return hookView(h), err
	}
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
