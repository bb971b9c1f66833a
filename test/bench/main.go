package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// measurement is one part of the run.
type measurement struct {
	name string
	run  func(*bench) error
}

func measurements() []measurement {
	return []measurement{
		{"start", (*bench).firstStart},
		{"calls", (*bench).answeredCalls},
		{"latency", (*bench).latencies},
		{"playback", (*bench).playback},
		{"bridge", (*bench).bridge},
		{"messages", (*bench).messages},
		{"rest", (*bench).rest},
		{"events", (*bench).fanOut},
		{"deaf", (*bench).deaf},
		{"idle", (*bench).idle},
		{"log", (*bench).eventLog},
		{"webhooks", (*bench).webhooks},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what the flags choose. A missed target is no error: the table shows it.
func run(ctx context.Context) (err error) {
	b := &bench{ctx: ctx, t: &table{out: os.Stdout}}
	only := flag.String("only", "", "comma list of measurements: start, calls, latency, playback, bridge, messages, rest, events, deaf, idle, log, webhooks")
	short := flag.Bool("short", false, "5 s per rate instead of -duration")
	flag.StringVar(&b.binary, "server", "bin/opentact", "the program to measure")
	flag.StringVar(&b.sipp, "sipp", "test/sipp", "directory of the scenarios for SIPp")
	flag.DurationVar(&b.duration, "duration", 60*time.Second, "time per rate (SIP transactions linger 32 s: shorter runs flatter)")
	flag.StringVar(&b.profile, "profile", "", "write the server's CPU profile while it gets messages to this file and the database's name")
	flag.Parse()
	if *short {
		b.duration = 5 * time.Second
	}
	for _, path := range []*string{&b.binary, &b.sipp} { // the server has a working directory of its own
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	if err := pinSelf(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	chosen := strings.Split(*only, ",")
	for _, m := range measurements() {
		if *only != "" && !contains(chosen, m.name) {
			continue
		}
		fmt.Fprintf(b.t.out, "%s\n", m.name)
		if e := m.run(b); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.name, e))
			fmt.Fprintf(b.t.out, "  failed: %v\n", e)
		}
		if ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
	}
	b.t.print()
	return err
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if strings.TrimSpace(x) == s {
			return true
		}
	}
	return false
}
