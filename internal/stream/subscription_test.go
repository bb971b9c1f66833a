package stream_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/stream"
)

// endpoints keeps subscriptions of the channel webhook in memory.
type endpoints struct {
	mu   sync.Mutex // guards list
	list []stream.Hook
}

func (e *endpoints) Save(_ context.Context, h stream.Hook) (stream.Hook, bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, old := range e.list {
		if old.ID == h.ID || old.URL == h.URL && old.Type == h.Type {
			h.ID, h.Endpoint = old.ID, old.Endpoint
			e.list[i] = h
			return h, false, nil
		}
	}
	h.ID, h.Endpoint = ident.New(), ident.New()
	e.list = append(e.list, h)
	h.Secret = "whsec_new"
	return h, true, nil
}

func (e *endpoints) List(_ context.Context, account, user string) ([]stream.Hook, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []stream.Hook
	for _, h := range e.list {
		if h.Account == account && h.User == user {
			out = append(out, h)
		}
	}
	return out, nil
}

func (e *endpoints) Check(context.Context, string) error { return nil }

func (e *endpoints) Drop(_ context.Context, _, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, h := range e.list {
		if h.ID == id {
			e.list = append(e.list[:i], e.list[i+1:]...)
			return nil
		}
	}
	return fault.Missing("Event subscription")
}

// Report says that everything arrived.
func (e *endpoints) Report(context.Context, string, string) (json.RawMessage, error) {
	return json.RawMessage(`[{"channel":"webhook","state":"success"}]`), nil
}

func TestSubscriptionsOfTheChannelWebhookAreTheEndpoints(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		e := &endpoints{}
		h.gate.Attach(e, e)
		const base = "/rest/event/subscription"
		if status, out := h.rest("POST", base, "a-u", `{"channel":"webhook","type":"sms"}`); status != 400 || !strings.Contains(out["message"].(string), "webhook") {
			t.Fatal(status, out)
		}
		status, out := h.rest("POST", base, "a-u", `{"channel":"webhook","type":"sms","url":"https://a.example/"}`)
		made := out["payload"].(map[string]any)
		if status != 201 || made["url"] != "https://a.example/" || made["webhook"] == nil || made["secret"] != "whsec_new" || made["user"] == nil || made["channel"] != "webhook" {
			t.Fatal(status, out)
		}
		if status, _ := h.rest("POST", base, "a-u", `{"channel":"webhook","type":"sms","url":"https://a.example/"}`); status != 200 {
			t.Fatal(status)
		}
		if status, _ := h.rest("POST", base, "a-u", `{"channel":"wss","type":"sms"}`); status != 201 {
			t.Fatal(status)
		}
		if _, out := h.rest("GET", base, "a-u", ""); len(out["payload"].([]any)) != 2 {
			t.Fatal(out)
		}
		id := base + "/" + made["uuid"].(string)
		status, out = h.rest("PATCH", id, "a-u", `{"is_active":false,"url":"https://b.example/"}`)
		if p := out["payload"].(map[string]any); status != 200 || p["is_active"] != false || p["url"] != "https://b.example/" || p["secret"] != nil {
			t.Fatal(status, out)
		}
		if status, _ := h.rest("GET", id, "b-x", ""); status != 404 {
			t.Fatal(status)
		}
		if status, _ := h.rest("DELETE", id, "a-u", ""); status != 200 {
			t.Fatal(status)
		}
		if status, _ := h.rest("GET", id, "a-u", ""); status != 404 {
			t.Fatal(status)
		}
	})
}

func TestAnEventTellsHowItWasDelivered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := build(t, d)
		e := &endpoints{}
		h.gate.Attach(e, e)
		h.emit("a", "sms", 1)
		_, out := h.rest("GET", "/rest/event", "a-u", "")
		id := out["payload"].(map[string]any)["data"].([]any)[0].(map[string]any)["uuid"].(string)
		_, out = h.rest("GET", "/rest/event/"+id, "a-u", "")
		report := out["payload"].(map[string]any)["delivery_report"].([]any)
		if len(report) != 1 || report[0].(map[string]any)["state"] != "success" {
			t.Fatal(out)
		}
	})
}

// TestAFilterIsOfUUIDs in any case; anything else would wait for ever, or let everything through.
func TestAFilterIsOfUUIDs(t *testing.T) {
	h := build(t, dbtest.SQLite(t))
	h.gate.Attach(&endpoints{}, nil)
	id := ident.New()
	for _, channel := range []string{`"channel":"wss"`, `"channel":"webhook","url":"https://hooks.example.org/"`} {
		body := func(item string) string { return `{` + channel + `,"type":"sms","filter":{"batch":["` + item + `"]}}` }
		for _, bad := range []string{"", "sms", id[:35]} {
			status, out := h.rest("POST", "/rest/event/subscription", "a-u", body(bad))
			if fields, _ := out["fields"].(map[string]any); status != 400 || fields["params.filter.batch.0"] == nil {
				t.Error(bad, status, out)
			}
		}
		status, out := h.rest("POST", "/rest/event/subscription", "a-u", body(strings.ToUpper(id)))
		p, _ := out["payload"].(map[string]any)
		if status != 201 || p["filter"].(map[string]any)["batch"].([]any)[0] != id {
			t.Fatal(status, out)
		}
		status, out = h.rest("PATCH", "/rest/event/subscription/"+p["uuid"].(string), "a-u", `{"filter":{"batch":["x"]}}`)
		if fields, _ := out["fields"].(map[string]any); status != 400 || fields["params.filter.batch.0"] == nil {
			t.Error(status, out)
		}
	}
	c := h.signIn("a-u")
	h.emit("a", "sms", 1)
	if err := h.d.Update(t.Context(), func(_ context.Context, tx *db.Tx) error {
		return h.log.Append(tx, event.Event{Account: "a", Type: "sms", RefID: id, Payload: 2})
	}); err != nil {
		t.Fatal(err)
	}
	if m := c.next(); m["ref_id"] != id {
		t.Error(m)
	}
}
