package sip

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestSessionIsRefreshedWithoutTroublingTheOwner(t *testing.T) {
	t.Parallel()
	a, b := newPhone(t), newPhone(t)
	out, in := live(t, a, b)
	if got := out.session.interval; got != DefaultSessionExpires {
		t.Errorf("agreed %v", got)
	}
	refreshed := func(d *call) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return !d.offering && d.cseq > 1
	}
	out.refresh()
	for !refreshed(out) {
		<-time.After(time.Millisecond)
	}
	// A peer without UPDATE gets a re-INVITE with the SDP in force.
	out.mu.Lock()
	out.heard = nil
	out.mu.Unlock()
	out.refresh()
	for out.Dialog.ep.Counters().RetransmitsIn == 0 && !refreshed(out) {
		<-time.After(time.Millisecond)
	}
	in.expired()
	if e := expect[Ended](t, in); e.By != Lost || e.Reason.Q850 != 102 {
		t.Errorf("%+v", e)
	}
	expect[Ended](t, out)
	a.idle(t)
	b.idle(t)
}

func TestShortSessionGets422AndOurCallTakesTheLongerOne(t *testing.T) {
	t.Parallel()
	b := newPhone(t)
	peer := newRawPeer(t, b.addr())
	peer.send(strings.Replace(rawInvite, "Max-Forwards", "Supported: timer\nx: 60;refresher=uac\nMax-Forwards", 1))
	if m := peer.status(422); m.header("Min-SE") != "90" {
		t.Errorf("Min-SE %q", m.header("Min-SE"))
	}
	peer = newRawPeer(t, b.addr())
	out := b.dial(t, peer.addr())
	invite := peer.requestNamed("INVITE")
	if invite.header("Session-Expires") != "1800" || invite.header("Min-SE") != "90" {
		t.Errorf("offered %q %q", invite.header("Session-Expires"), invite.header("Min-SE"))
	}
	peer.answer(invite, 422, "x", "", Header{"Min-SE", "3600"})
	peer.requestNamed("ACK")
	invite = peer.requestNamed("INVITE")
	if invite.header("Session-Expires") != "3600" || invite.header("Min-SE") != "3600" || invite.cseq != 2 {
		t.Errorf("offered %q %q", invite.header("Session-Expires"), invite.header("Min-SE"))
	}
	peer.answer(invite, 486, "x", "")
	expect[Failed](t, out)
}

func TestSessionTimerOfTheCallerIsConfirmed(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"Supported: timer\nSession-Expires: 120;refresher=uas": "120;refresher=uas",
		"Supported: timer\nSession-Expires: 120":               "120;refresher=uac",
		"Supported: timer":                                     "1800;refresher=uac",
		"Subject: none":                                        "",
	} {
		b := newPhone(t)
		peer := newRawPeer(t, b.addr())
		peer.send(strings.Replace(rawInvite, "Max-Forwards", asked+"\nMax-Forwards", 1))
		b.incoming(t).Accept(context.Background(), []byte("v=0\r\n"))
		m := peer.status(200)
		if got := m.header("Session-Expires"); got != want || m.hasToken("Require", "timer") != strings.HasSuffix(want, "uac") {
			t.Errorf("%q: %q, want %q", asked, got, want)
		}
	}
}
