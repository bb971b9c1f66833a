package nodes

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/webhook"
	"github.com/opentact/opentact/test/scenario/house"
)

// sink is the customer's server for signed deliveries: it takes each of them.
type sink struct {
	srv    *httptest.Server
	secret string

	mu     sync.Mutex
	bodies map[string]string // by webhook-id
	news   chan struct{}     // holds one word that something came
	faults []string
}

func newSink(t *testing.T) *sink {
	s := &sink{secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of twenty-four b")), bodies: map[string]string{}, news: make(chan struct{}, 1)}
	s.srv = httptest.NewServer(s)
	t.Cleanup(s.srv.Close)
	return s
}

// ServeHTTP takes a delivery, whose id names its event and never comes with another body.
func (s *sink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the sender died: it has no answer either
	}
	id := r.Header.Get("webhook-id")
	at, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	before, again := s.bodies[id]
	switch {
	case err != nil, !strings.Contains(r.Header.Get("webhook-signature"), webhook.Signature(s.secret, id, time.Unix(at, 0), body)):
		s.faults = append(s.faults, fmt.Sprintf("%s has signature %q of %q", id, r.Header.Get("webhook-signature"), r.Header.Get("webhook-timestamp")))
	case !strings.HasPrefix(string(body), `{"uuid":"`+strings.TrimPrefix(id, "msg_")+`"`):
		s.faults = append(s.faults, fmt.Sprintf("%s carries %.100s", id, body))
	case again && before != string(body):
		s.faults = append(s.faults, id+" came with two bodies")
	}
	s.bodies[id] = string(body)
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// register makes the endpoint, and gives how many events the log had by then.
func (s *sink) register(ctx context.Context, c *house.Client) (had int, err error) {
	if _, err := c.Do(ctx, "POST", "/rest/webhook", map[string]any{"url": s.srv.URL, "types": []string{"*"}, "secret": s.secret}); err != nil {
		return 0, err
	}
	err = house.EachEvent(ctx, c, "", func(house.Doc) error { had++; return nil })
	return had, err
}

// missing counts the events that never came, and gives one.
func (s *sink) missing(events []string) (n int, example string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range events {
		if _, ok := s.bodies["msg_"+id]; !ok {
			n, example = n+1, id
		}
	}
	return n, example
}

// delivered wants every event at the customer's server, and no delivery left that is to be sent or was given up.
func (p *pair) delivered(ctx context.Context, node int) {
	p.t.Helper()
	var events []string
	if err := house.EachEvent(ctx, p.client(node), "", func(e house.Doc) error { events = append(events, e.Str("uuid")); return nil }); err != nil {
		p.t.Fatal(err)
	}
	events = events[p.had:]
	const left = "SELECT count(*) FROM webhook_delivery WHERE state <> 'success'"
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		missing, example := p.sink.missing(events)
		if missing == 0 && p.count(ctx, left) == 0 {
			break
		}
		select {
		case <-p.sink.news:
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("of %d events %d never came, such as %s", len(events), missing, example)
		}
	}
	p.sink.mu.Lock()
	defer p.sink.mu.Unlock()
	for _, f := range p.sink.faults {
		p.t.Error(f)
	}
	p.t.Logf("%d events were delivered", len(events))
}
