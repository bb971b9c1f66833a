package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

// Calls knows what the platform made of a call that the sandbox placed.
type Calls interface {
	// AwaitInbound waits until the call with a SIP Call-ID has reached the platform and gives it as the REST interface shows it.
	AwaitInbound(ctx context.Context, sipCallID string) (json.RawMessage, error)
}

// Messages takes a message from the simulated network.
type Messages interface {
	// Inbound delivers a message and gives it as the REST interface shows it. Errors: fault.NotFound when nobody has the number.
	Inbound(ctx context.Context, from, to e164.Number, text string) (json.RawMessage, error)
}

// Config is what a Carrier needs. Logger, PlatformSIP, Owned, Calls and Messages must be given.
type Config struct {
	Logger *slog.Logger
	Listen string // SIP; default 127.0.0.1:0
	// Low and High are the UDP ports of the media; 0 and 0 mean DefaultLow to DefaultHigh, any negative number free ones.
	Low, High int
	MaxCalls  int // at one time; default phone.DefaultMaxCalls

	// Speak gives the sound of a text, 8 kHz; nil or an error: tones instead.
	Speak func(ctx context.Context, text string) ([]int16, error)
	// Recognise gives the words of a sound; phrases are what may have been said, for engines that need a list (none: anything).
	// nil: only whether something was said is told.
	Recognise func(ctx context.Context, samples []int16, phrases []string) (string, error)
	Fetch     *fetch.Client // for play_url; nil: such steps fail

	PlatformSIP func() string                                                          // host:port of the platform; asked at every call
	IsLocal     func(ctx context.Context, n e164.Number) bool                          // leased on the platform; nil: no number is
	Owned       func(ctx context.Context, account string, n e164.Number) (bool, error) // leased by the account
	Calls       Calls
	Messages    Messages

	Credit money.Amount // opening balance of new accounts, only told
	Times  Times
	Now    func() time.Time
}

// Carrier is the simulated network.
type Carrier struct {
	cfg        Config
	log        *slog.Logger
	phone      *phone.Phone
	times      Times
	now        func() time.Time
	shelf      *shelf
	overloaded *overloads

	mu        sync.Mutex
	listening int
	ctx       context.Context // of Run; nil before
	scripts   sync.WaitGroup
}

// New checks the configuration; nothing is opened before Run.
func New(cfg Config) (*Carrier, error) {
	if cfg.Logger == nil || cfg.PlatformSIP == nil || cfg.Owned == nil || cfg.Calls == nil || cfg.Messages == nil {
		return nil, errors.New("sandbox: Logger, PlatformSIP, Owned, Calls and Messages are needed")
	}
	if cfg.Low == 0 && cfg.High == 0 {
		cfg.Low, cfg.High = DefaultLow, DefaultHigh
	} else if cfg.Low < 0 || cfg.High < 0 {
		cfg.Low, cfg.High = 0, 0
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	n := &Carrier{
		cfg: cfg, log: cfg.Logger, times: cfg.Times.filled(), now: cfg.Now, shelf: newShelf(maxResults, maxShelfSound),
		overloaded: &overloads{since: map[string]time.Time{}},
	}
	var err error
	n.phone, err = phone.New(phone.Config{
		Listen: cfg.Listen, UserAgent: "Opentact sandbox", Low: cfg.Low, High: cfg.High, MaxCalls: cfg.MaxCalls,
		Hear: hearing, Logger: cfg.Logger, OnCall: n.onCall,
	})
	return n, err
}

// Run works until ctx ends, then hangs everything up. ready is called when the carrier can be called at Addr.
func (n *Carrier) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.mu.Lock()
	n.ctx = ctx
	n.mu.Unlock()
	err := n.phone.Run(ctx, ready)
	n.mu.Lock()
	cancel() // no script starts after this
	n.mu.Unlock()
	n.scripts.Wait()
	return err
}

// Addr is the SIP address of the carrier, known once ready was called.
func (n *Carrier) Addr() netip.AddrPort { return n.phone.Addr() }

// InCalls is the number of calls in any state.
func (n *Carrier) InCalls() int { return n.phone.Calls() }

// onCall plays the acts of the number that was dialled.
func (n *Carrier) onCall(ctx context.Context, c *phone.Call) {
	ctx, cancel := context.WithTimeout(ctx, maxCall)
	defer cancel()
	called, err := e164.Parse(c.Called())
	if err != nil {
		_ = c.Reject(484, 28)
		return
	}
	s := &scene{ctx: ctx, n: n, call: c, caller: c.Caller(), called: called}
	for _, do := range n.actsOf(ctx, called) {
		if err = do(s); err != nil {
			break
		}
	}
	n.log.Debug("sandbox call over", "sip_call_id", c.CallID(), "cause", err)
}

func (n *Carrier) actsOf(ctx context.Context, called e164.Number) []act {
	if acts, ok := magic(called); ok {
		return acts
	}
	if n.cfg.IsLocal != nil && n.cfg.IsLocal(ctx, called) {
		return local
	}
	return anyNumber
}

func (n *Carrier) platform() string { return n.cfg.PlatformSIP() }

// spoken is text as sound. Without a speech engine the caller hears three notes, so that there is always something to hear.
func (n *Carrier) spoken(ctx context.Context, text string) []int16 {
	if n.cfg.Speak != nil {
		samples, err := n.cfg.Speak(ctx, text)
		if err == nil {
			return samples
		}
		n.log.Debug("sandbox cannot speak", "error", err)
	}
	notes := audio.Concat(audio.Tone(-12, 400*time.Millisecond, 440), audio.Tone(-12, 400*time.Millisecond, 554), audio.Tone(-12, 600*time.Millisecond, 659))
	samples, _ := audio.ReadAll(notes, 2*time.Second)
	return samples
}

// startListening takes one of the places for calls whose sound is kept.
func (n *Carrier) startListening() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listening >= maxListening {
		return false
	}
	n.listening++
	return true
}

func (n *Carrier) stopListening() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listening--
}

// overloads remembers the callers that were refused once.
type overloads struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// first tells whether this attempt of a caller is to be refused.
func (o *overloads) first(caller string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, refused := o.since[caller]
	if refused && now.Sub(at) < overloadFor {
		delete(o.since, caller)
		return false
	}
	if len(o.since) >= maxOverloaded {
		clear(o.since)
	}
	o.since[caller] = now
	return true
}
