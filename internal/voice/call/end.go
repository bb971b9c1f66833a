package call

import (
	"time"

	"github.com/opentact/opentact/internal/sip"
)

// end takes the call down; gone says that the far side of the a-leg ended it. What follows from it happens here and nowhere else.
func (c *Call) end(cause Cause, gone bool) {
	if c.ending {
		return
	}
	cause = cause.complete()
	if cause.By == "" {
		cause.By = ByPlatform
	}
	c.ending = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.cancel(&EndedError{cause})
	for _, r := range c.running() {
		c.stopRecord(r, EndedByHangup)
	}
	c.dropEarly()
	c.close(c.a, cause, gone)
	for _, l := range c.bLegs() {
		c.endLeg(l, behind(l, cause), false)
	}
	c.cleanA()
	if !c.destroyed {
		c.after(c.engine.cfg.Limits.CloseFile, c.destroy)
	}
}

// behind is what the end of the controlled leg means for another leg of the call.
func behind(l *leg, cause Cause) Cause {
	if l.state().Up() {
		return Cause{Q850: cause.Q850, Reason: cause.Reason, By: cause.By}
	}
	return Cause{Q850: OriginatorCancel, Reason: "canceled", By: cause.By}
}

// endLeg ends one leg; with the controlled one the call.
func (c *Call) endLeg(l *leg, cause Cause, gone bool) {
	if l == c.a {
		c.end(cause, gone)
		return
	}
	if l.state().Over() {
		return
	}
	c.endBridgeOf(l)
	c.close(l, cause.complete(), gone)
	l.enter(clean)
	c.dropLeg(l)
}

// close hangs a leg up and gives its media back.
func (c *Call) close(l *leg, cause Cause, gone bool) {
	if l.state().Over() {
		return
	}
	var q Quality
	if l.media != nil {
		q = l.media.quality()
	}
	l.set(func(s *Leg) { s.Cause, s.Quality = cause, q })
	if l.dialog != nil && !gone {
		l.dialog.Hangup(farewell(l, cause))
	}
	l.enter(end)
	close(l.over)
	if l.media != nil {
		l.media.stream.Close()
	}
	l.freeRoute()
}

// farewell is what the far side is told.
func farewell(l *leg, cause Cause) sip.Reason {
	r := sip.Reason{Q850: wireCause(cause.Q850), Text: Name(cause.Q850)}
	switch {
	case cause.Q850 == LoseRace:
		r = sip.Reason{SIP: 200, Text: "Call completed elsewhere"}
	case l.try == nil && !l.state().Up():
		r.SIP = cause.status()
	}
	return r
}

// cleanA destroys the controlled leg once nothing else of the call is left but conversions.
func (c *Call) cleanA() {
	if c.ending && len(c.writing()) == 0 {
		c.destroy()
	}
}

// destroy is the last change of the call.
func (c *Call) destroy() {
	if c.destroyed {
		return
	}
	c.destroyed = true
	snap := c.a.snapshot()
	c.engine.registry.drop(snap.ID)
	c.engine.count.Add(-1)
	c.a.enter(clean)
	c.engine.cfg.Logger.Info("call ended", "call", snap.ID, "account", snap.Account, "direction", snap.Direction, "cause", Name(snap.Cause.Q850),
		"reason", snap.Cause.Reason, "by", snap.Cause.By, "stack", snap.Cause.Stack, "answered", !snap.AnswerOn.IsZero(),
		"lasted", snap.HangupOn.Sub(snap.InitOn).Round(time.Millisecond))
	c.inbox.poke()
}
