package call

import (
	"context"
	"errors"

	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// Ring sends 180 to a caller that has not been told yet. It does not wait.
func (c *Call) Ring(context.Context) {
	c.do(c.ringing)
}

func (c *Call) ringing() {
	if l := c.a; l.state() == Init && l.try == nil && l.dialog.Ring(c.ctx, 180, nil) == nil {
		l.enter(ring)
	}
}

// EarlyMedia sends 183 with SDP to a caller that is not answered, so that sounds can be played; an INVITE without offer gets 180 only and
// ErrNotAnswered. On an answered call it does nothing.
func (c *Call) EarlyMedia(context.Context) error {
	err := c.endedError()
	c.do(func() { err = c.earlyMedia() })
	return err
}

func (c *Call) earlyMedia() error {
	l := c.a
	switch {
	case c.ending:
		return c.endedError()
	case l.state().Up() || l.media != nil && l.media.started:
		return nil
	case l.try != nil:
		return ErrNotAnswered
	case len(l.dialog.Offer()) == 0:
		c.ringing()
		return ErrNotAnswered
	}
	body, err := c.firstAnswer()
	if err != nil {
		return err
	}
	if err := l.dialog.Ring(c.ctx, 183, body); err != nil {
		return c.late(err)
	}
	l.enter(ring)
	return nil
}

// firstAnswer is the SDP for 183 and 200 of an inbound call: the same body in both (RFC 3261 §13.2.1). A call that cannot be agreed on ends.
func (c *Call) firstAnswer() ([]byte, error) {
	l := c.a
	if l.media == nil {
		if _, err := c.openMedia(l, l.dialog.RemoteAddr().Addr().Unmap(), codecs); err != nil {
			c.fault("no media", err, Cause{Q850: 44, Reason: "internal", By: ByPlatform})
			return nil, c.endedError()
		}
		c.attachRecords()
	}
	m := l.media
	if m.said != nil {
		return m.said, nil
	}
	var body []byte
	var err error
	if offer := l.dialog.Offer(); len(offer) > 0 {
		body, err = m.answer(offer)
	} else {
		body, err = m.offer()
	}
	if err != nil {
		c.fault("no agreement on media", err, incompatible(err))
		return nil, c.endedError()
	}
	m.said = body
	return body, nil
}

// incompatible is the cause of a negotiation that failed.
func incompatible(err error) Cause {
	if errors.Is(err, sdp.ErrNoCodec) || errors.Is(err, sdp.ErrNoMedia) {
		return Cause{Q850: Incompatible, SIP: 488, By: ByPlatform}
	}
	return Cause{Q850: Incompatible, SIP: 488, Reason: "internal", By: ByPlatform}
}

// fault ends the call for a reason that the operator should know.
func (c *Call) fault(message string, err error, cause Cause) {
	c.engine.cfg.Logger.Warn(message, "call", c.a.snapshot().ID, "error", err)
	c.end(cause, false)
}

// late turns an error of the dialog into that of a call which the far side has given up.
func (c *Call) late(err error) error {
	if errors.Is(err, sip.ErrOver) {
		return &EndedError{Cause{Q850: NormalClearing, Reason: "canceled", By: ByCaller}}
	}
	return err
}

// Answer sends 200 and waits for the ACK; the media flows from the 200 on. An *EndedError says that the caller has gone. It does
// nothing more on an answered call, and waits for the answer of an outbound one.
func (c *Call) Answer(ctx context.Context) error {
	if c.a.snapshot().Direction == Out {
		return c.WaitAnswered(ctx)
	}
	err := c.endedError()
	if !c.do(func() { err = c.accept() }) {
		return c.endedError()
	}
	if err != nil {
		return err
	}
	select {
	case <-c.a.acked:
		return nil
	case <-c.ctx.Done():
		return c.endedError()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// accept sends the 200 of an inbound call.
func (c *Call) accept() error {
	l := c.a
	switch {
	case c.ending:
		return c.endedError()
	case l.state().Up():
		return nil
	case l.try != nil:
		return ErrNotAnswered
	}
	body, err := c.firstAnswer()
	if err != nil {
		return err
	}
	if err := l.dialog.Accept(c.ctx, body); err != nil {
		return c.late(err)
	}
	c.answered()
	return nil
}

// answered is the moment from which the call is paid for.
func (c *Call) answered() {
	c.a.enter(answer)
	close(c.up)
	c.limit(c.max, Cause{Q850: NormalClearing, Reason: "max_duration", By: ByPlatform})
	if m := c.a.media; m != nil {
		m.rearm()
	}
}
