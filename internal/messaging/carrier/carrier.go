package carrier

import (
	"context"
	"errors"
	"time"

	"github.com/opentact/opentact/internal/gsm"
)

// Message is a message to be handed to a carrier.
type Message struct {
	ID       string // the platform's uuid: a repeated Submit of the same ID may be answered with the same carrier ids
	From, To string // digits; From may be a name
	Text     string
	Encoding gsm.Encoding
	Segments []gsm.Segment // at least one
	Expires  time.Time
	// Automated tells the platform's own answers (confirmations, automatic replies): nothing may answer them, or two machines talk for ever.
	Automated bool
}

// Submitted is the carrier's acceptance.
type Submitted struct {
	ID    string   // the carrier's name of the message
	Parts []string // names of all segments, when there are several; with an error: those that were taken before it
}

// Driver carries messages to one carrier. Submit is safe for many goroutines and works while Run runs.
type Driver interface {
	Run(ctx context.Context, ready func()) error
	// Submit returns when the carrier has taken all segments; errors are *Refusal.
	Submit(ctx context.Context, m Message) (Submitted, error)
}

// Result is the answer to one message of a batch.
type Result struct {
	Submitted
	Err error
}

// Batcher is a Driver that takes many messages at once, in order; Results has their order and number.
type Batcher interface {
	SubmitAll(ctx context.Context, list []Message) []Result
}

// Sink takes what a carrier brings. Each method returns after the commit; on an error nothing was kept and the driver must not acknowledge.
type Sink interface {
	Receipt(ctx context.Context, r Receipt) error
	Receipts(ctx context.Context, list []Receipt) error
	Inbound(ctx context.Context, in Inbound) error
}

// State is a receipt's word for the message's fate (SMPP 3.4 §5.2.28).
type State string

// The states; the last two are progress only.
const (
	Delivered     State = "DELIVRD"
	Expired       State = "EXPIRED"
	Deleted       State = "DELETED"
	Undeliverable State = "UNDELIV"
	Unknown       State = "UNKNOWN"
	Rejected      State = "REJECTD"
	Accepted      State = "ACCEPTD"
	EnRoute       State = "ENROUTE"
)

// Final tells whether nothing can follow.
func (s State) Final() bool { return s != Accepted && s != EnRoute }

// Receipt reports the fate of one segment.
type Receipt struct {
	Link     string    `json:"link"` // name of the carrier link it came over
	ID       string    `json:"id"`   // the carrier's name of the message or segment
	State    State     `json:"state"`
	Code     string    `json:"code,omitempty"`     // the carrier's own error code
	Operator string    `json:"operator,omitempty"` // network of the recipient, when the carrier tells
	From     string    `json:"from,omitempty"`     // number pair of the message, when the carrier tells
	To       string    `json:"to,omitempty"`
	At       time.Time `json:"at"`
}

// Inbound is a message from a phone. Concat is set when it is one segment of several.
type Inbound struct {
	Link     string       `json:"link"`
	ID       string       `json:"id,omitempty"` // the carrier's name of it; a second one with the same name is a double
	From     string       `json:"from"`
	To       string       `json:"to"`
	Text     string       `json:"text"`
	Encoding gsm.Encoding `json:"encoding,omitempty"` // empty: as the text needs
	Concat   *gsm.Concat  `json:"concat,omitempty"`
	// Automated tells an answer of a machine, where the carrier knows: it gets no answer.
	Automated bool      `json:"automated,omitempty"`
	At        time.Time `json:"at"`
}

// Kind is what a refusal means for the message.
type Kind int

// The kinds.
const (
	Temporary Kind = iota // try the same link later: throttled, busy
	Permanent             // never: the message is failed
	LinkDown              // this link cannot; another may
)

// Refusal is the error of Submit.
type Refusal struct {
	Kind       Kind
	Code       string        // ESmsError of a permanent refusal
	Reason     string        // the carrier's words; shown to the customer
	RetryAfter time.Duration // of a temporary one, when the carrier says; else zero
	Err        error
}

// Error is the carrier's words.
func (r *Refusal) Error() string { return r.Reason }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// RefusalOf makes any error a refusal: what is not one is a link that is down.
func RefusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return &Refusal{Kind: LinkDown, Reason: "Carrier unreachable", Err: err}
}

// IDFormat is how a carrier writes ids in receipts compared with its submit answers.
type IDFormat string

// The formats; the zero value is text.
const (
	Text        IDFormat = "text"
	Decimal     IDFormat = "dec"
	Hexadecimal IDFormat = "hex" // receipts carry decimal, answers hexadecimal
)

// ErrBehind says that a message was not tried, because one before it with the same From and To was refused for now.
var ErrBehind = errors.New("behind a refused message")
