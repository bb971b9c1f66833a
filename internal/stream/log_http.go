package stream

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
)

// maxWait is how long a GET of the log may wait for news, in seconds.
const maxWait = 30

type eventQuery struct {
	Since string        `query:"since"`
	Type  string        `query:"type" doc:"event types, separated by commas"`
	RefID string        `query:"ref_id" format:"uuid"`
	From  *httpapi.Time `query:"created_on_from"`
	To    *httpapi.Time `query:"created_on_to"`
	Take  int           `query:"take" min:"1" max:"100" default:"100"`
	Wait  int           `query:"wait" min:"0" max:"30" doc:"seconds to wait when there is nothing yet"`
}

// Validate checks the cursor's form and the types.
func (q *eventQuery) Validate(f *fault.Fields) {
	if q.Since != "" {
		if _, err := event.ParseCursor(q.Since); err != nil {
			f.Add("since", noCursor, q.Since)
		}
	}
	for _, t := range split(q.Type) {
		if !strings.Contains(","+Types+",", ","+t+",") {
			f.Add("type", "unknown event type "+t, q.Type)
		}
	}
}

func split(list string) []string {
	var out []string
	for _, t := range strings.Split(list, ",") {
		if t = strings.TrimSpace(t); t != "" {
			out = append(out, t)
		}
	}
	return out
}

// eventPage is EventPage of the contract.
type eventPage struct {
	Take   int               `json:"take"`
	Data   []json.RawMessage `json:"data"`
	Cursor string            `json:"cursor"`
	More   bool              `json:"more"`
}

func (g *Gate) listEvents(ctx context.Context, in *eventQuery) (eventPage, error) {
	q := event.Query{Account: httpapi.Who(ctx).Account, RefID: in.RefID, Limit: in.Take + 1}
	if types := split(in.Type); len(types) > 0 && !strings.Contains(in.Type, "*") {
		q.Types = types
	}
	if t := in.From.Std(); t != nil {
		q.From = *t
	}
	if t := in.To.Std(); t != nil {
		q.To = *t
	}
	if in.Since != "" {
		q.After, _ = event.ParseCursor(in.Since) // checked by Validate
		if err := g.resumable(ctx, q.Account, q.After); err != nil {
			return eventPage{}, err
		}
	} else if _, removed, err := g.events.Head(ctx); err != nil {
		return eventPage{}, err
	} else {
		q.After = removed // what an empty page names must be a place to go on from
	}
	rows, err := g.readOrWait(ctx, q, time.Duration(in.Wait)*time.Second)
	if err == nil && in.Since != "" {
		err = g.resumable(ctx, q.Account, q.After) // the retention may have taken rows away while we read
	}
	if err != nil {
		return eventPage{}, err
	}
	page := eventPage{Take: in.Take, Data: []json.RawMessage{}, Cursor: event.FormatCursor(q.After), More: len(rows) > in.Take}
	for _, r := range rows[:min(len(rows), in.Take)] {
		page.Data = append(page.Data, r.Body)
		page.Cursor = r.Cursor()
	}
	return page, nil
}

// readOrWait reads once, and again at each event of the account until there is something, the time is over or the server drains.
func (g *Gate) readOrWait(ctx context.Context, q event.Query, wait time.Duration) ([]event.Row, error) {
	news := make(chan struct{}, 1)
	if wait > 0 {
		cancel := g.events.Subscribe(func(r event.Row) {
			if r.Account == q.Account {
				select {
				case news <- struct{}{}:
				default:
				}
			}
		})
		defer cancel()
	}
	end := time.NewTimer(min(wait, maxWait*time.Second))
	defer end.Stop()
	for {
		rows, err := g.events.Read(ctx, q)
		if err != nil || len(rows) > 0 || wait == 0 {
			return rows, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-end.C:
			return nil, nil
		case <-httpapi.Draining(ctx):
			return nil, nil
		case <-news:
		}
	}
}

type eventKey struct {
	UUID string `path:"uuid" format:"uuid"`
}

func (g *Gate) getEvent(ctx context.Context, in *eventKey) (json.RawMessage, error) {
	r, err := g.events.Get(ctx, httpapi.Who(ctx).Account, in.UUID)
	if err != nil {
		return nil, err
	}
	return g.withReport(ctx, r)
}
