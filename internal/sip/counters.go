package sip

import "sync/atomic"

type counters struct {
	received, queueFull, tooLarge, banned, garbage, refused, shed, calls, strays, forks atomic.Uint64
	retransmitsIn, retransmitsOut, sendErrors                                           atomic.Uint64
}

// Counters is a snapshot for metrics; all but Dialogs and Streams only grow.
type Counters struct {
	Received       uint64 // messages that came, before anything was looked at
	QueueFull      uint64 // dropped unparsed: the workers were behind
	TooLarge       uint64 // dropped: longer than 64 KiB
	Banned         uint64 // dropped: requests and connections of banned sources
	Garbage        uint64 // dropped: not SIP, or nobody to answer
	Refused        uint64 // answered 4xx or 5xx by the checks
	Shed           uint64 // answered 503: overload, source rate or draining
	Calls          uint64 // new inbound calls
	Strays         uint64 // responses that matched no transaction
	Forks          uint64 // answers of calls nobody wanted any more, acknowledged and ended
	RetransmitsIn  uint64
	RetransmitsOut uint64
	SendErrors     uint64
	Dialogs        int
	Streams        int
	Transactions   int // server and client, those that only linger included
}

// Counters reads the counters.
func (ep *Endpoint) Counters() Counters {
	c := &ep.count
	snapshot := Counters{
		Received: c.received.Load(), QueueFull: c.queueFull.Load(), TooLarge: c.tooLarge.Load(), Banned: c.banned.Load(),
		Garbage: c.garbage.Load(), Refused: c.refused.Load(), Shed: c.shed.Load(), Calls: c.calls.Load(), Strays: c.strays.Load(),
		Forks: c.forks.Load(), RetransmitsIn: c.retransmitsIn.Load(), RetransmitsOut: c.retransmitsOut.Load(), SendErrors: c.sendErrors.Load(),
		Dialogs: ep.Dialogs(),
	}
	ep.mu.Lock()
	snapshot.Streams = len(ep.open)
	ep.mu.Unlock()
	for _, sh := range ep.shards {
		sh.mu.Lock()
		snapshot.Transactions += len(sh.server) + len(sh.client)
		sh.mu.Unlock()
	}
	return snapshot
}
