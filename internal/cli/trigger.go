package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
	"github.com/opentact/opentact/internal/cli/hook"
	"github.com/opentact/opentact/internal/stream"
)

// triggerCmd makes an event reach the developer's program.
type triggerCmd struct {
	connection `embed:""`
	receiver   `embed:""`
	Event      string   `arg:"" optional:"" name:"event" help:"Type of event; --list shows them."`
	List       bool     `help:"List the types."`
	ToEndpoint []string `placeholder:"UUID" xor:"to" help:"Webhook endpoints that get the sample. Default: every active one of the account."`
	ForwardTo  string   `placeholder:"URL" xor:"to" help:"Post the sample from here to this URL; needs no server."`
	Real       bool     `xor:"to" help:"Let the sandbox do the real thing: a message (sms) or a call (call_state) to a number of the account."`
	From       string   `default:"13125550144" placeholder:"NUMBER" help:"With --real: who writes or calls."`
	To         string   `placeholder:"NUMBER" help:"With --real: the number of the account. Default: its first one that can."`
	Text       string   `default:"Hello" help:"With --real sms: the message."`
}

// Help shows how it is used.
func (c *triggerCmd) Help() string {
	return `A sample event has made-up data and "test": true in its body; it is signed like any other and not tried again. With --real the event is no sample: it happens, and reaches
endpoints, websockets and opentact listen by itself.

Examples:

    opentact trigger sms --forward-to http://localhost:3000/hook --secret "$SECRET"
    opentact trigger call_state --to-endpoint 01901bf0-0a1b-7c2d-8e3f-405162738495
    opentact trigger sms --real --text "Is the table free?"
    opentact trigger --list`
}

// attempt is one request to a program, as a webhook delivery shows it.
type attempt struct {
	Endpoint string  `json:"endpoint,omitempty"`
	N        int     `json:"n"`
	Duration int64   `json:"duration_ms"`
	Status   *int    `json:"status"`
	Error    *string `json:"error"`
	Request  struct {
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"request"`
	Response *struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"response"`
}

func (a *attempt) good() bool { return a.Status != nil && *a.Status >= 200 && *a.Status < 300 }

// eventTypes are all but the one that stands for all.
func eventTypes() []string { return strings.Split(strings.TrimSuffix(stream.Types, ",*"), ",") }

func (c *triggerCmd) Run(ctx context.Context, p *Program) error {
	types := eventTypes()
	switch {
	case c.List && c.JSON:
		return printJSON(p.Out, types)
	case c.List:
		_, err := fmt.Fprintln(p.Out, strings.Join(types, "\n"))
		return err
	case c.Event == "":
		return misuse("trigger needs a type of event: %s", strings.Join(types, ", "))
	case !slices.Contains(types, c.Event):
		return misuse("there is no event type %s: want one of %s", c.Event, strings.Join(types, ", "))
	case c.Real:
		return c.happen(ctx, p)
	}
	done, err := c.send(ctx, p)
	if err != nil {
		return err
	}
	bad := 0
	for i := range done {
		if !done[i].good() {
			bad++
		}
	}
	if c.JSON {
		err = printJSON(p.Out, done)
	} else {
		for i := range done {
			err = errors.Join(err, done[i].print(p.Out))
		}
	}
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d of %d requests were not answered with 2xx", bad, len(done))
	}
	return err
}

// send lets the sample go, from here or from the server.
func (c *triggerCmd) send(ctx context.Context, p *Program) ([]attempt, error) {
	if c.ForwardTo != "" {
		a, err := c.direct(ctx, p)
		return []attempt{a}, err
	}
	api, err := c.client(p)
	if err != nil {
		return nil, err
	}
	list, err := chosenEndpoints(ctx, api, c.ToEndpoint)
	if err != nil {
		return nil, advised(api, err)
	}
	done := make([]attempt, 0, len(list))
	for _, e := range list {
		var d struct {
			Attempts []attempt `json:"attempts"`
		}
		if err := api.Do(ctx, "POST", "/rest/webhook/"+e.UUID+"/test", map[string]any{"type": c.Event}, &d); err != nil {
			return nil, advised(api, err)
		}
		for _, a := range d.Attempts {
			a.Endpoint = e.UUID
			done = append(done, a)
		}
	}
	return done, nil
}

// direct posts a sample to the URL.
func (c *triggerCmd) direct(ctx context.Context, p *Program) (attempt, error) {
	waiting := func(error) {
		fmt.Fprintf(p.Err, "nobody listens at %s yet; waiting for it (Ctrl-C ends)\n", c.ForwardTo)
	}
	to, secret, err := c.sender(p, c.ForwardTo, waiting)
	if err != nil {
		return attempt{}, err
	}
	if secret != "" {
		fmt.Fprintf(p.Err, "Signed with the new secret %s\n", secret)
	}
	e, ok := hook.Sample(c.Event, time.Now())
	if !ok {
		return attempt{}, fmt.Errorf("there is no sample of %s", c.Event)
	}
	return attemptOf(c.ForwardTo, e, to.Send(ctx, e)), ctx.Err()
}

func attemptOf(to string, e hook.Event, o hook.Outcome) attempt {
	a := attempt{N: o.Attempts, Duration: o.Took.Milliseconds()}
	a.Request.URL, a.Request.Headers, a.Request.Body = to, flat(o.Request), string(e.Body)
	if o.Status != 0 {
		a.Status = &o.Status
		a.Response = &struct {
			Headers map[string]string `json:"headers"`
			Body    string            `json:"body"`
		}{flat(o.Header), string(o.Body)}
	}
	if problem := o.Problem(); problem != "" {
		a.Error = &problem
	}
	return a
}

// flat writes headers the way the server's history does.
func flat(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return out
}

// print shows the request, the answer and the time.
func (a *attempt) print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s\n", a.Request.URL)
	writeHeaders(&b, a.Request.Headers)
	writeBody(&b, a.Request.Body)
	switch {
	case a.Status != nil:
		fmt.Fprintf(&b, "%d %s in %d ms\n", *a.Status, http.StatusText(*a.Status), a.Duration)
	case a.Error != nil:
		fmt.Fprintf(&b, "no answer after %d ms: %s\n", a.Duration, *a.Error)
	}
	if a.Response != nil {
		writeHeaders(&b, a.Response.Headers)
		writeBody(&b, a.Response.Body)
	}
	_, err := w.Write(append(b.Bytes(), '\n'))
	return err
}

func writeHeaders(b *bytes.Buffer, h map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(b, "  %s: %s\n", name, h[name])
	}
}

func writeBody(b *bytes.Buffer, text string) {
	if text = strings.TrimSpace(text); text == "" {
		return
	}
	b.WriteString("\n  ")
	if json.Indent(b, []byte(text), "  ", "  ") != nil {
		b.WriteString(strings.ReplaceAll(text, "\n", "\n  "))
	}
	b.WriteString("\n\n")
}

// endpoint is what the commands read of a webhook endpoint.
type endpoint struct {
	UUID   string `json:"uuid"`
	URL    string `json:"url"`
	Active bool   `json:"is_active"`
	State  string `json:"state"`
	Reason string `json:"disabled_reason"`
}

// chosenEndpoints reads those that are named, else every active one; it is an error when there is none.
func chosenEndpoints(ctx context.Context, api *client.Client, names []string) ([]endpoint, error) {
	var list []endpoint
	for _, name := range names {
		var e endpoint
		if err := api.Do(ctx, "GET", "/rest/webhook/"+name, nil, &e); err != nil {
			if client.IsStatus(err, 404) {
				return nil, fmt.Errorf("the account has no webhook endpoint %s; GET /rest/webhook lists them", name)
			}
			return nil, err
		}
		list = append(list, e)
	}
	if len(names) > 0 {
		return list, nil
	}
	if err := api.Do(ctx, "GET", "/rest/webhook", nil, &list); err != nil {
		return nil, err
	}
	all := len(list)
	list = slices.DeleteFunc(list, func(e endpoint) bool { return !e.Active || e.State == "disabled" })
	switch {
	case len(list) > 0:
		return list, nil
	case all > 0:
		return nil, errors.New(`every webhook endpoint of the account is off or disabled: enable one with PATCH /rest/webhook/{uuid} {"is_active": true}`)
	}
	return nil, errors.New("the account has no webhook endpoint: make one with POST /rest/webhook, or reach a program on this machine with --forward-to URL")
}

// happen lets the sandbox make the event.
func (c *triggerCmd) happen(ctx context.Context, p *Program) error {
	path, body, can := "", map[string]any{"from": c.From}, ""
	switch c.Event {
	case "sms":
		path, can, body["message"] = "/rest/sandbox/sms", "sms", c.Text
	case "call_state":
		path, can, body["script"] = "/rest/sandbox/call", "voice", []map[string]any{{"wait_ms": 1000}, {"hangup": true}}
	default:
		return misuse("the sandbox can make sms and call_state, not %s: leave --real out for a sample", c.Event)
	}
	api, err := c.client(p)
	if err != nil {
		return err
	}
	if c.To == "" {
		if c.To, err = firstNumber(ctx, api, can); err != nil {
			return advised(api, err)
		}
	}
	body["to"] = c.To
	var raw json.RawMessage
	if err := api.Do(ctx, "POST", path, body, &raw); client.IsStatus(err, 404) {
		return fmt.Errorf("%w; the server runs without its sandbox, or the number is not on this account", err)
	} else if err != nil {
		return advised(api, err)
	}
	if c.JSON {
		return printJSON(p.Out, raw)
	}
	var made struct {
		UUID string `json:"uuid"`
	}
	if err := json.Unmarshal(raw, &made); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	_, err = fmt.Fprintf(p.Out, "%s  from %s to %s; opentact events tail --ref %s shows what follows\n", made.UUID, c.From, c.To, made.UUID)
	return err
}

// firstNumber is the first one of the account that takes messages or calls.
func firstNumber(ctx context.Context, api *client.Client, can string) (string, error) {
	var leases []struct {
		TN struct {
			TN    json.Number `json:"tn"`
			Voice bool        `json:"voice"`
			SMS   bool        `json:"sms"`
		} `json:"tn"`
	}
	if err := api.Do(ctx, "GET", "/rest/lease/tn", nil, &leases); err != nil {
		return "", err
	}
	for _, l := range leases {
		if can == "sms" && l.TN.SMS || can == "voice" && l.TN.Voice {
			return l.TN.TN.String(), nil
		}
	}
	return "", fmt.Errorf("the account has no number for %s: order one (POST /rest/order), or give --to", can)
}
