// Demo shows a server at work: it starts one on free ports, buys two numbers, has a simulated caller place a real SIP call with sound through a call flow, sends
// messages with receipts, prints every event as it comes, and leaves the recording of the call as a WAV file. It ends with 0 only when every step was observed.
//
// main.go is the list of the steps; server.go runs the program under show, watch.go collects its events, numbers.go, call.go, message.go and money.go are the
// steps, sound.go judges the recording. All of it goes through the public API, as a customer would.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

const limit = 60 * time.Second // for everything

func main() {
	server := flag.String("server", "bin/opentact", "program to start")
	wav := flag.String("wav", "demo.wav", "where to leave the recording of the call")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := show(ctx, *server, *wav, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// demo is what the steps share.
type demo struct {
	out    io.Writer
	api    *client.Client
	events *watch
	wav    string

	numbers [2]lease
	call    string // uuid of the call
}

// step is one thing to be observed.
type step struct {
	title string
	do    func(*demo, context.Context) error
}

var steps = []step{
	{"Buying two numbers", (*demo).buyNumbers},
	{"Making a call flow for the first number", (*demo).makeFlow},
	{"Turning on messages for both numbers", (*demo).enableMessages},
	{"A simulated caller rings the first number and runs the flow", (*demo).receiveCall},
	{"Fetching the recording", (*demo).fetchRecording},
	{"Sending a message and waiting for its receipt", (*demo).sendMessage},
	{"Sending a message from one number to the other", (*demo).sendBetween},
	{"Balance and transactions", (*demo).showMoney},
}

// lines lets the steps and the events write to one output.
type lines struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// show starts the server, takes the steps and ends the server.
func show(ctx context.Context, program, wav string, out io.Writer) error {
	began := time.Now()
	out = &lines{w: out}
	fmt.Fprintln(out, "== Starting the server on free ports")
	s, err := start(ctx, program)
	if err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	defer s.remove()
	fmt.Fprintf(out, "   API %s, SIP %s\n", s.api.Base(), s.sip)
	d := &demo{out: out, api: s.api, wav: wav}
	if d.events, err = follow(ctx, s.api, out); err == nil {
		err = d.take(ctx)
		d.events.close()
	}
	fmt.Fprintln(out, "== Ending the server with SIGTERM")
	if stopErr := s.stop(); stopErr != nil {
		err = errors.Join(err, fmt.Errorf("ending the server: %w", stopErr))
	} else {
		fmt.Fprintln(out, "   it drained and ended with code 0")
	}
	if err != nil {
		return fmt.Errorf("%w\n\nlast lines of the server's log:\n%s", err, s.log.tail())
	}
	fmt.Fprintf(out, "\nEvery step was observed in %.1f s. The recording of the call is %s.\n", time.Since(began).Seconds(), wav)
	return nil
}

func (d *demo) take(ctx context.Context) error {
	for i, st := range steps {
		fmt.Fprintf(d.out, "== %d. %s\n", i+1, st.title)
		if err := st.do(d, ctx); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w (the whole demo may take %s)", err, limit)
			}
			return fmt.Errorf("step %d, %s: %w\n\nevents seen last:\n%s", i+1, st.title, err, d.events.tail())
		}
	}
	return nil
}

// say prints what a step has observed.
func (d *demo) say(format string, args ...any) {
	d.events.say("   "+format+"\n", args...)
}
