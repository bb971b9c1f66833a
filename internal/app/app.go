package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"
	_ "time/tzdata" // zones of accounts on machines without a zone database

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/bus"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/lifecycle"
	"github.com/opentact/opentact/internal/obs"
)

// gcPercent lets the heap grow to five times what lives before it is swept: a third of the collector's CPU for some tens of megabytes. GOGC in the environment wins.
const gcPercent = 400

// Build is what the program was made from. BuiltOn is the time of the commit, RFC 3339 in UTC; empty: what the Go command recorded.
type Build struct{ Version, Commit, BuiltOn string }

// App is the server.
type App struct {
	cfg     config.Config
	build   Build
	out     io.Writer
	log     *slog.Logger
	now     func() time.Time
	db      *db.DB
	bus     *bus.Bus
	metrics *obs.Metrics
	domains *domains
	calls   *calls
	api     *httpapi.API
	tls     certificates
	ln      net.Listener
	group   *lifecycle.Group
	locks   []func() error // of the data directory and the database file
	freed   chan struct{}  // holds one word that recurring work of a dead node is due; more are the same
	ready   chan struct{}
}

// New opens the database and builds every part; Run starts them. out gets the start banner. Settings that cannot be used are config.Faults.
func New(ctx context.Context, cfg config.Config, b Build, out io.Writer, log *slog.Logger) (*App, error) {
	pairs, err := check(cfg)
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, build: b, out: out, log: log, now: time.Now, tls: pairs, freed: make(chan struct{}, 1), ready: make(chan struct{})}
	if err := a.lock(cfg); err != nil {
		return nil, err
	}
	if a.db, err = openDB(ctx, cfg, log); err != nil {
		return nil, errors.Join(err, a.unlock())
	}
	if err := a.assemble(ctx); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// assemble makes the parts in the order of their ranks.
func (a *App) assemble(ctx context.Context) (err error) {
	build := obs.ReadBuild(a.build.Version)
	build.Commit = cmp.Or(a.build.Commit, build.Commit)
	a.build.BuiltOn = cmp.Or(a.build.BuiltOn, build.BuiltOn)
	a.metrics = obs.NewMetrics(build)
	if a.bus, err = bus.Open(bus.Options{URL: a.cfg.Bus, Name: "opentact", Logger: a.log}); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if a.ln, err = net.Listen("tcp", a.cfg.HTTPAddr); err != nil {
		return fmt.Errorf("http address: %w", err)
	}
	a.cfg.APIURL = a.apiURL()
	if a.domains, err = newDomains(a.cfg, a.build.Version, a.db, a.bus, a.log); err != nil {
		return err
	}
	a.domains.node.OnDead("recurring work", a.takeBackTasks)
	if err := a.domains.seed(ctx, a.db, a.cfg.Sandbox); err != nil {
		return fmt.Errorf("first data: %w", err)
	}
	if a.calls, err = a.newCalls(ctx); err != nil {
		return err
	}
	a.api = a.newAPI()
	a.measure()
	return nil
}

// parts is the list of what runs, by stage. Stopping goes backwards: new work is refused first, over HTTP and SIP, then the engine lets calls end while SIP, the
// sandbox's phones and the media still work, then what writes down what happened, then the log and the jobs. HTTP answers probes from the first to the last.
func (a *App) parts() []lifecycle.Part {
	m, c := a.domains, a.calls
	parts := []lifecycle.Part{
		{Name: "http", Stage: 1, Run: a.serveHTTP},
		{Name: "cluster", Stage: 1, Run: a.joinCluster},
		{Name: "events", Stage: 2, Run: m.events.Run},
		{Name: "jobs", Stage: 2, Run: m.jobs.Run},
		{Name: "schedule", Stage: 2, Run: a.schedule},
		{Name: "websockets", Stage: 3, Run: m.gate.Run},
		{Name: "webhooks", Stage: 2, Run: m.webhooks.Run},
		{Name: "messages", Stage: 3, Run: m.messages.Run},
		{Name: "carriers", Stage: 3, Run: m.trunk.Run},
		{Name: "call records", Stage: 3, Run: c.voice.Run},
		{Name: "media clock", Stage: 3, Run: atOnce(c.clock.Run)},
		{Name: "media reader", Stage: 3, Run: atOnce(c.poller.Run)},
		{Name: "voices", Stage: 3, Run: a.loadVoices},
		{Name: "sip", Stage: 4, Run: c.sip.Run},
		{Name: "calls", Stage: 6, Run: a.runCalls},
		{Name: "operations", Stage: 7, Run: a.takeWork},
	}
	if c.sandbox != nil {
		parts = append(parts, lifecycle.Part{Name: "sandbox", Stage: 4, Run: c.sandbox.Run}, lifecycle.Part{Name: "sandbox carrier", Stage: 5, Run: a.listSandbox})
	}
	if m.network != nil {
		parts = append(parts, lifecycle.Part{Name: "sandbox messages", Stage: 3, Run: m.network.Run})
	}
	return parts
}

// atOnce is a part that is ready as soon as it runs.
func atOnce(run func(context.Context) error) func(context.Context, func()) error {
	return func(ctx context.Context, ready func()) error {
		ready()
		return run(ctx)
	}
}

// loadVoices asks the speech engines for their voices, so that the first caller need not wait for it; a missing engine is a warning, not a fault.
func (a *App) loadVoices(ctx context.Context, ready func()) error {
	ready()
	if _, err := a.calls.speech.Reload(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("speech engines", "error", err)
	}
	for _, p := range a.calls.speech.Check(ctx) {
		a.log.Warn("speech engine is incomplete", "engine", p.Engine, "program", p.Program, "package", p.Package, "detail", p.Detail)
	}
	<-ctx.Done()
	return nil
}

// Run starts the parts stage by stage and works until ctx ends; then it drains and stops them in reverse.
func (a *App) Run(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	defer func() {
		if err := a.close(); err != nil {
			a.log.Warn("close", "error", err)
		}
	}()
	first, err := a.domains.accounts.Bootstrap(ctx, firstAdmin(a.cfg))
	if err != nil {
		return fmt.Errorf("first administrator: %w", err)
	}
	unsubscribe, err := a.bus.Subscribe("event.news", func([]byte) { a.domains.events.Nudge() })
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	defer unsubscribe()
	parts := append(a.parts(), lifecycle.Part{Name: "announce", Stage: 8, Run: func(_ context.Context, ready func()) error {
		a.announce(first)
		ready()
		return nil
	}})
	a.group = lifecycle.NewGroup(parts...)
	return a.group.Run(ctx)
}

// announce says that the server works, once, in the log and on the terminal.
func (a *App) announce(first account.Created) {
	sip := a.calls.sipAddrs()
	a.log.Info("ready", "http", a.HTTPAddr(), "sip", strings.Join(sip, ","), "version", a.build.Version)
	base := a.cfg.APIURL
	fmt.Fprintf(a.out, "\n  Opentact %s is ready\n\n  API        %s/rest   (browse it at %s/swagger/)\n  Websocket  %s/\n  SIP        %s\n", a.build.Version, base, base, strings.Replace(base, "http", "ws", 1), strings.Join(sip, " "))
	if first.Email != "" {
		fmt.Fprintf(a.out, "\n  Administrator\n  E-mail     %s\n", first.Email)
	}
	if first.New {
		fmt.Fprintf(a.out, "  Password   %s (shown this once)\n  API token  %s (shown this once)\n", first.Password, first.Token)
	}
	fmt.Fprintln(a.out)
	close(a.ready)
}

// Ready is closed when every part works.
func (a *App) Ready() <-chan struct{} { return a.ready }

// HTTPAddr is the bound address of REST and websocket.
func (a *App) HTTPAddr() string { return a.ln.Addr().String() }

// SIPAddr is the first bound address of SIP.
func (a *App) SIPAddr() string {
	first, _, _ := strings.Cut(strings.Join(a.calls.sipAddrs(), ","), ",")
	return first
}

func (a *App) apiURL() string {
	if a.cfg.APIURL != "" && !strings.HasSuffix(a.cfg.APIURL, ":0") {
		return strings.TrimSuffix(a.cfg.APIURL, "/")
	}
	if a.tls.http != nil {
		return "https://" + a.ln.Addr().String()
	}
	return "http://" + a.ln.Addr().String()
}

// notReady names what does not work yet, for /health/ready.
func (a *App) notReady() []string {
	var out []string
	if a.group != nil {
		for _, name := range a.group.Ready() {
			if name != "announce" {
				out = append(out, name)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := a.db.Ping(ctx); err != nil {
		out = append(out, "database")
	}
	return out
}

func (a *App) close() error {
	var err error
	if a.ln != nil {
		if e := a.ln.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	if a.calls != nil {
		err = errors.Join(err, a.calls.close())
	}
	if a.domains != nil {
		a.domains.fetch.Close()
		a.domains.notices.Close()
	}
	if a.bus != nil {
		a.bus.Close()
	}
	return errors.Join(err, a.db.Close(), a.unlock())
}
