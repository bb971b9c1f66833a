package call

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/rtp"
	"github.com/opentact/opentact/internal/sip"
)

// Directions of a leg, seen from the platform.
const (
	In  = "in"
	Out = "out"
)

// Quality is what was measured on a leg in its receiving direction.
type Quality struct {
	MOS      float64 // 1 to 4.5; 0 when nothing was received
	Loss     float64 // percent of the packets
	JitterMS int
	RTTMS    int // 0 when the far side sent no reports
}

// Leg is a snapshot of one leg.
type Leg struct {
	ID, Parent, Account, Type, Direction string
	From, To                             string
	State                                State
	BridgedTo                            string // the leg it was last joined with

	InitOn, RingOn, AnswerOn, BridgeOn, HangupOn, DestroyOn time.Time

	Cause                               Cause
	SIPCallID, RemoteIP, Codec, Machine string
	Quality                             Quality
	Tag                                 any // of the owner; never looked at
}

// leg is one leg of a call. All but what the mutex and the atomic guard belongs to the goroutine of the call.
type leg struct {
	call    *Call
	dialog  *sip.Dialog // of an inbound leg, or of the current try
	try     *try        // nil for an inbound leg
	tries   int
	media   *media   // nil until there is something to hear
	way     *Attempt // that is tried, or was taken; nil for an inbound leg
	release func()   // gives a leased route back; nil without
	acked   chan struct{}
	isAcked bool
	over    chan struct{} // closed at hangup
	stream  atomic.Pointer[rtp.Stream]

	mu   sync.Mutex
	snap Leg
}

func newLeg(c *Call, snap Leg) *leg {
	return &leg{call: c, snap: snap, acked: make(chan struct{}), over: make(chan struct{})}
}

// Snapshot copies what is known of the leg.
func (l *leg) snapshot() Leg {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snap
}

func (l *leg) state() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snap.State
}

// set changes facts that are no state; they are told with the next state.
func (l *leg) set(fn func(*Leg)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn(&l.snap)
}

// enter moves the leg and tells the observer; false when the table does not allow it.
func (l *leg) enter(in input) bool {
	now := l.call.engine.cfg.Now()
	l.mu.Lock()
	to, ok := l.snap.State.next(in)
	if !ok {
		l.mu.Unlock()
		return false
	}
	l.snap.stamp(to, now)
	snap := l.snap
	l.mu.Unlock()
	l.call.engine.cfg.Observer.LegChanged(snap)
	return true
}

// stamp enters a state; a stamp is set at the first time only.
func (l *Leg) stamp(to State, now time.Time) {
	l.State = to
	var on *time.Time
	switch to {
	case Init:
		on = &l.InitOn
	case Ringing:
		on = &l.RingOn
	case Live:
		on = &l.AnswerOn
	case Bridged:
		on = &l.BridgeOn
	case Hangup:
		on = &l.HangupOn
	case Destroyed:
		on = &l.DestroyOn
	}
	if on != nil && on.IsZero() {
		*on = now
	}
}

// remote is who the far side of the leg is, as a By.
func (l *leg) remote() string {
	if l.snapshot().Direction == In {
		return ByCaller
	}
	return ByCallee
}

// freeRoute gives a leased route back, once.
func (l *leg) freeRoute() {
	if fn := l.release; fn != nil {
		l.release = nil
		fn()
	}
}
