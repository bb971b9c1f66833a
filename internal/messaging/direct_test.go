package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/messaging"
	"github.com/opentact/opentact/internal/messaging/carrier"
	"github.com/opentact/opentact/internal/messaging/carrier/sandbox"
)

// gate is a carrier that takes nothing until it is opened, and notes what it took.
type gate struct {
	mu    sync.Mutex
	taken map[string]int // by text
	order []string
	asked chan struct{} // one for each message that it holds back
	open  chan struct{}
}

func newGate() *gate {
	return &gate{taken: map[string]int{}, asked: make(chan struct{}, 100), open: make(chan struct{})}
}

func (g *gate) Run(context.Context, func()) error { return nil }

func (g *gate) Submit(ctx context.Context, m carrier.Message) (carrier.Submitted, error) {
	g.asked <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		return carrier.Submitted{}, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken[m.Text]++
	g.order = append(g.order, m.Text)
	return carrier.Submitted{ID: "g" + m.ID}, nil
}

func gated(g *gate) func(*messaging.Service, *sandbox.Carrier) []messaging.Link {
	return func(*messaging.Service, *sandbox.Carrier) []messaging.Link {
		return []messaging.Link{{Name: "gate", Driver: g, Sandbox: true}}
	}
}

// TestAMessageBehindOneInHandWaitsForIt: the first is in the node's hands from its acceptance, those of the same thread must not overtake it.
func TestAMessageBehindOneInHandWaitsForIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		g := newGate()
		r := build(t, d, options{links: gated(g)})
		from := r.lease(1, "")[0]
		send := func(text string) string {
			m, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: from, To: []string{"13125550144"}, Text: text})
			if err != nil {
				t.Fatal(err)
			}
			if m.State != messaging.Created {
				t.Errorf("accepted as %s", m.State)
			}
			return m.ID
		}
		send("first")
		<-g.asked
		send("second")
		last := send("third")
		close(g.open)
		r.awaitState(last, "success", false)
		if fmt.Sprint(g.order) != "[first second third]" {
			t.Error(g.order)
		}
	})
}

// TestWhatANodeHadInHandIsTakenBack: it accepts a message and is never heard of again; the one that declares it dead makes its messages due.
func TestWhatANodeHadInHandIsTakenBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		dead := newGate()
		var gone atomic.Bool
		r := build(t, d, options{links: gated(dead), fence: func(context.Context, *db.Tx) error {
			if gone.Load() {
				return errors.New("declared dead")
			}
			return nil
		}})
		from := r.lease(1, "")[0]
		m, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: from, To: []string{"13125550144"}, Text: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		<-dead.asked // it is in hand, and stays there
		gone.Store(true)
		g := newGate()
		close(g.open)
		next := build(t, d, options{links: gated(g), keep: r, node: "other"})
		if err := d.Update(t.Context(), func(ctx context.Context, tx *db.Tx) error { return next.sms.TakeBack(ctx, tx, "n") }); err != nil {
			t.Fatal(err)
		}
		next.awaitState(m.ID, "success", false)
		close(dead.open)
		r.stop()
		if balance, _, reserved, err := r.billing.Balance(t.Context(), d.Read(), r.account); err != nil || reserved != 0 {
			t.Error(balance, reserved, err)
		}
		if drift, err := r.billing.Drift(t.Context(), r.account); err != nil || drift != 0 {
			t.Errorf("drift %s, %v", drift, err)
		}
		sent := 0
		for _, p := range r.events() {
			if p["uuid"] == m.ID && p["state"] == "success" {
				sent++
			}
		}
		if sent != 1 {
			t.Errorf("%d events say that it was sent", sent)
		}
	})
}

// TestANodeThatMayBeDeadLeavesItsMessagesAlone: nothing reaches a carrier, and nothing is saved once the fence is down.
func TestANodeThatMayBeDeadLeavesItsMessagesAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var lost, fenced atomic.Bool
		asked := make(chan struct{}, 100)
		g := newGate()
		r := build(t, d, options{
			links: gated(g),
			holds: func() bool { asked <- struct{}{}; return !lost.Load() },
			fence: func(context.Context, *db.Tx) error {
				if fenced.Load() {
					return errors.New("declared dead")
				}
				return nil
			},
		})
		senders := r.lease(2, "")
		send := func(i int) *messaging.Message {
			m, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: senders[i], To: []string{"13125550144"}, Text: fmt.Sprint("text ", i)})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		lost.Store(true)
		send(0)
		<-asked
		lost.Store(false)
		m := send(1)
		<-asked
		<-g.asked
		fenced.Store(true)
		close(g.open)
		r.stop()
		if g.taken["text 0"] != 0 || g.taken["text 1"] != 1 {
			t.Error(g.taken)
		}
		list, _, err := r.sms.Search(t.Context(), messaging.Filter{Account: r.account, Types: []string{messaging.Outbound}, State: messaging.Success, Take: 10})
		if err != nil || len(list) != 0 {
			t.Errorf("%d messages were saved, %v; %s", len(list), err, m.ID)
		}
	})
}

// TestASenderThatIsGivenBackSendsNoMore from the moment on in which that is committed, whatever this node remembers of it.
func TestASenderThatIsGivenBackSendsNoMore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := build(t, d, options{quiet: true})
		from := r.lease(1, "")[0]
		send := func() error {
			_, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: from, To: []string{"13125550144"}, Text: "hello"})
			return err
		}
		if err := send(); err != nil {
			t.Fatal(err)
		}
		r.do("DELETE", "/rest/lease/tn/"+from.Digits(), nil, 200)
		if err := send(); !fault.Is(err, fault.NotFound) {
			t.Errorf("a number that was given back: %v", err)
		}
	})
}

// TestAReceiptMeetsTheMessageAsItIs: what a node remembers of a message that another node changed meanwhile does not come back with the receipt.
func TestAReceiptMeetsTheMessageAsItIs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		g := newGate()
		close(g.open)
		r := build(t, d, options{links: gated(g)})
		from := r.lease(1, "")[0]
		m, err := r.sms.Send(t.Context(), messaging.Request{Account: r.account, From: from, To: []string{"13125550144"}, Text: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		r.awaitState(m.ID, "success", false)
		other := build(t, d, options{links: gated(newGate()), keep: r, node: "other", quiet: true})
		on := func(s *messaging.Service, state carrier.State, operator string) {
			t.Helper()
			if err := s.Receipt(t.Context(), carrier.Receipt{Link: "gate", ID: "g" + m.ID, State: state, Operator: operator, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		on(other.sms, carrier.EnRoute, "Carrier of the other node")
		on(r.sms, carrier.Delivered, "")
		p := r.awaitState(m.ID, "success", true)
		if p["operator"] != "Carrier of the other node" || p["reason"] != "ENROUTE" {
			t.Error(p["operator"], p["reason"])
		}
	})
}
