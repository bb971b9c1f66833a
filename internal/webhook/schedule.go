package webhook

import "time"

// Schedule names how a notification is tried.
type Schedule string

// The schedules.
const (
	// Messaging tries the first address at 0, 5 and 30 s, then the second likewise, then both in turn after 5 m, 30 m, 2 h, 5 h. It follows no redirects.
	Messaging Schedule = "messaging"
	// App tries again after 1, 5 and 30 s and follows redirects.
	App Schedule = "app"
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
