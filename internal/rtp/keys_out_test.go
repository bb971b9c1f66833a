package rtp

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestSentKeysAreWholeEvents(t *testing.T) {
	s, p := wired(t, testClock(t), nil, func(p *Params) { p.DTMFPT = 97 })
	sent := make(chan error, 1)
	go func() { sent <- s.SendKeys(t.Context(), "1w#", 50*time.Millisecond, 0) }()
	type event struct{ starts, ends, packets int }
	got := map[uint32]*event{}
	var order []byte
	var previous packet
	for range 12 {
		h := p.hear()
		if h.pt != 97 || len(h.payload) != 4 {
			t.Fatalf("got %+v", h.header)
		}
		if previous.payload != nil && h.seq != previous.seq+1 {
			t.Errorf("sequence %d after %d", h.seq, previous.seq)
		}
		e := got[h.ts]
		if e == nil {
			e = &event{}
			got[h.ts] = e
			order = append(order, keyNames[h.payload[0]])
		}
		e.packets++
		if h.marker {
			e.starts++
		}
		units := int(h.payload[2])<<8 | int(h.payload[3])
		if want := min(e.packets, 3) * 160; units != want {
			t.Errorf("packet %d says %d", e.packets, units)
		}
		if h.payload[1]&0x80 != 0 {
			e.ends++
		}
		previous = h
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if string(order) != "1#" {
		t.Errorf("keys %q", order)
	}
	for ts, e := range got {
		if *e != (event{1, 3, 6}) {
			t.Errorf("event at %d: %+v", ts, *e)
		}
	}
}

func TestKeysThatCannotBeSent(t *testing.T) {
	s, _ := wired(t, testClock(t), nil, func(p *Params) { p.DTMFPT = 0 })
	for digits, want := range map[string]error{"1": ErrNoEvents, "": ErrKey, "1x": ErrKey} {
		if err := s.SendKeys(t.Context(), digits, 0, 0); !errors.Is(err, want) {
			t.Errorf("%q: got %v", digits, err)
		}
	}
	idle := openStream(t, testClock(t), nil)
	if err := idle.SendKeys(t.Context(), "1", 0, 0); !errors.Is(err, ErrNotStarted) {
		t.Errorf("not started: %v", err)
	}
}

func TestCancelledKeysLetGo(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	sent := make(chan error, 1)
	go func() { sent <- s.SendKeys(ctx, "123", 2*time.Second, 0) }()
	p.hear()
	enough := errors.New("enough")
	cancel(enough)
	ends := 0
	for ends < keyEnds {
		if h := p.hear(); h.payload[1]&0x80 != 0 {
			ends++
		}
	}
	if err := <-sent; !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
}

func TestKeysOnHoldWaitAndCanBeCancelled(t *testing.T) {
	s, p := wired(t, testClock(t), nil, func(p *Params) { p.SendEnabled = false })
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	sent := make(chan error, 1)
	go func() { sent <- s.SendKeys(ctx, "1", 0, 0) }()
	<-s.Play(constant(2, 0))
	cancel(enough)
	if err := <-sent; !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	go func() { sent <- s.SendKeys(t.Context(), "2", 0, 0) }()
	<-s.Play(constant(2, 0))
	if err := s.Update(plainParams(p.addr())); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	for {
		if got := p.hear(); got.pt == 101 {
			if got.payload[0] != 2 {
				t.Errorf("key %d", got.payload[0])
			}
			break
		}
	}
}

func TestClosingEndsTheKeys(t *testing.T) {
	s, p := wired(t, testClock(t), nil, nil)
	sent := make(chan error, 1)
	go func() { sent <- s.SendKeys(t.Context(), "123", 0, 0) }()
	p.hear()
	s.Close()
	if err := <-sent; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
