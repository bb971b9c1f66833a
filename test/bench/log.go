package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
)

// Appenders of the log and the sockets that hear of it, and what they should reach together.
const (
	logAppenders = 128
	logSockets   = 4
	logAhead     = 500 // events that a socket may be behind: its queue takes 1,000
	logTarget    = 20_000.0
)

// eventLog appends events, each in a transaction of its own that is durable before the next, and fans them out to websockets that see that all come in order. All of
// it runs in this process, on the server's core (over REST it would measure REST); PostgreSQL has the other one.
func (b *bench) eventLog() (err error) {
	if err := moveTo(serverCore); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, moveTo(generatorCore)) }()
	for _, postgres := range []bool{false, true} {
		if err := b.appendMany(postgres); err != nil {
			return err
		}
	}
	return nil
}

// moveTo moves this process, not what it started, to a core.
func moveTo(core string) error {
	out, err := exec.Command("taskset", "-a", "-p", "-c", core, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, out)
	}
	return nil
}

func (b *bench) appendMany(postgres bool) (err error) {
	name, url := "SQLite", "sqlite:"+filepath.Join(b.dir, "log.db")
	if postgres {
		name = "PostgreSQL"
		if url, err = b.database(); err != nil {
			return err
		}
	}
	d, err := db.Open(b.ctx, db.Config{URL: url})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.MigrateUp(b.ctx); err != nil {
		return err
	}
	log := event.NewLog(event.Config{DB: d})
	heard, err := b.hear(d, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, heard.end()) }()
	payload := map[string]any{"state": "live", "duration": 2, "from": "+13125550144", "to": "12125550170", "direction": "in"}
	before, began := ownCPU(), time.Now()
	var made atomic.Int64
	n, _, err := b.many(logAppenders, func(int, int) error {
		for made.Add(1)-heard.least() > logAhead && b.ctx.Err() == nil && heard.err() == nil {
			made.Add(-1)
			time.Sleep(100 * time.Microsecond)
		}
		return d.Update(b.ctx, func(_ context.Context, tx *db.Tx) error {
			return log.Append(tx, event.Event{Account: "a", Type: "call_state", RefID: "r", Message: "CallSCA in +13125550144 > 12125550170 - live", Payload: payload})
		})
	})
	for err == nil && heard.least() < n {
		err = errors.Join(heard.err(), b.wait(time.Millisecond))
	}
	if err != nil {
		return err
	}
	wall, cpu := time.Since(began), ownCPU()-before
	b.t.least("events durable and fanned out, "+name, float64(n)/wall.Seconds(), logTarget, "/s", "JetStream SyncAlways 4,800/s")
	b.t.plain(fmt.Sprintf("  frames to %d sockets, %s", logSockets, name), show(float64(n*logSockets)/wall.Seconds())+" /s")
	b.t.plain("  CPU per event, "+name, fmt.Sprintf("%.1f µs", float64(cpu.Microseconds())/float64(max(n, 1))))
	return nil
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
