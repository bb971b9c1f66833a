package app

import (
	"context"
	"encoding/json"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/stream"
	"github.com/opentact/opentact/internal/webhook"
)

// hooks keeps event subscriptions of the channel webhook with the endpoints.
type hooks struct{ webhooks *webhook.Service }

func (h hooks) Save(ctx context.Context, in stream.Hook) (stream.Hook, bool, error) {
	sub := webhook.Subscription{ID: in.ID, Account: in.Account, User: in.User, URL: in.URL, Type: in.Type, Active: in.Active, Expires: in.Expires, Filter: in.Filter}
	out, made, secret, err := h.webhooks.SaveSubscription(ctx, sub, in.Secret)
	hook := hookOf(out)
	hook.Secret = secret
	return hook, made, err
}

func (h hooks) List(ctx context.Context, account, user string) ([]stream.Hook, error) {
	list, err := h.webhooks.Subscriptions(ctx, account, user)
	out := make([]stream.Hook, len(list))
	for i, s := range list {
		out[i] = hookOf(s)
	}
	return out, err
}

func (h hooks) Check(ctx context.Context, url string) error { return h.webhooks.CheckURL(ctx, url) }

func (h hooks) Drop(ctx context.Context, account, id string) error {
	return h.webhooks.RemoveSubscription(ctx, account, id)
}

func hookOf(s webhook.Subscription) stream.Hook {
	return stream.Hook{URL: s.URL, Endpoint: s.Endpoint, Subscription: stream.Subscription{
		ID: s.ID, Account: s.Account, User: s.User, Channel: "webhook", Type: s.Type, Active: s.Active, Expires: s.Expires, Filter: s.Filter,
		Created: s.Created, Modified: s.Modified,
	}}
}

// reports tells how an event was delivered.
type reports struct{ webhooks *webhook.Service }

func (r reports) Report(ctx context.Context, account, event string) (json.RawMessage, error) {
	return r.webhooks.Report(ctx, account, event)
}

// mailWebhookDisabled is the letter about an endpoint that was disabled. Vars: name, url, reason.
const mailWebhookDisabled = "webhook_disabled"

// alerts writes to the administrator of an account.
type alerts struct{ m *domains }

func (a alerts) EndpointDisabled(ctx context.Context, tx *db.Tx, id, url, reason string) error {
	return a.m.write(ctx, tx, id, mailWebhookDisabled, map[string]string{"url": url, "reason": reason})
}

// letters writes what numbers and money have to tell, where the account's settings ask for it.
type letters struct{ m *domains }

func (l letters) Send(ctx context.Context, tx *db.Tx, id, template string, vars map[string]string) error {
	n, err := l.m.accounts.Notification(ctx, tx, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	wanted := false
	switch template {
	case number.MailOrderSuccess, number.MailOrderRejected:
		wanted = n.OrderProcessed
	case number.MailReleasing:
		wanted = n.LeasesReleasing
	case number.MailReleased:
		wanted = n.LeasesReleased
	case billing.MailLowBalance:
		wanted = n.LowBalance != nil
	}
	if !wanted {
		return nil
	}
	return l.m.write(ctx, tx, id, template, vars)
}

// write sends a letter to the administrator of an account. Vars: name of the account, and those given.
func (m *domains) write(ctx context.Context, tx *db.Tx, id, template string, vars map[string]string) error {
	acc, err := m.accounts.Load(ctx, tx, id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	to := acc.Email
	if admin, err := m.accounts.UserByID(ctx, tx, acc.Admin); err == nil {
		to = admin.Email
	}
	vars["name"] = acc.Name
	return m.parts.Mailer.Mail(ctx, tx, account.Mail{Template: template, To: to, Vars: vars})
}
