package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Limits of the bus.
const (
	// MaxMessage is the largest message, in bytes.
	MaxMessage = 1 << 20

	// A subscription that is this far behind loses the newest messages until it has caught up; the others are not affected, and the
	// first loss is logged.
	maxPendingMessages = 16384
	maxPendingBytes    = 32 << 20

	openTimeout   = 5 * time.Second
	flushTimeout  = 5 * time.Second
	drainTimeout  = 5 * time.Second
	reconnectWait = 500 * time.Millisecond
)

// Errors that callers tell apart.
var (
	ErrNoListener = errors.New("nobody listens on the subject")
	ErrClosed     = errors.New("the bus is closed")
	ErrSubject    = errors.New("invalid subject")
	ErrTooLarge   = errors.New("message larger than the bus carries")
	ErrAnswer     = errors.New("the other side failed to answer")
)

// Options say which bus to open.
type Options struct {
	URL    string       // "embedded" (or empty), or nats:// and tls:// addresses of a cluster, comma separated
	Name   string       // of this node, seen in the cluster's lists
	Logger *slog.Logger // nil: slog.Default
}

// Bus is an open bus, safe for many goroutines. It loses its connection to a cluster and finds it again by itself; what is published
// in between is kept up to 8 MiB and refused beyond that.
type Bus struct {
	log      *slog.Logger
	embedded *server.Server // nil with a cluster
	nc       *nats.Conn
	gone     chan struct{} // closed when the connection has ended for good

	mu     sync.Mutex // guards closed, and adding to active against it
	closed bool
	active sync.WaitGroup // subscriptions' goroutines and running answers
}

// Open starts or reaches the bus, within 5 seconds. The caller must Close it.
func Open(o Options) (*Bus, error) {
	b := &Bus{log: o.Logger, gone: make(chan struct{})}
	if b.log == nil {
		b.log = slog.Default()
	}
	options := []nats.Option{
		nats.Name(o.Name), nats.Timeout(openTimeout), nats.DrainTimeout(drainTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait),
		nats.ErrorHandler(b.onError), nats.DisconnectErrHandler(b.onDisconnect), nats.ReconnectHandler(b.onReconnect),
		nats.ClosedHandler(func(*nats.Conn) { close(b.gone) }),
	}
	url := o.URL
	if url == "" || url == "embedded" {
		s, err := startEmbedded(b.log)
		if err != nil {
			return nil, err
		}
		b.embedded, url = s, ""
		options = append(options, nats.InProcessServer(s))
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		b.stopEmbedded()
		return nil, fmt.Errorf("bus: connect: %w", err)
	}
	b.nc = nc
	return b, nil
}

// Connected tells whether messages go out at this moment.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Publish sends to all who listen on the subject at this moment. It does not wait for them.
func (b *Bus) Publish(subject string, data []byte) error {
	if err := checkSubject(subject, false); err != nil {
		return err
	}
	return b.known(b.nc.Publish(subject, data))
}

// Subscribe calls f with each message on the subject, one after the other in the order of arrival, on a goroutine of the subscription.
// It sees every message that is published, anywhere, after Subscribe returned. data is f's to keep. After unsubscribe no further
// call begins; one that is running may still be. A panic of f ends that call only.
func (b *Bus) Subscribe(subject string, f func(data []byte)) (unsubscribe func(), err error) {
	return b.subscribe(subject, func(m *nats.Msg) {
		defer b.recovered(subject)
		f(m.Data)
	})
}

func (b *Bus) subscribe(subject string, f nats.MsgHandler) (func(), error) {
	if err := checkSubject(subject, true); err != nil {
		return nil, err
	}
	sub, err := b.open(subject, f)
	if err != nil {
		return nil, b.known(err)
	}
	// Without the round trip another connection could publish before the server knows of us.
	if err := b.nc.FlushTimeout(flushTimeout); err != nil {
		sub.Unsubscribe()
		return nil, b.known(err)
	}
	return func() { sub.Unsubscribe() }, nil // the only error is that it ended before
}

func (b *Bus) open(subject string, f nats.MsgHandler) (*nats.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	sub, err := b.nc.Subscribe(subject, f)
	if err != nil {
		return nil, err
	}
	b.active.Add(1)
	sub.SetClosedHandler(func(string) { b.active.Done() })
	return sub, sub.SetPendingLimits(maxPendingMessages, maxPendingBytes)
}

// Close lets subscriptions finish what has reached them (5 seconds at most), sends what was published, ends the connection and the
// embedded server, and waits for all goroutines of the bus. It must not be called from a subscription's function.
func (b *Bus) Close() {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first {
		if err := b.nc.Drain(); err != nil {
			b.nc.Close()
		}
	}
	<-b.gone
	b.active.Wait()
	b.stopEmbedded()
}

// known gives the library's errors our names.
func (b *Bus) known(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoListener
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, ErrClosed):
		return ErrClosed
	case errors.Is(err, nats.ErrMaxPayload):
		return ErrTooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	}
	return fmt.Errorf("bus: %w", err)
}

func (b *Bus) recovered(subject string) {
	if v := recover(); v != nil {
		b.log.Error("bus subscriber panicked", "subject", subject, "panic", v)
	}
}

func (b *Bus) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if sub == nil {
		b.log.Error("bus error", "error", err)
		return
	}
	dropped, _ := sub.Dropped() // fails only for a subscription that has ended
	b.log.Warn("bus subscription is behind", "subject", sub.Subject, "dropped", dropped, "error", err)
}

func (b *Bus) onDisconnect(_ *nats.Conn, err error) {
	if err != nil {
		b.log.Warn("bus connection lost", "error", err)
	}
}

func (b *Bus) onReconnect(nc *nats.Conn) {
	b.log.Info("bus connection found again", "server", nc.ConnectedUrlRedacted())
}

// checkSubject allows words of visible characters joined by dots, and "*" and a last ">" as whole words where patterns are allowed.
func checkSubject(subject string, pattern bool) error {
	words := strings.Split(subject, ".")
	for i, w := range words {
		wild := w == "*" || w == ">" && i == len(words)-1
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f }) ||
			!(pattern && wild) && strings.ContainsAny(w, "*>") {
			return fmt.Errorf("%w: %q", ErrSubject, subject)
		}
	}
	return nil
}
