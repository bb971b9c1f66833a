package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

// eventsCmd is about the log of events.
type eventsCmd struct {
	Tail   eventsTailCmd   `cmd:"" help:"Print events as they happen, over lost connections too."`
	Get    eventsGetCmd    `cmd:"" help:"Show one event, and what became of its deliveries."`
	Resend eventsResendCmd `cmd:"" help:"Send events to webhook endpoints again."`
}

type eventsTailCmd struct {
	connection `embed:""`
	Types      []string `default:"*" placeholder:"TYPE" help:"Event types, comma separated, such as call_state,sms."`
	Since      string   `placeholder:"CURSOR" help:"Begin behind this cursor instead of with what happens now."`
	Ref        string   `placeholder:"UUID" help:"Only events about this call, message or order."`
	Count      int      `placeholder:"N" help:"End after so many events."`
}

// errEnough ends a Follow that has seen what it wanted.
var errEnough = errors.New("enough events")

func (c *eventsTailCmd) Run(ctx context.Context, p *Program) error {
	api, err := c.client(p)
	if err != nil {
		return err
	}
	seen := 0
	lost := func(err error) { fmt.Fprintf(p.Err, "connection lost, coming back: %v\n", err) }
	err = api.Follow(ctx, client.Following{Types: c.Types, Since: c.Since, Lost: lost}, func(e client.Event) error {
		if c.Ref != "" && !strings.EqualFold(c.Ref, e.RefID) {
			return nil
		}
		if err := printEvent(p.Out, e, c.JSON); err != nil {
			return err
		}
		if seen++; seen == c.Count {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return advised(api, err)
}

// printEvent writes one line: the whole event, or time, type and message.
func printEvent(w io.Writer, e client.Event, whole bool) error {
	if whole {
		_, err := fmt.Fprintf(w, "%s\n", e.Raw)
		return err
	}
	clock := e.CreatedOn
	if t, err := time.Parse(time.RFC3339Nano, e.CreatedOn); err == nil {
		clock = t.Local().Format("15:04:05.000")
	}
	_, err := fmt.Fprintf(w, "%s  %-11s  %s%s\n", clock, e.Type, e.Message, receipt(e))
	return err
}

// receipt tells the last two states of a message apart, whose texts are alike.
func receipt(e client.Event) string {
	var m message
	if e.Type == "sms" && json.Unmarshal(e.Payload, &m) == nil && m.Delivered {
		return ", delivered"
	}
	return ""
}
