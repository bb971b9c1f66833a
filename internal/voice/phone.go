package voice

import (
	"context"
	"errors"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// phone is a live call as call XML sees it: the one place where flow and call meet.
type phone struct {
	c      *call.Call
	script *script
}

// Info implements flow.Phone.
func (p *phone) Info() flow.CallInfo {
	leg := p.c.A()
	t := p.script.tag
	_, bridged := p.c.B()
	i := flow.CallInfo{
		UUID: leg.ID, From: leg.From, To: leg.To, TN: string(t.tn), Direction: leg.Direction, State: string(leg.State), Type: leg.Type, Machine: leg.Machine,
		Bridged: bridged, AccountUUID: leg.Account, AccountName: p.script.account.Name, TimeZone: p.script.account.TimeZone,
	}
	if t.app != nil {
		i.AppUUID, i.AppName = t.app.ID, t.app.Name
	}
	return i
}

// Answered implements flow.Phone.
func (p *phone) Answered() bool { return p.c.Answered() }

// Answer implements flow.Phone.
func (p *phone) Answer(ctx context.Context) error { return gone(p.c.Answer(ctx)) }

// gone turns the end of the call into flow's word for it.
func gone(err error) error {
	var ended *call.EndedError
	if errors.As(err, &ended) {
		return flow.ErrGone
	}
	return err
}

// Play implements flow.Phone.
func (p *phone) Play(ctx context.Context, src audio.Source, o flow.PlayOptions) error {
	return gone(p.c.Play(ctx, src, o.Early, string(o.Leg)))
}

// Keys implements flow.Phone.
func (p *phone) Keys() flow.Keypad { return keypad{p.c} }

type keypad struct{ c *call.Call }

// Forget implements flow.Keypad.
func (k keypad) Forget() { k.c.ForgetKeys() }

// Next implements flow.Keypad.
func (k keypad) Next(ctx context.Context) (byte, error) { return k.c.NextKey(ctx) }

// Pressed implements flow.Keypad.
func (k keypad) Pressed() <-chan struct{} { return k.c.Pressed() }

// Record implements flow.Phone.
func (p *phone) Record(ctx context.Context, o flow.RecordOptions) (flow.Recorder, error) {
	r, err := p.c.StartRecord(ctx, call.RecordOptions{
		Tag: o.Tag, Lang: o.Lang, Format: o.Format, Channels: o.Channels, ASR: o.ASR, Trim: o.Trim, CallerOnly: o.CallerOnly,
		Max: o.Max, Silence: o.Silence, Min: o.Min,
	})
	if err != nil {
		return nil, gone(err)
	}
	return recorder{r, p.script.s}, nil
}

type recorder struct {
	r *call.Recording
	s *Service
}

// Stop implements flow.Recorder.
func (r recorder) Stop(by string) (flow.RecordInfo, error) {
	rec, err := r.r.Stop(by)
	switch {
	case errors.Is(err, call.ErrNothingRecorded):
		err = flow.ErrNothingRecorded
	case err != nil:
		err = errors.Join(flow.ErrRecordFailed, err)
	}
	return r.s.recordInfo(&rec), err
}

// Ended implements flow.Recorder.
func (r recorder) Ended() <-chan struct{} { return r.r.Ended() }

// Dial implements flow.Phone.
func (p *phone) Dial(ctx context.Context, r flow.DialRequest) flow.DialResult {
	out := call.DialRequest{
		Timeout: r.Timeout, MaxDuration: r.MaxDuration, Sequential: r.Sequential, CallerID: r.CallerID, Ringback: r.Ringback,
		Keep: func(cause error) bool { return errors.Is(cause, flow.ErrReplaced) },
	}
	for _, t := range r.Targets {
		out.Targets = append(out.Targets, call.Target{To: t.Value, CallerID: t.CallerID, Timeout: t.Timeout, Delay: t.Delay, SendDigits: t.SendDigits})
	}
	switch r.Ringback {
	case "", call.RingbackEarly, call.RingbackTone, call.RingbackNone:
	default:
		out.Ringback, out.Sound = p.ringSound(ctx, r.Ringback)
	}
	switch r.Record {
	case "record-from-answer":
		out.RecordFrom = call.RecordFromAnswer
	case "record-from-ringing":
		out.RecordFrom = call.RecordFromRinging
	}
	out.Record = call.RecordOptions{Tag: r.Tag, ASR: r.ASR, Channels: "dual"}
	result := dialResult(p.c.Dial(ctx, out))
	if d := r.MachineDetection; d != "" && d != "off" {
		result.Warnings = append(result.Warnings, "machineDetection "+d+" was ignored: this server has no detection of answering machines")
	}
	return result
}

// ringSound is a customer's sound in place of the ring tone; one that cannot be had is the tone.
func (p *phone) ringSound(ctx context.Context, url string) (string, audio.Source) {
	samples, err := fetcher{s: p.script.s, account: p.script.account.ID}.Media(ctx, url)
	if err != nil || len(samples) == 0 {
		return call.RingbackTone, nil
	}
	return call.RingbackSound, audio.Loop(func() (audio.Source, error) { return audio.FromSamples(samples), nil }, 0)
}

func dialResult(r call.DialResult) flow.DialResult {
	out := flow.DialResult{Status: flow.DialStatus(r.Status), To: r.To, Duration: r.Duration, FailName: r.FailName}
	for _, t := range r.Targets {
		out.Targets = append(out.Targets, flow.TargetResult{To: t.To, Call: t.Call, Success: t.Success, Q850: t.Q850, Q850Name: t.Q850Name, Reason: t.Reason})
	}
	return out
}

// EndBridge implements flow.Bridged.
func (p *phone) EndBridge(ctx context.Context) { p.c.EndBridge(ctx) }

// Refuse implements flow.Phone.
func (p *phone) Refuse(sip, q850 int, reason string) {
	p.c.Hangup(call.Cause{SIP: sip, Q850: q850, Reason: reason, By: call.ByPlatform})
}

// Hangup implements flow.Phone.
func (p *phone) Hangup(q850 int, reason string) {
	p.c.Hangup(call.Cause{Q850: q850, Reason: reason, By: call.ByPlatform})
}
