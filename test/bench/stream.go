package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// Sockets of the fan-out, and how it is driven.
const (
	fanSockets  = 1_000
	fanWriters  = 4
	fanAhead    = 100 // events that the sockets may be behind: the queue of a socket takes 1,000
	fanTarget   = 150_000.0
	fanPace     = 20 * time.Millisecond // between two events where the delay is measured
	paceTarget  = 20.0                  // ms
	deafSockets = 500
	goodSockets = 100
	deafTarget  = 50.0 // ms
	fanType     = "tn_lease"
)

// listeners are sockets that count their frames, and note the delay of those whose lease was named after the time of the change.
type listeners struct {
	all    []*socket
	frames atomic.Int64
	timed  atomic.Bool // delays are noted

	mu    sync.Mutex
	came  []arrival
	ended []error
	done  sync.WaitGroup
}

// arrival is a frame: the time of its change, by which it is known, and when it was read.
type arrival struct {
	change int64
	read   time.Time
}

// listen opens n sockets for the users' tokens that follow leases; deaf ones are never read from.
func (b *bench) listen(s *stand, tokens []string, n, deaf int) (*listeners, error) {
	l := &listeners{}
	for i := range n + deaf {
		c, err := openSocket(b.ctx, s.HTTP, "127.0.0.2", tokens[i/perUser], fanType)
		if err != nil {
			l.close()
			return nil, err
		}
		l.all = append(l.all, c)
		if i < n {
			l.done.Go(func() { l.follow(c) })
		}
	}
	return l, nil
}

func (l *listeners) close() {
	for _, c := range l.all {
		_ = c.conn.Close()
	}
	l.done.Wait()
}

func (l *listeners) follow(c *socket) {
	mark := []byte(`"name":"at `)
	var came []arrival
	for {
		text, err := c.next()
		if err != nil {
			l.mu.Lock()
			l.came = append(l.came, came...)
			if _, told := err.(closed); told {
				l.ended = append(l.ended, err)
			}
			l.mu.Unlock()
			return
		}
		l.frames.Add(1)
		if !l.timed.Load() {
			continue
		}
		if i := bytes.Index(text, mark); i >= 0 {
			digits := text[i+len(mark):]
			if at, err := strconv.ParseInt(string(digits[:max(0, bytes.IndexByte(digits, '"'))]), 10, 64); err == nil {
				came = append(came, arrival{at, time.Now()})
			}
		}
	}
}

// delays ends the sockets and gives how long after their changes the frames were read: after the request for it, and after its answer, which says that it is
// committed. A socket that the server closed is an error.
func (l *listeners) delays(answered map[int64]time.Time) (requested, committed []time.Duration, err error) {
	l.close()
	if len(l.ended) > 0 {
		return nil, nil, fmt.Errorf("%d sockets that read were ended: %w", len(l.ended), l.ended[0])
	}
	for _, a := range l.came {
		if at, ok := answered[a.change]; ok {
			requested = append(requested, a.read.Sub(time.Unix(0, a.change)))
			committed = append(committed, max(0, a.read.Sub(at)))
		}
	}
	return requested, committed, nil
}

// change makes one event, known by its time.
func (b *bench) change(s *stand, tn string) (at int64, err error) {
	at = time.Now().UnixNano()
	_, err = s.c.Do(b.ctx, "PATCH", "/rest/lease/tn/"+tn, fmt.Sprintf(`{"name": "at %d"}`, at))
	return at, err
}

// paced makes an event every fanPace for as long as a rate is measured, and tells when each was answered.
func (b *bench) paced(s *stand, tn string) (map[int64]time.Time, error) {
	answered := map[int64]time.Time{}
	tick := time.NewTicker(fanPace)
	defer tick.Stop()
	for end := time.Now().Add(b.duration); time.Now().Before(end); <-tick.C {
		at, err := b.change(s, tn)
		if err != nil {
			return nil, err
		}
		answered[at] = time.Now()
	}
	return answered, b.wait(time.Second) // what is under way
}

// delay prints what the listeners of a paced run noted.
func (b *bench) delay(l *listeners, answered map[int64]time.Time, name string, target float64) error {
	requested, committed, err := l.delays(answered)
	if err != nil {
		return err
	}
	b.t.most("commit to frame, p99, "+name, ms(share(committed, 0.99)), target, "ms", "")
	b.t.plain("  from the request for the change", show(ms(share(requested, 0.99)))+" ms")
	return nil
}

// audience starts a server with a number to change and users to hear of it.
func (b *bench) audience(sockets int) (s *stand, tn string, tokens []string, err error) {
	if s, err = b.start(false); err != nil {
		return nil, "", nil, err
	}
	if tn, err = house.Number(b.ctx, s.c, ""); err == nil {
		tokens, err = b.users(s, (sockets+perUser-1)/perUser)
	}
	if err != nil {
		s.Kill()
	}
	return s, tn, tokens, err
}

// fanOut makes events as fast as a thousand sockets of one account take them, and then at an even pace.
func (b *bench) fanOut() error {
	s, tn, tokens, err := b.audience(fanSockets)
	if err != nil {
		return err
	}
	defer s.Kill()
	l, err := b.listen(s, tokens, fanSockets, 0)
	if err != nil {
		return err
	}
	defer l.close()
	var made atomic.Int64
	cpu, wall, err := s.cost(func() error {
		_, _, err := b.many(fanWriters, func(int, int) error {
			for made.Load()-l.frames.Load()/fanSockets > fanAhead && b.ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			made.Add(1)
			_, err := b.change(s, tn)
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	frames := l.frames.Load()
	name := fmt.Sprintf("frames to %d sockets", fanSockets)
	b.t.least(name, float64(frames)/wall.Seconds(), fanTarget, "/s", "centrifuge 150,000/s, p99 17 ms")
	b.t.plain("  CPU per frame", fmt.Sprintf("%.1f µs", float64(cpu.Microseconds())/float64(max(frames, 1))))
	if err := b.wait(2 * time.Second); err != nil { // what was under way
		return err
	}
	l.timed.Store(true)
	answered, err := b.paced(s, tn)
	if err != nil {
		return err
	}
	return b.delay(l, answered, fmt.Sprintf("%d events/s to %d", time.Second/fanPace, fanSockets), paceTarget)
}

// deaf measures sockets that read while five hundred others do not.
func (b *bench) deaf() error {
	s, tn, tokens, err := b.audience(deafSockets + goodSockets)
	if err != nil {
		return err
	}
	defer s.Kill()
	l, err := b.listen(s, tokens, goodSockets, deafSockets)
	if err != nil {
		return err
	}
	defer l.close()
	l.timed.Store(true)
	answered, err := b.paced(s, tn)
	if err != nil {
		return err
	}
	memory, err := s.RSS()
	if err != nil {
		return err
	}
	refused := countClosed(l.all[goodSockets:])
	if err := b.delay(l, answered, fmt.Sprintf("while %d do not read", deafSockets), deafTarget); err != nil {
		return err
	}
	b.t.plain("  of those that do not read were ended", strconv.Itoa(refused))
	b.t.plain("  the server's memory with them", show(float64(memory)/(1<<20))+" MiB")
	return nil
}

// countClosed reads what waits at sockets and counts those that the server has ended.
func countClosed(all []*socket) int {
	n := 0
	for _, c := range all {
		if c.conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)) != nil {
			continue
		}
		if _, err := io.Copy(io.Discard, c.conn); err == nil { // the end, not the deadline
			n++
		}
	}
	return n
}
