package sip

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	foreign "github.com/emiago/sipgo/sip"
)

// sipgoPeer is an endpoint of emiago/sipgo, a stack that is not ours.
type sipgoPeer struct {
	ua     *sipgo.UserAgent
	server *sipgo.Server
	client *sipgo.Client
	conn   net.PacketConn
}

func newSipgoPeer(t *testing.T) *sipgoPeer {
	t.Helper()
	ua, err := sipgo.NewUA()
	if err != nil {
		t.Fatal(err)
	}
	p := &sipgoPeer{ua: ua}
	if p.server, err = sipgo.NewServer(ua); err != nil {
		t.Fatal(err)
	}
	if p.conn, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if p.client, err = sipgo.NewClient(ua, sipgo.WithClientHostname("127.0.0.1"), sipgo.WithClientPort(p.conn.LocalAddr().(*net.UDPAddr).Port)); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *sipgoPeer) serve(t *testing.T) {
	served := make(chan struct{})
	go func() { defer close(served); p.server.ServeUDP(p.conn) }()
	t.Cleanup(func() {
		p.ua.Close()
		p.conn.Close()
		<-served
	})
}

func TestSipgoCallsUs(t *testing.T) {
	b := newPhone(t)
	peer := newSipgoPeer(t)
	peer.serve(t)
	contact := foreign.ContactHeader{Address: foreign.Uri{Scheme: "sip", User: "peer", Host: "127.0.0.1", Port: peer.conn.LocalAddr().(*net.UDPAddr).Port}}
	dialogs := sipgo.NewDialogClientCache(peer.client, contact)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	uri := foreign.Uri{Scheme: "sip", User: "bob", Host: "127.0.0.1", Port: int(b.addr().Port())}
	session, err := dialogs.Invite(ctx, uri, []byte("v=0\r\n"), foreign.NewHeader("Content-Type", "application/sdp"))
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	in := b.incoming(t)
	in.Ring(ctx, 180, nil)
	in.Accept(ctx, []byte("v=0\r\nanswer\r\n"))
	if err := session.WaitAnswer(ctx, sipgo.AnswerOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Ack(ctx); err != nil {
		t.Fatal(err)
	}
	expect[Acked](t, in)
	if err := session.Bye(ctx); err != nil {
		t.Fatal(err)
	}
	if e := expect[Ended](t, in); e.By != Remote {
		t.Errorf("%+v", e)
	}
}

func TestWeCallSipgo(t *testing.T) {
	a := newPhone(t)
	peer := newSipgoPeer(t)
	contact := foreign.ContactHeader{Address: foreign.Uri{Scheme: "sip", User: "peer", Host: "127.0.0.1", Port: peer.conn.LocalAddr().(*net.UDPAddr).Port}}
	dialogs := sipgo.NewDialogServerCache(peer.client, contact)
	acked := make(chan struct{})
	ended := make(chan struct{})
	peer.server.OnInvite(func(req *foreign.Request, tx foreign.ServerTransaction) {
		session, err := dialogs.ReadInvite(req, tx)
		if err != nil {
			t.Error(err)
			return
		}
		defer session.Close()
		session.Respond(180, "Ringing", nil)
		session.RespondSDP([]byte("v=0\r\npeer\r\n"))
		<-ended
	})
	peer.server.OnAck(func(req *foreign.Request, tx foreign.ServerTransaction) {
		dialogs.ReadAck(req, tx)
		close(acked)
	})
	peer.server.OnBye(func(req *foreign.Request, tx foreign.ServerTransaction) {
		dialogs.ReadBye(req, tx)
		close(ended)
	})
	peer.serve(t)
	port := peer.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	out := a.dial(t, port)
	if e := expect[Progress](t, out); e.Status != 180 {
		t.Errorf("%+v", e)
	}
	if e := expect[Answered](t, out); string(e.Body) != "v=0\r\npeer\r\n" {
		t.Errorf("%+v", e)
	}
	select {
	case <-acked:
	case <-time.After(patience):
		t.Fatal("no ACK came")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := out.Bye(ctx, Reason{Q850: 16}); err != nil {
		t.Fatal(err)
	}
	<-ended
}
