package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

const (
	goodPhone    = "15005550101" // delivers after a second
	messageLimit = 10 * time.Second
)

// sms is what the demo reads of a message.
type sms struct {
	UUID      string `json:"uuid"`
	Type      string `json:"type"`
	State     string `json:"state"`
	Delivered bool   `json:"delivered"`
	From      string `json:"from"`
	Message   string `json:"message"`
	Reason    string `json:"reason"`
	Campaign  string `json:"sms_campaign"`
}

// enableMessages puts both numbers under the account's default messaging profile.
func (d *demo) enableMessages(ctx context.Context) error {
	var profiles []struct {
		UUID    string `json:"uuid"`
		Name    string `json:"name"`
		Default bool   `json:"is_default"`
	}
	if err := d.api.Do(ctx, "GET", "/rest/profile/messaging", nil, &profiles); err != nil {
		return fmt.Errorf("profiles: %w", err)
	}
	for _, p := range profiles {
		if !p.Default {
			continue
		}
		for _, n := range d.numbers {
			if err := d.api.Do(ctx, "POST", "/rest/lease/tn/"+n.UUID+"/subscription/sms", map[string]any{"messaging_profile": p.UUID}, nil); err != nil {
				return fmt.Errorf("subscription of %s: %w", n.number(), err)
			}
		}
		d.say("both numbers send and receive under the profile %q", p.Name)
		return nil
	}
	return errors.New("the account has no default messaging profile")
}

// sendMessage sends to the phone that always delivers.
func (d *demo) sendMessage(ctx context.Context) error {
	began := time.Now()
	m, err := d.send(ctx, goodPhone, "Your table is ready.")
	if err != nil {
		return err
	}
	d.say("%s was delivered %.1f s after the request", m.UUID, time.Since(began).Seconds())
	return nil
}

// sendBetween sends from the first to the second number; both sides are seen.
func (d *demo) sendBetween(ctx context.Context) error {
	const text = "From one number to the other."
	if _, err := d.send(ctx, d.numbers[1].number(), text); err != nil {
		return err
	}
	e, err := d.events.await(ctx, messageLimit, "the message at the second number", func(e client.Event) bool {
		m, err := payload[sms](e)
		return err == nil && e.Type == "sms" && m.Type == "smsi" && m.Message == text && m.From == d.numbers[0].number()
	})
	if err != nil {
		return err
	}
	d.say("the second number received it as %s", e.RefID)
	return nil
}

// send sends from the first number and waits for the receipt.
func (d *demo) send(ctx context.Context, to, text string) (sms, error) {
	var sent struct {
		UUID string `json:"uuid"`
	}
	body := map[string]any{"from": d.numbers[0].TN.TN, "to": to, "message": text}
	if err := d.api.Do(ctx, "POST", "/rest/sms", body, &sent); err != nil {
		return sms{}, fmt.Errorf("message: %w", err)
	}
	e, err := d.events.await(ctx, messageLimit, "the receipt", func(e client.Event) bool {
		m, err := payload[sms](e)
		return err == nil && e.Type == "sms" && e.RefID == sent.UUID && (m.Delivered || m.State == "failed")
	})
	if err != nil {
		return sms{}, err
	}
	m, err := payload[sms](e)
	if err == nil && !m.Delivered {
		err = fmt.Errorf("the message failed: %s", m.Reason)
	}
	return m, err
}
