package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
	"github.com/opentact/opentact/internal/cli/hook"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/ident"
)

// eventsGetCmd shows one event of the log.
type eventsGetCmd struct {
	connection `embed:""`
	Event      string `arg:"" name:"event" help:"Uuid or cursor of the event."`
}

// reported is a line of an event's delivery report.
type reported struct {
	Webhook   string `json:"webhook"`
	State     string `json:"state"`
	Status    *int   `json:"status"`
	Attempt   int    `json:"attempt"`
	Attempted string `json:"attempted_on"`
}

func (c *eventsGetCmd) Run(ctx context.Context, p *Program) error {
	api, err := c.client(p)
	if err != nil {
		return err
	}
	e, err := eventNamed(ctx, api, c.Event)
	if err != nil {
		return advised(api, err)
	}
	var raw json.RawMessage
	if err := api.Do(ctx, "GET", "/rest/event/"+e.UUID, nil, &raw); err != nil {
		return advised(api, err)
	}
	if c.JSON {
		return printJSON(p.Out, raw)
	}
	var full struct {
		client.Event
		Report []reported `json:"delivery_report"`
	}
	if err := json.Unmarshal(raw, &full); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	fmt.Fprintf(p.Out, "%s  %s\nuuid    %s\ncursor  %s\nabout   %s\n        %s\n", full.CreatedOn, full.Type, full.UUID, full.Cursor, full.RefID, full.Message)
	if len(full.Report) == 0 {
		_, err = fmt.Fprintln(p.Out, "no webhook endpoint wanted it; --json shows the whole event")
		return err
	}
	for _, r := range full.Report {
		status := "no answer"
		if r.Status != nil {
			status = fmt.Sprint("status ", *r.Status)
		}
		fmt.Fprintf(p.Out, "webhook %s  %s after %s, the last at %s: %s\n", r.Webhook, r.State, count(r.Attempt, "attempt", "attempts"), r.Attempted, status)
	}
	return nil
}

// eventNamed finds an event by its uuid or cursor; Raw is as it was sent.
func eventNamed(ctx context.Context, api *client.Client, name string) (client.Event, error) {
	missing := fmt.Errorf("there is no event %s; the log may have forgotten it, opentact events tail --json shows uuid and cursor of new ones", name)
	if ident.Valid(name) {
		var e client.Event
		err := api.Do(ctx, "GET", "/rest/event/"+name, nil, &e)
		if client.IsStatus(err, 404) {
			return e, missing
		}
		if err != nil {
			return e, err
		}
		name = e.Cursor // the log's page has the bytes without the report
	}
	at, err := event.ParseCursor(name)
	if err != nil || at == 0 {
		return client.Event{}, misuse("%q is neither the uuid nor the cursor of an event", name)
	}
	var page struct {
		Data []json.RawMessage `json:"data"`
	}
	err = api.Do(ctx, "GET", "/rest/event?"+url.Values{"since": {event.FormatCursor(at - 1)}, "take": {"1"}}.Encode(), nil, &page)
	if client.IsStatus(err, 410) {
		return client.Event{}, missing
	}
	if err != nil {
		return client.Event{}, err
	}
	var e client.Event
	if len(page.Data) == 1 {
		if err := json.Unmarshal(page.Data[0], &e); err != nil {
			return e, fmt.Errorf("event: %w", err)
		}
		e.Raw = page.Data[0]
	}
	if e.Cursor != event.FormatCursor(at) {
		return e, missing
	}
	return e, nil
}

// eventsResendCmd sends events again.
type eventsResendCmd struct {
	connection `embed:""`
	receiver   `embed:""`
	Events     []string `arg:"" optional:"" name:"event" help:"Uuids or cursors of events."`
	Since      string   `placeholder:"TIME" help:"Instead of single events all deliveries from this time on: 2026-02-03T09:15:00Z, or how long ago, such as 2h."`
	Until      string   `placeholder:"TIME" help:"Where --since ends. Default: now."`
	Type       []string `placeholder:"TYPE" help:"With --since: only events of these types, comma separated."`
	State      string   `default:"failed" enum:"failed,success,canceled,all" help:"With --since: what became of them before: ${enum}."`
	Endpoint   []string `placeholder:"UUID" xor:"to" help:"Only to these webhook endpoints. Default: every active one of the account."`
	ForwardTo  string   `placeholder:"URL" xor:"to" help:"Post the events from here to this URL instead."`
}

// Help shows how it is used.
func (c *eventsResendCmd) Help() string {
	return `A delivery that is sent again has the same webhook-id and the same body as before, and a new time, signature and retry schedule. An endpoint gets only what it was sent
before; --forward-to sends any event of the log.

Examples:

    opentact events resend c_000000000000002a
    opentact events resend --since 2h --type sms,call_state
    opentact events resend --since 2026-02-03T09:00:00Z --until 2026-02-03T10:00:00Z --state all
    opentact events resend c_000000000000002a --forward-to http://localhost:3000/hook --secret "$SECRET"`
}

// resent is what events resend --json prints.
type resent struct {
	Queued int `json:"queued"`
}

func (c *eventsResendCmd) Run(ctx context.Context, p *Program) error {
	switch {
	case len(c.Events) == 0 && c.Since == "":
		return misuse("events resend needs the uuid or cursor of events, or --since")
	case len(c.Events) > 0 && (c.Since != "" || c.Until != ""):
		return misuse("events resend takes either events, or --since and --until")
	case len(c.Events) == 0 && c.ForwardTo != "":
		return misuse("events resend --forward-to needs the events: opentact listen --forward-to %s --since CURSOR forwards all behind a cursor", c.ForwardTo)
	}
	api, err := c.client(p)
	if err != nil {
		return err
	}
	if c.ForwardTo != "" {
		return advised(api, c.forward(ctx, p, api))
	}
	var queued int
	if len(c.Events) > 0 {
		queued, err = c.single(ctx, p, api)
	} else {
		queued, err = c.between(ctx, p, api)
	}
	if err != nil {
		return advised(api, err)
	}
	if c.JSON {
		return printJSON(p.Out, resent{queued})
	}
	_, err = fmt.Fprintf(p.Out, "%s queued\n", count(queued, "delivery", "deliveries"))
	return err
}

// single queues the deliveries of single events.
func (c *eventsResendCmd) single(ctx context.Context, p *Program, api *client.Client) (queued int, err error) {
	endpoints, err := chosenEndpoints(ctx, api, c.Endpoint)
	if err != nil {
		return 0, err
	}
	for _, name := range c.Events {
		e, err := eventNamed(ctx, api, name)
		if err != nil {
			return queued, err
		}
		before := queued
		for _, to := range endpoints {
			var page struct {
				Data []struct {
					UUID string `json:"uuid"`
				} `json:"data"`
			}
			path := "/rest/webhook/" + to.UUID + "/delivery"
			if err := api.Do(ctx, "GET", path+"?event="+e.UUID, nil, &page); err != nil {
				return queued, err
			}
			for _, d := range page.Data {
				if err := api.Do(ctx, "POST", path+"/"+d.UUID+"/replay", map[string]any{}, nil); err != nil {
					return queued, err
				}
				queued++
				c.tell(p, "%s  %s  %s → %s", e.Cursor, e.Type, e.UUID, to.URL)
			}
		}
		if queued == before {
			return queued, fmt.Errorf("event %s was not for %s when it happened, so there is nothing to send again; --forward-to URL sends it from here", name, these(endpoints))
		}
	}
	return queued, nil
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func these(list []endpoint) string {
	if len(list) == 1 {
		return list[0].URL
	}
	return fmt.Sprintf("any of the %d endpoints", len(list))
}

// between queues what was sent in a time.
func (c *eventsResendCmd) between(ctx context.Context, p *Program, api *client.Client) (queued int, err error) {
	now := time.Now()
	from, err := ago("--since", c.Since, now)
	until := now
	if err == nil && c.Until != "" {
		until, err = ago("--until", c.Until, now)
	}
	if err == nil && until.Before(from) {
		err = misuse("--until is before --since")
	}
	if err != nil {
		return 0, err
	}
	endpoints, err := chosenEndpoints(ctx, api, c.Endpoint)
	if err != nil {
		return 0, err
	}
	states := []string{c.State}
	if c.State == "all" {
		states = []string{"success", "failed", "canceled"}
	}
	const layout = "2006-01-02T15:04:05.000Z"
	for _, to := range endpoints {
		here := 0
		for _, state := range states {
			body := map[string]any{"created_on_from": from.UTC().Format(layout), "created_on_to": until.UTC().Format(layout), "state": state}
			if len(c.Type) > 0 {
				body["types"] = c.Type
			}
			var answer resent
			if err := api.Do(ctx, "POST", "/rest/webhook/"+to.UUID+"/replay", body, &answer); err != nil {
				return queued, err
			}
			here += answer.Queued
		}
		c.tell(p, "%d to %s", here, to.URL)
		queued += here
	}
	if queued == 0 && c.State != "all" {
		fmt.Fprintf(p.Err, "nothing in that time is in the state %s; --state all sends the others too\n", c.State)
	}
	return queued, nil
}

// tell prints a line for people.
func (c *eventsResendCmd) tell(p *Program, format string, args ...any) {
	if !c.JSON {
		fmt.Fprintf(p.Out, format+"\n", args...)
	}
}

// forward posts the events from here.
func (c *eventsResendCmd) forward(ctx context.Context, p *Program, api *client.Client) error {
	l := &listener{cmd: &listenCmd{connection: c.connection, ForwardTo: c.ForwardTo}, out: p.Out, err: p.Err}
	waiting := func(error) { l.say("nobody listens at %s yet; waiting for it (Ctrl-C ends)", c.ForwardTo) }
	to, secret, err := c.sender(p, c.ForwardTo, waiting)
	if err != nil {
		return err
	}
	if secret != "" {
		l.say("Signed with the new secret %s", secret)
	}
	for _, name := range c.Events {
		e, err := eventNamed(ctx, api, name)
		if err != nil {
			return err
		}
		o := to.Send(ctx, hook.Event{UUID: e.UUID, Type: e.Type, Body: e.Raw})
		if err := errors.Join(ctx.Err(), l.print(e, o)); err != nil {
			return err
		}
		if !o.Good() {
			l.refused++
		}
	}
	if l.refused > 0 {
		return fmt.Errorf("%d of %d events were not taken by %s", l.refused, len(c.Events), c.ForwardTo)
	}
	return nil
}
