package sip

import "time"

// Limits of the package. All that comes from the network is bounded by one of these.
const (
	maxMessage      = 64 << 10 // bytes of one message with its body; longer ones are dropped
	maxHeaders      = 256      // header lines of one message
	maxOutboxEvents = 64       // events kept for a dialog nobody observes yet; INFO and re-offers beyond it are refused

	udpReadBuffer    = 4 << 20 // bytes asked of the kernel: 208 kB is 30 ms at 5,000 packets/s
	shardQueue       = 8192    // messages waiting for one worker; beyond it they are dropped unparsed
	shedQueue        = 2048    // from here on new calls get 503 without further work
	streamQueue      = 256     // messages waiting for one stream's writer; a peer that does not read loses its connection
	maxStreams       = 16384   // open stream connections
	streamIdle       = 30 * time.Minute
	streamMessage    = 10 * time.Second // from the first byte of a message to its last
	streamDial       = 5 * time.Second
	acceptPause      = 50 * time.Millisecond // after a failed accept
	streamWrite      = 10 * time.Second
	maxRequests      = 2048 // out-of-dialog requests at work in the Handler; beyond it they get 503
	maxSources       = 65536
	sweepEvery       = time.Second // of those that are noted, when there are that many
	suspectFailures  = 5           // failed requests of a source that nobody knows
	suspectWindow    = time.Minute
	banFor           = 5 * time.Minute
	defaultRate      = 10000 // new requests per second and source address
	wheelSlots       = 1024
	answererPatience = 10 * time.Second // how long the owner may think about a re-offer

	maxRinging       = 10 * time.Minute       // inbound calls whose owner never decides, and peers that go silent after a 1xx
	tryingAfter      = 100 * time.Millisecond // an INVITE that nobody answered so far gets 100; RFC 3261 §17.2.1 wants it within 200 ms
	provisionalAgain = time.Minute            // keeps proxies on the way from giving up (RFC 3261 §13.3.1.1)

	defaultT1 = 500 * time.Millisecond // RFC 3261 Table 4
	defaultT2 = 4 * time.Second
	defaultT4 = 5 * time.Second

	// DefaultSessionExpires is offered in every call and MinSessionExpires the least accepted (RFC 4028 §4, §5).
	DefaultSessionExpires = 1800 * time.Second
	MinSessionExpires     = 90 * time.Second
	// DefaultPreAnswer is how long an INVITE may stay without any answer, 100 included.
	DefaultPreAnswer = 4 * time.Second
	// DefaultRingTimeout ends an outbound call that nobody answers.
	DefaultRingTimeout = 180 * time.Second

	nonceLife  = 60 * time.Second
	maxNonces  = 65536 // nonces whose count is remembered per minute; beyond it a caller is asked again
	maxAuthTry = 2     // challenges answered per request: the first and one "stale"
)
