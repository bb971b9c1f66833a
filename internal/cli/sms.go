package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

// smsCmd sends messages.
type smsCmd struct {
	Send smsSendCmd `cmd:"" help:"Send one message, and wait for its receipt with --wait."`
}

type smsSendCmd struct {
	connection `embed:""`
	From       string        `placeholder:"NUMBER" help:"Number of the account to send from. Default: chosen from --profile."`
	Profile    string        `placeholder:"UUID" help:"Messaging profile whose numbers may send."`
	To         string        `required:"" placeholder:"NUMBER" help:"Recipient."`
	Text       string        `required:"" help:"The message."`
	Wait       time.Duration `placeholder:"DURATION" help:"Wait so long for the final state, such as 30s."`
}

// message is what the commands read of an SMS.
type message struct {
	UUID      string          `json:"uuid"`
	Type      string          `json:"type"`
	State     string          `json:"state"`
	Delivered bool            `json:"delivered"`
	Reason    string          `json:"reason"`
	Error     json.RawMessage `json:"error"`
}

func (m message) final() bool { return m.State == "failed" || m.Delivered }

func (m message) word() string {
	if m.Delivered {
		return "delivered"
	}
	return m.State
}

func (c *smsSendCmd) Run(ctx context.Context, p *Program) error {
	if c.From == "" && c.Profile == "" {
		return misuse("sms send needs --from, or --profile to choose the sender from")
	}
	api, err := c.client(p)
	if err != nil {
		return err
	}
	var events *client.Stream
	if c.Wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Wait)
		defer cancel()
		if events, err = api.Subscribe(ctx, []string{"sms"}, ""); err != nil {
			return advised(api, err)
		}
		defer events.Close()
	}
	body := map[string]any{"to": c.To, "message": c.Text}
	if c.From != "" {
		body["from"] = c.From
	}
	if c.Profile != "" {
		body["messaging_profile"] = c.Profile
	}
	var raw json.RawMessage
	if err := api.Do(ctx, "POST", "/rest/sms", body, &raw); err != nil {
		return advised(api, err)
	}
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("sms: %w", err)
	}
	if c.JSON {
		err = printJSON(p.Out, raw)
	} else {
		_, err = fmt.Fprintf(p.Out, "%s %s\n", m.UUID, m.word())
	}
	if err != nil || events == nil {
		return err
	}
	return c.await(ctx, p, events, m)
}

// await prints the states of the message until the last.
func (c *smsSendCmd) await(ctx context.Context, p *Program, events *client.Stream, m message) error {
	for !m.final() {
		e, err := events.Next(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the message is still %s after %s; opentact events tail --ref %s shows what follows", m.word(), c.Wait, m.UUID)
		}
		if err != nil {
			return err
		}
		if e.RefID != m.UUID {
			continue
		}
		m.Reason = ""
		if err := json.Unmarshal(e.Payload, &m); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		if err := printEvent(p.Out, e, c.JSON); err != nil {
			return err
		}
	}
	if m.State == "failed" {
		return fmt.Errorf("the message failed: %s", m.Reason)
	}
	return nil
}
