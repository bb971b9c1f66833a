package carriertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/gsm"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/messaging/carrier"
)

// wait bounds what the suite waits for.
const wait = 15 * time.Second

// Target is a driver with a carrier behind it that behaves in known ways.
type Target struct {
	Driver carrier.Driver
	Sink   *Sink // the one that the driver was made with
	// Recipients whose messages meet with these fates; empty ones are not tried.
	Delivered, Undelivered, Rejected, Throttled, Echo string
}

// Sink collects what a driver brings; Fail makes it refuse the next so many.
type Sink struct {
	mu       sync.Mutex // guards what follows
	receipts map[string]carrier.Receipt
	inbound  []carrier.Inbound
	fail     int
	changed  chan struct{}
}

// NewSink makes an empty sink.
func NewSink() *Sink {
	return &Sink{receipts: map[string]carrier.Receipt{}, changed: make(chan struct{})}
}

// Fail lets the next n deliveries fail, as a database that is down would.
func (s *Sink) Fail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = n
}

// take runs keep unless the sink shall fail.
func (s *Sink) take(keep func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("sink is down")
	}
	keep()
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Receipt implements carrier.Sink.
func (s *Sink) Receipt(_ context.Context, r carrier.Receipt) error {
	return s.take(func() { s.receipts[r.ID] = r })
}

// Receipts implements carrier.Sink.
func (s *Sink) Receipts(_ context.Context, list []carrier.Receipt) error {
	return s.take(func() {
		for _, r := range list {
			s.receipts[r.ID] = r
		}
	})
}

// Inbound implements carrier.Sink.
func (s *Sink) Inbound(_ context.Context, in carrier.Inbound) error {
	return s.take(func() { s.inbound = append(s.inbound, in) })
}

// await waits until ok, which is called with the lock held.
func (s *Sink) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	over := time.After(wait)
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-over:
			t.Fatalf("no %s", what)
		}
	}
}

// Message makes a message.
func Message(to, text string) carrier.Message {
	a := gsm.Analyze(text)
	return carrier.Message{ID: ident.New(), From: "12125550170", To: to, Text: text, Encoding: a.Encoding, Segments: gsm.Split(text, 7), Expires: time.Now().Add(time.Hour)}
}

// Exercise runs the suite. The driver's Run must be running.
func Exercise(t *testing.T, x Target) {
	t.Run("each accepted segment gets its receipt", func(t *testing.T) { x.delivered(t) })
	t.Run("an undelivered message gets a negative receipt", func(t *testing.T) { x.undelivered(t) })
	t.Run("a permanent refusal says so", func(t *testing.T) { x.refused(t, x.Rejected, carrier.Permanent) })
	t.Run("a temporary refusal says so", func(t *testing.T) { x.refused(t, x.Throttled, carrier.Temporary) })
	t.Run("messages come in, again after a failure of the sink", func(t *testing.T) { x.echoed(t) })
	t.Run("parallel submits have ids of their own", func(t *testing.T) { x.parallel(t) })
}

func (x Target) delivered(t *testing.T) {
	long := ""
	for range 40 {
		long += "ten bytes."
	}
	for _, text := range []string{"hello", long} {
		m := Message(x.Delivered, text)
		got, err := x.Driver.Submit(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		ids := got.Parts
		if len(m.Segments) == 1 {
			ids = []string{got.ID}
		}
		if got.ID == "" || len(ids) != len(m.Segments) {
			t.Fatalf("%+v for %d segments", got, len(m.Segments))
		}
		for _, id := range ids {
			x.Sink.await(t, "receipt of "+id, func() bool { return x.Sink.receipts[id].State == carrier.Delivered })
		}
	}
}

func (x Target) undelivered(t *testing.T) {
	got, err := x.Driver.Submit(t.Context(), Message(x.Undelivered, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	x.Sink.await(t, "negative receipt", func() bool {
		s := x.Sink.receipts[got.ID].State
		return s != "" && s != carrier.Delivered && s.Final()
	})
}

func (x Target) refused(t *testing.T, to string, kind carrier.Kind) {
	if to == "" {
		return
	}
	_, err := x.Driver.Submit(t.Context(), Message(to, "hello"))
	var r *carrier.Refusal
	if !errors.As(err, &r) || r.Kind != kind || r.Reason == "" || kind == carrier.Permanent && r.Code == "" {
		t.Fatalf("want refusal of kind %d, got %#v", kind, err)
	}
}

func (x Target) echoed(t *testing.T) {
	if x.Echo == "" {
		return
	}
	x.Sink.Fail(1)
	text := "echo " + ident.New()
	if _, err := x.Driver.Submit(t.Context(), Message(x.Echo, text)); err != nil {
		t.Fatal(err)
	}
	x.Sink.await(t, "echo", func() bool {
		for _, in := range x.Sink.inbound {
			if in.Text == text && in.From == x.Echo && in.To == "12125550170" {
				return true
			}
		}
		return false
	})
}

func (x Target) parallel(t *testing.T) {
	ids := make(chan string, 50)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			got, err := x.Driver.Submit(t.Context(), Message(x.Delivered, fmt.Sprint("message ", i)))
			if err != nil {
				t.Error(err)
			}
			ids <- got.ID
		})
	}
	wg.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		if seen[id] {
			t.Errorf("id %q twice", id)
		}
		seen[id] = true
	}
}
