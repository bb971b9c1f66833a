package flow

import (
	"context"
	"errors"
	"time"

	"github.com/opentact/opentact/internal/audio"
)

// Causes with which a context of a flow ends; context.Cause(ctx) gives one of them.
var (
	// ErrCallEnded: the controlled leg hung up. The running command reports "Hangup".
	ErrCallEnded = errors.New("flow: call ended")
	// ErrReplaced: another document was pushed. The running command reports "Interrupted". A Phone that is in Dial
	// leaves an existing bridge up, so that commands of the new document can run inside it.
	ErrReplaced = errors.New("flow: document replaced")
	// ErrShutdown: the server stops.
	ErrShutdown = errors.New("flow: server is stopping")
)

// What the services around the call say when they could not do their part; wrap them with %w to add a cause.
var (
	ErrGone            = errors.New("flow: caller is gone")          // Phone.Answer
	ErrNoText          = errors.New("flow: no text to speak")        // Voices
	ErrUnknownVoice    = errors.New("flow: unknown voice")           // Voices
	ErrTTS             = errors.New("flow: speech engine failed")    // Voices
	ErrBalance         = errors.New("flow: not enough balance")      // Voices, Phone.Record
	ErrConnect         = errors.New("flow: no connection was made")  // Fetcher.Fetch: nothing was sent, a second try is harmless
	ErrMediaMissing    = errors.New("flow: media not found")         // Fetcher.Media
	ErrMediaUnplayable = errors.New("flow: media not playable")      // Fetcher.Media
	ErrNoRecord        = errors.New("flow: no such recording")       // Recordings
	ErrRecordFailed    = errors.New("flow: recording failed")        // Recordings
	ErrNothingRecorded = errors.New("flow: recording was too short") // Recorder.Stop: shorter than RecordOptions.Min, discarded
)

// Phone is what verbs can do to the controlled call. Blocking methods end when ctx ends; context.Cause(ctx) says why.
type Phone interface {
	Info() CallInfo // a fresh copy; cheap, it is asked often
	Answered() bool
	// Answer sends the 200 and waits for its acknowledgement; ErrGone when the caller left before.
	Answer(ctx context.Context) error
	// Play returns when the source ended (nil), when ctx ended (any error), or when the media broke.
	Play(ctx context.Context, src audio.Source, o PlayOptions) error
	Keys() Keypad
	// Record starts a recording and does not block. ctx bounds the start only: a recording outlives the document that
	// started it and ends with the call.
	Record(ctx context.Context, o RecordOptions) (Recorder, error)
	// Dial rings the targets, joins the first that answers, and returns when that bridge ended or nobody took the call.
	// When ctx ends with ErrReplaced while a bridge is up, it returns and leaves the bridge (see Bridged).
	Dial(ctx context.Context, r DialRequest) DialResult
	// Refuse ends a call that is not answered with a SIP status and a Q.850 cause; reason is an ECallReason or "".
	Refuse(sip, q850 int, reason string)
	// Hangup ends an answered call.
	Hangup(q850 int, reason string)
}

// Bridged is a Phone whose bridge may outlive a Dial; CallInfo.Bridged tells whether it stands.
type Bridged interface {
	// EndBridge hangs up the other leg with Q.850 16 and returns when the controlled leg is alone.
	EndBridge(ctx context.Context)
}

// CallInfo describes the controlled leg at this moment.
type CallInfo struct {
	UUID      string
	From      string // E.164 with its plus, or a login
	To        string // digits or a login
	TN        string // own number of the leg: digits, or ""
	Direction string // "in" or "out"
	State     string // ECallStateName: init, ringing, live, bridged …
	Type      string // ECallType
	Machine   string // human, machine, fax, unknown or ""
	Attest    string // A, B, C or ""
	Bridged   bool   // joined with another leg now

	AccountUUID, AccountName, TimeZone string // TimeZone: IANA zone of the account; "" is UTC
	AppUUID, AppName, AppSubdomain     string // empty without an app
}

// Leg says who hears a sound.
type Leg string

// The legs, xml.md §3.3.
const (
	LegA    Leg = "aleg"
	LegB    Leg = "bleg"
	LegBoth Leg = "both"
)

// PlayOptions go with one source.
type PlayOptions struct {
	Leg   Leg
	Early bool // as early media when the call is not answered
}

// Keypad gives the digits pressed on the controlled leg, one press one digit (0-9 * # A-D).
type Keypad interface {
	Forget()                                // drops keys that were pressed and not read
	Next(ctx context.Context) (byte, error) // the next key, pressed or still to come; an error when ctx ends
	// Pressed is closed, or can be received from, as soon as an unread key is there. Asked anew for each wait.
	Pressed() <-chan struct{}
}

// RecordOptions describe one recording.
type RecordOptions struct {
	Tag, Format, Channels, Lang string // Format wav|mp3; Channels mono|dual; Lang BCP-47
	ASR, Trim                   bool
	Max                         time.Duration // ends by itself then
	Silence                     time.Duration // ends by itself after that much silence; 0 is off
	Min                         time.Duration // shorter ones are discarded: Stop gives ErrNothingRecorded
	CallerOnly                  bool          // only what the controlled leg says
}

// Recorder is a running recording.
type Recorder interface {
	// Stop ends the recording and says by whom (key, children, stop). On one that ended before, it gives the
	// information of that end, as often as it is asked.
	Stop(by string) (RecordInfo, error)
	Ended() <-chan struct{} // closed when it ended, by itself (silence, timeout, hangup) or by Stop
}

// RecordInfo is what is known of a recording.
type RecordInfo struct {
	UUID     string
	Tag      string
	URL      string
	Text     string        // transcript, when there is one
	Duration time.Duration // length of the audio
	EndedBy  string        // key, silence, timeout, hangup, children, stop
	ASR      bool
}

// DialRequest is one Dial command.
type DialRequest struct {
	Targets              []Target
	Timeout, MaxDuration time.Duration // ring time (of all, or of each when sequential); longest bridge
	Sequential           bool
	CallerID             string
	Ringback             string // early, tone, none or a URL
	Tag                  string
	Record               string // "", record-from-answer or record-from-ringing
	ASR, AnswerOnBridge  bool
	MachineDetection     string // off, sync or async
	Meta                 map[string]any
}

// TargetKind is the element a target was written as.
type TargetKind string

// The kinds of targets, xml.md §4.12.
const (
	To     TargetKind = "To"
	Number TargetKind = "Number"
	Sip    TargetKind = "Sip"
)

// Target is one party to ring.
type Target struct {
	Kind       TargetKind
	Value      string        // as written, templates filled in
	CallerID   string        // "" is that of the Dial
	Timeout    time.Duration // 0 is that of the Dial
	Delay      time.Duration
	SendDigits string // keys after the answer; w waits 500 ms
}

// DialStatus is how a Dial ended.
type DialStatus string

// The ends of a Dial, xml.md §4.11.
const (
	Answered DialStatus = "answered"
	Busy     DialStatus = "busy"
	NoAnswer DialStatus = "no_answer"
	Failed   DialStatus = "failed"
	Canceled DialStatus = "canceled"
)

// DialResult is the end of a Dial.
type DialResult struct {
	Status   DialStatus
	To       string        // who answered
	Duration time.Duration // of the bridge
	Targets  []TargetResult
	FailName string // Q.850 NAME of the last failed leg, e.g. NO_USER_RESPONSE
	Warnings []string
}

// TargetResult is the end of one leg.
type TargetResult struct {
	To, Call string // Call is the uuid of the leg; "" when none was made
	Success  bool
	Q850     int
	Q850Name string
	Reason   string // ECallReason when rules refused it
}

// Voices speaks. Charging is done by the implementation.
type Voices interface {
	// Speak gives the samples and the code of the voice; errors ErrNoText, ErrUnknownVoice, ErrTTS, ErrBalance.
	Speak(ctx context.Context, r SayRequest) (samples []int16, voice string, err error)
}

// SayRequest is a text to speak.
type SayRequest struct {
	Text, Code, Lang string
	Gender           string // MALE or FEMALE
	Type             string // Standard or WaveNet
	Free             bool   `json:",omitempty"` // no command asks for it, so nobody pays
}

// Fetcher makes the HTTP requests of a flow.
type Fetcher interface {
	// Fetch gives any answer that arrived, whatever its status. A timeout is an error with Timeout() true or one
	// that wraps context.DeadlineExceeded; ErrConnect means that nothing was sent.
	Fetch(ctx context.Context, r FetchRequest) (FetchAnswer, error)
	// Media gives the samples of a wav or mp3; errors ErrMediaMissing, ErrMediaUnplayable.
	Media(ctx context.Context, url string) ([]int16, error)
}

// FetchRequest is one HTTP request.
type FetchRequest struct {
	Method, URL string
	Body        []byte
	ContentType string // of Body
	Headers     map[string]string
	Timeout     time.Duration // starts again at each redirect
	Limit       int           // bytes of the answer's body to read; the rest is dropped
	Signed      bool          // carries the signature of the app, if it has a secret (webhooks.md §2)
}

// FetchAnswer is one HTTP answer.
type FetchAnswer struct {
	Status      int
	Header      map[string]string // first value of each
	ContentType string
	Body        []byte
}

// Recordings finds the recordings of the call, also those that the flow did not start. A tag "" means the newest.
type Recordings interface {
	Find(tag string) (RecordInfo, bool)
	// Wait returns when the newest recording with the tag is available: its audio ("record"), its transcript
	// ("transcript"), or what was asked of it (""). Errors ErrNoRecord, ErrRecordFailed, or that of ctx.
	Wait(ctx context.Context, tag, what string) (RecordInfo, error)
	// Samples gives the audio, waiting until it is available; errors as Wait.
	Samples(ctx context.Context, tag string) ([]int16, error)
}

// Journal takes one report for each executed command, in the order of their ends. It must not block.
type Journal interface {
	Done(o Outcome)
}

// Outcome is the report of one command; it becomes one call_flow event (events.md §4.3).
type Outcome struct {
	Name       string
	Path       string // "Gather[1].DTMF[0].Dial[0]"
	Success    bool
	Reason     string
	Attributes map[string]string // as they ran, templates filled in
	Children   []string          // commands inside, "Say[0]"
	Error      []string          // commands of the Error block that runs now
	Result     map[string]any    // result members of the command (xml.md §4), ready for JSON
	Element    View              // as written
	Response   *Response         // of fetching commands
	Warnings   []string
	Started    time.Time
	Ended      time.Time
}

// View is a parsed element as events show it.
type View struct {
	Name       string            `json:"name"`
	Attributes map[string]string `json:"attributes"`
	Text       *string           `json:"text"`
	Children   []View            `json:"children"`
}

// Response is the HTTP answer of a fetching command, its body cut at 4 KiB.
type Response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}
