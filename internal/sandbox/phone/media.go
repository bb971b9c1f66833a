package phone

import (
	"math/rand/v2"

	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// local is our side of a negotiation. The caller holds mu.
func (c *Call) local() sdp.Local {
	if c.session == 0 {
		c.session = rand.Uint64() >> 1
	}
	c.version++
	addr := c.stream.LocalAddr()
	return sdp.Local{Addr: c.p.mediaIP, Port: int(addr.Port()), Codecs: c.p.cfg.Codecs, DTMF: true, SessionID: c.session, Version: c.version, FollowOffer: true}
}

func (c *Call) makeOffer() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := sdp.Offer(c.local())
	if err != nil {
		return nil, err
	}
	c.offered, c.body = s, s.Bytes()
	return c.body, nil
}

// answerBody is what goes into the answer to the INVITE: the answer to its offer, the same in 183 and 200 (RFC 3264 §4), or our offer when there was none.
func (c *Call) answerBody() ([]byte, error) {
	c.mu.Lock()
	body := c.body
	c.mu.Unlock()
	if body != nil {
		return body, nil
	}
	if offer := c.d.Offer(); len(offer) > 0 {
		return c.answerTo(offer)
	}
	return c.makeOffer()
}

// answerTo answers an offer and follows it.
func (c *Call) answerTo(body []byte) ([]byte, error) {
	offer, err := sdp.Parse(body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, n, err := sdp.Answer(offer, c.local())
	if err != nil {
		return nil, err
	}
	if err := c.follow(n); err != nil {
		return nil, err
	}
	c.offered, c.body = nil, s.Bytes()
	return c.body, nil
}

// accepted follows the answer to our offer; a call that cannot be heard is hung up.
func (c *Call) accepted(body []byte) {
	c.mu.Lock()
	offered := c.offered
	c.mu.Unlock()
	if len(body) == 0 || offered == nil {
		return // the sound was agreed on by an early answer
	}
	answer, err := sdp.Parse(body)
	if err == nil {
		var n sdp.Negotiated
		if n, err = sdp.Accept(offered, answer); err == nil {
			c.mu.Lock()
			err = c.follow(n)
			c.mu.Unlock()
		}
	}
	if err != nil {
		c.p.log.Warn("answer without usable sound", "call", c.CallID(), "error", err)
		c.hangup(sip.Reason{Q850: 88})
	}
}

// reoffered answers a re-INVITE or UPDATE, with an offer when it had none.
func (c *Call) reoffered(e sip.ReOffer) {
	var body []byte
	var err error
	if len(e.Body) == 0 {
		body, err = c.makeOffer()
	} else {
		body, err = c.answerTo(e.Body)
	}
	if err != nil {
		e.Reply(488, nil)
		return
	}
	e.Reply(200, body)
}

// follow sets the media to what was agreed on. The caller holds mu.
func (c *Call) follow(n sdp.Negotiated) error {
	c.held = n.Hold
	return c.stream.Start(rtp.Params{
		Remote: n.Remote, RemoteRTCP: n.RTCP, RTCPMux: n.RTCPMux, Codec: n.Codec.Name, Rate: n.Codec.Clock, PT: n.Codec.PT,
		RecvPT: n.RecvPT, DTMFPT: n.DTMFPT, DTMFRecvPT: n.DTMFRecvPT, SendEnabled: n.Send, RecvEnabled: n.Recv, Latch: true,
	})
}
