package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
)

const promptly = 5 * time.Second // for what needs no sound

// lease is a number of the account.
type lease struct {
	UUID string `json:"uuid"`
	TN   struct {
		TN json.Number `json:"tn"`
	} `json:"tn"`
}

func (l lease) number() string { return l.TN.TN.String() }

// order is what the demo reads of a TnOrder.
type order struct {
	UUID    string  `json:"uuid"`
	State   string  `json:"state"`
	Success int     `json:"success"`
	Price   float64 `json:"price"`
	Items   []struct {
		TN    json.Number `json:"tn"`
		Lease string      `json:"tn_lease"`
	} `json:"items"`
}

// buyNumbers searches, orders, and waits for the order's last event.
func (d *demo) buyNumbers(ctx context.Context) error {
	var found struct {
		Total int `json:"total"`
		Data  []struct {
			TN   json.Number `json:"tn"`
			City string      `json:"city"`
		} `json:"data"`
	}
	if err := d.api.Do(ctx, "POST", "/rest/tn/search", map[string]any{"npa": "212", "features": []string{"voice", "sms"}, "take": 2}, &found); err != nil {
		return fmt.Errorf("search: %w", err)
	}
	if len(found.Data) != 2 {
		return fmt.Errorf("search: %d numbers found, 2 wanted", len(found.Data))
	}
	d.say("%d numbers of %s are for sale", found.Total, found.Data[0].City)
	var items []map[string]any
	for _, n := range found.Data {
		items = append(items, map[string]any{"tn": n.TN, "features": []string{"voice", "sms"}})
	}
	var o order
	if err := d.api.Do(ctx, "POST", "/rest/order", map[string]any{"items": items}, &o); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	e, err := d.events.await(ctx, promptly, "the order's last event", func(e client.Event) bool {
		state, err := payload[order](e)
		return err == nil && e.Type == "tn_order" && e.RefID == o.UUID && (state.State == "success" || state.State == "failed")
	})
	if err != nil {
		return err
	}
	if o, err = payload[order](e); err != nil {
		return err
	}
	if o.State != "success" || o.Success != 2 {
		return fmt.Errorf("the order ended as %s with %d of 2 numbers", o.State, o.Success)
	}
	for i := range d.numbers {
		if err := d.api.Do(ctx, "GET", "/rest/lease/tn/"+o.Items[i].Lease, nil, &d.numbers[i]); err != nil {
			return fmt.Errorf("lease: %w", err)
		}
	}
	d.say("bought +%s and +%s for $%.2f", d.numbers[0].number(), d.numbers[1].number(), o.Price)
	return nil
}
