package sip

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// call is a dialog with its events as a channel.
type call struct {
	*Dialog
	events chan Event
}

func watch(d *Dialog) *call {
	c := &call{d, make(chan Event, 64)}
	d.Observe(func(e Event) { c.events <- e })
	return c
}

// expect takes the next event, which must be of type E.
func expect[E Event](t testing.TB, c *call) E {
	t.Helper()
	select {
	case e := <-c.events:
		want, ok := e.(E)
		if !ok {
			t.Fatalf("event %T %+v, want %T", e, e, want)
		}
		return want
	case <-time.After(patience):
		var want E
		t.Fatalf("no event, want %T", want)
		return want
	}
}

// phone is an endpoint under test with the calls that reach it.
type phone struct {
	*Endpoint
	calls chan *call
	stop  func() // ends Run and waits for it

	mu      sync.Mutex
	onCall  func(*Dialog)
	request func(*Request) Response
}

// handle sets what the phone does instead of queueing calls and refusing requests; nil leaves it as it is.
func (p *phone) handle(onCall func(*Dialog), request func(*Request) Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onCall, p.request = onCall, request
}

func (p *phone) Invite(d *Dialog) {
	p.mu.Lock()
	onCall := p.onCall
	p.mu.Unlock()
	if onCall != nil {
		onCall(d)
		return
	}
	p.calls <- watch(d)
}

func (p *phone) Request(r *Request) Response {
	p.mu.Lock()
	request := p.request
	p.mu.Unlock()
	if request == nil {
		return Response{}
	}
	return request(r)
}

// phoneHandler keeps the names of Handler apart from those of Endpoint.
type phoneHandler struct{ p *phone }

func (h phoneHandler) Invite(d *Dialog)            { h.p.Invite(d) }
func (h phoneHandler) Request(r *Request) Response { return h.p.Request(r) }

func newPhone(t testing.TB, change ...func(*Config)) *phone {
	t.Helper()
	cfg := Config{Listen: []string{"127.0.0.1:0"}, UserAgent: "phone", T1: 20 * time.Millisecond, T2: 80 * time.Millisecond, T4: 100 * time.Millisecond}
	for _, fn := range change {
		fn(&cfg)
	}
	p := &phone{calls: make(chan *call, 16)}
	ep, err := New(cfg, phoneHandler{p})
	if err != nil {
		t.Fatal(err)
	}
	p.Endpoint = ep
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- ep.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

func (p *phone) addr() netip.AddrPort { return p.Addr()[0].Addr }

// dial calls another phone.
func (p *phone) dial(t testing.TB, to netip.AddrPort, change ...func(*InviteRequest)) *call {
	t.Helper()
	c := &call{events: make(chan Event, 64)}
	req := InviteRequest{
		RequestURI: "sip:bob@" + to.String(), From: Party{User: "alice", Display: "Alice"}, Body: []byte("v=0\r\noffer\r\n"),
		Observe: func(e Event) { c.events <- e },
	}
	for _, fn := range change {
		fn(&req)
	}
	d, err := p.Endpoint.Invite(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	c.Dialog = d
	return c
}

func (p *phone) incoming(t testing.TB) *call {
	t.Helper()
	select {
	case c := <-p.calls:
		return c
	case <-time.After(patience):
		t.Fatal("no call came")
		return nil
	}
}

// live sets a call up between two phones.
func live(t testing.TB, a, b *phone, change ...func(*InviteRequest)) (out, in *call) {
	t.Helper()
	out = a.dial(t, b.addr(), change...)
	in = b.incoming(t)
	if err := in.Accept(context.Background(), []byte("v=0\r\nanswer\r\n")); err != nil {
		t.Fatal(err)
	}
	expect[Answered](t, out)
	expect[Acked](t, in)
	return out, in
}

// idle waits until an endpoint keeps no dialog and no transaction.
func (p *phone) idle(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		c := p.Counters()
		if c.Dialogs == 0 && c.Transactions == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left over: %+v", c)
		}
		<-time.After(5 * time.Millisecond)
	}
	for _, sh := range p.shards {
		sh.wheel.mu.Lock()
		if sh.wheel.count != 0 {
			t.Errorf("%d timers left", sh.wheel.count)
		}
		sh.wheel.mu.Unlock()
		sh.mu.Lock()
		if len(sh.merged) != 0 || len(sh.dialogs) != 0 {
			t.Errorf("left over: %d merge keys, %d dialogs", len(sh.merged), len(sh.dialogs))
		}
		sh.mu.Unlock()
	}
}

// rawPeer speaks SIP by hand over UDP.
type rawPeer struct {
	t    testing.TB
	conn *net.UDPConn
	to   netip.AddrPort
}

func newRawPeer(t testing.TB, to netip.AddrPort) *rawPeer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawPeer{t, conn, to}
}

func (r *rawPeer) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// send writes lines with CRLF; {me} stands for the peer's own address.
func (r *rawPeer) send(text string) {
	r.t.Helper()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "{me}", r.addr().String()), "\n", "\r\n")
	if _, err := r.conn.WriteToUDPAddrPort([]byte(text), r.to); err != nil {
		r.t.Fatal(err)
	}
}

// read takes the next datagram as a message.
func (r *rawPeer) read() *message {
	r.t.Helper()
	m := r.readFor(patience)
	if m == nil {
		r.t.Fatal("no message came")
	}
	return m
}

func (r *rawPeer) readFor(wait time.Duration) *message {
	r.t.Helper()
	buf := make([]byte, maxMessage)
	r.conn.SetReadDeadline(time.Now().Add(wait))
	n, from, err := r.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		return nil
	}
	r.to = from
	m, err := parse(string(buf[:n]))
	if err != nil {
		r.t.Fatalf("unreadable message %q", buf[:n])
	}
	if defect := m.essentials(); defect != "" || m.defect != "" {
		r.t.Fatalf("%s%s in %q", defect, m.defect, buf[:n])
	}
	return m
}

// status reads until a final answer or the given provisional one comes.
func (r *rawPeer) status(want int) *message {
	r.t.Helper()
	for {
		m := r.read()
		if m.request {
			r.t.Fatalf("%s came, want status %d", m.method, want)
		}
		if m.status == want {
			return m
		}
		if m.status >= 200 {
			r.t.Fatalf("status %d %s, want %d", m.status, m.phrase, want)
		}
	}
}

// requestNamed reads until a request of the method comes.
func (r *rawPeer) requestNamed(method string) *message {
	r.t.Helper()
	for {
		if m := r.read(); m.request && m.method == method {
			return m
		}
	}
}
