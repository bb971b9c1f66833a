package sandbox

import "time"

// Limits of the carrier. Times that a caller notices are in Times.
const (
	DefaultLow  = 30000 // UDP ports of the media
	DefaultHigh = 30999

	maxCall       = 10 * time.Minute // length of any call
	maxListening  = 100              // calls whose sound is kept at one time
	hearing       = 2 * time.Minute  // kept of each, the latest
	maxResults    = 500              // on the shelf
	maxShelfSound = 32 << 20         // bytes of sound on the shelf
	maxOverloaded = 4096             // callers of 0009 that wait for their next attempt
	overloadFor   = time.Minute      // after that the next attempt counts as a first one

	maxPlayBytes = 20 << 20
	maxPlay      = 10 * time.Minute

	inboundWait = 5 * time.Second // for the platform to tell which call it made of ours
	refusedWait = time.Second     // the same once it has refused the call
	goodbyeWait = 2 * time.Second

	quietAfter  = 700 * time.Millisecond // silence that ends an utterance
	leastSound  = 300 * time.Millisecond // of something said, when words cannot be told
	mostToRead  = 30 * time.Second       // of sound that is recognised at one time
	readingTime = 20 * time.Second
)

// Times are how long the simulated people take. Zero values mean the defaults of the contract.
type Times struct {
	Ring     time.Duration // before an answer: 1 s
	Stay     time.Duration // after an answer: 10 s
	NoAnswer time.Duration // until a number that never answers is given up: 3 min
	Record   time.Duration // of the answering machine: 1 min
	Expect   time.Duration // an expect_say step waits: 15 s
}

func (t Times) filled() Times {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&t.Ring, time.Second}, {&t.Stay, 10 * time.Second}, {&t.NoAnswer, 3 * time.Minute}, {&t.Record, time.Minute}, {&t.Expect, 15 * time.Second}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return t
}
