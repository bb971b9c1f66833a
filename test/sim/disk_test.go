package sim

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/db"
)

// Errors of the database that mean "gone": net.ErrClosed among their causes makes them so.
var (
	errDisk = fmt.Errorf("the disk fails: %w", net.ErrClosed)
	errDead = fmt.Errorf("the process is dead: %w", net.ErrClosed)
)

// disk is the storage of a world, which outlives its processes.
type disk struct {
	w *world

	mu    sync.Mutex // guards what follows
	at    int        // millisecond of the last stage
	nth   int        // stage within it
	hits  int        // stages that failed
	kills map[db.Stage]bool
}

// fault tells whether a stage of a transaction fails, by the time and the place within it.
func (k *disk) fault(l *life, s db.Stage) error {
	if l.dead.Load() {
		return errDead
	}
	w := k.w
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kills[s] {
		delete(k.kills, s)
		w.trace.add("killed at %s", s)
		l.die()
		return errDead
	}
	if w.healed.Load() {
		return nil
	}
	// By the instant, so that it does not matter which of two goroutines comes first; some statements of it pass.
	at := time.Since(w.start)
	ms := int(at.Milliseconds())
	if ms != k.at {
		k.at, k.nth = ms, 0
	}
	pass := 0
	if s == db.Statement {
		k.nth++
		pass = w.pick(5, "statements that pass", ms)
	}
	if (s == db.Begin || s == db.Reading) && w.outage(at) || w.chance(w.mood.disk, "disk "+string(s), ms) && k.nth >= pass {
		k.hits++
		w.trace.add("disk: %s fails", s)
		return errDisk
	}
	return nil
}

// killAt lets the process die at its next transaction's stage.
func (k *disk) killAt(s db.Stage) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kills[s] = true
}

func (k *disk) failed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.hits > 0
}

// outage tells the seconds in which no transaction begins.
func (w *world) outage(at time.Duration) bool {
	for i := range w.mood.outages {
		from := w.between(0, w.busy, "outage", i)
		if at >= from && at < from+w.between(100*time.Millisecond, 4*time.Second, "outage's length", i) {
			return true
		}
	}
	return false
}

// forget ends all trouble that waits for its stage.
func (k *disk) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.kills)
}
