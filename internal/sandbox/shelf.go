package sandbox

import (
	"sync"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

// Kinds of a Run.
const (
	KindScript  = "script"  // a call that the sandbox placed
	KindMachine = "machine" // a recording of the answering machine
)

// States of a Run.
const (
	StateCalling  = "calling"
	StateAnswered = "answered"
	StateEnded    = "ended"
	StateFailed   = "failed" // never answered
)

// Run is a call of the sandbox and what came of it. The exported fields do not change once it is on the shelf; Result gives the rest.
type Run struct {
	ID        string // uuid of the platform's call for a script
	Account   string // empty for a machine
	Kind      string
	From, To  e164.Number
	SIPCallID string
	Started   time.Time

	mu     sync.Mutex
	live   *phone.Call
	result Result
}

// Result is what is known of a Run by now.
type Result struct {
	State   string
	Steps   []StepResult
	Stats   rtp.Stats
	Keys    string // that the platform pressed
	Outcome phone.Outcome
	Ended   time.Time
	Sound   []int16 // what was heard, 8 kHz; only after the end, gone when the shelf was full
}

// StepResult is a step with what came of it.
type StepResult struct {
	Step   Step
	OK     bool
	Heard  string // of expect_say
	Detail string // why it failed
}

// Result is a copy of what is known by now; the sound is shared and not to be written.
func (r *Run) Result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.result
	out.Steps = append([]StepResult(nil), r.result.Steps...)
	if r.live != nil {
		out.Stats, out.Keys = r.live.Stats(), r.live.Pressed()
	}
	return out
}

func (r *Run) begin(c *phone.Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live, r.result.State = c, StateCalling
}

func (r *Run) enter(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.State = state
}

func (r *Run) add(s StepResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Steps = append(r.result.Steps, s)
}

// end keeps what is left of a call and lets go of it.
func (r *Run) end(c *phone.Call, now time.Time) {
	stats, keys, sound, outcome := c.Stats(), c.Pressed(), c.Heard(), c.Outcome()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live = nil
	r.result.Stats, r.result.Keys, r.result.Sound, r.result.Outcome, r.result.Ended = stats, keys, sound, outcome, now
	r.result.State = StateEnded
	if r.Kind == KindScript && !outcome.Answered {
		r.result.State = StateFailed
	}
}

// size is the bytes of sound.
func (r *Run) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return 2 * len(r.result.Sound)
}

func (r *Run) mute() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Sound = nil
}

// shelf keeps the latest runs: the oldest leave first, and the sound of the oldest is dropped before that.
type shelf struct {
	maxRuns, maxBytes int

	mu   sync.Mutex
	runs []*Run // oldest first
}

func newShelf(runs, bytes int) *shelf { return &shelf{maxRuns: runs, maxBytes: bytes} }

func (s *shelf) put(r *Run) {
	s.mu.Lock()
	s.runs = append(s.runs, r)
	if over := len(s.runs) - s.maxRuns; over > 0 {
		s.runs = append([]*Run(nil), s.runs[over:]...)
	}
	s.mu.Unlock()
	s.trim()
}

// trim drops sound until the rest fits. It is called when a run is put or ends.
func (s *shelf) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for i := len(s.runs) - 1; i >= 0; i-- {
		if total += s.runs[i].size(); total > s.maxBytes {
			s.runs[i].mute()
		}
	}
}

func (s *shelf) find(id string) (*Run, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.runs {
		if r.ID == id {
			return r, true
		}
	}
	return nil, false
}

// all is a copy, latest first.
func (s *shelf) all() []*Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Run, 0, len(s.runs))
	for i := len(s.runs) - 1; i >= 0; i-- {
		out = append(out, s.runs[i])
	}
	return out
}
