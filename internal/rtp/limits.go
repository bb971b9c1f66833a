package rtp

import "time"

// Limits and times of the package.
const (
	// DefaultJitterTarget is the delay the jitter buffer begins with.
	DefaultJitterTarget = 40 * time.Millisecond
	// DefaultJitterMax is the delay it never exceeds.
	DefaultJitterMax = 200 * time.Millisecond
	// DefaultSilenceAfter is how long no packet may come before OnSilence.
	DefaultSilenceAfter = 60 * time.Second
	// DefaultKeyDuration and DefaultKeyGap are how SendKeys presses a key.
	DefaultKeyDuration = 160 * time.Millisecond
	DefaultKeyGap      = 100 * time.Millisecond
	// KeyPause is what a 'w' among the digits of SendKeys means.
	KeyPause = 500 * time.Millisecond

	minKeyDuration = 40 * time.Millisecond // RFC 4733 §2.3.5: shorter is not reliably seen
	maxKeyDuration = 8 * time.Second       // 16 bits of timestamp units
	maxKeys        = 256                   // digits of one SendKeys

	maxDatagram = 1600 // bytes; no audio packet is longer than an Ethernet frame

	latchPackets = 5                      // in a row before another source is believed
	latchSilence = 100 * time.Millisecond // and this long nothing from the current one

	reportInterval = 5 * time.Second // RFC 3550 §6.2
	bridgeSilence  = time.Second     // a relayed leg that is silent this long gets comfort silence
	bindAttempts   = 256             // ports tried before giving up when others hold them

	minIdle   = 64                     // pairs of sockets that ended: from so many on, the oldest are used again
	maxIdle   = 1024                   // beyond it they are closed
	restFor   = 500 * time.Millisecond // what still comes for an old call shall not reach a new one
	idleFor   = 3 * time.Second        // then they are closed
	lateLimit = 8                      // datagrams that came meanwhile: with more, somebody still sends there

	clockMaxLate = 200 * time.Millisecond
	joinChoice   = 4 // slots from which a joining stream takes the emptiest
)
