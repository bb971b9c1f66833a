package phone

import "time"

const (
	// DefaultHear is how much of what was heard a call keeps, the latest.
	DefaultHear = 5 * time.Minute
	// DefaultMaxCalls is how many calls a phone has at one time; more are refused with 503.
	DefaultMaxCalls = 1000

	hangupWait = 2 * time.Second        // for the far side to confirm the end of a call
	keyBuffer  = 64                     // keys nobody has asked for; later ones are only in Pressed
	maxPressed = 1024                   // keys kept for Pressed
	earSlack   = 10 * time.Second       // kept above the limit before old sound is thrown away, so that this is rare
	earSignal  = 5                      // frames between two looks at what was heard
	echoFrames = 10                     // at most 200 ms of delay
	keyLength  = 160 * time.Millisecond // of a key that is sent as a tone
	keyGap     = 100 * time.Millisecond
)
