package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

// watch prints the events of the account as they come and lets the steps wait for them.
type watch struct {
	cancel context.CancelFunc
	done   chan struct{}
	stream *client.Stream

	mu     sync.Mutex // guards what follows
	out    io.Writer
	seen   []client.Event
	failed error
	news   chan struct{} // closed at the next event, and replaced
}

// follow subscribes to everything.
func follow(ctx context.Context, api *client.Client, out io.Writer) (*watch, error) {
	stream, err := api.Subscribe(ctx, []string{"*"}, "")
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	reading, cancel := context.WithCancel(ctx)
	w := &watch{cancel: cancel, done: make(chan struct{}), stream: stream, out: out, news: make(chan struct{})}
	go w.read(reading)
	return w, nil
}

func (w *watch) read(ctx context.Context) {
	defer close(w.done)
	for {
		e, err := w.stream.Next(ctx)
		w.mu.Lock()
		if err != nil {
			w.failed = err
		} else {
			w.seen = append(w.seen, e)
			fmt.Fprintf(w.out, "   | %-11s %s%s\n", e.Type, e.Message, detail(e))
		}
		close(w.news)
		w.news = make(chan struct{})
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// detail tells apart events whose messages are alike.
func detail(e client.Event) string {
	var p struct {
		Delivered bool   `json:"delivered"`
		DTMF      string `json:"dtmf"`
		Command   struct {
			DTMF string `json:"dtmf"`
		} `json:"command"`
	}
	if json.Unmarshal(e.Payload, &p) != nil {
		return ""
	}
	switch {
	case e.Type == "sms" && p.Delivered:
		return ", delivered"
	case p.Command.DTMF != "":
		return ", digits " + p.Command.DTMF
	}
	return ""
}

func (w *watch) close() {
	w.cancel()
	<-w.done
	w.stream.Close()
}

// say prints without mixing with an event.
func (w *watch) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.out, format, args...)
}

// await gives the first event that matches, of all that came since the start.
func (w *watch) await(ctx context.Context, within time.Duration, what string, match func(client.Event) bool) (client.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for next := 0; ; {
		w.mu.Lock()
		fresh, failed, news := w.seen[next:], w.failed, w.news
		w.mu.Unlock()
		for _, e := range fresh {
			if match(e) {
				return e, nil
			}
		}
		next += len(fresh)
		if failed != nil {
			return client.Event{}, fmt.Errorf("waiting for %s: %w", what, failed)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return client.Event{}, fmt.Errorf("%s did not come within %s", what, within)
		}
	}
}

// about gives all events about one object, in order.
func (w *watch) about(kind, ref string) []client.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []client.Event
	for _, e := range w.seen {
		if e.Type == kind && e.RefID == ref {
			out = append(out, e)
		}
	}
	return out
}

func (w *watch) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, e := range w.seen[max(0, len(w.seen)-8):] {
		fmt.Fprintf(&b, "%s %s: %.300s\n", e.Type, e.Message, e.Payload)
	}
	return b.String()
}

// payload takes members out of an event's payload.
func payload[T any](e client.Event) (out T, err error) {
	err = json.Unmarshal(e.Payload, &out)
	return out, err
}
