package sim

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// network is the carriers' side, which outlives the process: what they took, and what they bring.
type network struct {
	w       *world
	pending atomic.Int64 // receipts and messages that are still to be acknowledged

	mu      sync.Mutex          // guards what follows
	tries   map[string]int      // submits by message
	known   map[string]*taking  // the last taking of each message
	takes   []*taking           // in order
	decided map[string]int      // when a carrier first took a message or refused it for good, on the books' clock
	acked   map[string][]string // final states of acknowledged receipts, by link and name
}

// taking is a message in the carrier's hands.
type taking struct {
	message  string // uuid
	key      string
	pair     string
	link     string
	names    []string // as receipts write them, normalised
	answered bool     // the platform was told
}

func newNetwork(w *world) *network {
	return &network{w: w, tries: map[string]int{}, known: map[string]*taking{}, decided: map[string]int{}, acked: map[string][]string{}}
}

// driver is a link to one carrier from one process; plain ones take single messages, others batches too.
type driver struct {
	net   *network
	l     *life
	name  string
	index int
	hex   bool
}

type batcher struct{ *driver }

// links are the world's carriers.
func (w *world) links(l *life) []messaging.Link {
	alpha := &driver{net: w.network, l: l, name: "alpha"}
	beta := batcher{&driver{net: w.network, l: l, name: "beta", index: 1, hex: true}}
	out := []messaging.Link{
		{Name: alpha.name, Driver: alpha, Sandbox: true, IDFormat: carrier.Text},
		{Name: beta.name, Driver: beta, Sandbox: true, IDFormat: carrier.Hexadecimal},
	}
	if w.mood.slow {
		out[0].LongCode, out[1].PerSec = 1, 2
	}
	return out
}

// Run has nothing to keep.
func (d *driver) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

// SubmitAll takes messages in order.
func (b batcher) SubmitAll(ctx context.Context, list []carrier.Message) []carrier.Result {
	out := make([]carrier.Result, len(list))
	blocked := map[string]bool{}
	for i, m := range list {
		pair := m.From + ">" + m.To
		if blocked[pair] {
			out[i].Err = carrier.ErrBehind
			continue
		}
		out[i].Submitted, out[i].Err = b.Submit(ctx, m)
		blocked[pair] = out[i].Err != nil && carrier.RefusalOf(out[i].Err).Kind != carrier.Permanent
	}
	return out
}

func down(reason string) error { return &carrier.Refusal{Kind: carrier.LinkDown, Reason: reason} }

// wait lets virtual time pass; false: the process died or gave up meanwhile.
func (d *driver) wait(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !d.l.dead.Load()
	case <-ctx.Done():
	case <-d.l.gone:
	}
	return false
}

// Submit takes a message, or not, as the dice say.
func (d *driver) Submit(ctx context.Context, m carrier.Message) (carrier.Submitted, error) {
	w, key := d.net.w, keyOf(m.Text)
	try := d.net.try(m.ID)
	about := []int{ordinal(key + m.To), try}
	w.trace.add("submit %s to %s over %s, try %d", key, m.To, d.name, try)
	if !d.wait(ctx, w.between(0, 200*time.Millisecond, "latency", about...)) {
		return carrier.Submitted{}, down("Carrier unreachable")
	}
	if w.linkDown(d.index) {
		return carrier.Submitted{}, down("Link is down")
	}
	if w.flaw == overtakes && try == 1 && w.chance(0.5, "taken later", about...) {
		return d.takeLater(m, key, about), nil
	}
	if w.healed.Load() || !w.chance(w.mood.carrier, "submit", about...) {
		t := d.take(m, key, about, true)
		if w.flaw == losesAnswers && try == 1 {
			return carrier.Submitted{}, down("Connection lost")
		}
		return t.submitted(d.hex), nil
	}
	switch w.pick(8, "refusal", about...) {
	case 0:
		return carrier.Submitted{}, &carrier.Refusal{Kind: carrier.Temporary, Reason: "Busy"}
	case 1:
		return carrier.Submitted{}, &carrier.Refusal{Kind: carrier.Temporary, Reason: "Throttled", RetryAfter: 2 * time.Second}
	case 2:
		d.net.refuse(m.ID)
		return carrier.Submitted{}, &carrier.Refusal{Kind: carrier.Permanent, Code: "carrier_rejected", Reason: "Rejected"}
	case 3:
		return carrier.Submitted{}, down("Carrier unreachable")
	case 4: // taken, and the answer is lost at once
		d.take(m, key, about, false)
		return carrier.Submitted{}, down("Connection lost")
	case 5: // taken, and nothing is heard until the platform gives up
		d.take(m, key, about, false)
		d.wait(ctx, time.Hour)
		return carrier.Submitted{}, down("No answer")
	case 6: // not taken, and nothing is heard
		d.wait(ctx, time.Hour)
		return carrier.Submitted{}, down("No answer")
	}
	t := d.take(m, key, about, false)
	if !d.wait(ctx, w.between(time.Second, 25*time.Second, "late answer", about...)) {
		return carrier.Submitted{}, down("No answer")
	}
	d.net.answer(t)
	return t.submitted(d.hex), nil
}

// linkDown tells the times of a link without connection.
func (w *world) linkDown(link int) bool {
	if w.healed.Load() || w.mood.carrier == 0 {
		return false
	}
	at := time.Since(w.start)
	from := w.between(0, w.busy, "link down", link)
	return at >= from && at < from+w.between(0, 8*time.Second, "link down for", link)
}

// try counts the submits of a message.
func (n *network) try(id string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tries[id]++
	return n.tries[id]
}

func (n *network) answer(t *taking) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t.answered = true
}

// refuse notes that a carrier wants a message never.
func (n *network) refuse(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.decide(id)
}

// decide notes the first decision about a message; mu is held.
func (n *network) decide(id string) {
	if n.decided[id] == 0 {
		n.decided[id] = n.w.books.clock()
	}
}

// names are what the carrier calls the segments of a message.
func (d *driver) names(m carrier.Message, about []int) (out []string) {
	for i := range m.Segments {
		id := strconv.FormatUint(1+d.net.w.roll("name", append(about, d.index, i)...)>>33, 10)
		if !d.hex {
			id = "A" + id
		}
		out = append(out, id)
	}
	return out
}

// take is the carrier's acceptance: the message will get its receipts.
func (d *driver) take(m carrier.Message, key string, about []int, answered bool) *taking {
	n := d.net
	n.mu.Lock()
	t := n.known[m.ID]
	if t == nil || t.link != d.name || !n.w.mood.dedupe {
		t = &taking{message: m.ID, key: key, pair: m.From + ">" + m.To, link: d.name, names: d.names(m, about)}
		n.known[m.ID] = t
		n.takes = append(n.takes, t)
		n.decide(m.ID)
		defer n.report(t, m, about)
	}
	t.answered = t.answered || answered
	n.mu.Unlock()
	n.w.trace.add("%s took %s to %s as %v", d.name, key, m.To, t.names)
	return t
}

// submitted is the carrier's answer, in its own spelling.
func (t *taking) submitted(hex bool) carrier.Submitted {
	parts := make([]string, len(t.names))
	for i, name := range t.names {
		if parts[i] = "000" + name; hex {
			v, _ := strconv.Atoi(name)
			parts[i] = fmt.Sprintf("%X", v)
		}
	}
	s := carrier.Submitted{ID: parts[0]}
	if len(parts) > 1 {
		s.Parts = parts
	}
	return s
}

// fates are how often which end comes to a segment; "" is silence.
var fates = []carrier.State{
	carrier.Delivered, carrier.Delivered, carrier.Delivered, carrier.Delivered, carrier.Delivered, carrier.Delivered, carrier.Delivered, carrier.Delivered,
	carrier.Delivered, carrier.Delivered, carrier.Delivered, carrier.Undeliverable, carrier.Expired, carrier.Rejected, carrier.Unknown, "",
}

// report sends the receipts of a taking on their way.
func (n *network) report(t *taking, m carrier.Message, about []int) {
	w := n.w
	for i, name := range t.names {
		about := append(about[:len(about):len(about)], i, len(t.link))
		state := fates[w.pick(len(fates), "fate", about...)]
		if state == "" {
			continue
		}
		r := carrier.Receipt{Link: t.link, ID: name, State: state, At: time.Now()}
		if w.chance(0.5, "pair told", about...) {
			r.From, r.To = m.From, m.To
		}
		if !w.chance(w.mood.receipts, "receipt", about...) {
			n.bring(t, w.between(300*time.Millisecond, 2*time.Second, "receipt after", about...), about, r)
			continue
		}
		switch w.pick(6, "trouble of a receipt", about...) {
		case 0: // before the answer, as far as that comes at all
			n.bring(t, 0, about, r)
		case 1:
			n.bring(t, w.between(5*time.Second, 5*time.Minute, "receipt after", about...), about, r)
		case 2: // twice at once
			n.bring(t, time.Second, about, r, r)
		case 3: // twice on two ways
			n.bring(t, w.between(0, 2*time.Second, "receipt after", about...), about, r)
			n.bring(t, w.between(0, 20*time.Second, "second receipt after", about...), append(about, 2), r)
		case 4: // on its way, then there
			p := r
			p.State = carrier.EnRoute
			n.bring(t, 0, append(about, 3), p)
			n.bring(t, time.Second, about, r)
		case 5: // two that do not agree
			other := r
			if other.State = carrier.Undeliverable; r.State != carrier.Delivered {
				other.State = carrier.Delivered
			}
			n.bring(t, w.between(0, 3*time.Second, "receipt after", about...), about, r)
			n.bring(t, w.between(0, 3*time.Second, "second receipt after", about...), append(about, 2), other)
		}
	}
}

// bring hands receipts to whatever process answers, until one acknowledges them.
func (n *network) bring(t *taking, after time.Duration, about []int, list ...carrier.Receipt) {
	n.until(t.key, after, about, func(ctx context.Context, l *life) error { return l.sink().Receipts(ctx, list) }, func() {
		for _, r := range list {
			if r.State.Final() {
				name := r.Link + "/" + r.ID
				n.acked[name] = append(n.acked[name], string(r.State))
			}
			n.w.trace.add("receipt %s of %s: %s", r.ID, t.key, r.State)
		}
	})
}

// until repeats a request to the platform until it is acknowledged, and now and then once more; done runs with the lock held.
func (n *network) until(key string, after time.Duration, about []int, ask func(context.Context, *life) error, done func()) {
	w := n.w
	n.pending.Add(1)
	w.guests.Go(func() {
		defer n.pending.Add(-1)
		time.Sleep(after)
		for try := 0; ; try++ {
			select {
			case <-w.over:
				return
			default:
			}
			about := append(about[:len(about):len(about)], try)
			err := errOver
			if l := w.current(); l != nil {
				err = l.do(func(ctx context.Context) error { return ask(ctx, l) })
			}
			if err == nil {
				n.mu.Lock()
				done()
				n.mu.Unlock()
				if w.healed.Load() || !w.chance(w.mood.receipts/3, "acknowledgement is lost", about...) {
					return
				}
			} else {
				w.trace.add("%s: not acknowledged: %v", key, err)
			}
			time.Sleep(w.between(100*time.Millisecond, 2*time.Second, "again after", about...))
		}
	})
}

// sink is where carriers bring things to.
func (l *life) sink() carrier.Sink {
	if l.w.flaw == losesReceipts {
		return forgetful{l.sms}
	}
	return l.sms
}

// keys mark texts of messages and jobs.
var keys = regexp.MustCompile(`sim-[a-z]+\d+`)

func keyOf(text string) string { return keys.FindString(text) }
