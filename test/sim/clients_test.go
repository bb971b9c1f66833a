package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/jobs"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// outcome is what a client knows of its request.
type outcome int

// The outcomes.
const (
	unasked outcome = iota
	accepted
	refused
	doubt // no answer: it may have been done or not
)

// sent is a message that a client wanted to send.
type sent struct {
	key        string
	from       e164.Number // empty: from the pool
	to         []string
	bulk       bool
	outcome    outcome
	id         string
	asked, got int // on the books' clock
	canceled   outcome
}

// task is a job that a client asked for.
type task struct {
	key     string
	order   string
	posts   bool // it changes the ledger in the transaction of its end
	outcome outcome
	asked   int
	got     int
	done    []int // on the books' clock, each time it was done
	runs    int
}

// books are what the clients of a world know.
type books struct {
	w    *world
	tick atomic.Int64

	mu     sync.Mutex // guards what follows
	sent   []*sent
	tasks  map[string]*task
	spoken map[string]string // texts of messages from phones, by key
	cursor int64
	read   []event.Row // by a customer who comes back with its cursor
}

func newBooks(w *world) *books {
	return &books{w: w, tasks: map[string]*task{}, spoken: map[string]string{}}
}

// clock orders what happened.
func (b *books) clock() int { return int(b.tick.Add(1)) }

// recipients are phones that answer nothing by themselves.
var recipients = []string{"14155550101", "14155550102", "12065550103"}

// begin starts the clients.
func (b *books) begin() {
	w := b.w
	for i := range 3 + w.pick(14, "messages") {
		s := b.message(i)
		w.clients.Go(func() { b.send(s, i) })
	}
	for i := range w.pick(5, "messages from phones") {
		b.speak(i)
	}
	for i := range w.pick(7, "jobs") {
		t := &task{key: fmt.Sprintf("sim-j%d", i), order: []string{"", "one", "two"}[w.pick(3, "order of a job", i)], posts: w.chance(0.5, "job posts", i)}
		b.tasks[t.key] = t
		w.clients.Go(func() { b.ask(t, i) })
	}
	w.clients.Go(b.follow)
}

// message makes up a message.
func (b *books) message(i int) *sent {
	w := b.w
	s := &sent{key: fmt.Sprintf("sim-n%d", i), from: w.stock.Senders[w.pick(len(w.stock.Senders), "sender", i)], to: []string{recipients[w.pick(len(recipients), "recipient", i)]}}
	switch {
	case w.chance(0.08, "bulk", i):
		s.bulk, s.to = true, slices.Clone(recipients)
	case w.chance(0.08, "pool", i):
		s.from = ""
	}
	b.sent = append(b.sent, s)
	return s
}

// call asks whatever process answers, once.
func (w *world) call(fn func(ctx context.Context, l *life) error) outcome {
	for {
		err := errOver
		if l := w.current(); l != nil {
			err = l.do(func(ctx context.Context) error { return fn(ctx, l) })
		}
		switch {
		case err == nil:
			return accepted
		case errors.Is(err, errOver):
			time.Sleep(200 * time.Millisecond)
		case errors.Is(err, errDead), errors.Is(err, errDisk), fault.Is(err, fault.Unavailable):
			return doubt
		default:
			w.trace.add("refused: %v", err)
			return refused
		}
	}
}

func (b *books) send(s *sent, i int) {
	w := b.w
	if when := w.between(0, w.busy, "time of a message", i); w.chance(0.5, "all at once") {
		time.Sleep(w.between(0, w.busy, "when all at once") + when/20)
	} else {
		time.Sleep(when)
	}
	r := messaging.Request{Account: w.stock.Account, User: w.stock.User, From: s.from, To: s.to, Bulk: s.bulk, Text: s.key + " Your atlas is ready."}
	if s.from == "" {
		r.Profile = w.stock.Profile
	}
	if w.chance(0.15, "long text", i) {
		r.Text += strings.Repeat(" It waits at the desk.", 8+w.pick(10, "length", i))
	}
	if w.chance(0.1, "short validity", i) {
		r.Validity = time.Minute
	}
	if w.chance(0.2, "own address", i) {
		r.CallbackURL = firstURL
	}
	s.asked = b.clock()
	w.trace.add("send %s from %s to %v", s.key, s.from, s.to)
	s.outcome = w.call(func(ctx context.Context, l *life) error {
		m, err := l.sms.Send(ctx, r)
		if err == nil {
			s.id = m.ID
		}
		return err
	})
	s.got = b.clock()
	w.trace.add("sent %s: %v", s.key, s.outcome)
	if s.outcome == refused {
		w.problem("%s was refused", s.key)
	}
	switch {
	case w.flaw == doublesCharges && s.outcome == accepted:
		w.chargeAgain(s.id)
	case w.flaw == losesMessages && s.outcome == accepted:
		w.lose(s.id)
	case (w.flaw == losesDeliveries || w.flaw == repeatsDelivery) && s.outcome == accepted:
		w.tamper(s.id)
	}
	if s.outcome != accepted || !w.chance(0.1, "cancel", i) {
		return
	}
	time.Sleep(w.between(0, 3*time.Second, "time to cancel", i))
	s.canceled = w.call(func(ctx context.Context, l *life) error {
		_, err := l.sms.Cancel(ctx, w.stock.Account, s.id)
		return err
	})
	w.trace.add("cancel %s: %v", s.key, s.canceled)
}

// speak lets a phone send a message, whole or in two segments.
func (b *books) speak(i int) {
	w := b.w
	key := fmt.Sprintf("sim-i%d", i)
	in := carrier.Inbound{
		Link: "alpha", ID: "in" + key, From: recipients[w.pick(len(recipients), "phone", i)], To: w.stock.Senders[w.pick(len(w.stock.Senders), "called", i)].Digits(), Text: key + " Thank you.",
	}
	parts := []carrier.Inbound{in}
	if w.chance(0.3, "segments", i) {
		parts = append(parts, in)
		for k := range parts {
			parts[k].ID = fmt.Sprint(in.ID, "-", k)
			parts[k].Concat = &gsm.Concat{Ref: uint16(i), Total: 2, Seq: byte(k + 1)}
		}
		parts[1].Text = " And good night, " + key + "."
	}
	for _, p := range parts {
		b.spoken[key] += p.Text
	}
	for k, p := range parts {
		after := w.between(0, w.busy, "time of speech", i) + w.between(0, 2*time.Second, "time of a segment", i, k)
		for copies := range 1 + w.pick(2, "copies", i, k) {
			w.network.until(key, after, []int{i, k, copies}, func(ctx context.Context, l *life) error {
				in := p
				in.At = time.Now()
				return l.sink().Inbound(ctx, in)
			}, func() {})
		}
	}
}

// Queues of the world's own jobs.
const (
	queue     = "sim"
	adjusting = "adjustment"
)

// ask enqueues a job.
func (b *books) ask(t *task, i int) {
	w := b.w
	time.Sleep(w.between(0, w.busy, "time of a job", i))
	delay := w.between(0, 4*time.Second, "delay of a job", i)
	t.asked = b.clock()
	t.outcome = w.call(func(ctx context.Context, l *life) error {
		return l.d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := l.jobs.Enqueue(ctx, tx, jobs.New{Queue: queue, Order: t.order, RunAt: time.Now().Add(delay), Payload: t.key})
			return err
		})
	})
	t.got = b.clock()
	w.trace.add("job %s: %v", t.key, t.outcome)
}

// handlers gives a process the world's jobs.
func (w *world) handlers(l *life) {
	l.jobs.Handle(queue, jobs.Options{Workers: 3, Timeout: 10 * time.Second}, func(ctx context.Context, j jobs.Job) jobs.Outcome { return w.books.work(ctx, l, j) })
}

// work does a job: some fail, hang or break at first.
func (b *books) work(ctx context.Context, l *life, j jobs.Job) jobs.Outcome {
	w := b.w
	var key string
	if err := j.Decode(&key); err != nil {
		w.problem("job %s: %v", j.ID, err)
		return jobs.Finished()
	}
	t := b.tasks[key]
	b.mu.Lock()
	t.runs++
	runs := t.runs
	b.mu.Unlock()
	w.trace.add("job %s runs", key)
	time.Sleep(w.between(0, 500*time.Millisecond, "work", ordinal(key), runs))
	if trouble := w.mood.carrier + w.mood.disk*5; !w.healed.Load() && w.chance(trouble, "job fails", ordinal(key), runs) {
		switch w.pick(3, "how a job fails", ordinal(key), runs) {
		case 0:
			panic("a job that breaks")
		case 1:
			<-ctx.Done()
		}
		return jobs.Again(time.Now().Add(w.between(0, 3*time.Second, "job again", ordinal(key), runs)), errors.New("not now"))
	}
	if l.dead.Load() {
		return jobs.Finished()
	}
	if !t.posts {
		b.finished(t)
		return jobs.Finished()
	}
	err := l.d.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := l.billing.Post(ctx, tx, billing.Entry{Account: w.stock.Account, Amount: 1, RefType: adjusting, Action: adjusting, Description: key})
		if err != nil || w.flaw == repeatsJobs && runs == 1 {
			return err
		}
		return jobs.Done(ctx, tx, j.ID)
	})
	if err != nil || w.flaw == repeatsJobs && runs == 1 {
		return jobs.Again(time.Now().Add(time.Second), err)
	}
	b.finished(t)
	return jobs.Kept()
}

func (b *books) finished(t *task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.done = append(t.done, b.clock())
}

// follow reads the log as a customer does who comes and goes and keeps a cursor.
func (b *books) follow() {
	w := b.w
	for n := 0; !w.healed.Load(); n++ {
		time.Sleep(w.between(300*time.Millisecond, 4*time.Second, "time to read", n))
		w.call(func(ctx context.Context, l *life) error { return b.readOn(ctx, l, 1+w.pick(9, "rows", n)) })
	}
}

// readOn reads at most n events behind the cursor.
func (b *books) readOn(ctx context.Context, l *life, n int) error {
	rows, err := l.log.Read(ctx, event.Query{After: b.cursor, Limit: n})
	if err != nil || len(rows) == 0 {
		return err
	}
	if b.w.flaw == skipsEvents && len(rows) > 1 {
		rows = append(rows[:1], rows[2:]...)
	}
	b.read = append(b.read, rows...)
	b.cursor = rows[len(rows)-1].Seq
	return nil
}
