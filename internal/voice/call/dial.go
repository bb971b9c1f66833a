package call

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// Target is one party to ring.
type Target struct {
	To         string // digits, user@host or sip:…
	CallerID   string // "" is that of the Dial
	Timeout    time.Duration
	Delay      time.Duration // starts ringing later
	SendDigits string        // keys after the answer, before the bridge; w is 500 ms
}

// What the caller hears while a Dial rings.
const (
	RingbackEarly = "early" // early media of a target, else the ring tone; also ""
	RingbackTone  = "tone"
	RingbackNone  = "none"
	RingbackSound = "sound" // DialRequest.Sound
)

// DialRequest rings parties for the controlled leg.
type DialRequest struct {
	Targets     []Target
	Type        string        // of the route requests; default that of the controlled leg
	Timeout     time.Duration // of all targets together, of each when Sequential; default Limits.RingTimeout
	MaxDuration time.Duration // longest bridge, then both sides are hung up; default Limits.MaxDuration
	Sequential  bool
	From        string
	CallerID    string
	Ringback    string
	Sound       audio.Source  // for RingbackSound
	Record      RecordOptions // of the recording, with RecordFrom
	RecordFrom  string        // RecordFromAnswer, RecordFromRinging or "": do not record

	// Screen decides whether a party that answered is put through, such as answering machine detection; nil takes everyone. A leg that
	// is not taken counts as failed with the cause.
	Screen func(ctx context.Context, l Leg) *Cause
	// Keep says for the cause of a context that ends while a bridge stands whether it is left standing; nil is never.
	Keep func(cause error) bool
}

// When the recording of a Dial begins.
const (
	RecordFromAnswer  = "answer"
	RecordFromRinging = "ringing"
)

// DialStatus is how a Dial ended.
type DialStatus string

// The ends of a Dial.
const (
	StatusAnswered DialStatus = "answered"
	StatusBusy     DialStatus = "busy"
	StatusNoAnswer DialStatus = "no_answer"
	StatusFailed   DialStatus = "failed"
	StatusCanceled DialStatus = "canceled"
)

// DialResult is how a Dial went.
type DialResult struct {
	Status    DialStatus
	To        string        // who answered, as the target was written
	Call      string        // its leg
	Duration  time.Duration // of the bridge
	Kept      bool          // the bridge stands although the Dial is over
	Targets   []TargetResult
	FailName  string     // name of the cause of the leg that failed last
	Recording *Recording // nil without
}

// TargetResult is how one target fared.
type TargetResult struct {
	To       string
	Call     string // leg; "" when none was made
	Success  bool
	Q850     int
	Q850Name string
	SIP      int // final answer of the far side, 0 without
	Reason   string
}

// dialing is one Dial under way. It runs on the goroutine of the script; its forks have one each, which it waits for.
type dialing struct {
	c      *Call
	r      DialRequest
	forks  []*fork
	events chan forkEvent // bound: what all forks can say in their lives, so that none waits
	wait   sync.WaitGroup
	next   int
	failed *fork // the last one
	tone   bool  // the ring tone plays
	early  *fork // whose early media the caller hears
	rec    *Recording
}

// Dial rings the targets, joins the first that answers with the controlled leg, and returns when that bridge is over or nobody took the
// call. A caller that is not answered is answered when a target answers.
func (c *Call) Dial(ctx context.Context, r DialRequest) DialResult {
	d := newDialing(c, r)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	defer stop()
	result := DialResult{Status: StatusCanceled}
	if len(d.forks) > 0 {
		result = d.run(ctx)
	} else {
		result.Status, result.FailName = StatusFailed, Name(3)
	}
	d.wait.Wait()
	for _, f := range d.forks[:d.next] {
		result.Targets = append(result.Targets, f.report())
	}
	result.Recording = d.rec
	return result
}

func newDialing(c *Call, r DialRequest) *dialing {
	if r.Ringback == "" {
		r.Ringback = RingbackEarly
	}
	if r.Type == "" {
		r.Type = c.a.snapshot().Type
	}
	if r.Timeout <= 0 {
		r.Timeout = c.engine.cfg.Limits.RingTimeout
	}
	if r.MaxDuration <= 0 {
		r.MaxDuration = c.engine.cfg.Limits.MaxDuration
	}
	d := &dialing{c: c, r: r}
	if c.engine.cfg.Router != nil {
		for _, t := range r.Targets[:min(len(r.Targets), maxTargets)] {
			d.forks = append(d.forks, &fork{d: d, target: t})
		}
	}
	d.events = make(chan forkEvent, len(d.forks)*forkEvents)
	return d
}

// run rings until somebody is joined, all have failed, or ctx ends.
func (d *dialing) run(ctx context.Context) DialResult {
	ringing, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if !d.r.Sequential {
		end := time.AfterFunc(d.r.Timeout, func() { stop(&EndedError{Cause{Q850: NoAnswer, Reason: "no_answer", By: ByPlatform}}) })
		defer end.Stop()
	}
	defer d.quiet()
	d.startSounds()
	d.start(ringing)
	for left := len(d.forks); left > 0; {
		ev := <-d.events // ended forks are counted, and each ends when its context does
		switch ev.kind {
		case forkRang:
			d.rang()
			continue
		case forkEarly:
			d.earlyMedia(ev.f)
			continue
		case forkAnswered:
			if d.screened(ctx, ev.f) {
				if result, ok := d.joined(ctx, ev.f); ok {
					return result
				}
			}
		}
		left--
		d.ended(ev.f)
		if d.r.Sequential && ringing.Err() == nil {
			d.start(ringing)
		} else if d.r.Sequential {
			left -= d.skip()
		}
	}
	if d.rec != nil {
		d.c.do(func() { d.c.stopRecord(d.rec, EndedByHangup) })
	}
	return DialResult{Status: d.status(ctx), FailName: d.failName()}
}

// start rings the next target, or all of them.
func (d *dialing) start(ctx context.Context) {
	for d.next < len(d.forks) {
		f := d.forks[d.next]
		d.next++
		f.begin(ctx)
		if d.r.Sequential {
			return
		}
	}
}

// skip leaves out the targets that were not rung yet.
func (d *dialing) skip() int {
	n := len(d.forks) - d.next
	d.forks = d.forks[:d.next]
	return n
}

// screened says whether a party that answered is put through.
func (d *dialing) screened(ctx context.Context, f *fork) bool {
	if d.r.Screen == nil {
		return true
	}
	l := f.leg.Load()
	cause := d.r.Screen(ctx, l.snapshot())
	if cause != nil {
		d.c.do(func() { d.c.endLeg(l, *cause, false) })
		f.cause = l.snapshot().Cause
	}
	return cause == nil
}

// joined puts the winner through and waits for the end of the bridge; false when it was lost before.
func (d *dialing) joined(ctx context.Context, f *fork) (DialResult, bool) {
	c, l := d.c, f.leg.Load()
	for _, other := range d.forks {
		if other != f {
			other.lose()
		}
	}
	if f.target.SendDigits != "" {
		_ = c.sendKeys(ctx, l, f.target.SendDigits, 0) // the party is there all the same
	}
	var br *bridge
	err := c.endedError()
	c.do(func() {
		if br, err = c.join(l, d.r.MaxDuration); err != nil {
			c.endLeg(l, c.lost(err), false)
		}
	})
	if err != nil {
		f.cause = l.snapshot().Cause
		return DialResult{}, false
	}
	f.won = true
	if wanted := c.wayRecord(l); wanted != nil && d.r.RecordFrom == "" {
		d.r.Record, d.r.RecordFrom = *wanted, RecordFromAnswer
	}
	if d.r.RecordFrom == RecordFromAnswer {
		d.record(ctx)
	}
	d.recordBridge(br)
	result := DialResult{Status: StatusAnswered, To: f.target.To, Call: l.snapshot().ID}
	select {
	case <-br.over:
	case <-ctx.Done():
		if result.Kept = d.r.Keep != nil && c.ctx.Err() == nil && d.r.Keep(context.Cause(ctx)); !result.Kept {
			c.do(func() { c.endLeg(l, Cause{Q850: NormalClearing, Reason: "normal", By: ByPlatform}, false) })
			<-br.over
		}
	}
	if result.Kept {
		result.Duration = c.engine.cfg.Now().Sub(br.since)
		return result, true
	}
	result.Duration = br.last
	return result, true
}

// wayRecord is the recording that the way of a leg asks for, or nil.
func (c *Call) wayRecord(l *leg) (o *RecordOptions) {
	c.do(func() { o = l.way.Record })
	return o
}

// recordBridge lets the recording end with the bridge, which may outlive the Dial.
func (d *dialing) recordBridge(br *bridge) {
	if d.rec == nil {
		return
	}
	d.c.do(func() {
		if br.rec = d.rec; d.c.br != br {
			d.c.stopRecord(d.rec, EndedByHangup)
		}
	})
}

// lost is the cause of a leg that answered and could not be joined.
func (c *Call) lost(err error) Cause {
	var ended *EndedError
	if errors.As(err, &ended) && c.ending {
		return Cause{Q850: OriginatorCancel, Reason: "canceled", By: ended.Cause.By}
	}
	return Cause{Q850: Incompatible, By: ByPlatform}
}

func (d *dialing) record(ctx context.Context) {
	if d.rec != nil {
		return
	}
	rec, err := d.c.StartRecord(ctx, d.r.Record)
	if err != nil {
		d.c.engine.cfg.Logger.Warn("dial is not recorded", "call", d.c.a.snapshot().ID, "error", err)
		return
	}
	d.rec = rec
}

func (d *dialing) ended(f *fork) {
	if f.cause.Q850 != LoseRace {
		d.failed = f
	}
	if d.early == f {
		d.early = nil
		d.c.do(d.c.dropEarly)
	}
}

func (d *dialing) failName() string {
	if d.failed == nil {
		return Name(NoAnswer)
	}
	return Name(d.failed.cause.Q850)
}

// status sums up the ends of the targets: busy wins over no answer, which wins over other failures.
func (d *dialing) status(ctx context.Context) DialStatus {
	if ctx.Err() != nil {
		return StatusCanceled
	}
	status := StatusFailed
	for _, f := range d.forks {
		switch f.cause.Q850 {
		case 17:
			return StatusBusy
		case 18, NoAnswer:
			status = StatusNoAnswer
		}
	}
	return status
}

// startSounds begins what the caller hears from the start.
func (d *dialing) startSounds() {
	if d.r.RecordFrom == RecordFromRinging {
		d.record(d.c.ctx)
	}
	if d.r.Ringback == RingbackSound && d.r.Sound != nil {
		d.c.do(func() {
			if d.c.a.state().Up() || d.c.earlyMedia() == nil {
				d.c.a.sound(d.r.Sound)
			}
		})
	}
}

// rang tells the caller that somebody rings: 180, or the ring tone when the caller is answered.
func (d *dialing) rang() {
	c := d.c
	c.do(func() {
		a := c.a
		if !a.state().Up() && (a.media == nil || !a.media.started) {
			if d.r.Ringback != RingbackNone && a.try == nil {
				c.ringing()
			}
			return
		}
		if d.tone || d.early != nil || d.r.Ringback != RingbackEarly && d.r.Ringback != RingbackTone {
			return
		}
		d.tone = true
		a.sound(audio.Ringback())
	})
}

// earlyMedia lets the caller hear the first leg that sends some.
func (d *dialing) earlyMedia(f *fork) {
	if d.r.Ringback != RingbackEarly || d.early != nil {
		d.rang()
		return
	}
	connected := false
	d.c.do(func() { connected = d.c.connectEarly(f.leg.Load()) })
	if !connected {
		d.rang()
		return
	}
	d.early, d.tone = f, false
}

// quiet ends what the caller hears of a Dial that comes to nothing.
func (d *dialing) quiet() {
	d.c.do(func() {
		if d.c.br != nil {
			return
		}
		d.c.dropEarly()
		if d.tone || d.r.Ringback == RingbackSound {
			d.c.a.stopSound()
		}
	})
}
