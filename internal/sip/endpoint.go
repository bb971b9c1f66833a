package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what an Endpoint needs. The zero value listens nowhere.
type Config struct {
	Listen     []string // host:port, each for UDP and TCP; port 0 takes a free one
	ListenTLS  []string // host:port; needs TLS
	TLS        *tls.Config
	PublicAddr string // host or IP that peers shall use; default: the address a packet leaves from
	UserAgent  string // User-Agent and Server headers; empty writes none
	Logger     *slog.Logger
	Now        func() time.Time

	T1, T2, T4 time.Duration // RFC 3261 §17.1.1.1; default 500 ms, 4 s, 5 s
	Workers    int           // shards; default the number of CPUs
	SourceRate float64       // new requests per second and source address; default 10,000, beyond it 503

	// Trusted says which sources are never banned. Others get no answer, but to OPTIONS and in calls that stand, for 5 minutes after Suspect noted 5
	// failures of theirs within a minute. nil: nobody is banned. It is asked at failures and for banned sources only; it must not wait.
	Trusted func(netip.Addr) bool
}

// Handler hears what does not belong to a call yet.
type Handler interface {
	// Invite is called once per new inbound call on a goroutine of its own; 100 has been sent. It calls Observe first.
	Invite(*Dialog)
	// Request answers REGISTER, MESSAGE, SUBSCRIBE and others outside a dialog, on a goroutine of its own. A Response without status says 405.
	Request(*Request) Response
}

// Endpoint owns the sockets, transactions and dialogs of one SIP user agent.
type Endpoint struct {
	cfg      Config
	handler  Handler
	log      *slog.Logger
	count    counters
	sources  sources
	suspects suspects
	shards   []*shard
	tick     time.Duration
	started  time.Time

	ctx     context.Context // of Run
	wg      sync.WaitGroup  // every goroutine of the endpoint
	running atomic.Bool
	drained atomic.Bool
	live    atomic.Int64 // dialogs
	working atomic.Int64 // requests in the Handler

	socks     []*udpSocket
	listeners []net.Listener
	bound     []Bound

	localIPs     sync.Map // netip.Addr to string, at most maxSources
	localIPCount atomic.Int64

	mu      sync.Mutex
	closing bool
	open    map[*stream]struct{}  // all connections, at most maxStreams
	streams map[streamKey]*stream // the one of each peer that is used; calls that began at once may have more
}

// New checks the configuration. Nothing is opened before Run.
func New(cfg Config, handler Handler) (*Endpoint, error) {
	if handler == nil {
		return nil, errors.New("sip: no handler")
	}
	if len(cfg.ListenTLS) > 0 && cfg.TLS == nil {
		return nil, errors.New("sip: ListenTLS without TLS")
	}
	for _, address := range append(append([]string{}, cfg.Listen...), cfg.ListenTLS...) {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("sip: listen address: %w", err)
		}
	}
	if cfg.PublicAddr != "" && !isHost(cfg.PublicAddr) {
		if _, err := netip.ParseAddr(strings.Trim(cfg.PublicAddr, "[]")); err != nil {
			return nil, fmt.Errorf("sip: public address %q is not a host", cfg.PublicAddr)
		}
		cfg.PublicAddr = strings.Trim(cfg.PublicAddr, "[]")
	}
	cfg.UserAgent = clean(cfg.UserAgent)
	fill(&cfg.T1, defaultT1)
	fill(&cfg.T2, max(defaultT2, cfg.T1))
	fill(&cfg.T4, defaultT4)
	fill(&cfg.SourceRate, defaultRate)
	fill(&cfg.Workers, runtime.GOMAXPROCS(0))
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ep := &Endpoint{
		cfg: cfg, handler: handler, log: cfg.Logger, open: map[*stream]struct{}{}, streams: map[streamKey]*stream{},
		tick: min(max(cfg.T1/20, time.Millisecond), 10*time.Millisecond),
	}
	ep.sources = sources{rate: cfg.SourceRate, bucket: map[netip.Addr]bucket{}}
	ep.suspects = suspects{trusted: cfg.Trusted, source: map[netip.Addr]suspect{}}
	for range cfg.Workers {
		ep.shards = append(ep.shards, newShard(ep))
	}
	return ep, nil
}

func fill[T int | float64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Run listens, calls ready, and works until ctx ends; then it closes everything and waits for its goroutines. An endpoint runs once.
func (ep *Endpoint) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ep.ctx, ep.started = ctx, time.Now()
	if err := ep.listen(); err != nil {
		ep.close()
		return err
	}
	for _, sh := range ep.shards {
		ep.spawn(sh.work)
	}
	for _, sock := range ep.socks {
		ep.spawn(sock.read)
	}
	for i, ln := range ep.listeners {
		ep.spawn(func() { ep.accept(ln, ep.bound[len(ep.socks)+i].Transport) })
	}
	ep.spawn(ep.keepTime)
	ep.running.Store(true)
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	ep.running.Store(false)
	ep.hangUpAll()
	ep.close()
	ep.wg.Wait()
	return nil
}

func (ep *Endpoint) listen() error {
	var streams []Bound
	for _, address := range ep.cfg.Listen {
		sock, ln, err := ep.listenBoth(address)
		if err != nil {
			return fmt.Errorf("sip: listening on %s: %w", address, err)
		}
		ep.socks = append(ep.socks, sock)
		ep.listeners = append(ep.listeners, ln)
		ep.bound = append(ep.bound, Bound{"UDP", sock.local})
		streams = append(streams, Bound{"TCP", sock.local})
	}
	for _, address := range ep.cfg.ListenTLS {
		ln, err := tls.Listen("tcp", address, ep.cfg.TLS)
		if err != nil {
			return fmt.Errorf("sip: listening on %s for TLS: %w", address, err)
		}
		ep.listeners = append(ep.listeners, ln)
		local := ln.Addr().(*net.TCPAddr).AddrPort()
		streams = append(streams, Bound{"TLS", netip.AddrPortFrom(local.Addr().Unmap(), local.Port())})
	}
	ep.bound = append(ep.bound, streams...)
	return nil
}

// listenBoth takes one port for UDP and TCP. With port 0 the port that UDP got may be taken for TCP; then another one is tried.
func (ep *Endpoint) listenBoth(address string) (*udpSocket, net.Listener, error) {
	var lastErr error
	for range 20 {
		sock, err := listenUDP(ep, address)
		if err != nil {
			return nil, nil, err
		}
		host, port, _ := net.SplitHostPort(address)
		ln, err := net.Listen("tcp", net.JoinHostPort(host, itoa(int(sock.local.Port()))))
		if err == nil {
			return sock, ln, nil
		}
		sock.conn.Close()
		if lastErr = err; port != "0" {
			break
		}
	}
	return nil, nil, lastErr
}

// Addr are the addresses really bound; they are known when ready is called.
func (ep *Endpoint) Addr() []Bound { return append([]Bound{}, ep.bound...) }

// Refuse makes the endpoint answer new calls and requests with 503 while those in progress go on; false takes them again.
func (ep *Endpoint) Refuse(on bool) { ep.drained.Store(on) }

// Dialogs is the number of calls in any state.
func (ep *Endpoint) Dialogs() int { return int(ep.live.Load()) }

// spawn starts a goroutine that Run waits for; after close nothing is started.
func (ep *Endpoint) spawn(fn func()) bool {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.closing {
		return false
	}
	ep.wg.Add(1)
	go func() {
		defer ep.wg.Done()
		fn()
	}()
	return true
}

// hangUpAll tells the far sides and the owners of the calls that are left. Answers are not waited for.
func (ep *Endpoint) hangUpAll() {
	for _, sh := range ep.shards {
		sh.mu.Lock()
		left := make([]*Dialog, 0, len(sh.dialogs))
		for _, d := range sh.dialogs {
			left = append(left, d)
		}
		sh.mu.Unlock()
		for _, d := range left {
			d.Hangup(Reason{SIP: 503, Q850: 41, Text: "Shutting down"})
			d.mu.Lock()
			if d.dir == Outbound && !d.done {
				d.finish(Failed{Why: CanceledByUs, Status: 487, Q850: 41})
			}
			d.unlock()
		}
	}
}

func (ep *Endpoint) close() {
	ep.mu.Lock()
	ep.closing = true
	open := slices.Collect(maps.Keys(ep.open))
	ep.mu.Unlock()
	for _, s := range open {
		s.close()
	}
	for _, ln := range ep.listeners {
		ln.Close()
	}
	for _, sock := range ep.socks {
		sock.conn.Close()
	}
}

// keepTime moves the wheels of all shards.
func (ep *Endpoint) keepTime() {
	ticker := time.NewTicker(ep.tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			now := uint64(time.Since(ep.started) / ep.tick)
			for _, sh := range ep.shards {
				sh.wheel.advance(now)
			}
		case <-ep.ctx.Done():
			return
		}
	}
}

// flowByName finds the flow that Request.Flow named.
func (ep *Endpoint) flowByName(name string) (flow, error) {
	transport, address, _ := strings.Cut(name, "|")
	remote, err := netip.ParseAddrPort(address)
	if err != nil {
		return flow{}, fmt.Errorf("sip: bad flow %q", name)
	}
	if transport == "UDP" {
		return ep.flowTo(ep.ctx, transport, remote)
	}
	if s := ep.openStream(streamKey{transport: transport, remote: remote}); s != nil {
		return flow{stream: s, remote: remote}, nil
	}
	return flow{}, errStreamClosed
}

func isTimeout(err error) bool { return errors.Is(err, ErrTimeout) }
