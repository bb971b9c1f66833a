package app

import (
	"context"
	"log/slog"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/messaging"
	network "github.com/opentact/opentact/internal/messaging/carrier/sandbox"
	"github.com/opentact/opentact/internal/trunk"
	"github.com/opentact/opentact/internal/voice"
	"github.com/opentact/opentact/internal/webhook"
)

// products are the domains that never import each other.
type products struct {
	trunk    *trunk.Service
	messages *messaging.Service
	network  *network.Carrier // the sandbox's message centre; nil without the sandbox
	webhooks *webhook.Service
	fetch    *fetch.Client // to customers' servers, from calls
	notices  *fetch.Client // to customers' servers, of webhooks
	parts    account.Parts // what the accounts use of the others
	voice    appViews      // set where a server runs
}

// build makes the products and ties them together.
func (m *domains) build(cfg config.Config, d *db.DB, log *slog.Logger) error {
	m.trunk = trunk.New(trunk.Config{DB: d, Accounts: m.accounts, Numbers: m.numbers, Prices: m.billing, Logger: log})
	to := fetch.Options{AllowPrivate: cfg.AllowPrivateURLs, UserAgent: "Opentact/" + m.version}
	m.fetch = fetch.New(to)
	to.PerHost = webhook.Pool
	m.notices = fetch.New(to)
	m.webhooks = webhook.New(webhook.Config{DB: d, Fetch: m.notices, Events: m.events, Alerts: alerts{m}, Logger: log, Node: m.node.ID(), Fence: m.node.Fence, Holds: m.node.Holds})
	m.gate.Attach(hooks{m.webhooks}, reports{m.webhooks})
	m.node.OnDead("webhooks", m.webhooks.TakeBack)
	m.messages = messaging.New(messaging.Config{
		DB: d, Events: m.events, Jobs: m.jobs, Accounts: m.accounts, Billing: m.billing, Numbers: m.numbers,
		Callbacks: callbacks{m.webhooks}, Logger: log, Node: m.node.ID(), Fence: m.node.Fence, Holds: m.node.Holds, Sandbox: cfg.Sandbox,
	})
	m.node.OnDead("messages", m.messages.TakeBack)
	if cfg.Sandbox {
		m.network = network.New(network.Config{DB: d, Jobs: m.jobs, Sink: m.messages, Host: m.messages, Logger: log})
		m.messages.Attach(messaging.Link{Name: "sandbox", Driver: m.network, Sandbox: true})
	}
	m.numbers.Bind(relations{m}, m.messages)
	m.billing.ShowObjects(objects{m})
	m.parts = account.Parts{Balances: m.billing, Credit: m.billing, Thresholds: m.billing, Presence: m.gate, Profiles: m.messages, Mailer: account.LogMailer{Logger: log}}
	m.accounts.Attach(m.parts)
	m.accounts.OnAccount(m.messages.OnAccount)
	if cfg.Sandbox {
		m.accounts.OnAccount(func(ctx context.Context, tx *db.Tx, id string, _ account.Level) error {
			p := trunk.NewProfile(id, "")
			p.Name = "default outbound voice profile"
			_, err := m.trunk.AddProfileIn(ctx, tx, p)
			return err
		})
	}
	return nil
}

// routes registers the operations of the products.
func (m *domains) routes(api *httpapi.API) {
	m.trunk.Routes(api)
	m.messages.Routes(api)
	m.webhooks.Routes(api)
}

// callbacks delivers messaging callbacks durably.
type callbacks struct{ webhooks *webhook.Service }

func (c callbacks) Notify(ctx context.Context, tx *db.Tx, n messaging.Callback) error {
	return c.webhooks.Notify(ctx, tx, webhook.Notice{Account: n.Account, Key: n.Order, URLs: n.URLs, Body: n.Body, Schedule: webhook.Messaging, Secret: n.Secret, Trigger: n.Trigger})
}

// stateWebhooks delivers app state webhooks durably.
type stateWebhooks struct{ webhooks *webhook.Service }

func (w stateWebhooks) Notify(ctx context.Context, tx *db.Tx, n voice.Notice) error {
	timeout := n.Timeout
	if timeout < 0 {
		timeout = fetch.NoTimeout
	}
	return w.webhooks.Notify(ctx, tx, webhook.Notice{Account: n.Account, Key: n.Order, URLs: []string{n.URL}, Method: n.Method, Body: n.Body, Schedule: webhook.App, Timeout: timeout, Secret: n.Secret, Trigger: n.Trigger})
}
