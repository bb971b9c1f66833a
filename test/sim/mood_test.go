package sim

import "time"

// mood is how much goes wrong in a world; the shares are of single steps.
type mood struct {
	name     string
	carrier  float64 // submits that do not just pass
	receipts float64 // receipts that come early, late, twice, or never
	dedupe   bool    // the carrier knows a message that it is given again
	slow     bool    // links and senders have rates
	customer float64 // requests that are not just answered
	disk     float64 // instants at which a stage of transactions fails
	outages  int     // times at which the disk fails for seconds
	doubt    float64 // instants at which the process does not dare to send
	crashes  int
	restarts int
	declared int // times at which the process is declared dead while it lives
}

// moods of the worlds, by seed.
var moods = []mood{
	{name: "calm", dedupe: true},
	{name: "carrier", carrier: 0.35, receipts: 0.4, dedupe: true},
	{name: "customer", customer: 0.4, receipts: 0.1, dedupe: true},
	{name: "disk", disk: 0.03, outages: 2, doubt: 0.02, dedupe: true, receipts: 0.2},
	{name: "crashes", crashes: 3, restarts: 1, declared: 1, dedupe: true, receipts: 0.2, customer: 0.1},
	{name: "forgetful carrier", carrier: 0.4, receipts: 0.4, customer: 0.2, slow: true, restarts: 1},
	{name: "a little of all", carrier: 0.1, receipts: 0.2, customer: 0.1, disk: 0.01, outages: 1, doubt: 0.02, crashes: 2, restarts: 1, declared: 1, dedupe: true, slow: true},
	{name: "much of all", carrier: 0.4, receipts: 0.5, customer: 0.5, disk: 0.015, outages: 2, doubt: 0.05, crashes: 3, restarts: 1, declared: 1},
}

// Times of a world.
const (
	leastBusy  = 4 * time.Second // of clients and trouble
	mostBusy   = 12 * time.Second
	maxWorld   = 3 * 24 * time.Hour
	maxPauses  = 400         // looks at a world that comes to rest
	stuckAfter = 20          // looks without a change and without a time to come
	lookEvery  = time.Second // and the time between them
)
