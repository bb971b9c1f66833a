package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/fetch"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/voice/flow"
)

// How long the simulated far ends take.
const (
	ringTime = time.Second
	talkTime = 2 * time.Second
)

// Config says who calls and how the world behaves.
type Config struct {
	In       io.Reader
	Out      io.Writer
	From, To string
	Dial     flow.DialStatus // what becomes of dialled parties: answered, busy or no_answer
	Fetch    *fetch.Client
}

// Phone is one simulated call.
type Phone struct {
	cfg  Config
	keys *keypad
	now  func() time.Time

	mu       sync.Mutex // guards what follows and the order of lines
	info     flow.CallInfo
	answered bool
	records  []*recording
}

// Run runs a document until the flow or the caller ends the call. The error says that the flow did not end by itself in good order.
func Run(ctx context.Context, cfg Config, doc *flow.Document) error {
	p := &Phone{cfg: cfg, keys: newKeypad(), now: time.Now, info: flow.CallInfo{
		UUID: ident.New(), From: cfg.From, To: cfg.To, TN: cfg.To, Direction: "in", State: "init", Type: "CallSCA", AccountUUID: ident.New(), AccountName: "terminal",
	}}
	call, hangup := context.WithCancelCause(ctx)
	defer hangup(nil)
	go p.keys.listen(cfg.In, hangup)
	machine := flow.New(flow.Config{Phone: p, Voices: p, Fetcher: p, Recordings: p, Journal: p})
	end := machine.Run(call, doc, flow.Options{})
	machine.Wait()
	p.endRecords()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(end.Cause, flow.ErrCallEnded):
		p.print("the caller hung up")
	case end.Reason != "":
		return fmt.Errorf("the flow was ended by a limit: %s", end.Reason)
	case end.Parked:
		p.print("the call is parked: the document has ended without an end for the call")
	}
	return nil
}

func (p *Phone) print(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.cfg.Out, format+"\n", args...)
}

// Info implements flow.Phone.
func (p *Phone) Info() flow.CallInfo {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.info
}

// Answered implements flow.Phone.
func (p *Phone) Answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered
}

// Answer implements flow.Phone.
func (p *Phone) Answer(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered, p.info.State = true, "live"
	return nil
}

// Keys implements flow.Phone.
func (p *Phone) Keys() flow.Keypad { return p.keys }

// Play implements flow.Phone: it takes as long as the sound does.
func (p *Phone) Play(ctx context.Context, src audio.Source, _ flow.PlayOptions) error {
	frame := make([]int16, audio.FrameSamples)
	tick := time.NewTicker(audio.FrameDuration)
	defer tick.Stop()
	for {
		if _, err := src.ReadFrame(frame); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Dial implements flow.Phone: the first party is what Config.Dial says.
func (p *Phone) Dial(ctx context.Context, r flow.DialRequest) flow.DialResult {
	fates := map[flow.DialStatus]flow.TargetResult{
		flow.Answered: {Success: true, Q850: 16, Q850Name: "NORMAL_CLEARING"},
		flow.Busy:     {Q850: 17, Q850Name: "USER_BUSY"},
		flow.NoAnswer: {Q850: 19, Q850Name: "NO_ANSWER"},
	}
	fate := fates[p.cfg.Dial]
	out := flow.DialResult{Status: p.cfg.Dial}
	for _, target := range r.Targets {
		p.print("  ring %s: %s", target.Value, p.cfg.Dial)
		t := fate
		t.To, t.Call = target.Value, ident.New()
		out.Targets = append(out.Targets, t)
		if t.Success {
			out.To = target.Value
			break
		}
		out.FailName = t.Q850Name
	}
	wait := ringTime
	if fate.Success {
		wait += talkTime
		out.Duration = talkTime
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		out.Status = flow.Canceled
	}
	return out
}

// Refuse implements flow.Phone.
func (p *Phone) Refuse(sip, q850 int, reason string) {
	p.print("the call is refused: SIP %d, Q.850 %d %s", sip, q850, reason)
}

// Hangup implements flow.Phone.
func (p *Phone) Hangup(q850 int, reason string) {
	p.print("the flow hangs up: Q.850 %d %s", q850, reason)
}
