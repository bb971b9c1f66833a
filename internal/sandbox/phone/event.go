package phone

import (
	"bytes"
	"strings"

	"github.com/opentact/opentact/internal/sip"
)

// attach ties the call to its dialog; the events so far follow at once.
func (c *Call) attach(d *sip.Dialog) {
	c.d = d
	d.Observe(c.hear)
}

// hear follows the signalling. It runs on the goroutine that reads the network and never waits.
func (c *Call) hear(e sip.Event) {
	switch e := e.(type) {
	case sip.Progress:
		c.progressed(e)
	case sip.Answered:
		c.accepted(e.Body)
		c.markAnswered()
	case sip.Acked:
		if len(e.Body) > 0 {
			c.accepted(e.Body)
		}
	case sip.ReOffer:
		c.reoffered(e)
	case sip.Info:
		if key, ok := keyOf(e.Body); ok {
			c.pressed(key)
		}
	case sip.Refer:
		e.Reply(603)
	case sip.Failed:
		by := "them"
		if e.Why == sip.CanceledByUs || e.Why == sip.RingedOut {
			by = "us"
		} else if e.Why != sip.Refused {
			by = "nobody"
		}
		c.finish(Outcome{By: by, Status: e.Status, Phrase: e.Phrase, Q850: e.Q850, Text: e.Text})
	case sip.Canceled:
		c.finish(Outcome{By: "them", Status: 487, Q850: e.Reason.Q850, Text: e.Reason.Text})
	case sip.Ended:
		by := map[sip.Side]string{sip.Local: "us", sip.Remote: "them"}[e.By]
		if by == "" {
			by = "nobody"
		}
		c.finish(Outcome{By: by, Q850: e.Reason.Q850, Text: e.Reason.Text})
	}
}

func (c *Call) progressed(e sip.Progress) {
	c.mu.Lock()
	first := c.status == 0
	c.status = e.Status
	c.early = c.early || len(e.Body) > 0
	c.mu.Unlock()
	if len(e.Body) > 0 {
		c.accepted(e.Body)
	}
	if first {
		close(c.alerted)
	}
}

func (c *Call) markAnswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.outcome.Answered {
		return
	}
	c.outcome.Answered = true
	close(c.answered)
}

// finish records the end. The first one counts; cleanUp does the rest.
func (c *Call) finish(o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	o.Answered = c.outcome.Answered
	c.outcome, c.ended = o, true
	close(c.over)
}

// cleanUp waits for the end of the call and gives back what it used. When the phone is switched off the call ends even if the endpoint says nothing.
func (c *Call) cleanUp() {
	select {
	case <-c.over:
	case <-c.ctx.Done():
		c.finish(Outcome{By: "us", Text: "phone switched off"})
	}
	c.cancel(ErrOver)
	c.stream.Close()
}

// keyOf reads the key of an INFO body: "Signal=5" lines of dtmf-relay, or the bare key.
func keyOf(body []byte) (byte, bool) {
	text := string(bytes.TrimSpace(body))
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, "=")
		if found && strings.EqualFold(strings.TrimSpace(name), "signal") {
			text = strings.TrimSpace(value)
			break
		}
	}
	if len(text) == 1 && strings.Contains("0123456789*#ABCD", strings.ToUpper(text)) {
		return strings.ToUpper(text)[0], true
	}
	return 0, false
}
