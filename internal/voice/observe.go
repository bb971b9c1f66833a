package voice

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/billing"
	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/number"
	"github.com/opentact/opentact/internal/voice/call"
)

// tag is what a leg carries of our subject. It does not change once the leg has begun, but for meta.
type tag struct {
	app     *App // as it was when the call began; nil without
	lease   string
	leased  *number.Lease // that lease as it was; nil when nobody looked
	tn      e164.Number   // the account's own number
	profile string
	far     e164.Number // of the other party; "" when it has none
	charge  string
	rate    Rate
	hops    int // of an inbound call that this server made itself
	meta    *metaBag
	hook    hook
	refused bool // no webhook tells of a refused call

	kept chan struct{} // holds one word once the leg is on the disk, more are the same; nil: nobody waits for it
}

// tellKept says that the leg is on the disk.
func (t *tag) tellKept() {
	if t == nil || t.kept == nil {
		return
	}
	select {
	case t.kept <- struct{}{}:
	default:
	}
}

// hook is where state webhooks of a call go.
type hook struct {
	url, method, secret string
	timeout             *int // milliseconds
}

// metaBag is the meta of a call, which its document may change.
type metaBag struct {
	mu     sync.Mutex
	values map[string]any
}

func (b *metaBag) set(name string, v any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.values == nil {
		b.values = map[string]any{}
	}
	b.values[name] = v
}

// all is a copy; nil when there is nothing.
func (b *metaBag) all() map[string]any {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.values)
}

func tagOf(l *call.Leg) *tag {
	if t, ok := l.Tag.(*tag); ok && t != nil {
		return t
	}
	return &tag{}
}

// fact is one thing that a call reported; exactly one of leg, log, record and transcript is set.
type fact struct {
	root   string // the controlled leg: facts of one call stay in order
	leg    *call.Leg
	log    *Log
	record *call.Record

	transcript *Record // what became of a transcript that is written already: later events of the call show it
}

// LegChanged implements call.Observer.
func (s *Service) LegChanged(l call.Leg) {
	root := l.ID
	if l.Parent != "" {
		root = l.Parent
	}
	s.journal.push(fact{root: root, leg: &l})
}

// RecordChanged implements call.Observer.
func (s *Service) RecordChanged(r call.Record) {
	s.scripts.recorded(r)
	s.journal.push(fact{root: r.Leg, record: &r})
}

// legState is what the journal remembers of a leg until it is finished.
type legState struct {
	call     Call
	tag      *tag
	children []Call
	records  []Record
	logs     []Log
	held     time.Time // how long the reserved money lasts; zero: nothing is reserved
}

// settlement is a charge at the end of a leg.
type settlement struct {
	amount  money.Amount
	seconds int
}

// change is what one fact means for the database: rows and one event, as of that moment.
type change struct {
	leg    Call
	kin    kin
	tag    *tag
	state  bool    // a state was entered: call_state and the webhook
	log    *Log    // a command ended: call_flow
	record *Record // a recording changed; its end is a call_record
	hold   money.Amount
	settle *settlement
}

// apply turns a fact into a change and remembers it; false when it belongs to no call.
func (sh *shard) apply(f fact) (change, bool) {
	switch {
	case f.leg != nil:
		return sh.applyLeg(f.leg), true
	case f.log != nil:
		return sh.applyLog(f.log)
	case f.transcript != nil:
		sh.applyTranscript(f.transcript)
		return change{}, false
	}
	return sh.applyRecord(f.record)
}

func (sh *shard) applyLeg(l *call.Leg) change {
	st := sh.legs[l.ID]
	if st == nil {
		st = &legState{tag: tagOf(l), call: sh.s.newLeg(l)}
		sh.legs[l.ID] = st
	}
	st.call.follow(l)
	st.call.Meta = st.tag.meta.all()
	ch := change{tag: st.tag, state: true}
	if st.tag.charge != "" {
		ch.hold, ch.settle = st.charge(l)
	}
	if l.State == call.Destroyed {
		st.finish()
		sh.leave(l.ID)
	}
	sh.tellParent(st)
	ch.leg, ch.kin = st.call, sh.kinOf(st)
	return ch
}

// newLeg is a row as it begins.
func (s *Service) newLeg(l *call.Leg) Call {
	t := tagOf(l)
	c := Call{
		ID: l.ID, Account: l.Account, Node: s.cfg.Node, Parent: l.Parent, Kind: l.Type, Direction: l.Direction, From: l.From, To: l.To,
		TN: t.tn, Lease: t.lease, Profile: t.profile, Charge: t.charge, Country: t.far.Country(), Thread: e164.Thread(l.From, l.To), Created: l.InitOn,
	}
	if t.app != nil {
		c.App = t.app.ID
	}
	if t.charge != "" {
		rate := t.rate.PerMin
		c.Rate = &rate
	}
	if c.Created.IsZero() {
		c.Created = s.now()
	}
	return c
}

// follow takes over what the engine says of the leg.
func (c *Call) follow(l *call.Leg) {
	c.State, c.Machine, c.SIPCallID, c.RemoteIP, c.Codec = l.State, l.Machine, l.SIPCallID, l.RemoteIP, l.Codec
	c.InitOn, c.RingOn, c.AnswerOn, c.BridgeOn, c.HangupOn, c.DestroyOn = l.InitOn, l.RingOn, l.AnswerOn, l.BridgeOn, l.HangupOn, l.DestroyOn
	c.BridgedTo = l.BridgedTo
	if c.over() {
		c.BridgedTo = ""
		c.Q850, c.Stack, c.Reason, c.HangupBy = l.Cause.Q850, l.Cause.Stack, l.Cause.Reason, l.Cause.By
	}
	if q := l.Quality; q.MOS > 0 {
		c.Quality = &Quality{MOS: q.MOS, Loss: q.Loss, JitterMS: q.JitterMS, RTTMS: q.RTTMS}
	}
	c.Modified = entered(l)
}

// charge says what a state costs: money is reserved at the answer and the call is paid at its end.
func (st *legState) charge(l *call.Leg) (hold money.Amount, settle *settlement) {
	switch l.State {
	case call.Live:
		st.held = l.AnswerOn.Add(holdAhead)
		return st.tag.rate.ahead(), nil
	case call.Destroyed:
		out := &settlement{}
		if !l.AnswerOn.IsZero() {
			r := st.tag.rate
			out.seconds, out.amount, _ = billing.CallCharge(r.PerMin, r.Setup, l.HangupOn.Sub(l.AnswerOn), r.MinTime, max(r.Interval, 1), r.Grace)
		}
		st.held = time.Time{}
		st.call.Billed, st.call.Price = &out.seconds, &out.amount
		return 0, out
	}
	return 0, nil
}

// ahead is what holdAhead costs.
func (r Rate) ahead() money.Amount {
	_, amount, err := billing.CallCharge(r.PerMin, r.Setup, holdAhead, r.MinTime, max(r.Interval, 1), r.Grace)
	if err != nil {
		return 0
	}
	return amount
}

// finish stamps the end of all work for the leg once no recording is under way.
func (st *legState) finish() {
	if st.call.DestroyOn.IsZero() || !st.call.FinishedOn.IsZero() {
		return
	}
	for i := range st.records {
		if st.records[i].underWay() {
			return
		}
	}
	st.call.FinishedOn = st.call.DestroyOn
	if st.call.Modified.After(st.call.FinishedOn) {
		st.call.FinishedOn = st.call.Modified
	}
}

// tellParent keeps the parent's list of children.
func (sh *shard) tellParent(st *legState) {
	p := sh.legs[st.call.Parent]
	if st.call.Parent == "" || p == nil {
		return
	}
	i := slices.IndexFunc(p.children, func(c Call) bool { return c.ID == st.call.ID })
	if i < 0 {
		if len(p.children) >= maxRawLogs {
			return
		}
		p.children = append(p.children, Call{})
		i = len(p.children) - 1
	}
	p.children[i] = st.call
}

func (sh *shard) kinOf(st *legState) kin {
	k := kin{children: slices.Clone(st.children), records: slices.Clone(st.records), logs: st.logs[:len(st.logs):len(st.logs)]}
	if p := sh.legs[st.call.Parent]; p != nil {
		parent := p.call
		k.parent = &parent
	}
	return k
}

// known gives a leg's state; one that is not in memory any more is read.
func (sh *shard) known(id string) *legState {
	if st := sh.legs[id]; st != nil {
		return st
	}
	st, err := sh.s.loadState(sh.ctx, id)
	if err != nil {
		sh.s.log.Warn("report of an unknown call dropped", "call", id, "error", err)
		sh.s.journal.dropped.Add(1)
		return nil
	}
	sh.legs[id] = st
	sh.leave(id)
	return st
}

func (sh *shard) applyLog(l *Log) (change, bool) {
	st := sh.known(l.Call)
	if st == nil {
		return change{}, false
	}
	l.Account, l.App, l.ID = st.call.Account, st.call.App, ident.New()
	st.call.Meta = st.tag.meta.all()
	ch := change{leg: st.call, kin: sh.kinOf(st), tag: st.tag, log: l}
	if len(st.logs) < maxRawLogs {
		st.logs = append(st.logs, *l)
	}
	return ch, true
}

func (sh *shard) applyRecord(r *call.Record) (change, bool) {
	st := sh.known(r.Leg)
	if st == nil {
		return change{}, false
	}
	i := slices.IndexFunc(st.records, func(old Record) bool { return old.ID == r.ID })
	if i < 0 {
		st.records = append(st.records, Record{ID: r.ID, Account: st.call.Account, Call: r.Leg, Created: r.StartedOn, TranscriptState: transcriptNone})
		i = len(st.records) - 1
	}
	st.records[i].follow(r, sh.s.now())
	if one := &st.records[i]; one.State == recordAvailable && one.ASR && one.Transcript == nil {
		one.ask(one.Lang, sh.s.now())
	}
	out := st.records[i]
	st.finish()
	return change{leg: st.call, kin: sh.kinOf(st), tag: st.tag, record: &out}, true
}

// applyTranscript remembers the transcript of a record of a call that is still known.
func (sh *shard) applyTranscript(r *Record) {
	st := sh.legs[r.Call]
	if st == nil {
		return
	}
	if i := slices.IndexFunc(st.records, func(old Record) bool { return old.ID == r.ID }); i >= 0 {
		st.records[i] = *r
	}
}

// follow takes over what the engine says of a recording.
func (r *Record) follow(from *call.Record, now time.Time) {
	r.Tag, r.State, r.Format, r.Channels, r.Reason, r.Key, r.SHA256 = from.Tag, string(from.State), from.Format, from.Channels, from.Reason, from.BlobKey, from.SHA256
	r.ASR, r.Lang, r.Duration, r.Size, r.AvailableOn, r.Modified = from.ASR, from.Lang, from.Duration, from.Size, from.AvailableOn, now
	if r.Created.IsZero() {
		r.Created = now
	}
	if r.State == recordAvailable {
		if r.AvailableOn.IsZero() {
			r.AvailableOn = now
		}
		r.ExpiredOn = r.AvailableOn.Add(keepRecords)
	}
}

// entered is when the leg came into its state.
func entered(l *call.Leg) time.Time {
	newest := l.InitOn
	for _, t := range []time.Time{l.RingOn, l.AnswerOn, l.BridgeOn, l.HangupOn, l.DestroyOn} {
		if t.After(newest) {
			newest = t
		}
	}
	return newest
}
