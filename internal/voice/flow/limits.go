package flow

import "time"

// Limits of a document, xml.md §1.
const (
	maxBytes    = 64 << 10
	maxDepth    = 32
	maxElements = 4096
	maxAttrs    = 64 // of one element
	maxTag      = 255
	maxTargets  = 10
	maxSpoken   = 4000 // characters of a Say
)

// Limits of a call. Zero members of Limits mean these.
const (
	maxDocuments  = 100
	maxCommands   = 1000
	maxMetaNames  = 50
	maxAnswers    = 20       // stored answers of Curl
	maxAnswerSize = 64 << 10 // bytes kept of each
	maxValue      = 4 << 10  // bytes a template puts in
	maxShown      = 4 << 10  // bytes of an answer in the report
	maxUnawaited  = 4        // requests that nobody waits for at one time; the next one waits
)

// Times that the contract gives.
const (
	fetchTimeout    = 5 * time.Second
	longestFetch    = 2 * time.Minute
	recordingAwait  = 5 * time.Second // Play of a recording that is not ready
	shortestRecord  = 500 * time.Millisecond
	olderSecondsMax = 600 // Dial timeout: values up to this are seconds
)

// Limits bound one call; the zero value is the contract's.
type Limits struct {
	Documents int // the first one, fetches, pushes
	Commands  int // executed commands
}

func (l Limits) filled() Limits {
	if l.Documents == 0 {
		l.Documents = maxDocuments
	}
	if l.Commands == 0 {
		l.Commands = maxCommands
	}
	return l
}
