package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/webhook"
)

// services are the domains of a node, wired as the program wires them.
type services struct {
	d       *db.DB
	log     *event.Log
	jobs    *jobs.Runner
	acc     *account.Service
	billing *billing.Service
	numbers *number.Service
	sms     *messaging.Service
	hooks   *webhook.Service
}

// views shows what leases point at; no number leads to an app here.
type views struct{ *messaging.Service }

func (views) AppView(context.Context, db.Querier, string, string) (json.RawMessage, error) {
	return json.RawMessage("null"), nil
}

// callbacks makes notifications of messages' callbacks.
type callbacks struct{ hooks *webhook.Service }

func (c callbacks) Notify(ctx context.Context, tx *db.Tx, n messaging.Callback) error {
	return c.hooks.Notify(ctx, tx, webhook.Notice{
		Account: n.Account, Key: n.Order, URLs: n.URLs, Body: n.Body, Schedule: webhook.Messaging, Secret: n.Secret, Trigger: n.Trigger,
	})
}

// alive is what the cluster tells of this run of the node; the zero value lives.
type alive struct {
	fence func(context.Context, *db.Tx) error
	holds func() bool
}

// build wires the services of a run of the node.
func build(d *db.DB, node string, client *fetch.Client, log *slog.Logger, f flaw, a alive) (*services, error) {
	s := &services{d: d}
	s.log = event.NewLog(event.Config{DB: d, Logger: log})
	s.jobs = jobs.NewRunner(jobs.Config{DB: d, Node: node, Logger: log, Fence: a.fence, Holds: a.holds})
	var err error
	if s.acc, err = account.New(account.Config{DB: d, Logger: log, Domain: "sip.example.org", Sandbox: true}); err != nil {
		return nil, err
	}
	s.billing = billing.New(billing.Config{DB: d, Events: s.log, Jobs: s.jobs, Accounts: s.acc, OpeningCredit: 1000 * money.Unit, Logger: log})
	s.numbers = number.New(number.Config{DB: d, Events: s.log, Jobs: s.jobs, Billing: s.billing, Accounts: s.acc})
	s.hooks = webhook.New(webhook.Config{DB: d, Fetch: client, Events: s.log, Resolver: resolver{}, Logger: log, Node: node, Fence: a.fence, Holds: a.holds})
	var notify messaging.Callbacks = callbacks{s.hooks}
	if f == losesCallbacks || f == doublesCallback {
		notify = tampered{notify, f}
	}
	s.sms = messaging.New(messaging.Config{
		DB: d, Events: s.log, Jobs: s.jobs, Accounts: s.acc, Billing: s.billing, Numbers: s.numbers, Callbacks: notify, Logger: log, Node: node, Sandbox: true,
		Fence: a.fence, Holds: a.holds,
	})
	s.numbers.Bind(views{s.sms}, s.sms)
	s.acc.Attach(account.Parts{Balances: s.billing, Credit: s.billing, Profiles: s.sms})
	s.acc.OnAccount(func(ctx context.Context, tx *db.Tx, id string, _ account.Level) error {
		return s.billing.Open(ctx, tx, id)
	})
	s.acc.OnAccount(s.sms.OnAccount)
	return s, nil
}

// life is one run of the simulated process.
type life struct {
	*services
	w      *world
	n      int
	client *fetch.Client
	cancel context.CancelFunc
	parts  sync.WaitGroup // its parts
	calls  sync.WaitGroup // clients in it
	dead   atomic.Bool    // killed: nothing it does has an effect any more
	lost   atomic.Bool    // declared dead by others: it may write no end of what it had in hand
	gone   chan struct{}  // closed with it
	failed chan error     // one for each part

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	rows  [][]event.Row // what a live subscriber was given, for each time that the relay ran
	stop  bool          // clients must not come any more
}

// errOver tells a client that the process went away.
var errOver = errors.New("no process answers")

// address is where all names of customers' servers lead.
var address = netip.MustParseAddr("93.184.216.34")

type resolver struct{}

func (resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{address}, nil
}

// begin starts a life on the world's file.
func (w *world) begin(n int) (*life, error) {
	l := &life{w: w, n: n, gone: make(chan struct{}), failed: make(chan error, 8)}
	l.client = fetch.New(fetch.Options{Resolver: resolver{}, Dial: l.dial})
	d, err := db.Open(context.Background(), db.Config{URL: "sqlite:" + w.path, Fault: func(s db.Stage) error { return w.disk.fault(l, s) }})
	if err != nil {
		return nil, err
	}
	if l.services, err = build(d, nodeOf(n), l.client, slog.New(traceHandler{&w.trace}), w.flaw, alive{l.fence, l.holds}); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	l.sms.Attach(w.links(l)...)
	w.handlers(l)
	l.log.Subscribe(func(r event.Row) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rows[len(l.rows)-1] = append(l.rows[len(l.rows)-1], r)
	})
	return l, nil
}

// nodeOf names a run of the node.
func nodeOf(n int) string { return fmt.Sprintf("run-%d", n) }

// errLost is what the fence says of a run that was declared dead.
var errLost = errors.New("this run of the node was declared dead")

func (l *life) fence(context.Context, *db.Tx) error {
	if l.lost.Load() {
		return errLost
	}
	return nil
}

// holds tells whether the run dares to send; some instants are in doubt.
func (l *life) holds() bool {
	w := l.w
	return !l.lost.Load() && (w.healed.Load() || !w.chance(w.mood.doubt, "holds", int(time.Since(w.start).Milliseconds())))
}

// inherit makes due what the runs before this one had in hand, as a node does for those of its name that are dead.
func (l *life) inherit() error {
	return l.d.Update(context.Background(), func(ctx context.Context, tx *db.Tx) error {
		for n := 1; n < l.n; n++ {
			for _, back := range []func(context.Context, *db.Tx, string) error{l.jobs.TakeBack, l.hooks.TakeBack, l.sms.TakeBack} {
				if err := back(ctx, tx, nodeOf(n)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// run starts the parts and waits until each is ready; an error means that the process ended again.
func (l *life) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.rows = append(l.rows, nil)
	parts := []func(context.Context, func()) error{l.log.Run, l.jobs.Run, l.hooks.Run, l.sms.Run}
	for i, part := range parts {
		ready := make(chan struct{})
		ended := make(chan error, 1)
		l.parts.Go(func() {
			err := part(ctx, func() { close(ready) })
			if err != nil {
				ended <- err
				l.failed <- fmt.Errorf("part %d: %w", i, err)
			}
		})
		select {
		case <-ready:
		case err := <-ended:
			return err
		}
	}
	return nil
}

// pause ends the parts in good order; run may start them again.
func (l *life) pause() {
	l.cancel()
	l.parts.Wait()
}

// die is kill -9: from now on nothing reaches the disk or the network.
func (l *life) die() {
	if l.dead.Swap(true) {
		return
	}
	close(l.gone)
}

// end waits until the rest of a life is gone and closes its database.
func (l *life) end() error {
	l.mu.Lock()
	l.stop = true
	conns := l.conns
	l.mu.Unlock()
	if l.dead.Load() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	l.cancel()
	l.parts.Wait()
	l.calls.Wait()
	l.client.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	return l.d.Close()
}

// enter lets a client in; the process waits for it, dead or not, before its file is opened again.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop || l.dead.Load() {
		return false
	}
	l.calls.Add(1)
	return true
}

// do is one request of a client: an error of it that is errOver means that it never began, one after death that nobody answered.
func (l *life) do(fn func(ctx context.Context) error) error {
	if !l.enter() {
		return errOver
	}
	defer l.calls.Done()
	err := fn(context.Background())
	if l.dead.Load() {
		return errDead
	}
	return err
}

// dial connects to the customer's server.
func (l *life) dial(_ context.Context, _, _ string) (net.Conn, error) {
	if l.dead.Load() {
		return nil, errDead
	}
	near, far := net.Pipe()
	l.mu.Lock()
	l.conns = append(l.conns, near)
	l.mu.Unlock()
	l.w.guests.Go(func() { l.w.customer.serve(far) })
	return near, nil
}

// traceHandler puts warnings of the services among the steps.
type traceHandler struct{ t *trace }

func (traceHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (h traceHandler) WithAttrs([]slog.Attr) slog.Handler             { return h }
func (h traceHandler) WithGroup(string) slog.Handler                  { return h }

func (h traceHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" || a.Key == "queue" {
			text += " " + a.Value.String()
		}
		return true
	})
	if !strings.Contains(text, "context canceled") { // of a process that ends
		h.t.add("log: %s", text)
	}
	return nil
}
