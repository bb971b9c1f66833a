package sip

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func TestOptionsIsAnsweredByALivingPeer(t *testing.T) {
	a, b := newPhone(t), newPhone(t)
	for _, transport := range []string{"", "UDP", "TCP"} {
		if status, err := a.Options(t.Context(), "sip:"+b.addr().String(), transport); status != 200 || err != nil {
			t.Errorf("over %q: %d, %v", transport, status, err)
		}
	}
	b.Refuse(true)
	if status, err := a.Options(t.Context(), "sip:"+b.addr().String(), ""); status != 503 || err != nil {
		t.Errorf("while draining: %d, %v", status, err)
	}
	if _, err := a.Options(t.Context(), "nobody", ""); err == nil {
		t.Error("a bad URI was asked")
	}
	a.idle(t)
}

func TestOptionsToADeadPeerEnds(t *testing.T) {
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	a := newPhone(t)
	uri := "sip:" + dead.LocalAddr().String()
	if _, err := a.Options(t.Context(), uri, ""); !errors.Is(err, ErrTimeout) {
		t.Errorf("after 64*T1: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Options(ctx, uri, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody waits: %v", err)
	}
	a.idle(t)
}
