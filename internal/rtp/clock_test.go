package rtp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// beat records the scheduled times of its ticks.
type beat struct {
	times []time.Duration
	kicks []time.Duration
	stall time.Duration // how long the first tick takes
}

func (b *beat) tick(at time.Duration) {
	b.times = append(b.times, at)
	if d := b.stall; d > 0 {
		b.stall = 0
		time.Sleep(d) // fake time: a scheduler that lets the process wait
	}
}

func (b *beat) kick(at time.Duration) { b.kicks = append(b.kicks, at) }

func runClock(t *testing.T, c *Clock) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestTicksKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		runClock(t, c)
		b := &beat{}
		m := c.join(b)
		time.Sleep(10 * time.Second)
		m.leave()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := len(b.times); n != 500 {
			t.Fatalf("%d ticks in ten seconds", n)
		}
		for i, at := range b.times {
			if want := b.times[0] + time.Duration(i)*20*time.Millisecond; at != want {
				t.Fatalf("tick %d at %v, want %v", i, at, want)
			}
		}
		if b.times[0] > 5*time.Millisecond {
			t.Errorf("first tick at %v", b.times[0])
		}
	})
}

func TestMissedTicksAreMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		runClock(t, c)
		b := &beat{stall: 150 * time.Millisecond}
		m := c.join(b)
		time.Sleep(time.Second)
		m.leave()
		synctest.Wait()
		if n := len(b.times); n != 50 {
			t.Errorf("%d ticks in a second", n)
		}
		if late := c.Late(); late < 100*time.Millisecond {
			t.Errorf("lateness %v was not seen", late)
		}
	})
}

func TestTicksOfALongStandstillAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		runClock(t, c)
		b := &beat{stall: 5 * time.Second}
		m := c.join(b)
		time.Sleep(6 * time.Second)
		m.leave()
		synctest.Wait()
		if n := len(b.times); n < 50 || n > 62 {
			t.Errorf("%d ticks, want one and those of the last second", n)
		}
	})
}

func TestStreamsAreSpreadAndStartSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		runClock(t, c)
		slots := map[int64]int{}
		var members []*member
		for range 8 {
			m := c.join(&beat{})
			slots[m.slot]++
			members = append(members, m)
		}
		if len(slots) != joinChoice {
			t.Errorf("8 streams in the slots %v", slots)
		}
		for _, m := range members {
			m.leave()
			m.leave()
		}
		time.Sleep(time.Hour)
		b := &beat{}
		start := c.Now()
		m := c.join(b)
		time.Sleep(20 * time.Millisecond)
		m.leave()
		synctest.Wait()
		if len(b.times) != 1 || b.times[0] <= start || b.times[0] > start+joinChoice*time.Millisecond {
			t.Errorf("joined at %v, ticks %v", start, b.times)
		}
	})
}

func TestKickDoesNotWaitForASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock()
		runClock(t, c)
		time.Sleep(7500 * time.Microsecond)
		b := &beat{}
		c.ask(b)
		synctest.Wait()
		c.ask(b)
		synctest.Wait()
		if len(b.kicks) != 2 || b.kicks[0] != 7500*time.Microsecond {
			t.Errorf("kicks at %v", b.kicks)
		}
	})
}
