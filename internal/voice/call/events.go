package call

import (
	"strconv"
	"strings"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/sip"
)

// hear queues what the far side of a leg did; t is the try that it belongs to, nil for an inbound leg. It runs on the goroutine that
// reads the network.
func (c *Call) hear(l *leg, t *try, ev sip.Event) {
	fn := func() { c.heard(l, t, ev) }
	switch ev := ev.(type) {
	case sip.Info:
		c.inbox.offer(fn)
	case sip.ReOffer:
		if !c.inbox.offer(fn) {
			ev.Reply(503, nil)
		}
	case sip.Refer:
		ev.Reply(603)
	case sip.Notified:
	default:
		c.inbox.post(fn)
	}
}

func (c *Call) heard(l *leg, t *try, ev sip.Event) {
	if t != nil && t != l.try {
		return // a route that was given up
	}
	switch ev := ev.(type) {
	case sip.Progress:
		c.progressed(l, t, ev)
	case sip.Answered:
		c.tookCall(l, t, ev)
	case sip.Failed:
		t.failed = ev
		t.over.do()
	case sip.Acked:
		c.acked(l, ev)
	case sip.Canceled:
		c.endLeg(l, remoteCause(ev.Reason, Cause{Q850: NormalClearing, Reason: "canceled", By: l.remote(), Stack: "SIP 487"}), true)
	case sip.Ended:
		c.endLeg(l, endedCause(l, ev), true)
	case sip.ReOffer:
		c.reoffered(l, ev)
	case sip.Info:
		c.info(l, ev)
	}
}

// remoteCause takes the far side's own Q.850 cause where it names one.
func remoteCause(r sip.Reason, c Cause) Cause {
	if r.Q850 != 0 {
		c.Stack = "Q.850 " + strconv.Itoa(r.Q850)
		if c.Q850 != r.Q850 {
			c.Q850 = r.Q850
			if c.Reason != "canceled" {
				c.Reason = ""
			}
		}
	}
	return c
}

func endedCause(l *leg, ev sip.Ended) Cause {
	switch ev.By {
	case sip.Remote:
		return remoteCause(ev.Reason, Cause{Q850: NormalClearing, Reason: "normal", By: l.remote()})
	case sip.Lost:
		return Cause{Q850: TimerExpired, By: ByPlatform}
	}
	return Cause{Q850: NormalClearing, By: ByPlatform}
}

func (c *Call) acked(l *leg, ev sip.Acked) {
	if m := l.media; m != nil && m.offered != nil && !m.started {
		if err := m.accept(ev.Body); err != nil {
			c.endLeg(l, incompatible(err), false)
			return
		}
		m.rearm()
	} else if m != nil && m.offered != nil && len(ev.Body) > 0 {
		_ = m.accept(ev.Body) // of an offerless re-INVITE: what cannot be used leaves the session as it was
	}
	if !l.isAcked {
		l.isAcked = true
		close(l.acked)
	}
}

// reoffered answers a re-INVITE or UPDATE; an offer that cannot be used leaves the session as it was.
func (c *Call) reoffered(l *leg, ev sip.ReOffer) {
	m := l.media
	if m == nil || l.state().Over() {
		ev.Reply(488, nil)
		return
	}
	var body []byte
	var err error
	if len(ev.Body) > 0 {
		body, err = m.answer(ev.Body)
	} else {
		body, err = m.offer()
	}
	if err != nil {
		ev.Reply(488, nil)
		return
	}
	ev.Reply(200, body)
}

// setHold follows a far side that holds or resumes: the party behind it hears music, and silence is counted from the resumption on.
func (c *Call) setHold(l *leg, hold bool) {
	m := l.media
	if m == nil || m.hold == hold {
		return
	}
	m.hold = hold
	if !hold {
		m.rearm()
	}
	other := c.other(l)
	if other == nil || other.media == nil || c.engine.cfg.HoldMusic == nil {
		return
	}
	if hold {
		other.media.stream.Play(c.engine.cfg.HoldMusic())
	} else {
		other.media.stream.Stop()
	}
}

// other is the leg that a leg is joined with.
func (c *Call) other(l *leg) *leg {
	switch {
	case c.br == nil:
		return nil
	case l == c.a:
		return c.br.b
	case l == c.br.b:
		return c.a
	}
	return nil
}

// silent is told when a leg brought no packet for Limits.MediaTimeout.
func (c *Call) silent(l *leg) {
	switch m := l.media; {
	case m == nil || !l.state().Up():
	case m.hold || !m.agreed.Recv:
	default:
		c.endLeg(l, Cause{Q850: Unspecified, Reason: "media_timeout", By: ByPlatform}, false)
	}
}

// info takes keys that come by SIP INFO.
func (c *Call) info(l *leg, ev sip.Info) {
	key, ok := infoKey(ev)
	if !ok {
		return
	}
	if l == c.a {
		if !c.keys.press(key, byInfo) {
			return
		}
	}
	if other := c.other(l); other != nil && other.media != nil {
		stream := other.media.stream
		c.work.Go(func() { _ = stream.SendKeys(c.ctx, string(key), 0, 0) }) // best effort: the far side may take no events
	}
}

// infoKey reads application/dtmf-relay ("Signal=5") and application/dtmf ("5").
func infoKey(ev sip.Info) (byte, bool) {
	kind, _, _ := strings.Cut(strings.ToLower(ev.ContentType), ";")
	text := string(ev.Body)
	switch strings.TrimSpace(kind) {
	case "application/dtmf-relay":
		found := ""
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(name), "Signal") {
				found = value
				break
			}
		}
		text = found
	case "application/dtmf":
	default:
		return 0, false
	}
	text = strings.ToUpper(strings.TrimSpace(text))
	switch text {
	case "10":
		text = "*"
	case "11":
		text = "#"
	}
	if len(text) != 1 || !strings.Contains("0123456789*#ABCD", text) {
		return 0, false
	}
	return text[0], true
}

// stopSound ends what plays on a leg, if it has media.
func (l *leg) stopSound() {
	if s := l.stream.Load(); s != nil {
		s.Stop()
	}
}

// sound plays on a leg without waiting.
func (l *leg) sound(src audio.Source) {
	if s := l.stream.Load(); s != nil && src != nil {
		s.Play(src)
	}
}
