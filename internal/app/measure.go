package app

import "github.com/opentact/opentact/internal/sip"

// measure shows the parts' own counters as metrics.
func (a *App) measure() {
	m, c := a.domains, a.calls
	gauge := a.metrics.GaugeFunc
	gauge("call", "live", "Calls in progress on this node", func() float64 { return float64(c.engine.Count()) })
	gauge("call_fact", "dropped", "Reports of calls that were given up because storage was away for too long", func() float64 { return float64(c.voice.Dropped()) })
	gauge("websocket", "open", "Authenticated websockets on this node", func() float64 { return float64(m.gate.Sockets()) })
	gauge("rtp_port", "free", "Pairs of media ports that are free", func() float64 { return float64(c.ports.Free()) })
	gauge("transaction", "committed", "Database transactions since the start", func() float64 { n, _ := a.db.Stats(); return float64(n) })
	gauge("transaction", "joined", "Functions that shared them", func() float64 { _, n := a.db.Stats(); return float64(n) })
	sms := m.messages.Counters()
	gauge("message", "accepted", "Outbound messages accepted", func() float64 { return float64(sms.Accepted.Load()) })
	gauge("message", "sent", "Outbound messages handed to carriers", func() float64 { return float64(sms.Sent.Load()) })
	gauge("message", "received", "Inbound messages", func() float64 { return float64(sms.Received.Load()) })
	gauge("message", "dropped", "Inbound messages of numbers without a subscription", func() float64 { return float64(sms.Dropped.Load()) })
	gauge("receipt", "unknown", "Receipts that matched no message", func() float64 { return float64(sms.Unknown.Load()) })
	for unit, read := range map[string]func(sip.Counters) uint64{
		"received": func(n sip.Counters) uint64 { return n.Received }, "refused": func(n sip.Counters) uint64 { return n.Refused },
		"garbage": func(n sip.Counters) uint64 { return n.Garbage }, "shed": func(n sip.Counters) uint64 { return n.Shed },
		"overrun": func(n sip.Counters) uint64 { return n.QueueFull }, "resent": func(n sip.Counters) uint64 { return n.RetransmitsOut },
	} {
		gauge("sip_message", unit, "SIP messages by what became of them", func() float64 { return float64(read(c.sip.Counters())) })
	}
}
