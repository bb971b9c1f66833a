package call

import (
	"context"
	"time"

	"github.com/opentact/opentact/internal/rtp"
)

// bridge is the controlled leg joined with another one. It belongs to the goroutine of the call, but for over.
type bridge struct {
	b     *leg
	media *rtp.Bridge
	rec   *Recording // ends with the bridge; nil without
	since time.Time
	timer *time.Timer
	over  chan struct{} // closed when it is over; lasted is set before
	last  time.Duration
}

// join answers the controlled leg if need be and joins it with another one that is answered. A bridge that stands is ended first.
func (c *Call) join(l *leg, longest time.Duration) (*bridge, error) {
	if c.ending || !l.state().Up() {
		return nil, c.endedError()
	}
	if err := c.accept(); err != nil {
		return nil, err
	}
	if c.br != nil {
		c.endLeg(c.br.b, Cause{Q850: NormalClearing, By: ByPlatform}, false)
	}
	c.dropEarly()
	a := c.a.media
	a.stream.Stop()
	l.media.stream.Stop()
	joined, err := rtp.Connect(a.stream, l.media.stream)
	if err != nil {
		return nil, err
	}
	br := &bridge{b: l, media: joined, since: c.engine.cfg.Now(), over: make(chan struct{})}
	c.br = br
	c.joined.Store(l)
	if longest = l.way.within(longest); longest > 0 {
		br.timer = c.after(longest, func() {
			if c.br == br {
				c.end(Cause{Q850: NormalClearing, Reason: "max_duration", By: ByPlatform}, false)
			}
		})
	}
	c.tellJoined(l)
	c.holdAgain(l)
	return br, nil
}

// tellJoined moves both legs to bridged.
func (c *Call) tellJoined(l *leg) {
	aID, bID := c.a.snapshot().ID, l.snapshot().ID
	c.a.set(func(s *Leg) { s.BridgedTo = bID })
	l.set(func(s *Leg) { s.BridgedTo = aID })
	c.a.enter(join)
	l.enter(join)
}

// holdAgain gives the new party its music when the other one holds already.
func (c *Call) holdAgain(l *leg) {
	music := c.engine.cfg.HoldMusic
	if music == nil {
		return
	}
	if c.a.media.hold {
		l.sound(music())
	}
	if l.media.hold {
		c.a.sound(music())
	}
}

// endBridgeOf parts the legs if one of them is the given one.
func (c *Call) endBridgeOf(l *leg) {
	br := c.br
	if br == nil || l != br.b && l != c.a {
		return
	}
	c.br = nil
	c.joined.Store(nil)
	c.a.set(func(s *Leg) { s.BridgedTo = "" })
	br.media.Unbridge()
	if br.rec != nil {
		c.stopRecord(br.rec, EndedByHangup)
	}
	if br.timer != nil {
		br.timer.Stop()
	}
	br.last = c.engine.cfg.Now().Sub(br.since)
	c.a.stopSound() // hold music of the party that has gone
	close(br.over)
}

// EndBridge hangs up the leg that the controlled one is joined with and returns when the controlled leg is alone.
func (c *Call) EndBridge(ctx context.Context) {
	c.do(func() {
		if c.br != nil {
			c.endLeg(c.br.b, Cause{Q850: NormalClearing, Reason: "normal", By: ByPlatform}, false)
		}
	})
}

// connectEarly lets the caller hear a leg that is not answered yet. The caller must have media.
func (c *Call) connectEarly(l *leg) bool {
	if c.ending || c.early != nil || c.br != nil || l.media == nil || l.state().Over() {
		return false
	}
	if !c.a.state().Up() && c.earlyMedia() != nil {
		return false
	}
	a := c.a.media
	if a == nil || !a.started {
		return false
	}
	a.stream.Stop()
	joined, err := rtp.Connect(a.stream, l.media.stream)
	if err != nil {
		return false
	}
	c.early = joined
	return true
}

func (c *Call) dropEarly() {
	if c.early != nil {
		c.early.Unbridge()
		c.early = nil
	}
}
