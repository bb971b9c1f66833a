package sip

import (
	"sync"
	"time"
)

// Event is something that happened to a Dialog. Each dialog yields exactly one of Failed, Canceled and Ended, and nothing after it.
type Event interface{ event() }

// Progress is a provisional answer to our INVITE (180, 183 ...); 100 is not reported.
type Progress struct {
	Status int
	Body   []byte // SDP, or nil
}

// Answered is the 2xx of our INVITE. When the INVITE carried no SDP, Body is an offer and the owner answers it with Dialog.Ack.
type Answered struct {
	Status int
	Body   []byte
}

// Acked is the ACK of our 2xx. Body is the answer when the INVITE carried no offer.
type Acked struct{ Body []byte }

// Why says how an outbound call came to fail.
type Why int

// The ways in which an outbound call fails.
const (
	Refused    Why = iota // the far side answered 3xx-6xx
	NoResponse            // no answer at all within InviteRequest.PreAnswer, or 64*T1
	RingedOut             // RingTimeout passed, the call was cancelled
	CanceledByUs
	Unreachable // nothing could be sent
)

// Failed ends an outbound call that was not answered.
type Failed struct {
	Why        Why
	Status     int    // of the far side, or 408 and 503 when there was no answer
	Phrase     string // reason phrase of the far side
	Q850       int    // cause of a Reason header, 0 without
	Text       string // text of a Reason header
	RetryAfter time.Duration
	Contacts   []string // of a 3xx: where the far side would have us call; never followed
}

// Canceled ends an inbound call that the caller gave up before the answer.
type Canceled struct{ Reason Reason }

// Side is who ended a call.
type Side int

// The three sides that can end a call.
const (
	Local  Side = iota // this endpoint's owner
	Remote             // the far side
	Lost               // neither: an answer or ACK or session refresh never came
)

// Ended ends an answered call, and an inbound one that the owner rejected.
type Ended struct {
	By     Side
	Reason Reason
}

// ReOffer is a re-INVITE or UPDATE with SDP. Reply answers it once: 200 with the answer, or a status of 300 and more. Without reply for
// 10 s the offer is refused with 488, which leaves the session as it was. Body nil asks us for an offer.
type ReOffer struct {
	Method string
	Body   []byte
	Reply  func(status int, body []byte)
}

// Info is an INFO request; it has been answered with 200.
type Info struct {
	ContentType string
	Body        []byte
}

// Refer asks us to transfer the call (RFC 3515). Reply sends 202 or a refusal; after 202 the owner reports with Dialog.Notify.
type Refer struct {
	Target     string // URI of Refer-To, Replaces parameter included
	ReferredBy string
	Reply      func(status int)
}

// Notified is a NOTIFY in the dialog: the state of a transfer we asked for with Dialog.Refer.
type Notified struct {
	Package string // Event header
	Body    []byte // message/sipfrag: "SIP/2.0 200 OK"
}

func (Progress) event() {}
func (Answered) event() {}
func (Acked) event()    {}
func (Failed) event()   {}
func (Canceled) event() {}
func (Ended) event()    {}
func (ReOffer) event()  {}
func (Info) event()     {}
func (Refer) event()    {}
func (Notified) event() {}

// serial runs functions one after the other in the order of add, on the goroutine of whoever calls run first.
type serial struct {
	mu   sync.Mutex
	fns  []func()
	busy bool
}

func (s *serial) add(fn func()) {
	s.mu.Lock()
	s.fns = append(s.fns, fn)
	s.mu.Unlock()
}

func (s *serial) run() {
	s.mu.Lock()
	if s.busy {
		s.mu.Unlock()
		return
	}
	s.busy = true
	for len(s.fns) > 0 {
		fns := s.fns
		s.fns = nil
		s.mu.Unlock()
		for _, fn := range fns {
			fn()
		}
		s.mu.Lock()
	}
	s.busy = false
	s.mu.Unlock()
}
