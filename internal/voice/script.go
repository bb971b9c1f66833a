package voice

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/account"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/voice/call"
	"github.com/opentact/opentact/internal/voice/flow"
)

// script runs the documents of one call, on one goroutine.
type script struct {
	s          *Service
	c          live
	tag        *tag
	account    account.Account
	doc        document
	ready      *flow.Document // the first document when it is at hand
	autoAnswer bool
	placed     bool // made by REST: runs once it is answered
	record     *call.RecordOptions
	park       time.Duration
	machine    *flow.Machine
	records    recordings
	kept       bool // the call's row was waited for

	mu     sync.Mutex
	over   bool
	parked bool
	next   *flow.Document // pushed while nothing ran any more
	pushed chan struct{}  // bound 1
}

// scripts are the running ones by their controlled leg.
type scripts struct {
	mu    sync.Mutex
	byLeg map[string]*script
}

func (r *scripts) add(id string, sc *script) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byLeg[id] = sc
}

func (r *scripts) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byLeg, id)
}

func (r *scripts) find(id string) (*script, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sc, ok := r.byLeg[id]
	return sc, ok
}

// recorded tells the script of a call what became of a recording.
func (r *scripts) recorded(rec call.Record) {
	if sc, ok := r.find(rec.Leg); ok {
		sc.records.update(rec)
	}
}

func (s *Service) newScript(c live, t *tag, d document) *script {
	sc := &script{s: s, c: c, tag: t, doc: d, park: defaultParkTimeout, pushed: make(chan struct{}, 1)}
	sc.records.s, sc.records.news = s, make(chan struct{})
	sc.machine = flow.New(flow.Config{
		Phone: c.Phone(sc), Voices: voices{s, c.A()}, Fetcher: fetcher{s, c.A().Account, d.secret}, Recordings: &sc.records, Journal: sc,
		Meta: t.meta.all(), MetaSet: t.meta.set, Now: s.now, Call: sc.entity, App: sc.appEntity,
	})
	return sc
}

// start runs a script on a goroutine of its own; done runs when it is over.
func (s *Service) start(sc *script, done func()) {
	id := sc.c.A().ID
	s.scripts.add(id, sc)
	s.running.Go(func() {
		defer done()
		defer s.scripts.remove(id)
		defer sc.close()
		defer func() {
			if v := recover(); v != nil {
				s.log.Error("script broke", "call", id, "panic", v, "stack", string(debug.Stack()))
				sc.c.Hangup(call.Cause{Q850: call.TemporaryFailure, Reason: "internal", By: call.ByPlatform})
			}
		}()
		sc.run()
		sc.machine.Wait()
		<-sc.c.Context().Done()
	})
}

// context lives as long as the call, and ends with the cause that flow knows.
func (sc *script) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := context.AfterFunc(sc.c.Context(), func() { cancel(flow.ErrCallEnded) })
	stopped := context.AfterFunc(sc.s.stop, func() {
		cancel(flow.ErrShutdown)
		sc.c.Hangup(call.Cause{Q850: call.TemporaryFailure, Reason: "internal", By: call.ByPlatform})
	})
	return ctx, func() { ended(); stopped(); cancel(nil) }
}

func (sc *script) run() {
	ctx, cancel := sc.context()
	defer cancel()
	if sc.placed {
		if sc.c.WaitAnswered(ctx) != nil {
			return
		}
	} else {
		sc.c.Ring(ctx)
	}
	if sc.record != nil {
		if err := sc.c.StartRecord(ctx, *sc.record); err != nil {
			sc.s.log.Warn("recording not started", "call", sc.c.A().ID, "error", err)
		}
	}
	doc, opts, ok := sc.first(ctx)
	for ok {
		sc.foretell(ctx, doc)
		sc.keep(ctx)
		end := sc.machine.Run(ctx, doc, opts)
		if !end.Parked {
			return
		}
		doc, ok = sc.await(ctx)
		opts = flow.Options{Pushed: true, Park: opts.Park}
	}
}

// keep waits, before anything may answer an inbound call, until its row is on the disk: a call that was answered has a record, whatever becomes of this node.
func (sc *script) keep(ctx context.Context) {
	if sc.kept || sc.tag.kept == nil || sc.s.journal.behind() {
		return
	}
	sc.kept = true
	limit := time.NewTimer(keptWait)
	defer limit.Stop()
	select {
	case <-sc.tag.kept:
	case <-limit.C:
	case <-ctx.Done():
	}
}

// foretell has the first prompts of a document spoken while the call is being answered: the verbs find them in the cache, or wait for the
// same speech. One text after the other, so that no call keeps others from being spoken to; the end of the call ends it.
func (sc *script) foretell(ctx context.Context, doc *flow.Document) {
	if sc.s.cfg.Speech == nil {
		return
	}
	prompts := doc.Prompts(maxForetold)
	if len(prompts) == 0 {
		return
	}
	sc.s.running.Go(func() {
		for _, r := range prompts {
			if _, _, err := sc.s.cfg.Speech.Speak(ctx, spoken(r)); err != nil { // the verb will tell
				return
			}
		}
	})
}

// first gives the document that the call starts with; the machine puts what was pushed meanwhile in its place or behind it. Without any the call is over.
func (sc *script) first(ctx context.Context) (*flow.Document, flow.Options, bool) {
	opts := flow.Options{AutoAnswer: sc.autoAnswer}
	if sc.ready != nil {
		return sc.ready, opts, true
	}
	if sc.doc.empty() {
		opts.Park = true
		doc, err := parseFlow(nil)
		return doc, opts, err == nil
	}
	if sc.autoAnswer {
		if sc.keep(ctx); sc.c.Phone(sc).Answer(ctx) != nil {
			return nil, opts, false
		}
	}
	row := sc.s.newLeg(ptr(sc.c.A()))
	row.follow(ptr(sc.c.A()))
	doc, misses, err := sc.s.load(ctx, sc.doc, &row, sc.tag.meta.all())
	for _, m := range misses {
		sc.s.journal.push(fact{root: row.ID, log: m.log(row.ID, sc.s.now())})
	}
	if err == nil {
		return doc, opts, true
	}
	var bad *flowFault
	if !errors.As(err, &bad) {
		return nil, opts, false
	}
	if sc.machine.Pushed() { // that runs, though there is nothing that it could follow
		doc, err := parseFlow(nil)
		return doc, opts, err == nil
	}
	sc.c.Hangup(call.Cause{Q850: call.TemporaryFailure, SIP: 503, Reason: bad.reason, By: call.ByPlatform})
	return nil, opts, false
}

func ptr[T any](v T) *T { return &v }

// await waits for a push of a parked call; false when its time is over, the call has ended then.
func (sc *script) await(ctx context.Context) (*flow.Document, bool) {
	sc.setParked(true)
	defer sc.setParked(false)
	limit := time.NewTimer(sc.park)
	defer limit.Stop()
	for {
		if doc := sc.takePushed(); doc != nil {
			return doc, true
		}
		select {
		case <-sc.pushed:
		case <-ctx.Done():
			return nil, false
		case <-limit.C:
			sc.c.Hangup(call.Cause{Q850: call.NormalClearing, SIP: 480, Reason: "park_timeout", By: call.ByPlatform})
			return nil, false
		}
	}
}

func (sc *script) setParked(parked bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.parked = parked
}

func (sc *script) takePushed() *flow.Document {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	doc := sc.next
	sc.next = nil
	return doc
}

func (sc *script) close() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.over = true
}

// push runs a document on the call: at once, or behind the running one. fault.CallEnded when the call is over.
func (sc *script) push(doc *flow.Document, appended bool) error {
	if sc.c.Context().Err() != nil {
		return fault.New(fault.CallEnded)
	}
	take := sc.machine.Replace
	if appended {
		take = sc.machine.Append
	}
	if take(doc) {
		return nil
	}
	sc.mu.Lock()
	defer sc.mu.Unlock()
	switch {
	case sc.over || sc.c.Context().Err() != nil:
		return fault.New(fault.CallEnded)
	case appended && sc.next != nil:
		return fault.Newf(fault.Conflict, "another document is waiting")
	case appended && sc.machine.Pushed():
		return fault.Newf(fault.Conflict, "too many documents are waiting")
	}
	sc.next = doc
	select {
	case sc.pushed <- struct{}{}:
	default:
	}
	return nil
}

// Done implements flow.Journal.
func (sc *script) Done(o flow.Outcome) {
	report := commandReport{Name: o.Name, Success: o.Success, Reason: o.Reason, Path: o.Path, Attributes: o.Attributes, Children: o.Children, Error: o.Error}
	l := &Log{
		Call: sc.c.A().ID, Name: o.Name, Success: o.Success, Reason: o.Reason, Path: o.Path, Element: encode(o.Element), Command: withResults(report, o),
		Started: o.Started, Ended: o.Ended, Created: sc.s.now(),
	}
	if o.Response != nil {
		l.Response = encode(o.Response)
	}
	sc.s.journal.push(fact{root: l.Call, log: l})
}

// withResults puts the results of a command behind its report.
func withResults(r commandReport, o flow.Outcome) json.RawMessage {
	more := map[string]any{}
	for k, v := range o.Result {
		more[k] = v
	}
	if len(o.Warnings) > 0 {
		more["warnings"] = o.Warnings
	}
	return withMembers(r, more)
}

// withMembers puts further members behind a report.
func withMembers(r commandReport, more map[string]any) json.RawMessage {
	out := encode(r)
	if len(more) == 0 {
		return out
	}
	tail := encode(more)
	return append(append(out[:len(out)-1:len(out)-1], ','), tail[1:]...)
}

// entity is the Call entity for requests that the document makes.
func (sc *script) entity() map[string]any {
	leg := sc.c.A()
	row := sc.s.newLeg(&leg)
	row.follow(&leg)
	row.Meta = sc.tag.meta.all()
	raw, err := sc.s.callJSON(sc.s.stop, sc.s.db.Read(), &row)
	if err != nil {
		raw = encode(scalarsOf(&row, sc.s.now()))
	}
	return asMap(raw)
}

func (sc *script) appEntity() map[string]any {
	if sc.tag.app == nil {
		return nil
	}
	return asMap(encode(appScalars(sc.tag.app)))
}

func asMap(raw []byte) map[string]any {
	out := map[string]any{}
	if json.Unmarshal(raw, &out) != nil {
		return map[string]any{}
	}
	return out
}

// recordings are those of a call, as its document may play and wait for them.
type recordings struct {
	s    *Service
	mu   sync.Mutex
	all  []call.Record // in the order of their starts
	news chan struct{} // closed and renewed at each change
}

func (r *recordings) update(rec call.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.all, func(old call.Record) bool { return old.ID == rec.ID }); i >= 0 {
		r.all[i] = rec
	} else {
		r.all = append(r.all, rec)
	}
	close(r.news)
	r.news = make(chan struct{})
}

// newest finds the newest recording with a tag; "" is any.
func (r *recordings) newest(tag string) (call.Record, chan struct{}, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.all) - 1; i >= 0; i-- {
		if tag == "" || r.all[i].Tag == tag {
			return r.all[i], r.news, true
		}
	}
	return call.Record{}, r.news, false
}

// Find implements flow.Recordings.
func (r *recordings) Find(tag string) (flow.RecordInfo, bool) {
	rec, _, ok := r.newest(tag)
	return r.s.recordInfo(&rec), ok
}

// recordInfo is a recording as call XML knows it.
func (s *Service) recordInfo(r *call.Record) flow.RecordInfo {
	info := flow.RecordInfo{UUID: r.ID, Tag: r.Tag, Duration: r.Duration, EndedBy: r.EndedBy, ASR: r.ASR}
	if r.ID != "" {
		info.URL = s.signedURL(recordPath(r.ID, r.Format))
	}
	return info
}

// Wait implements flow.Recordings.
func (r *recordings) Wait(ctx context.Context, tag, what string) (flow.RecordInfo, error) {
	rec, err := r.await(ctx, tag)
	info := r.s.recordInfo(&rec)
	if err == nil && (what == "transcript" || what == "" && rec.ASR) {
		info.Text, err = r.s.awaitTranscript(ctx, rec.ID, rec.ASR)
	}
	return info, err
}

func (r *recordings) await(ctx context.Context, tag string) (call.Record, error) {
	for {
		rec, news, ok := r.newest(tag)
		switch {
		case !ok:
			return rec, flow.ErrNoRecord
		case rec.State == recordAvailable:
			return rec, nil
		case rec.State == recordFailed:
			return rec, flow.ErrRecordFailed
		}
		select {
		case <-news:
		case <-ctx.Done():
			return rec, context.Cause(ctx)
		}
	}
}
