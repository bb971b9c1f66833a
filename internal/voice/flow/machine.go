package flow

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Config is what a Machine needs. Phone, Voices, Fetcher and Journal must be there.
type Config struct {
	Phone      Phone
	Voices     Voices
	Fetcher    Fetcher
	Recordings Recordings // nil: the call has no recordings to play or wait for
	Journal    Journal
	Limits     Limits
	Meta       map[string]any        // of the call, from POST /rest/call or the batch; copied
	MetaSet    func(string, any)     // told of each name and value that a <Meta> stores on the call; nil: nobody is
	Now        func() time.Time      // nil is time.Now
	Call       func() map[string]any // the Call entity as on the wire; nil gives what CallInfo holds
	App        func() map[string]any // the SipControlApp entity as on the wire; nil gives uuid, name, subdomain
}

// Options say how the first document came.
type Options struct {
	AutoAnswer bool // answer before the first command
	Pushed     bool // the document was pushed, so its end parks the call
	Park       bool // the app has neither URL nor static document, so any end parks the call
}

// End tells why Run came back.
type End struct {
	Answered bool
	Parked   bool   // the call is up and nobody's; the owner parks it, and may Run a pushed document
	Reason   string // ECallReason when the machine ended the call for one: flow_error
	Cause    error  // ErrCallEnded, ErrShutdown or what else ended the context; nil when the flow ended first
}

// Machine runs the documents of one call, all on the goroutine that calls Run. Replace and Append may be called from others.
type Machine struct {
	cfg    Config
	parse  func([]byte) (*Document, error) // Parse; a field, because Parse knows the verbs and verbs parse answers
	shared struct {
		sync.Mutex
		running     bool                    // or not yet begun: what is pushed before the first Run waits for it
		cancel      context.CancelCauseFunc // of the running document
		replacement *Document
		queue       []*Document
	}

	documents, commands int
	history             []executed
	memory              memory
	recorders           map[string]Recorder // running ones by tag
	prompting           bool                // inside the prompts of a Gather
	jump                *Document           // takes over when the running document was left
	over                bool                // the flow ended the call
	overReason          string

	unawaited     sync.WaitGroup
	unawaitedSlot chan struct{} // full: the next request that nobody waits for waits for a slot
}

// New makes a machine; it starts nothing.
func New(cfg Config) *Machine {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Limits = cfg.Limits.filled()
	m := &Machine{cfg: cfg, parse: Parse, recorders: map[string]Recorder{}, unawaitedSlot: make(chan struct{}, maxUnawaited)}
	m.shared.running = true
	m.memory.start(cfg.Meta)
	return m
}

// Run runs a document and all that follow it. ctx lives as long as the call; its cause is ErrCallEnded or ErrShutdown.
// It may be called again for a parked call, never while it runs. A document that Replace took before the first Run runs in the place of doc.
func (m *Machine) Run(ctx context.Context, doc *Document, o Options) End {
	m.shared.Lock()
	m.shared.running = true
	if pushed := m.shared.replacement; pushed != nil {
		doc, o.Pushed, m.shared.replacement = pushed, true, nil
	}
	m.shared.Unlock()
	m.over, m.overReason, m.jump = false, "", nil
	if o.AutoAnswer && !m.cfg.Phone.Answered() {
		if err := m.cfg.Phone.Answer(ctx); err != nil {
			return m.gone(ctx)
		}
	}
	parks := o.Pushed || o.Park || doc.Empty()
	for doc != nil {
		m.runDocument(ctx, doc)
		if ctx.Err() != nil {
			return m.gone(ctx)
		}
		next, pushed := m.next()
		if next != nil {
			parks = pushed || o.Park || next.Empty()
		}
		doc = next
	}
	return m.end(parks)
}

// Wait returns when the requests that no command waits for are done; call it after the last Run.
func (m *Machine) Wait() { m.unawaited.Wait() }

// Pushed tells whether a document waits that Replace or Append took.
func (m *Machine) Pushed() bool {
	m.shared.Lock()
	defer m.shared.Unlock()
	return m.shared.replacement != nil || len(m.shared.queue) > 0
}

// Replace stops the running command and starts the document instead of all that was to come. Before the first Run it takes the place of what that is
// given. It reports false when nothing runs any more; then the owner runs the document itself, with Options.Pushed.
func (m *Machine) Replace(doc *Document) bool {
	m.shared.Lock()
	defer m.shared.Unlock()
	if !m.shared.running {
		return false
	}
	m.shared.replacement, m.shared.queue = doc, nil
	if m.shared.cancel != nil {
		m.shared.cancel(ErrReplaced)
	}
	return true
}

// Append queues the document behind the running one; false as with Replace, or when the queue is full: it takes no
// more documents than a call may run.
func (m *Machine) Append(doc *Document) bool {
	m.shared.Lock()
	defer m.shared.Unlock()
	if !m.shared.running || len(m.shared.queue) >= m.cfg.Limits.Documents {
		return false
	}
	m.shared.queue = append(m.shared.queue, doc)
	return true
}

// runDocument runs one document in a context that a push can end.
func (m *Machine) runDocument(ctx context.Context, doc *Document) {
	if !m.admit() {
		return
	}
	docCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m.shared.Lock()
	m.shared.cancel = cancel
	if m.shared.replacement != nil {
		cancel(ErrReplaced)
	}
	m.shared.Unlock()
	m.runBlock(docCtx, doc.Root.Children, "")
}

// admit counts a document; too many end the call.
func (m *Machine) admit() bool {
	if m.documents++; m.documents <= m.cfg.Limits.Documents {
		return true
	}
	m.flowError(fmt.Sprintf("More than %d documents", m.cfg.Limits.Documents))
	return false
}

// next chooses the document that follows; nil when there is none, and from then on Replace and Append refuse.
func (m *Machine) next() (doc *Document, pushed bool) {
	m.shared.Lock()
	defer m.shared.Unlock()
	m.shared.cancel = nil
	jump := m.jump
	m.jump = nil
	switch {
	case m.over:
	case m.shared.replacement != nil:
		doc, m.shared.replacement = m.shared.replacement, nil
		return doc, true
	case jump != nil:
		return jump, false
	case len(m.shared.queue) > 0:
		doc, m.shared.queue = m.shared.queue[0], m.shared.queue[1:]
		return doc, true
	}
	m.stopped()
	return nil, false
}

// stopped is called with the lock held.
func (m *Machine) stopped() {
	m.shared.running, m.shared.cancel, m.shared.replacement, m.shared.queue = false, nil, nil, nil
}

// gone is the end of a call that its context ended.
func (m *Machine) gone(ctx context.Context) End {
	m.shared.Lock()
	m.stopped()
	m.shared.Unlock()
	cause := context.Cause(ctx)
	if cause == nil {
		cause = ErrCallEnded // Answer failed before the context knew
	}
	return End{Answered: m.cfg.Phone.Answered(), Reason: m.overReason, Cause: cause}
}

// end does what xml.md §2 says of the end of a document.
func (m *Machine) end(parks bool) End {
	phone := m.cfg.Phone
	e := End{Answered: phone.Answered(), Reason: m.overReason}
	switch {
	case m.over:
	case parks:
		e.Parked = true
	case e.Answered:
		phone.Hangup(16, "")
	default:
		phone.Refuse(480, 31, "")
	}
	return e
}

// flowError ends a call that went over a limit.
func (m *Machine) flowError(why string) {
	now := m.cfg.Now()
	m.report(Outcome{
		Name: "Response", Reason: why, Attributes: map[string]string{}, Children: []string{}, Error: []string{}, Result: map[string]any{},
		Element: View{Name: "Response", Attributes: map[string]string{}, Children: []View{}}, Started: now, Ended: now,
	}, "")
	m.over, m.overReason = true, "flow_error"
	if m.cfg.Phone.Answered() {
		m.cfg.Phone.Hangup(41, m.overReason)
	} else {
		m.cfg.Phone.Refuse(503, 41, m.overReason)
	}
}
