package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
	"github.com/opentact/opentact/internal/cli/hook"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/webhook"
)

// Limits of what listen holds and shows.
const (
	listenQueue = 1000 // events that wait for the program; when full the websocket waits, and is resumed from its cursor if the server ends it
	shownAnswer = 200  // characters of a refusal's body
)

// receiver are the flags of the commands that post to a program themselves.
type receiver struct {
	Secret     string `placeholder:"whsec_…" help:"Sign with this secret. Default: a new one, which is printed."`
	SkipVerify bool   `help:"Take any TLS certificate of the program."`
}

// sender opens the way to a program; the secret is said when it was made here.
func (r *receiver) sender(p *Program, to string, waiting func(error)) (s *hook.Sender, secret string, err error) {
	secret = r.Secret
	if secret == "" {
		secret = webhook.MakeSecret()
	}
	s, err = hook.New(hook.Config{URL: to, Secret: secret, Version: p.Version, SkipVerify: r.SkipVerify, Waiting: waiting})
	if err != nil {
		return nil, "", misuse("%v", err)
	}
	if secret == r.Secret {
		secret = "" // the caller has it
	}
	return s, secret, nil
}

// listenCmd brings the account's events to a program without a public address.
type listenCmd struct {
	connection `embed:""`
	receiver   `embed:""`
	ForwardTo  string   `required:"" placeholder:"URL" help:"The program, such as http://localhost:3000/hook."`
	Types      []string `default:"*" placeholder:"TYPE" help:"Event types, comma separated, such as call_state,sms."`
	Since      string   `placeholder:"CURSOR" help:"Begin behind this cursor instead of with what happens now."`
	Count      int      `placeholder:"N" help:"End after so many events; with 1 when the program did not take them all."`
}

// Help shows how it is used.
func (c *listenCmd) Help() string {
	return `Each event of the account is posted to a program on this machine exactly as a webhook endpoint would get it, signed, one after the other. A program that is not up is
waited for; a lost connection to the server is resumed without a gap. Ctrl-C ends it and says where to go on.

Examples:

    opentact listen --forward-to http://localhost:3000/hook
    opentact listen --forward-to http://localhost:3000/hook --types sms,call_state --secret "$SECRET"
    opentact listen --forward-to https://localhost:3443/hook --skip-verify --since c_000000000000002a`
}

// listener is one run of the command.
type listener struct {
	cmd     *listenCmd
	out     io.Writer
	to      *hook.Sender
	cursor  string // of the last event that the program had
	refused int    // events that it did not take

	mu  sync.Mutex // guards err: two goroutines write to it
	err io.Writer
}

func (l *listener) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.err, format+"\n", args...)
}

func (c *listenCmd) Run(ctx context.Context, p *Program) error {
	if err := checkCursor(c.Since); err != nil {
		return err
	}
	api, err := c.client(p)
	if err != nil {
		return err
	}
	l := &listener{cmd: c, out: p.Out, err: p.Err}
	waiting := func(error) { l.say("nobody listens at %s yet; waiting for it", c.ForwardTo) }
	var secret string
	if l.to, secret, err = c.sender(p, c.ForwardTo, waiting); err != nil {
		return err
	}
	err = l.follow(ctx, api, secret)
	if l.cursor != "" && (err != nil || ctx.Err() != nil) {
		l.say("Ended. Go on with --since %s", l.cursor)
	}
	if err != nil {
		return advised(api, err)
	}
	if l.refused > 0 && ctx.Err() == nil {
		return fmt.Errorf("%d of %d events were not taken by %s", l.refused, c.Count, c.ForwardTo)
	}
	return nil
}

// follow reads events and hands them to the goroutine that posts, so that a slow program does not keep the websocket from answering.
func (l *listener) follow(ctx context.Context, api *client.Client, secret string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	queue := make(chan client.Event, listenQueue)
	posted := make(chan error, 1)
	go func() {
		err := l.post(ctx, queue)
		stop() // when it has enough, nobody reads the queue any more
		posted <- err
	}()
	opened, lost := false, false
	f := client.Following{
		Types: l.cmd.Types, Since: l.cmd.Since,
		Lost: func(err error) {
			if !lost {
				l.say("connection lost, coming back: %v", err)
			}
			lost = true
		},
		Opened: func(cursor string) {
			if lost = false; opened {
				l.say("connection is back, going on behind %s", cursor)
				return
			}
			opened = true
			l.say("Ready: events of %s go to %s from %s on. Ctrl-C ends.", api.Base(), l.cmd.ForwardTo, cursor)
			if secret != "" {
				l.say("Your signing secret is %s", secret)
			}
		},
	}
	err := api.Follow(ctx, f, func(e client.Event) error {
		select {
		case queue <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		stop() // signed out: what waits for the program comes again with --since
	}
	close(queue)
	if failed := <-posted; failed != nil {
		return failed
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// post sends what is in the queue, in order, until it is closed, ctx ends or there were enough.
func (l *listener) post(ctx context.Context, queue <-chan client.Event) error {
	seen := 0
	for e := range queue {
		if ctx.Err() != nil {
			return nil
		}
		o := l.to.Send(ctx, hook.Event{UUID: e.UUID, Type: e.Type, Body: e.Raw})
		if ctx.Err() != nil {
			return nil // stopped in the middle: it comes again with --since
		}
		l.cursor = e.Cursor
		if !o.Good() {
			l.refused++
		}
		if err := l.print(e, o); err != nil {
			return err
		}
		if seen++; seen == l.cmd.Count {
			return nil
		}
	}
	return nil
}

// forwarded is a line of listen --json.
type forwarded struct {
	UUID     string  `json:"uuid"`
	Cursor   string  `json:"cursor"`
	Type     string  `json:"type"`
	RefID    string  `json:"ref_id"`
	Attempts int     `json:"attempts"`
	Status   *int    `json:"status"`
	Duration int64   `json:"duration_ms"`
	Error    *string `json:"error"`
}

func (l *listener) print(e client.Event, o hook.Outcome) error {
	if l.cmd.JSON {
		line := forwarded{UUID: e.UUID, Cursor: e.Cursor, Type: e.Type, RefID: e.RefID, Attempts: o.Attempts, Duration: o.Took.Milliseconds()}
		if o.Status != 0 {
			line.Status = &o.Status
		}
		if text := o.Problem(); text != "" {
			line.Error = &text
		}
		return json.NewEncoder(l.out).Encode(line)
	}
	status := "---"
	if o.Status != 0 {
		status = strconv.Itoa(o.Status)
	}
	text := fmt.Sprintf("%s  %-11s  %s  %s  %d ms", o.Started.Format("15:04:05.000"), e.Type, e.RefID, status, o.Took.Milliseconds())
	if problem := o.Problem(); problem != "" {
		text += "  " + problem
		if said := firstLine(o.Body); said != "" {
			text += ": " + said
		}
	}
	_, err := fmt.Fprintln(l.out, text)
	return err
}

// firstLine is what a refusal says, for a line of ours.
func firstLine(body []byte) string {
	text, _, _ := strings.Cut(strings.TrimSpace(strings.ToValidUTF8(string(body), "?")), "\n")
	if r := []rune(text); len(r) > shownAnswer {
		text = string(r[:shownAnswer]) + "…"
	}
	return strings.TrimSpace(text)
}

// checkCursor refuses what is no cursor before a server has to.
func checkCursor(text string) error {
	if text == "" {
		return nil
	}
	if _, err := event.ParseCursor(text); err != nil {
		return misuse("--since: %q is not a cursor like %s; opentact events tail --json shows those of events", text, event.FormatCursor(42))
	}
	return nil
}

// ago reads a time, or how long ago it was.
func ago(name, text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, misuse("%s: %q is neither a time like 2026-02-03T09:15:00Z nor how long ago, like 2h", name, text)
}
