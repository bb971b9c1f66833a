package voice

import (
	"encoding/json"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/voice/call"
)

// Call is one leg of a call as it is kept.
type Call struct {
	ID, Account, Node, Parent     string
	Kind                          string // CallSCA, CallXML, CallSIP
	Direction                     string
	From, To                      string
	TN                            e164.Number // the account's own number
	Lease, App, Profile           string
	Thread, Country               string
	State                         call.State
	BridgedTo                     string
	InitOn, RingOn, AnswerOn      time.Time
	BridgeOn, HangupOn, DestroyOn time.Time
	FinishedOn                    time.Time
	Q850                          int // meaningful from hangup on
	Stack, Reason, HangupBy       string
	Machine                       string
	Charge                        string // chargeIn, chargeOut or ""
	Rate                          *money.Amount
	Billed                        *int // seconds
	Price                         *money.Amount
	SIPCallID, RemoteIP, Codec    string
	Quality                       *Quality
	Meta                          map[string]any
	Created, Modified             time.Time
}

// What a leg is charged as.
const (
	chargeIn  = "in"
	chargeOut = "out"
)

// Types of calls.
const (
	kindApp = "CallSCA"
	kindXML = "CallXML"
)

// Quality is how well a leg was heard.
type Quality struct {
	MOS      float64 `json:"mos"`
	Loss     float64 `json:"loss"`
	JitterMS int     `json:"jitter_ms"`
	RTTMS    int     `json:"rtt_ms"`
}

// over tells that the leg has ended.
func (c *Call) over() bool { return c.State == call.Hangup || c.State == call.Destroyed }

// length is the time since the leg began, until its hangup or now.
func (c *Call) length(now time.Time) time.Duration {
	if !c.HangupOn.IsZero() {
		now = c.HangupOn
	}
	if c.InitOn.IsZero() || now.Before(c.InitOn) {
		return 0
	}
	return now.Sub(c.InitOn)
}

// Log is one executed command of call XML.
type Log struct {
	ID, Account, Call, App string
	Name                   string
	Success                bool
	Reason, Path           string
	Element, Command       json.RawMessage
	Response               json.RawMessage
	Started, Ended         time.Time
	Created                time.Time
}

// Record is a recording.
type Record struct {
	ID, Account, Call      string
	Tag, State             string
	Format, Channels       string
	Duration               time.Duration
	Size                   int64
	SHA256                 string
	ASR                    bool
	Lang                   string
	Key                    string // of the blob
	Reason                 string
	TranscriptState        string
	Text                   string
	Transcript             *Transcript // nil: none was asked for
	AvailableOn, ExpiredOn time.Time
	Created, Modified      time.Time
}

// States of a record.
const (
	recordAvailable = "available"
	recordFailed    = "failed"
	recordDeleted   = "deleted"
)

// underWay tells that the sound is still being made.
func (r *Record) underWay() bool {
	return r.State == call.RecordRecording || r.State == call.RecordProcessing
}

// CallFilter chooses legs; empty members choose all.
type CallFilter struct {
	Account                    string
	Or                         bool
	Direction, Kind            string
	From, To, TN               string // masks
	States                     []string
	App, Profile, Parent       string
	NoApp, NoProfile, NoParent bool // those without
	DestroyFrom, DestroyTo     time.Time
	CreatedFrom, CreatedTo     time.Time
	ModifiedFrom, ModifiedTo   time.Time
	MinDuration, MaxDuration   *int
	Q850                       *int
	Reason, Thread             string
	AppsOnly                   bool // legs of control apps
	LiveOnly                   bool // those that have not ended
	Unknown, WithoutUnknown    bool // with, and without, what no call of this server has
	Order                      []Sort
	Take, Skip                 int
}

// Sort is one column of an order, by its wire name.
type Sort struct {
	Field string
	Desc  bool
}

// LogFilter chooses executed commands of an app.
type LogFilter struct {
	Account, App             string
	Or                       bool
	Name, From, TN, Call     string
	Success                  *bool
	CreatedFrom, CreatedTo   time.Time
	ModifiedFrom, ModifiedTo time.Time
	Order                    []Sort
	Take, Skip               int
}
