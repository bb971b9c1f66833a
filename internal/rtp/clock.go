package rtp

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

const (
	slotLength = time.Millisecond
	slotCount  = int64(audio.FrameDuration / slotLength)
)

// ticker is what the clock drives; both run on the clock's goroutine.
type ticker interface {
	tick(at time.Duration) // every 20 ms, at the scheduled time
	kick(at time.Duration) // once, soon after ask
}

// Clock paces all streams with one goroutine. The 20 ms period has slots of one
// millisecond over which the streams are spread. Deadlines are counted from the
// clock's origin, so that lateness never adds up; with no stream it sleeps.
type Clock struct {
	origin time.Time
	slots  [slotCount]atomic.Pointer[[]*member] // each list is never changed, only replaced
	wake   chan struct{}                        // holds one; more wake-ups are the same wake-up
	late   atomic.Int64                         // nanoseconds, worst since the last Late

	buffers sync.Pool // *jitter, for the streams that somebody listens to

	mu    sync.Mutex
	next  int64 // number of the next slot to run
	size  int   // members
	kicks []ticker
	spare []ticker // the list that kicks swaps with
}

// NewClock makes a clock; Run makes it go.
func NewClock() *Clock {
	c := &Clock{origin: time.Now(), wake: make(chan struct{}, 1)}
	for i := range c.slots {
		c.slots[i].Store(&[]*member{})
	}
	return c
}

// Now is the time since the clock was made.
func (c *Clock) Now() time.Duration { return time.Since(c.origin) }

// Late returns how late the latest tick since the last call was.
func (c *Clock) Late() time.Duration { return time.Duration(c.late.Swap(0)) }

// Run drives the streams until ctx ends and returns nil then.
func (c *Clock) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.runKicks()
		n, found := c.upcoming()
		wait := time.Hour
		if found {
			wait = time.Duration(n)*slotLength - c.Now()
		}
		if wait <= 0 {
			c.runSlot(n)
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// upcoming is the next slot that has members. Slots that are hopelessly late,
// after a suspend for instance, are passed over.
func (c *Clock) upcoming() (n int64, found bool) {
	now := c.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now-time.Duration(c.next)*slotLength > clockMaxLate {
		c.next = int64(now / slotLength)
	}
	for i := range slotCount {
		if len(*c.slots[(c.next+i)%slotCount].Load()) > 0 {
			return c.next + i, true
		}
	}
	return 0, false
}

func (c *Clock) runSlot(n int64) {
	at := time.Duration(n) * slotLength
	if late := int64(c.Now() - at); late > c.late.Load() {
		c.late.Store(late)
	}
	c.mu.Lock()
	c.next = n + 1
	c.mu.Unlock()
	for _, m := range *c.slots[n%slotCount].Load() {
		m.ticker.tick(at)
	}
}

func (c *Clock) runKicks() {
	c.mu.Lock()
	list := c.kicks
	c.kicks, c.spare = c.spare[:0], nil
	c.mu.Unlock()
	for i, t := range list {
		t.kick(c.Now())
		list[i] = nil
	}
	c.mu.Lock()
	c.spare = list[:0]
	c.mu.Unlock()
}

// ask has t kicked without waiting for its slot.
func (c *Clock) ask(t ticker) {
	c.mu.Lock()
	c.kicks = append(c.kicks, t) // bounded by the streams: one Play each
	c.mu.Unlock()
	c.nudge()
}

func (c *Clock) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it will wake anyway
	}
}

// member is one ticker's place in a slot.
type member struct {
	clock  *Clock
	ticker ticker
	slot   int64
}

// join has t ticked from within the next few milliseconds on.
func (c *Clock) join(t ticker) *member {
	c.mu.Lock()
	soon := int64(c.Now()/slotLength) + 1
	if c.size == 0 {
		c.next = soon // nobody missed the slots in which the clock slept
	}
	c.size++
	first := max(c.next, soon)
	best := first % slotCount
	for i := range int64(joinChoice) {
		slot := (first + i) % slotCount
		if len(*c.slots[slot].Load()) < len(*c.slots[best].Load()) {
			best = slot
		}
	}
	m := &member{clock: c, ticker: t, slot: best}
	list := append(slices.Clone(*c.slots[best].Load()), m)
	c.slots[best].Store(&list)
	c.mu.Unlock()
	c.nudge()
	return m
}

// leave ends the ticks; one may still be running when it returns.
func (m *member) leave() {
	c := m.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.slots[m.slot].Load()
	list := make([]*member, 0, len(old))
	for _, o := range old {
		if o != m {
			list = append(list, o)
		}
	}
	if len(list) < len(old) {
		c.size--
	}
	c.slots[m.slot].Store(&list)
}
