package call

import "time"

// Limits are the times of an engine that an operator or a test may set; zero values are the defaults.
type Limits struct {
	Drain        time.Duration // after the end of Run's context calls may go on for so long; default 30 s
	RingTimeout  time.Duration // of a Dial or Place that names none; default 60 s
	PreAnswer    time.Duration // a route that says nothing for so long is given up; default 4 s
	MaxDuration  time.Duration // of a call or bridge that names none; default 4 h
	MediaTimeout time.Duration // an answered leg without any packet ends; default 60 s
	CloseFile    time.Duration // how long destroyed waits for a recording's file; default 5 s
}

const (
	maxInbox     = 512              // requests of the far side that wait for the call's goroutine; more are refused
	maxAttempts  = 3                // routes of one target (voice-semantics: at most 3 carriers)
	maxTargets   = 30               // legs of one Dial
	maxKeys      = 128              // unread keys; later ones are dropped
	maxRing      = 30 * time.Minute // outlives every ring timer of ours
	sameKey      = 500 * time.Millisecond
	keyDuration  = 160 * time.Millisecond
	keyPause     = 500 * time.Millisecond
	keyGap       = 100 * time.Millisecond
	shards       = 32
	maxSources   = 1024        // far sides whose own address of ours is remembered
	sourceFor    = time.Second // and for how long: routes change
	recordBuffer = 10 * 8000   // samples of each channel that wait for the disk; more are lost and become silence
	recordChunk  = 1600        // samples after which the writer is woken
	recordSlack  = 200 * time.Millisecond
	trimPending  = 30 * 8000 // samples of a pause kept as they were when trimming
	maxRecord    = 4 * time.Hour
	convertLimit = 10 * time.Minute
)

func (l *Limits) fill() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&l.Drain, 30*time.Second)
	set(&l.RingTimeout, time.Minute)
	set(&l.PreAnswer, 4*time.Second)
	set(&l.MaxDuration, 4*time.Hour)
	set(&l.MediaTimeout, time.Minute)
	set(&l.CloseFile, 5*time.Second)
}
