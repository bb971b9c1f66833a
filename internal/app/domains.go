package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/bus"
	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/stream"
)

// domains are the parts that live in the database, in the order in which they lean on each other.
type domains struct {
	node     *cluster.Member // this run of the server among the nodes
	version  string
	events   *event.Log
	jobs     *jobs.Runner
	answers  *httpapi.Answers // to requests with an Idempotency-Key
	accounts *account.Service
	billing  *billing.Service
	numbers  *number.Service
	gate     *stream.Gate
	products
}

// newDomains makes them without starting anything; b is nil where no server runs.
func newDomains(cfg config.Config, version string, d *db.DB, b *bus.Bus, log *slog.Logger) (*domains, error) {
	m := &domains{version: version}
	name, err := nodeName(cfg.Data)
	if err != nil {
		return nil, err
	}
	m.node = cluster.New(cluster.Config{DB: d, Name: name, Logger: log})
	logs := event.Config{DB: d, Logger: log}
	if b != nil {
		logs.Nudger = b
	}
	m.events = event.NewLog(logs)
	m.jobs = jobs.NewRunner(jobs.Config{DB: d, Node: m.node.ID(), Fence: m.node.Fence, Holds: m.node.Holds, Logger: log})
	m.node.OnDead("jobs", m.jobs.TakeBack)
	m.answers = httpapi.NewAnswers(d, m.node.ID(), nil)
	m.node.OnDead("answers", m.answers.TakeBack)
	if m.accounts, err = account.New(account.Config{DB: d, Logger: log, Domain: cfg.Domain, Sandbox: cfg.Sandbox, ObjectURL: cfg.APIURL + "/object"}); err != nil {
		return nil, err
	}
	opening := money.Amount(0)
	if cfg.Sandbox {
		opening = cfg.SandboxCredit
	}
	m.billing = billing.New(billing.Config{DB: d, Events: m.events, Jobs: m.jobs, Accounts: m.accounts, Letters: letters{m}, Logger: log, OpeningCredit: opening})
	m.numbers = number.New(number.Config{DB: d, Events: m.events, Jobs: m.jobs, Billing: m.billing, Accounts: m.accounts, Letters: letters{m}, Logger: log})
	m.billing.CountLeases(m.numbers)
	gate := stream.Config{DB: d, Log: m.events, Sessions: sessions{m.accounts, d}, Logger: log}
	if b != nil {
		gate.Bus = b
	}
	if d.Engine() == db.Postgres { // SQLite: nobody else is there
		sockets := account.Sockets{Node: m.node.ID()}
		gate.Presence, gate.Fence = sockets, m.node.Fence
		m.node.OnDead("websockets", sockets.Forget)
	}
	m.gate = stream.NewGate(gate)
	m.accounts.OnAccount(func(ctx context.Context, tx *db.Tx, id string, _ account.Level) error {
		return m.billing.Open(ctx, tx, id)
	})
	return m, m.build(cfg, d, log)
}

// nodeName is this server's own: kept in its data directory, so that it is stable over restarts, by which it takes back at once what an earlier run had in hand,
// and differs between two servers on one machine.
func nodeName(data string) (string, error) {
	path := filepath.Join(data, "node")
	if b, err := os.ReadFile(path); err == nil && ident.Valid(strings.TrimSpace(string(b))) {
		return strings.TrimSpace(string(b)), nil
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	name := ident.New()
	if err := os.WriteFile(path, []byte(name+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("name of this node: %w", err)
	}
	return name, nil
}

// seed makes what a new installation starts with: price plans, and the sandbox's numbers.
func (m *domains) seed(ctx context.Context, d *db.DB, sandbox bool) error {
	return d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := m.billing.SeedPlans(ctx, tx); err != nil || !sandbox {
			return err
		}
		return m.numbers.Seed(ctx, tx)
	})
}
