package sandbox

import (
	"context"
	"errors"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/sandbox/phone"
	"github.com/opentact/opentact/internal/sip"
)

// scene is a call from the platform while its acts are played.
type scene struct {
	ctx      context.Context // ends with the call
	n        *Carrier
	call     *phone.Call
	caller   string
	called   e164.Number
	answered time.Time
}

// act is one thing that the called side does. An error ends the call.
type act func(s *scene) error

// errRefused ends the acts of a call that was refused on purpose.
var errRefused = errors.New("call refused")

func (s *scene) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.call.Over():
		return phone.ErrOver
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// ring lets it ring once.
func ring(s *scene) error {
	if err := s.call.Ring(); err != nil {
		return err
	}
	return s.wait(s.n.times.Ring)
}

func early(s *scene) error { return s.call.EarlyMedia() }

func answer(s *scene) error {
	if err := s.call.Answer(); err != nil {
		return err
	}
	s.answered = s.n.now()
	return nil
}

func reject(status, q850 int) act {
	return func(s *scene) error {
		if err := s.call.Reject(status, q850); err != nil {
			return err
		}
		return errRefused
	}
}

func neverAnswer(s *scene) error { return s.wait(s.n.times.NoAnswer) }

func pause(d time.Duration) act { return func(s *scene) error { return s.wait(d) } }

// stay keeps the line until the time after the answer is over.
func stay(s *scene) error { return s.wait(s.n.times.Stay - s.n.now().Sub(s.answered)) }

func say(text string) act {
	return func(s *scene) error { return s.call.Play(s.ctx, s.n.spoken(s.ctx, text)) }
}

func beep(s *scene) error { return s.call.PlaySource(s.ctx, audio.Beep(500*time.Millisecond)) }

func keys(digits string) act {
	return func(s *scene) error { return s.call.SendKeys(s.ctx, digits) }
}

func echo(s *scene) error { return s.call.Echo(s.ctx) }

// record keeps what the caller says, the latest recordings only. When too many calls are being listened to, nothing is kept.
func record(s *scene) error {
	if !s.n.startListening() {
		return s.wait(s.n.times.Record)
	}
	defer s.n.stopListening()
	s.call.Listen()
	err := s.wait(s.n.times.Record)
	from, _ := e164.Parse(s.caller)
	r := &Run{ID: ident.New(), Kind: KindMachine, From: from, To: s.called, SIPCallID: s.call.CallID(), Started: s.answered}
	r.end(s.call, s.n.now())
	s.n.shelf.put(r)
	return err
}

// overload refuses the first attempt of a caller and lets the next one through.
func overload(s *scene) error {
	if s.n.overloaded.first(s.caller, s.n.now()) {
		return reject(503, 42)(s)
	}
	return nil
}

// transit calls a number of the platform back into it, as a carrier does with a number that was handed to it from outside.
func transit(s *scene) error {
	platform := s.n.platform()
	if platform == "" {
		return reject(503, 38)(s)
	}
	inward, err := s.n.phone.Place(s.ctx, phone.Request{To: "sip:" + s.called.Plus() + "@" + platform, User: s.caller, Deaf: true})
	if err != nil {
		return reject(503, 38)(s)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), goodbyeWait)
		defer cancel()
		inward.Hangup(ctx)
	}()
	alerted := inward.Alerted()
	for {
		select {
		case <-alerted:
			alerted = nil
			if err := s.call.Ring(); err != nil && !errors.Is(err, sip.ErrState) {
				return err
			}
		case <-inward.Answered():
			if err := answer(s); err != nil {
				return err
			}
			return phone.Bridge(s.ctx, s.call, inward)
		case <-inward.Over():
			o := inward.Outcome()
			if o.Status < 400 { // no answer at all, or one that points elsewhere
				o.Status, o.Q850 = 503, 38
			}
			return reject(o.Status, o.Q850)(s)
		case <-s.call.Over():
			return phone.ErrOver
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		}
	}
}
