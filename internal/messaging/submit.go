package messaging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// parallelThreads bounds the threads of one batch that a driver without batches gets at once.
const parallelThreads = 64

// nudge tells the submitters that something waits in the table.
func (s *Service) nudge() {
	s.queuedAt.Store(s.now().UnixNano())
	s.wantClaim.Store(true)
	s.wakeOne()
}

// wakeOne lets a submitter look for work.
func (s *Service) wakeOne() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run hands due messages to carriers until ctx ends; a batch in hand is finished first, what has no carrier yet is put back. The links' drivers are run by
// their owner.
func (s *Service) Run(ctx context.Context, ready func()) error {
	back := func(ctx context.Context) error {
		return s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error { return s.TakeBack(ctx, tx, s.node) })
	}
	if err := back(ctx); err != nil {
		return err
	}
	if err := s.makeReady(ctx); err != nil {
		return err
	}
	var wg sync.WaitGroup
	for range submitters {
		wg.Go(func() { s.submitter(ctx) })
	}
	wg.Go(func() { s.sweeper(ctx) })
	s.ready.setOpen()
	ready()
	wg.Wait()
	s.ready.close()
	return back(context.WithoutCancel(ctx))
}

// TakeBack makes due what a node had in hand when it ended; whoever declares a node dead calls it in the same transaction.
func (s *Service) TakeBack(ctx context.Context, tx *db.Tx, node string) error {
	return takeBack(ctx, tx, node, s.now())
}

// submitter claims and hands over, batch by batch: one for each nudge, and for each message that it put off when its time has come.
func (s *Service) submitter(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var later dueTimes
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
			s.wantClaim.Store(true)
		}
		if err := s.round(ctx, &later); err != nil {
			s.log.Warn("hand over messages", "error", err)
		}
		timer.Reset(later.pause(s.now()))
	}
}

// dueTimes are the times at which messages are due that a submitter put off, the soonest first; other nodes' are found by polling.
type dueTimes []time.Time

// add notes the soonest times of a batch.
func (d *dueTimes) add(at time.Time) {
	if at.IsZero() || len(*d) >= batch || slices.ContainsFunc(*d, at.Equal) {
		return
	}
	*d = append(*d, at)
	slices.SortFunc(*d, time.Time.Compare)
}

// pause is the time until the next message is due, at most the polling time.
func (d *dueTimes) pause(now time.Time) time.Duration {
	*d = slices.DeleteFunc(*d, func(at time.Time) bool { return at.Before(now.Add(-pollEvery)) })
	if len(*d) == 0 {
		return pollEvery
	}
	at := (*d)[0]
	if !at.After(now) {
		*d = (*d)[1:]
		return 0
	}
	return min(at.Sub(now), pollEvery)
}

// round takes a batch, hands it over and saves what came of it: messages that were in hand from the start, else claimed ones. Submitters claim one after the
// other: two would wait for each other in the database.
func (s *Service) round(ctx context.Context, later *dueTimes) error {
	list, more := s.ready.take(batch, s.now())
	if more || len(list) > 0 && s.wantClaim.Load() {
		s.wakeOne() // for another submitter
	}
	if len(list) == 0 {
		if !s.wantClaim.Swap(false) {
			return nil
		}
		var err error
		if list, err = s.claimNext(ctx); err != nil || len(list) == 0 {
			return err
		}
		s.queuedAt.Store(s.now().UnixNano())
		if len(list) == batch {
			s.nudge()
		}
	}
	slices.SortFunc(list, func(a, b *Message) int { return strings.Compare(a.ID, b.ID) })
	// What is in hand is finished also while the server stops: a carrier may have it already.
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), submitTimeout)
	defer cancel()
	failpoint.Hit("messaging.claimed")
	if !s.holds() {
		return errLost
	}
	results := s.handOver(work, list)
	failpoint.Hit("messaging.submitted")
	// A carrier that took all the time must not cost the others of the batch their results: they would be handed over again.
	save, stop := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer stop()
	var due []time.Time
	if err := s.db.Update(save, func(ctx context.Context, tx *db.Tx) (err error) {
		if err := s.fence(ctx, tx); err != nil {
			return err
		}
		due, err = s.saveResults(ctx, tx, list, results)
		return err
	}); err != nil {
		return fmt.Errorf("save results: %w", err)
	}
	for _, at := range due {
		later.add(at)
	}
	if len(due) > 0 || s.now().Sub(time.Unix(0, s.queuedAt.Load())) < backlogFor {
		s.nudgeAgain() // what waited behind these in their threads
	}
	return nil
}

// errLost says that this node may have lost what it had in hand: whoever has it now hands it over.
var errLost = errors.New("this node may have lost its leases")

// nudgeAgain is nudge by a submitter, which queues nothing itself.
func (s *Service) nudgeAgain() {
	s.wantClaim.Store(true)
	s.wakeOne()
}

// claimNext claims a batch. Once in a while it looks at the whole queue; else only from where the last look found its oldest message, or from shortly
// before now: younger messages may have been committed since.
func (s *Service) claimNext(ctx context.Context) (list []*Message, err error) {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	now := time.Now() // uuids have the true time
	floor, whole := s.floor, now.Sub(s.looked) >= pollEvery
	if whole {
		floor = ""
	}
	var oldest string
	err = s.db.Update(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if err := s.fence(ctx, tx); err != nil {
			return err
		}
		if list, err = claim(ctx, tx, s.node, floor, s.now(), batch); err != nil {
			return err
		}
		oldest, err = oldestQueued(ctx, tx, floor)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.floor = firstID(now.Add(-commitsWithin)); oldest != "" && oldest < s.floor {
		s.floor = oldest
	}
	if whole {
		s.looked = now
	}
	return list, nil
}

// result is what came of one message of a batch.
type result struct {
	carrier.Result
	link string
	wait time.Duration // not tried: no token, or behind another of its thread
}

// handOver gives messages to the links they are routed to, in order within each thread.
func (s *Service) handOver(ctx context.Context, list []*Message) map[string]result {
	out := make(map[string]result, len(list))
	blocked := map[string]bool{} // threads whose message was put off
	byLink := map[int][]*Message{}
	ways := map[string]int{} // links of threads: two links would not keep their order
	now := s.now()
	for _, m := range list {
		i, r, ok := s.route(m, blocked, now)
		if first, known := ways[m.Thread]; ok && known && first != i {
			blocked[m.Thread] = true
			r, ok = result{wait: time.Millisecond}, false
		}
		if !ok {
			out[m.ID] = r
			continue
		}
		ways[m.Thread] = i
		byLink[i] = append(byLink[i], m)
	}
	for i, mine := range byLink {
		for k, r := range s.submit(ctx, s.links[i], mine) {
			out[mine[k].ID] = result{Result: r, link: s.links[i].Name}
		}
	}
	return out
}

// route chooses a link and takes a token of each bucket; ok is false when the message cannot go now, with the reason.
func (s *Service) route(m *Message, blocked map[string]bool, now time.Time) (link int, r result, ok bool) {
	if !now.Before(m.Expires) {
		return 0, result{Result: carrier.Result{Err: &carrier.Refusal{Kind: carrier.Permanent, Code: "queue_timeout", Reason: errorTitles["queue_timeout"]}}}, false
	}
	if blocked[m.Thread] {
		return 0, result{wait: time.Millisecond}, false
	}
	link = s.linkFor(m)
	if link < 0 {
		blocked[m.Thread] = true
		return 0, result{Result: carrier.Result{Err: &carrier.Refusal{Kind: carrier.LinkDown, Reason: "No carrier for this number"}}}, false
	}
	l := s.links[link]
	from := e164.Number(m.From)
	perNumber := l.LongCode
	if from.TollFree() {
		perNumber = l.TollFree
	}
	keys := []bucketKey{{"link:" + l.Name, l.PerSec}, {"tn:" + m.From, perNumber}, {"account:" + m.Account, s.accountRate(m.Account)}}
	if wait, ok := s.buckets.take(keys, now); !ok {
		blocked[m.Thread] = true
		return 0, result{wait: max(wait, time.Millisecond)}, false
	}
	return link, result{}, true
}

// accountRate is the account's messages a second; zero is no limit, also for an account that cannot be read now.
func (s *Service) accountRate(account string) float64 {
	a, err := s.accounts.Cached(context.Background(), account)
	if err != nil {
		return 0
	}
	return a.Limits.SMSPerSecond
}

// linkFor chooses by the number of tries: each next try may take the next link that fits. Messages of the sandbox's campaign stay in the sandbox.
func (s *Service) linkFor(m *Message) int {
	var fits []int
	for i, l := range s.links {
		if m.Campaign == ReadyCampaign && !l.Sandbox || m.Campaign != ReadyCampaign && l.Sandbox && len(s.links) > 1 {
			continue
		}
		if len(l.Prefixes) == 0 || slices.ContainsFunc(l.Prefixes, func(p string) bool { return strings.HasPrefix(m.To, p) }) {
			fits = append(fits, i)
		}
	}
	if len(fits) == 0 {
		return -1
	}
	return fits[m.Attempt%len(fits)]
}

// submit gives messages to one link.
func (s *Service) submit(ctx context.Context, l Link, list []*Message) []carrier.Result {
	wire := make([]carrier.Message, len(list))
	for i, m := range list {
		wire[i] = carrier.Message{ID: m.ID, From: m.From, To: m.To, Text: m.Text, Encoding: gsm.Encoding(m.Encoding), Segments: gsm.Split(m.Text, s.refs.next(m)), Expires: m.Expires, Automated: m.Automated}
	}
	if b, ok := l.Driver.(carrier.Batcher); ok {
		return b.SubmitAll(ctx, wire)
	}
	out := make([]carrier.Result, len(list))
	threads := map[string][]int{}
	for i, m := range list {
		threads[m.Thread] = append(threads[m.Thread], i)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelThreads)
	for _, mine := range threads {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for n, i := range mine {
				out[i].Submitted, out[i].Err = l.Driver.Submit(ctx, wire[i])
				if out[i].Err != nil && carrier.RefusalOf(out[i].Err).Kind != carrier.Permanent {
					for _, later := range mine[n+1:] {
						out[later].Err = carrier.ErrBehind
					}
					return
				}
			}
		})
	}
	wg.Wait()
	return out
}
