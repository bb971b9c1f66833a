package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// run is one plan carried out.
type run struct {
	plan  Plan
	notes *notes
	nodes *nodes
	work  *work
	sink  *sink
	seed  maphash.Seed
	from  string // cursor before the work
	log   []logged
	told  map[string][]string // states of each call, as the log tells them
	who   []*follower
}

// Run carries out a plan. The error says what kept it from its end; what the server did wrong is in the report.
func Run(ctx context.Context, plan Plan) (*Report, error) {
	n := newNotes()
	r := &run{plan: plan, notes: n, seed: maphash.MakeSeed()}
	sink, err := newSink(n, r.seed)
	if err != nil {
		return nil, err
	}
	defer sink.close()
	r.sink = sink
	calls, err := newPhones()
	if err != nil {
		return nil, err
	}
	defer calls.off()
	if r.nodes, err = start(ctx, plan, n); err != nil {
		r.nodes.drop()
		return nil, err
	}
	r.work = &work{plan: plan, nodes: r.nodes, notes: n, calls: calls}
	if err := r.carryOut(ctx); err != nil {
		r.nodes.drop()
		return nil, fmt.Errorf("%s: %w", plan.String(), err)
	}
	return r.report(), nil
}

func (r *run) carryOut(ctx context.Context) error {
	if err := r.work.prepare(ctx, r.sink); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := r.findEnd(ctx); err != nil {
		return err
	}
	following := r.follow(ctx)
	defer following()
	began := time.Now()
	if err := r.torment(ctx); err != nil {
		return err
	}
	r.plan.Logf("%v of work: %d answers, %d kills", time.Since(began).Round(time.Second), r.notes.count(), r.nodes.killed())
	took, err := r.settle(ctx)
	if err != nil {
		return err
	}
	r.plan.Logf("quiet after %v", took.Round(time.Millisecond))
	following()
	if err := r.checkEvents(ctx); err != nil {
		return err
	}
	if err := r.checkBalance(ctx); err != nil {
		return err
	}
	if err := r.nodes.stop(); err != nil {
		return err
	}
	return r.checkRows(ctx)
}

// findEnd notes where the log ends before the work: readers begin there, and what the preparation did is not counted.
func (r *run) findEnd(ctx context.Context) error {
	for more := true; more; {
		page, err := r.nodes.client(0).Do(ctx, http.MethodGet, "/rest/event?take=100&since="+r.from, nil)
		if err != nil {
			return err
		}
		if r.from = page.Str("cursor"); r.from == "" {
			return errors.New("the event log has no cursor to begin with")
		}
		more = page.Str("more") == "true"
	}
	return nil
}

// torment lets the customers work while nodes are killed.
func (r *run) torment(ctx context.Context) error {
	working, stop := context.WithTimeout(ctx, r.plan.Limit)
	defer stop()
	answers, giveUp := context.WithCancel(ctx)
	defer giveUp()
	customers := r.work.begin(working, answers)
	began := time.Now()
	err := r.nodes.torment(working, func(kills int) bool {
		return kills >= r.plan.Kills && r.notes.count() >= r.plan.Acks && time.Since(began) >= r.plan.Length
	})
	stop()
	late := time.AfterFunc(answerLimit, giveUp)
	defer late.Stop()
	customers.Wait()
	return err
}

// follow starts the readers of events; the result ends them and may be called again.
func (r *run) follow(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	r.who = []*follower{{name: "steady reader"}, {name: "fussy reader", fuss: r.plan.chance("reader")}}
	var wg sync.WaitGroup
	for _, f := range r.who {
		f.nodes, f.notes, f.seed, f.from, f.own = r.nodes, r.notes, r.seed, r.from, map[string]uint64{}
		wg.Go(func() { f.run(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// settle waits until nothing happens any more and every reader has everything.
func (r *run) settle(ctx context.Context) (time.Duration, error) {
	limit := r.plan.settle()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, f := range r.who {
		f.calmDown()
	}
	began, quiet, head := time.Now(), time.Now(), ""
	for {
		what, err := r.restless(ctx)
		if err != nil {
			return 0, err
		}
		if last := r.who[0].last(); what != "" || last != head || r.sink.since() < r.plan.quiet() {
			quiet, head = time.Now(), last
		}
		if time.Since(quiet) > r.plan.quiet() {
			return time.Since(began), nil
		}
		if !wait(ctx, r.plan.quiet()/looks) {
			// What is not final now is told by the checks.
			r.notes.complain("not quiet after %v: %s; callbacks came until %v ago", limit, what, r.sink.since())
			return time.Since(began), nil
		}
	}
}

// restless says what is not final yet, as customers see it.
func (r *run) restless(ctx context.Context) (string, error) {
	c := caller{nodes: r.nodes, notes: r.notes}
	for _, q := range []struct {
		what, path string
		body       map[string]any
	}{
		{"messages wait", "/rest/sms/search/outbound?take=1", map[string]any{"state": "created"}},
		{"messages are being sent", "/rest/sms/search/outbound?take=1", map[string]any{"state": "sending"}},
		{"messages have no receipt", "/rest/sms/search/outbound?take=1", map[string]any{"state": "success", "delivered": false}},
		{"calls are online", "/rest/call/search?take=1", map[string]any{"state": "online"}},
	} {
		d, err := c.get(context.WithoutCancel(ctx), http.MethodPost, q.path, q.body)
		if err != nil {
			return "", err
		}
		if n := d.Num("total"); n > 0 {
			return fmt.Sprintf("%.0f %s, such as %s", n, q.what, house.Text(d.At("data[0].uuid").Value)), nil
		}
	}
	if r.plan.Acks >= longRun { // it leaves deliveries behind; operators see them with a delay that a short run need not wait for
		if n, err := r.undelivered(context.WithoutCancel(ctx)); err != nil || n > 0 {
			return fmt.Sprintf("%d deliveries wait", n), err
		}
	}
	for _, f := range r.who {
		d, err := c.get(context.WithoutCancel(ctx), http.MethodGet, "/rest/event?take=100&since="+f.last(), nil)
		if err != nil {
			return "", err
		}
		for _, e := range d.List("data") {
			if !f.signedIn(e.Str("cursor")) {
				return "the log goes on after what the " + f.name + " got", nil
			}
		}
	}
	return "", nil
}

// undelivered counts the notifications that are still to be sent, as operators see it.
func (r *run) undelivered(ctx context.Context) (int, error) {
	const gauge = "\nopentact_webhook_delivery_waiting "
	a, err := r.nodes.client(0).Request(ctx, http.MethodGet, "/metrics", nil, nil)
	if err != nil {
		return 0, err
	}
	_, value, ok := strings.Cut(string(a.Body), gauge)
	if !ok {
		return 0, fmt.Errorf("no gauge%sin /metrics", gauge)
	}
	value, _, _ = strings.Cut(value, "\n")
	n, err := strconv.ParseFloat(value, 64)
	return int(n), err
}
