package webhook

import (
	"hash/fnv"
	"strconv"
	"time"
)

// Schedule names how a notification is tried.
type Schedule string

// The schedules.
const (
	// Messaging tries the first address at 0, 5 and 30 s, then the second likewise, then both in turn after 5 m, 30 m, 2 h, 5 h. It follows no redirects.
	Messaging Schedule = "messaging"
	// App tries again after 1, 5 and 30 s and follows redirects.
	App Schedule = "app"
	// Signed is that of endpoints: again after 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, each 20 % more or less. It follows no redirects.
	Signed Schedule = "signed"
)

// rules of a schedule.
type rules struct {
	quick     []time.Duration // waits before each try of one address
	late      []time.Duration // waits before each later round over all addresses
	timeout   time.Duration
	redirects int
	block     time.Duration // how long one that fails holds back the next of its key
}

var schedules = map[Schedule]rules{
	Messaging: {
		quick: []time.Duration{0, 5 * time.Second, 25 * time.Second}, late: []time.Duration{5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour},
		timeout: 10 * time.Second, block: time.Minute,
	},
	App: {quick: []time.Duration{0, time.Second, 5 * time.Second, 30 * time.Second}, timeout: 15 * time.Second, redirects: 5, block: time.Hour},
	Signed: {
		quick: []time.Duration{
			0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		timeout: signedTimeout,
	},
}

// step gives the address and the wait of the try after so many failures; ok is false when it is given up.
func (r rules) step(failures, urls int) (url int, wait time.Duration, ok bool) {
	if n := len(r.quick) * urls; failures < n {
		return failures / len(r.quick), r.quick[failures%len(r.quick)], true
	} else {
		failures -= n
	}
	if failures >= len(r.late)*urls {
		return 0, 0, false
	}
	if failures%urls > 0 {
		return failures % urls, 0, true
	}
	return 0, r.late[failures/urls], true
}

// jitter moves a wait by up to 20 %. It is the same for all deliveries of one order, so that their tries keep it, and of two waits that follow each other one
// is lengthened as the other is shortened: the last try of a schedule comes neither early nor late.
func jitter(order string, failures int, wait time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(order + "/" + strconv.Itoa(failures/2)))
	part := float64(int64(h.Sum64()%4001)-2000) / 10000 // -0.2 to 0.2
	if failures%2 == 0 {
		part = -part
	}
	return wait + time.Duration(part*float64(wait))
}
