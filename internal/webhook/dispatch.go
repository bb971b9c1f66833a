package webhook

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/fault"
)

// Limits of one round of the dispatcher.
const (
	roundLanes = 64
	hostWidth  = 64 // requests at once of one host of an account
	saveBatch  = 256
	retrySave  = time.Second // until results are saved again after the database refused
	faraway    = time.Hour
	forgetLane = 10 * time.Minute // without an attempt
	unheldWait = time.Second      // until what this node did not dare to send is due again
)

// Run sends due notifications until ctx ends. Requests under way then end too, and are made again by the next Run or by another node.
func (s *Service) Run(ctx context.Context, ready func()) error {
	if err := s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return takeBack(ctx, tx, s.node, s.now()) }); err != nil && ctx.Err() == nil {
		return err
	}
	ready()
	var wg sync.WaitGroup
	if s.events != nil {
		cancel := s.events.Subscribe(s.observe)
		defer cancel()
		wg.Go(func() { s.fanOut(ctx) })
	}
	newDispatcher(s).run(ctx)
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer cancel()
	return s.db.Update(last, func(ctx context.Context, tx *db.Tx) error { return takeBack(ctx, tx, s.node, s.now()) })
}

// TakeBack makes due again what a node had in hand; whoever declares a node dead calls it in the same transaction.
func (s *Service) TakeBack(ctx context.Context, tx *db.Tx, node string) error {
	return takeBack(ctx, tx, node, s.now())
}

// lane is what the dispatcher knows of an endpoint, or of a host of an account.
type lane struct {
	key     string
	look    time.Time // when there may be something due
	firm    bool      // until then there is nothing to do, whatever is due
	running int
	fails   int           // in a row; of hosts
	pace    time.Duration // of an answer, a moving average; zero: not known
	starts  [16]time.Time // of the newest attempts
	next    int
}

func (l *lane) host() bool { return strings.Contains(l.key, "/") }

// quick tells that the lane answers quickly.
func (l *lane) quick() bool { return l.pace > 0 && l.pace < quickAnswer }

// room is how many more deliveries the lane may have in hand while total are in hand of all.
func (l *lane) room(total int) int {
	width := laneWidth
	switch {
	case l.fails >= breakAfter, total > Pool/2 && !l.quick():
		width = narrowWidth
	case l.quick():
		width = laneAhead
	case l.host():
		width = hostWidth
	}
	return min(width-l.running, Pool-total)
}

// note counts an attempt.
func (l *lane) note(r result) {
	if l.pace == 0 {
		l.pace = r.o.took
	}
	l.pace = max((7*l.pace+r.o.took)/8, 1)
	l.starts[l.next%len(l.starts)] = r.d.started
	l.next++
	if r.o.good() {
		l.fails = 0
	} else if l.host() {
		l.fails++
	}
}

// gap is the mean time between the newest attempts, at most a second; zero when there were too few.
func (l *lane) gap(now time.Time) time.Duration {
	oldest := l.starts[l.next%len(l.starts)]
	if oldest.IsZero() {
		return 0
	}
	return min(max(now.Sub(oldest)/time.Duration(len(l.starts)), time.Millisecond), slowest)
}

// dispatcher gives lanes their turns. Its lanes belong to the goroutine that runs it.
type dispatcher struct {
	s       *Service
	lanes   map[string]*lane
	total   int            // deliveries in hand
	hand    map[string]int // their ids: one may be claimed again before its first result is settled
	results chan result    // holds all that can be in hand: workers never wait for it
	saved   chan []result
	poll    time.Time
	counted time.Time
	astray  atomic.Int64 // until this time, in microseconds, deliveries may bear this node's name that it has not in hand
	work    sync.WaitGroup
}

func newDispatcher(s *Service) *dispatcher {
	return &dispatcher{s: s, lanes: map[string]*lane{}, hand: map[string]int{}, results: make(chan result, Pool), saved: make(chan []result, 1)}
}

// run claims and sends until ctx ends, then waits for the workers.
func (d *dispatcher) run(ctx context.Context) {
	var saver sync.WaitGroup
	saver.Go(func() { d.save(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-d.s.wake:
		case <-timer.C:
		case list := <-d.saved:
			d.settle(list)
		}
		for more := ctx.Err() == nil; more && ctx.Err() == nil; {
			d.listen()
			more = d.round(ctx)
		}
		timer.Reset(d.pause())
	}
	d.work.Wait()
	close(d.results)
	for range d.saved { // the saver may be waiting to tell
	}
	saver.Wait()
}

// listen takes hints, and asks the database for lanes once in a while.
func (d *dispatcher) listen() {
	now := d.s.now()
	for key := range d.s.hinted() {
		l := d.lane(key)
		l.look, l.firm = now, false
	}
	for {
		select {
		case list := <-d.saved:
			d.settle(list)
			continue
		default:
		}
		return
	}
}

func (d *dispatcher) lane(key string) *lane {
	l := d.lanes[key]
	if l == nil {
		l = &lane{key: key}
		d.lanes[key] = l
	}
	return l
}

// survey asks which lanes have something due, and forgets lanes that have nothing.
func (d *dispatcher) survey(ctx context.Context) {
	d.recover(ctx)
	d.count(ctx)
	began := time.Now()
	due, err := dueLanes(ctx, d.s.db.Read())
	if err != nil {
		if ctx.Err() == nil {
			d.s.log.Warn("lanes of deliveries", "error", err)
		}
		return
	}
	for key, at := range due {
		if l := d.lane(key); l.look.IsZero() || !l.firm && at.Before(l.look) {
			l.look = at
		}
	}
	for key, l := range d.lanes {
		if _, waits := due[key]; !waits && l.running == 0 && d.s.now().Sub(l.starts[(l.next+len(l.starts)-1)%len(l.starts)]) > forgetLane {
			delete(d.lanes, key)
		}
	}
	d.poll = time.Now().Add(max(d.s.pollEvery, 20*time.Since(began)))
}

// round claims once and starts what it got; more tells that another one may find something.
func (d *dispatcher) round(ctx context.Context) (more bool) {
	if !time.Now().Before(d.poll) {
		d.survey(ctx)
	}
	asks := d.asks()
	if len(asks) == 0 {
		return false
	}
	var got claimed
	err := d.s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		got, err = d.s.claim(ctx, tx, asks)
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			d.s.log.Warn("claim deliveries", "error", err)
			d.doubt()
		}
		return false
	}
	counts := map[string]int{}
	for _, r := range got.runs {
		counts[r[0].lane] += len(r)
		d.start(ctx, r)
	}
	for _, a := range asks {
		l := d.lane(a.lane)
		if counts[a.lane] < a.n {
			l.look, l.firm = d.s.now().Add(faraway), false // the survey, a hint or a result knows better
		}
		if at, ok := got.look[a.lane]; ok {
			l.look, l.firm = at, true
		}
	}
	return len(got.runs) > 0
}

// asks lists the lanes that may have something due and may have more in hand, those that wait for longest first.
func (d *dispatcher) asks() []ask {
	now := d.s.now()
	var due []*lane
	for _, l := range d.lanes {
		if !l.look.IsZero() && !l.look.After(now) && l.room(d.total) > 0 {
			due = append(due, l)
		}
	}
	slices.SortFunc(due, func(a, b *lane) int { return cmp.Or(a.look.Compare(b.look), cmp.Compare(a.key, b.key)) })
	var out []ask
	total := d.total
	for _, l := range due[:min(len(due), roundLanes)] {
		if n := l.room(total); n > 0 {
			total += n
			out = append(out, ask{lane: l.key, n: n, runs: l.quick()})
		}
	}
	return out
}

// start sends a run on a goroutine of its own.
func (d *dispatcher) start(ctx context.Context, r run) {
	l := d.lane(r[0].lane)
	width := laneWidth
	if l.host() {
		width = hostWidth
	}
	l.running += len(r)
	d.total += len(r)
	d.s.counters.Running.Store(int64(d.total))
	for _, it := range r {
		d.hand[it.id]++
		it.gap = l.gap(it.started)
	}
	until := time.Now().Add(runTime)
	d.work.Go(func() {
		for i, it := range r {
			res := d.attempt(ctx, it, width, i > 0)
			goOn := res.o.good() && time.Now().Before(until)
			res.last = !goOn || i == len(r)-1
			if goOn {
				d.results <- res
				continue
			}
			for _, rest := range r[i+1:] {
				d.results <- result{d: rest, idle: true}
			}
			d.results <- res
			return
		}
	})
}

// attempt makes a request when the lane has a slot for it. One that follows another began later than it was claimed.
func (d *dispatcher) attempt(ctx context.Context, it *delivery, width int, follows bool) result {
	r := result{d: it, o: outcome{err: errStopped.Error(), lost: true}}
	leave, err := d.s.slots.enter(ctx, it.lane, width)
	if err != nil {
		return r
	}
	defer leave()
	failpoint.Hit("webhook.attempting")
	if !d.s.holds() {
		return r
	}
	if follows {
		it.started = d.s.now()
	}
	o, err := d.s.send(ctx, it)
	if err == nil {
		r.o, r.sent = o, true
	} else if ctx.Err() == nil {
		d.s.log.Warn("delivery not sent", "delivery", it.id, "error", err)
	}
	return r
}

// save writes results as they come, many in one transaction, until there will be no more.
func (d *dispatcher) save(ctx context.Context) {
	defer close(d.saved)
	for r := range d.results {
		batch := []result{r}
		for more := true; more && len(batch) < saveBatch; {
			select {
			case next, open := <-d.results:
				if more = open; open {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		d.write(ctx, batch)
		d.saved <- batch
	}
}

// write saves a batch: the ends of what was sent, and what was not is given back. While the database is down it tries again: results must not be forgotten, or
// they would be sent twice, and what is given back to nobody would wait for a day.
func (d *dispatcher) write(ctx context.Context, batch []result) {
	sent := make([]result, 0, len(batch))
	var unsent, idle []*delivery
	for _, r := range batch {
		switch {
		case r.sent:
			sent = append(sent, r)
		case r.idle:
			idle = append(idle, r.d)
		default:
			unsent = append(unsent, r.d)
		}
	}
	if len(sent) > 0 {
		failpoint.Hit("webhook.sent")
	}
	err := d.s.persist(ctx, "save deliveries", func(save context.Context, tx *db.Tx) error {
		if len(sent) > 0 {
			if err := d.s.finish(save, tx, sent); err != nil {
				return err
			}
		}
		if ctx.Err() != nil { // Run takes all back
			return nil
		}
		if err := d.s.putBack(save, tx, idle); err != nil {
			return err
		}
		return d.s.letGo(save, tx, unsent)
	})
	if err != nil {
		d.doubt()
		return
	}
	d.s.counters.Unsent.Add(int64(len(unsent)))
}

// persist runs a transaction, and again while the database is away or has too much to do, until ctx ends. An error means that nothing was written, or that nobody knows.
func (s *Service) persist(ctx context.Context, what string, fn func(context.Context, *db.Tx) error) error {
	for {
		save, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
		err := s.db.Update(save, fn)
		cancel()
		if err == nil {
			return nil
		}
		s.log.Warn(what, "error", err)
		if !db.Down(err) && !fault.Is(err, fault.Unavailable) && !errors.Is(err, context.DeadlineExceeded) {
			return err // this node was declared dead, or the lease will end
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retrySave):
		}
	}
}

// doubt says that deliveries may bear this node's name that it has not in hand: a transaction failed, or its answer was lost.
func (d *dispatcher) doubt() { d.astray.Store(time.Now().Add(leaseMargin).UnixMicro()) }

// recover gives back what bears this node's name and is in no hand of it.
func (d *dispatcher) recover(ctx context.Context) {
	if time.Now().UnixMicro() >= d.astray.Load() {
		return
	}
	err := d.s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		list, err := ownedBy(ctx, tx, d.s.node)
		if err != nil {
			return err
		}
		return d.s.letGo(ctx, tx, slices.DeleteFunc(list, func(it *delivery) bool { return d.hand[it.id] > 0 }))
	})
	if err != nil {
		d.doubt()
	}
}

// settle counts saved results and lets their lanes go on.
func (d *dispatcher) settle(list []result) {
	now := d.s.now()
	defer func() { d.s.counters.Running.Store(int64(d.total)) }()
	for _, r := range list {
		l := d.lane(r.d.lane)
		l.running--
		d.total--
		if d.hand[r.d.id]--; d.hand[r.d.id] == 0 {
			delete(d.hand, r.d.id)
		}
		if r.sent {
			l.note(r)
		}
		if r.last && l.look.After(now) {
			l.look, l.firm = now, false // the next of its order may go, or what waited
		}
	}
}

// pause is the time until a lane is to be looked at, at most the polling time.
func (d *dispatcher) pause() time.Duration {
	now := d.s.now()
	wait := max(time.Until(d.poll), time.Millisecond)
	for _, l := range d.lanes {
		if l.look.IsZero() || l.room(d.total) <= 0 {
			continue
		}
		wait = min(wait, max(l.look.Sub(now), time.Millisecond))
	}
	return min(wait, d.s.pollEvery)
}
