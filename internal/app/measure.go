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
	hooks := m.webhooks.Counters()
	gauge("webhook_delivery", "success", "Webhook deliveries that arrived", func() float64 { return float64(hooks.Success.Load()) })
	gauge("webhook_delivery", "again", "Attempts of webhooks that failed and are followed by another", func() float64 { return float64(hooks.Again.Load()) })
	gauge("webhook_delivery", "failed", "Webhook deliveries that were given up", func() float64 { return float64(hooks.Failed.Load()) })
	gauge("webhook_delivery", "unsent", "Attempts of webhooks that this node did not dare to make", func() float64 { return float64(hooks.Unsent.Load()) })
	gauge("webhook_delivery", "running", "Webhook deliveries in hand on this node", func() float64 { return float64(hooks.Running.Load()) })
	gauge("webhook_delivery", "waiting", "Webhook deliveries of all nodes with a try to come", func() float64 { return float64(hooks.Waiting.Load()) })
	gauge("webhook_endpoint", "open", "Endpoints that take nothing and get one request at a time", func() float64 { return float64(hooks.Open.Load()) })
	for unit, read := range map[string]func(sip.Counters) uint64{
		"received": func(n sip.Counters) uint64 { return n.Received }, "refused": func(n sip.Counters) uint64 { return n.Refused },
		"garbage": func(n sip.Counters) uint64 { return n.Garbage }, "shed": func(n sip.Counters) uint64 { return n.Shed },
		"overrun": func(n sip.Counters) uint64 { return n.QueueFull }, "resent": func(n sip.Counters) uint64 { return n.RetransmitsOut },
	} {
		gauge("sip_message", unit, "SIP messages by what became of them", func() float64 { return float64(read(c.sip.Counters())) })
	}
}
