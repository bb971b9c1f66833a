package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opentact/opentact/internal/cli/client"
)

// profileName is what the command calls the outbound voice profile that it makes when the account has none.
const profileName = "command line"

// callCmd places a call that runs a document, and prints its events until it is over.
type callCmd struct {
	connection `embed:""`
	To         string `arg:"" help:"Number, or sip:user@host."`
	Flow       string `required:"" placeholder:"FILE" help:"Call-flow document to run when the call is answered; - is standard input."`
	From       string `placeholder:"NUMBER" help:"Number of the account to show. Default: its first one."`
	Profile    string `placeholder:"UUID" help:"Outbound voice profile. Default: the first active one, else one is made."`
	Record     bool   `help:"Record the call."`
	Wait       bool   `default:"true" negatable:"" help:"Print events until the call is over."`
}

// leg is what the command reads of a call.
type leg struct {
	UUID   string `json:"uuid"`
	State  string `json:"state"`
	Parent *leg   `json:"parent"`
	Cause  string `json:"q850_cause_string"`
	Reason string `json:"reason"`
	Answer string `json:"answer_on"`
}

func (c *callCmd) Run(ctx context.Context, p *Program) error {
	doc, err := readDocument(p, c.Flow)
	if err != nil {
		return err
	}
	for _, x := range lint(c.Flow, doc) {
		if x.Severity == "error" {
			return fmt.Errorf("%s:%d:%d: %s", x.File, x.Line, x.Column, x.Message)
		}
	}
	api, err := c.client(p)
	if err != nil {
		return err
	}
	if err := c.place(ctx, p, api, string(doc)); err != nil {
		return advised(api, err)
	}
	return nil
}

func (c *callCmd) place(ctx context.Context, p *Program, api *client.Client, doc string) error {
	if err := c.complete(ctx, api); err != nil {
		return err
	}
	var events *client.Stream
	if c.Wait {
		var err error
		if events, err = api.Subscribe(ctx, []string{"call_state", "call_flow", "call_record"}, ""); err != nil {
			return err
		}
		defer events.Close()
	}
	body := map[string]any{"to": c.To, "from": c.From, "outbound_voice_profile": c.Profile, "xml": doc, "record": c.Record}
	var raw json.RawMessage
	if err := api.Do(ctx, "POST", "/rest/call", body, &raw); err != nil {
		return err
	}
	var call leg
	if err := json.Unmarshal(raw, &call); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	var err error
	if c.JSON {
		err = printJSON(p.Out, raw)
	} else {
		_, err = fmt.Fprintf(p.Out, "%s %s\n", call.UUID, call.State)
	}
	if err != nil || events == nil {
		return err
	}
	return c.watch(ctx, p, events, call.UUID)
}

// complete finds the profile and the number that were not given.
func (c *callCmd) complete(ctx context.Context, api *client.Client) error {
	if c.Profile == "" {
		id, err := outboundProfile(ctx, api)
		if err != nil {
			return err
		}
		c.Profile = id
	}
	if c.From != "" {
		return nil
	}
	var leases []struct {
		TN struct {
			TN    json.Number `json:"tn"`
			Voice bool        `json:"voice"`
		} `json:"tn"`
	}
	if err := api.Do(ctx, "GET", "/rest/lease/tn", nil, &leases); err != nil {
		return err
	}
	for _, l := range leases {
		if l.TN.Voice {
			c.From = l.TN.TN.String()
			return nil
		}
	}
	return errors.New("the account has no number to call from: order one (POST /rest/order), or give --from")
}

// outboundProfile is the first active one of the account, or a new one.
func outboundProfile(ctx context.Context, api *client.Client) (string, error) {
	type entry struct {
		UUID   string `json:"uuid"`
		Active bool   `json:"is_active"`
	}
	var list []entry
	if err := api.Do(ctx, "GET", "/rest/profile/outbound_voice", nil, &list); err != nil {
		return "", err
	}
	for _, x := range list {
		if x.Active {
			return x.UUID, nil
		}
	}
	var made entry
	err := api.Do(ctx, "POST", "/rest/profile/outbound_voice", map[string]any{"name": profileName}, &made)
	return made.UUID, err
}

// watch prints the events of the call and of the legs it dials, until it is destroyed.
func (c *callCmd) watch(ctx context.Context, p *Program, events *client.Stream, id string) error {
	answered := false
	for {
		e, err := events.Next(ctx)
		if err != nil {
			return err
		}
		var call leg
		if len(e.Call) > 0 {
			if err := json.Unmarshal(e.Call, &call); err != nil {
				return fmt.Errorf("event: %w", err)
			}
		}
		own := e.RefID == id
		if !own && (call.Parent == nil || call.Parent.UUID != id) {
			continue
		}
		if err := printEvent(p.Out, e, c.JSON); err != nil {
			return err
		}
		answered = answered || own && call.State == "live"
		if own && e.Type == "call_state" && call.State == "destroyed" {
			if !answered {
				return fmt.Errorf("the call was not answered: %s %s", call.Cause, call.Reason)
			}
			return nil
		}
	}
}
