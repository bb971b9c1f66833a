package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// caller is a customer's program: it does not know whether a request without an answer had its effect, so it asks again with the same key.
type caller struct {
	nodes *nodes
	notes *notes
	node  int // that it talks to first
}

// request is something to be done exactly once.
type request struct {
	kind, tag, path string
	body            any
	reuse           bool // a refusal is no fault: the tag is free for another request
}

// do sends q until it has an answer and notes it. False means that the work is over, or that it was refused.
func (c *caller) do(ctx context.Context, q request) (house.Doc, bool) {
	body, err := json.Marshal(q.body)
	if err != nil {
		panic(err) // the bodies are maps of plain values
	}
	header := http.Header{"Idempotency-Key": {q.tag}}
	c.notes.begin(q.kind, q.tag)
	var last string
	for try := 1; ctx.Err() == nil; try++ {
		a, err := c.try(ctx, try, q.path, body, header)
		switch {
		case err != nil:
			last = err.Error()
		case a.Status/100 == 2:
			d := house.Doc{Value: a.Doc}.At("payload")
			c.notes.ack(note{kind: q.kind, tag: q.tag, id: d.Str("uuid"), replayed: a.Header.Get("Idempotency-Replayed") == "true", tries: try})
			return d, true
		case a.Status == http.StatusConflict && a.Header.Get("Retry-After") != "", a.Status == http.StatusTooManyRequests, a.Status == http.StatusBadGateway, a.Status == http.StatusServiceUnavailable:
			last = fmt.Sprintf("%d %s", a.Status, a.Body)
		case a.Status >= 500:
			c.notes.complain("%s %s: odd answer %d %s", q.kind, q.tag, a.Status, a.Body)
			last = string(a.Body)
		default:
			if !q.reuse {
				c.notes.complain("%s %s: refused at try %d: %d %s", q.kind, q.tag, try, a.Status, a.Body)
			}
			c.notes.refused(q.tag)
			return house.Doc{}, false
		}
		wait(ctx, retryPause)
	}
	c.notes.complain("%s %s has no answer; last: %s", q.kind, q.tag, last)
	return house.Doc{}, false
}

// try sends it once; after a failure the next node is asked.
func (c *caller) try(ctx context.Context, n int, path string, body []byte, header http.Header) (*house.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	return c.nodes.client(c.node+n-1).Request(ctx, http.MethodPost, path, body, header)
}

// get asks any node until it answers with a 2xx.
func (c *caller) get(ctx context.Context, method, path string, body any) (house.Doc, error) {
	var last error
	for n := range 200 {
		if ctx.Err() != nil {
			break
		}
		d, err := c.nodes.client(c.node+n).Do(ctx, method, path, body)
		if err == nil {
			return d, nil
		}
		last = err
		wait(ctx, retryPause)
	}
	return house.Doc{}, fmt.Errorf("%s %s: %w", method, path, last)
}

// wait pauses unless ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
