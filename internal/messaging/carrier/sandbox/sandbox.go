package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// Limits of the package.
const (
	queue        = "messaging.sandbox"
	fewQueue     = "messaging.sandbox.few" // jobs with few receipts
	few          = 16                      // receipts
	together     = 64                      // such jobs in one call
	step         = 20 * time.Millisecond   // they are due at multiples of it
	deliverAfter = time.Second
	maxThrottled = 10000 // messages whose refusals are remembered
	workers      = 8
	parallel     = 64 // number pairs of one job at once
)

// Host tells which numbers are leased on this platform.
type Host interface {
	Hosts(ctx context.Context, tns []string) (map[string]bool, error)
}

// Config is what a Carrier needs.
type Config struct {
	Link   string // name of the carrier link; "sandbox" when empty
	DB     *db.DB
	Jobs   *jobs.Runner
	Sink   carrier.Sink
	Host   Host // nil: no number is
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Carrier is the simulated network; it implements carrier.Driver and carrier.Batcher.
type Carrier struct {
	link string
	db   *db.DB
	jobs *jobs.Runner
	sink carrier.Sink
	host Host
	log  *slog.Logger
	now  func() time.Time

	mu        sync.Mutex     // guards throttled
	throttled map[string]int // refusals by message
}

// New makes the carrier and registers the handler of its jobs.
func New(cfg Config) *Carrier {
	c := &Carrier{link: cfg.Link, db: cfg.DB, jobs: cfg.Jobs, sink: cfg.Sink, host: cfg.Host, log: cfg.Logger, now: cfg.Now, throttled: map[string]int{}}
	if c.link == "" {
		c.link = "sandbox"
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.jobs.Handle(queue, jobs.Options{Workers: workers}, c.network)
	c.jobs.Handle(fewQueue, jobs.Options{Workers: workers, Together: c.receiptsOf, Batch: together}, c.network)
	return c
}

// Run has nothing to keep: the link is always up, and the network's own work is in jobs.
func (c *Carrier) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

// Submit takes one message.
func (c *Carrier) Submit(ctx context.Context, m carrier.Message) (carrier.Submitted, error) {
	r := c.SubmitAll(ctx, []carrier.Message{m})[0]
	return r.Submitted, r.Err
}

// SubmitAll takes messages in order: what will come back is committed when it returns.
func (c *Carrier) SubmitAll(ctx context.Context, list []carrier.Message) []carrier.Result {
	out := make([]carrier.Result, len(list))
	now := c.now()
	hosted := c.hosted(ctx, list)
	blocked := map[string]bool{}
	var w work
	var early []carrier.Receipt
	for i, m := range list {
		pair := m.From + "|" + m.To
		if blocked[pair] {
			out[i].Err = carrier.ErrBehind
			continue
		}
		b, magic := numbers[m.To]
		if out[i].Err = c.refuse(m, b); out[i].Err != nil {
			blocked[pair] = carrier.RefusalOf(out[i].Err).Kind != carrier.Permanent
			continue
		}
		if !magic {
			b = ordinary
			if hosted[m.To] {
				w.Inbound = append(w.Inbound, c.inbound(m, m.From, m.To, m.Text))
			}
		}
		out[i].Submitted = submitted(m)
		receipts := c.receipts(out[i].Submitted, m, b, now)
		if b.early {
			early = append(early, receipts...)
		} else {
			w.Receipts = append(w.Receipts, receipts...)
		}
		if b.answer != "" && !m.Automated {
			w.Inbound = append(w.Inbound, c.inbound(m, m.To, m.From, b.answer))
		}
		if b.echo && !m.Automated {
			w.Inbound = append(w.Inbound, c.inbound(m, m.To, m.From, m.Text))
		}
	}
	err := c.keep(ctx, w)
	if err == nil && len(early) > 0 {
		err = c.sink.Receipts(ctx, early)
	}
	if err != nil {
		for i := range out {
			if out[i].Err == nil {
				out[i] = carrier.Result{Err: &carrier.Refusal{Kind: carrier.LinkDown, Reason: "Carrier unreachable", Err: err}}
			}
		}
	}
	return out
}

// refuse is what the network says at once.
func (c *Carrier) refuse(m carrier.Message, b behaviour) error {
	if b.refused {
		return &carrier.Refusal{Kind: carrier.Permanent, Code: "carrier_rejected", Reason: "Rejected by the sandbox"}
	}
	if b.throttle == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.throttled[m.ID] >= b.throttle {
		delete(c.throttled, m.ID)
		return nil
	}
	if len(c.throttled) >= maxThrottled {
		clear(c.throttled)
	}
	c.throttled[m.ID]++
	return &carrier.Refusal{Kind: carrier.Temporary, Reason: "Throttled by the sandbox"}
}

// hosted gives the recipients that are numbers of this platform.
func (c *Carrier) hosted(ctx context.Context, list []carrier.Message) map[string]bool {
	var ask []string
	for _, m := range list {
		if _, magic := numbers[m.To]; !magic {
			ask = append(ask, m.To)
		}
	}
	if c.host == nil || len(ask) == 0 {
		return nil
	}
	out, err := c.host.Hosts(ctx, ask)
	if err != nil {
		c.log.Warn("who has the numbers", "error", err)
	}
	return out
}

// submitted names a message and its segments after its uuid: 22 characters, as carriers like them.
func submitted(m carrier.Message) carrier.Submitted {
	id := m.ID
	if raw, err := hex.DecodeString(strings.ReplaceAll(m.ID, "-", "")); err == nil {
		id = "S" + base64.RawURLEncoding.EncodeToString(raw)
	}
	s := carrier.Submitted{ID: id}
	if n := len(m.Segments); n > 1 {
		for i := range n {
			s.Parts = append(s.Parts, id+"-"+strconv.Itoa(i+1))
		}
	}
	return s
}

func (c *Carrier) receipts(s carrier.Submitted, m carrier.Message, b behaviour, at time.Time) []carrier.Receipt {
	ids := s.Parts
	if len(ids) == 0 {
		ids = []string{s.ID}
	}
	if !b.early {
		at = at.Add(deliverAfter)
	}
	out := make([]carrier.Receipt, len(ids))
	for i, id := range ids {
		out[i] = carrier.Receipt{Link: c.link, ID: id, State: b.receipt, Code: b.code, From: m.From, To: m.To, At: at}
	}
	return out
}

func (c *Carrier) inbound(m carrier.Message, from, to, text string) carrier.Inbound {
	return carrier.Inbound{Link: c.link, ID: m.ID, From: from, To: to, Text: text, At: c.now(), Automated: m.Automated}
}
