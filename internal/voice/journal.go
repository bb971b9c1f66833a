package voice

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/voice/call"
)

// Bounds of the journal.
const (
	shards      = 4                      // on PostgreSQL; SQLite has one writer and gets one shard, whose transactions are larger
	maxFacts    = 64 << 10               // waiting in all shards; beyond it statistics are dropped, oldest first
	shedFacts   = maxFacts / 4           // waiting in all shards: new calls are refused until the database is nearer
	batchFacts  = 1024                   // written in one transaction
	gather      = 10 * time.Millisecond  // facts that come so close together share a transaction
	gatherMore  = 400 * time.Microsecond // longer for each fact of the transaction before: where they keep coming, a commit costs more than they do
	gatherMost  = 70 * time.Millisecond
	rememberOld = 4096                   // finished legs that late recordings may still belong to, in all shards
	firstRetry  = 100 * time.Millisecond // while the database is away
	lastRetry   = 5 * time.Second
	flushWait   = 10 * time.Second // at the stop, for a database that is away
	extendEvery = 20 * time.Second // looks after reserved money
)

// journal writes what calls report: one bounded queue in shards by call, so that the facts of a call keep their order and
// those of many calls share transactions. A database that is away delays it and never a call.
type journal struct {
	s       *Service
	seed    maphash.Seed
	shards  []*shard
	waiting atomic.Int64 // facts in all shards
	dropped atomic.Uint64
}

// behind tells that the database is so far behind that new calls would only make it worse.
func (j *journal) behind() bool { return j.waiting.Load() > shedFacts }

// shard owns the facts of its calls.
type shard struct {
	s        *Service
	wake     chan struct{} // bound 1: a full one says the same
	most     int           // facts that may wait
	remember int           // finished legs that are kept

	mu      sync.Mutex
	waiting []fact

	// Of the shard's goroutine.
	ctx     context.Context
	legs    map[string]*legState
	old     []string // finished legs in legs, oldest first
	changes []change // room for those of one transaction
}

func newJournal(s *Service) *journal {
	n := shards
	if s.db != nil && s.db.Engine() == db.SQLite {
		n = 1
	}
	j := &journal{s: s, seed: maphash.MakeSeed(), shards: make([]*shard, n)}
	for i := range j.shards {
		j.shards[i] = &shard{s: s, wake: make(chan struct{}, 1), most: maxFacts / n, remember: rememberOld / n, ctx: context.Background(), legs: map[string]*legState{}}
	}
	return j
}

// push adds a fact. It never blocks.
func (j *journal) push(f fact) {
	sh := j.shards[maphash.String(j.seed, f.root)%uint64(len(j.shards))]
	sh.mu.Lock()
	if len(sh.waiting) >= sh.most {
		sh.waiting = dropOne(sh.waiting)
		j.waiting.Add(-1)
		j.dropped.Add(1)
	}
	j.waiting.Add(1)
	sh.waiting = append(sh.waiting, f)
	sh.mu.Unlock()
	select {
	case sh.wake <- struct{}{}:
	default:
	}
}

// dropOne gives up the least of the facts: the oldest report of a command, else the oldest state in the middle of a call, else
// the oldest of all.
func dropOne(facts []fact) []fact {
	at := 0
	for i, f := range facts {
		if f.log != nil {
			at = i
			break
		}
		if at == 0 && f.leg != nil && (f.leg.State == call.Ringing || f.leg.State == call.Bridged) {
			at = i
		}
	}
	copy(facts[1:at+1], facts[:at]) // what is given up stands near the beginning
	facts[0] = fact{}
	return facts[1:]
}

func (sh *shard) take() []fact {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n := min(len(sh.waiting), batchFacts)
	out := sh.waiting[:n:n]
	sh.s.journal.waiting.Add(-int64(n))
	sh.waiting = sh.waiting[n:]
	if len(sh.waiting) == 0 {
		sh.waiting = nil // the facts that were taken shall not stay in memory behind it
	}
	return out
}

// run writes until ctx ends; then drain makes the last facts come, and what is waiting is written.
func (j *journal) run(ctx context.Context, ready, drain func()) error {
	var wait sync.WaitGroup
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	end := make(chan struct{})
	for _, sh := range j.shards {
		wait.Go(func() { sh.run(work, end) })
	}
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	drain()
	limit := time.AfterFunc(flushWait, stop)
	defer limit.Stop()
	close(end)
	wait.Wait()
	return nil
}

func (sh *shard) run(ctx context.Context, end <-chan struct{}) {
	sh.ctx = ctx
	extend := time.NewTicker(extendEvery)
	defer extend.Stop()
	wait := gather
	for ending := false; ; {
		select {
		case <-end:
			ending = true
		case <-extend.C:
			sh.extend(ctx)
			continue
		case <-sh.wake:
			pause(end, wait)
		}
		wait = gather
		for facts := sh.take(); len(facts) > 0; facts = sh.take() {
			sh.commit(ctx, facts)
			wait = min(gather+time.Duration(len(facts))*gatherMore, gatherMost)
			if len(facts) < batchFacts && !ending { // what came meanwhile has woken us again, and shall not have a transaction of its own so soon
				break
			}
		}
		if ending {
			return
		}
	}
}

// pause waits a moment, or until end.
func pause(end <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-end:
	case <-t.C:
	}
}

// commit writes facts, and waits as long as the database is away.
func (sh *shard) commit(ctx context.Context, facts []fact) {
	changes := slices.Grow(sh.changes[:0], len(facts))
	for _, f := range facts {
		if c, ok := sh.apply(f); ok {
			changes = append(changes, c)
		}
	}
	defer func() { // nothing keeps a change beyond its transaction
		clear(changes)
		sh.changes = changes
	}()
	err := sh.persist(ctx, changes)
	if err == nil || len(changes) == 0 {
		return
	}
	if errors.Is(err, errLost) {
		sh.lose(err, len(changes))
		return
	}
	if len(changes) == 1 {
		sh.give(changes[0], err)
		return
	}
	for i := range changes { // one of them is refused: the others shall not go with it
		if err := sh.persist(ctx, changes[i:i+1]); err != nil {
			sh.give(changes[i], err)
		}
	}
}

// lose gives up what the shard knows when others have closed the calls of this node: nobody would pay for them any more.
func (sh *shard) lose(err error, changes int) {
	sh.s.journal.dropped.Add(uint64(changes))
	sh.s.log.Error("reports of calls dropped: others have closed the calls of this node", "changes", changes, "legs", len(sh.legs), "error", err)
	legs := sh.legs
	sh.legs, sh.old = map[string]*legState{}, nil
	for id, st := range legs {
		if !st.call.over() {
			sh.s.endCall(id, call.Cause{Q850: call.TemporaryFailure, Reason: "internal", By: call.ByPlatform})
		}
	}
}

// give gives a change up that the database refuses.
func (sh *shard) give(c change, err error) {
	sh.s.journal.dropped.Add(1)
	sh.s.log.Error("report of a call was not written", "call", c.leg.ID, "account", c.leg.Account, "state", string(c.leg.State), "error", err)
}

// persist is write with patience.
func (sh *shard) persist(ctx context.Context, changes []change) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := sh.s.write(ctx, changes)
		if err == nil || !fault.Is(err, fault.Unavailable) || ctx.Err() != nil {
			return err
		}
		sh.s.log.Warn("reports of calls wait for the database", "changes", len(changes), "error", err)
		pause(ctx.Done(), wait)
	}
}

// leave notes that a leg is finished and forgets the oldest of those.
func (sh *shard) leave(id string) {
	sh.old = append(sh.old, id)
	for len(sh.old) > sh.remember {
		delete(sh.legs, sh.old[0])
		sh.old = sh.old[1:]
	}
}
