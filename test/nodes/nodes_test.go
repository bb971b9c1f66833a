package nodes

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/test/scenario/house"
)

const (
	frozenFor = 20 * time.Second
	takeOver  = 10 * time.Second // promised: from the end of a node until others have taken over everything
	anew      = 16 * time.Second // until a lost node works again
	settled   = 30 * time.Second // until every message has its last state
	calls     = 12               // of each kind
	messages  = 150
)

// pair is two servers and what they were given to do.
type pair struct {
	t     *testing.T
	nodes [2]*house.Server
	web   [2]string
	rows  *db.DB // their database
	sink  *sink  // of their customer
	had   int    // events before the customer had an endpoint

	sender, number, route string

	mu  sync.Mutex
	sms []string
}

// natsBus is a bus of its own process in production.
func natsBus(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(5 * time.Second) {
		t.Fatal("no bus")
	}
	return s.ClientURL()
}

// freePort finds an address that stays the same over the starts of a node.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func begin(ctx context.Context, t *testing.T, binary string) *pair {
	t.Helper()
	p := &pair{t: t}
	var err error
	url, bus := dbtest.PostgresURL(t), natsBus(t)
	for i := range p.nodes {
		p.web[i] = freePort(t)
		s, err := house.Start(ctx, house.Options{
			Binary: binary, Data: t.TempDir(), DB: url, Flags: []string{"--http-addr", p.web[i], "--sip-addr", freePort(t), "--bus", bus, "--sandbox-credit", "1000"},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.nodes[i] = s
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("node %d:\n%s", i, s.Log())
			}
			select {
			case <-s.Over():
			default:
				_ = syscall.Kill(s.PID(), syscall.SIGCONT)
				s.Kill()
			}
		})
	}
	if p.rows, err = db.Open(ctx, db.Config{URL: url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.rows.Close() })
	c := p.client(0)
	if p.sender, err = house.Sender(ctx, c); err == nil {
		p.number, err = house.Number(ctx, c, `<Response><Answer/><Pause length="600000"/><Hangup/></Response>`)
	}
	if err == nil {
		p.route, err = house.OutboundProfile(ctx, c)
	}
	if err == nil {
		p.sink = newSink(t)
		p.had, err = p.sink.register(ctx, c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) client(node int) *house.Client {
	return house.NewClient("http://"+p.web[node], house.Token)
}

// talk makes calls of both directions that a node has in hand, and gives their legs once all of them are live.
func (p *pair) talk(ctx context.Context, node int) []string {
	p.t.Helper()
	c := p.client(node)
	var legs []string
	for i := range calls {
		for path, body := range map[string]any{
			"/rest/call": map[string]any{"to": "15005550001", "from": p.sender, "outbound_voice_profile": p.route, "xml": "<Response><Pause length='600000'/><Hangup/></Response>"},
			"/rest/sandbox/call": map[string]any{
				"from": fmt.Sprintf("1312555%04d", i), "to": p.number, "script": []any{map[string]any{"wait_ms": 600000}},
			},
		} {
			d, err := c.Do(ctx, "POST", path, body)
			if err != nil {
				p.t.Fatal(err)
			}
			legs = append(legs, d.Str("uuid"))
		}
	}
	up, cancel := context.WithTimeout(ctx, takeOver)
	defer cancel()
	for _, id := range legs {
		p.until(up, c, "/rest/call/"+id, "live", func(d house.Doc) bool { return d.Str("state") == "live" })
	}
	return legs
}

// send gives messages to a node, and is done when it has taken them or is gone.
func (p *pair) send(ctx context.Context, node int) {
	c := p.client(node)
	var all sync.WaitGroup
	for w := range 5 {
		all.Go(func() {
			for i := range messages / 5 {
				d, err := c.Do(ctx, "POST", "/rest/sms", map[string]any{"from": p.sender, "to": "15005550101", "message": fmt.Sprintf("message %d of %d", i, w)})
				if err != nil {
					return
				}
				p.mu.Lock()
				p.sms = append(p.sms, d.Str("uuid"))
				p.mu.Unlock()
			}
		})
	}
	all.Wait()
}

// until asks for an object until it is as wanted.
func (p *pair) until(ctx context.Context, c *house.Client, path, want string, ok func(house.Doc) bool) {
	p.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := c.Do(ctx, "GET", path, nil)
		if err == nil && ok(d) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%s is not %s in time: state %s, reason %s, %v", path, want, d.Str("state"), d.Str("reason"), err)
		}
	}
}

// closed wants every leg ended, and nothing in the hands of a dead node, within the promised time.
func (p *pair) closed(ctx context.Context, node int, legs []string, since time.Time) {
	p.t.Helper()
	ctx, cancel := context.WithDeadline(ctx, since.Add(takeOver))
	defer cancel()
	for _, id := range legs {
		p.until(ctx, p.client(node), "/rest/call/"+id, "closed", func(d house.Doc) bool { return d.Str("state") == "destroyed" })
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for what := p.held(ctx); what != ""; what = p.held(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%v after the end of a node it still has %s", takeOver, what)
		}
	}
	p.t.Logf("%d calls of the lost node were closed, and its work was taken over, after %.1f s", len(legs), time.Since(since).Seconds())
}

// held tells what nodes that do not live have in hand.
func (p *pair) held(ctx context.Context) string {
	p.t.Helper()
	for _, q := range []struct{ what, table, owner string }{
		{"calls", "call_leg WHERE destroy_on IS NULL", "node"},
		{"messages", "sms WHERE due_on IS NOT NULL", "node"},
		{"deliveries", "webhook_delivery WHERE state = 'pending'", "owner"},
		{"jobs", "job WHERE lease_until IS NOT NULL", "owner"},
		{"recurring work", "lease WHERE is_done = false", "owner"},
		{"answers", "idempotency WHERE status IS NULL", "node"},
		{"websockets", "account_socket WHERE node <> ''", "node"},
	} {
		if n := p.count(ctx, "SELECT count(*) FROM "+q.table+" AND "+q.owner+" NOT IN (SELECT id FROM node WHERE dead_on IS NULL)"); n > 0 {
			return fmt.Sprintf("%d %s", n, q.what)
		}
	}
	return ""
}

// count reads one number from the database.
func (p *pair) count(ctx context.Context, query string, args ...any) (n int) {
	p.t.Helper()
	if err := p.rows.Read().QueryRow(ctx, query, args...).Scan(&n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// once wants that nothing was done twice, and nothing is left.
func (p *pair) once(ctx context.Context, node int, legs []string) {
	p.t.Helper()
	final, cancel := context.WithTimeout(ctx, settled)
	defer cancel()
	for _, id := range p.sms {
		p.until(final, p.client(node), "/rest/sms/outbound/"+id, "final", func(d house.Doc) bool { return d.Str("delivered") == "true" || d.Str("state") == "failed" })
	}
	ends := map[string]int{}
	err := house.EachEvent(ctx, p.client(node), "call_state", func(e house.Doc) error {
		if e.Str("payload.state") == "destroyed" {
			ends[e.Str("ref_id")]++
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, id := range legs {
		if ends[id] != 1 {
			p.t.Errorf("call %s was destroyed %d times", id, ends[id])
		}
	}
	if n := p.count(ctx, "SELECT count(*) FROM call_leg WHERE destroy_on IS NULL"); n != 0 {
		p.t.Errorf("%d legs are still open", n)
	}
	if n := p.count(ctx, `SELECT count(*) FROM (SELECT ref_uuid FROM ledger WHERE ref_uuid IS NOT NULL GROUP BY ref_uuid, source_action HAVING count(*) > 1) AS twice`); n != 0 {
		p.t.Errorf("%d things were charged twice", n)
	}
	if what := p.held(ctx); what != "" {
		p.t.Errorf("nodes that are gone have %s", what)
	}
	p.receipts(ctx, node)
	p.delivered(final, node)
}

// receipts wants each message that a carrier took told of as sent once and as delivered once.
func (p *pair) receipts(ctx context.Context, node int) {
	p.t.Helper()
	sent, delivered := map[string]int{}, map[string]int{}
	err := house.EachEvent(ctx, p.client(node), "sms", func(e house.Doc) error {
		switch {
		case e.Str("payload.delivered") == "true":
			delivered[e.Str("ref_id")]++
		case e.Str("payload.state") == "success":
			sent[e.Str("ref_id")]++
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	receipts := 0
	for _, id := range p.sms {
		if receipts += delivered[id]; sent[id] > 1 || delivered[id] != sent[id] {
			p.t.Errorf("message %s was sent %d times and delivered %d times", id, sent[id], delivered[id])
		}
	}
	if n := p.count(ctx, "SELECT count(*) FROM sms WHERE state IN ('created', 'sending') OR state = 'success' AND NOT delivered"); n != 0 {
		p.t.Errorf("%d messages are not final", n)
	}
	p.t.Logf("%d messages, %d receipts", len(p.sms), receipts)
}

func TestALostNodesWorkGoesToTheOther(t *testing.T) {
	binary, err := house.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // the compiler's time is not the servers'
	defer cancel()
	p := begin(ctx, t, binary)
	legs := p.frozen(ctx)
	legs = append(legs, p.killed(ctx)...)
	p.once(ctx, 0, legs)
}

// frozen stops the first node for a while; it comes back as a new run in the same process.
func (p *pair) frozen(ctx context.Context) []string {
	p.t.Helper()
	legs := p.talk(ctx, 0)
	if err := p.command(ctx, legs[0]); err != nil {
		p.t.Fatal(err)
	}
	socket, err := house.Open(ctx, p.web[0], house.Token, []string{"*"}, "")
	if err != nil {
		p.t.Fatal(err)
	}
	defer socket.Close()
	var sending sync.WaitGroup
	sending.Go(func() {
		short, stop := context.WithTimeout(ctx, frozenFor/2)
		defer stop()
		p.send(short, 0)
	})
	p.taken(ctx, messages/3)
	began := time.Now()
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(p.nodes[0].PID(), s); err != nil {
			p.t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	p.closed(ctx, 1, legs, began)
	thaw := time.NewTimer(frozenFor - time.Since(began))
	defer thaw.Stop()
	select {
	case <-thaw.C:
	case <-ctx.Done():
	}
	signal(syscall.SIGCONT)
	back := time.Now()
	p.again(ctx, 0)
	p.t.Logf("the frozen node works again %.1f s after it went on", time.Since(back).Seconds())
	if _, err := socket.Next(ctx, func(house.Frame) bool { return false }); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		p.t.Errorf("its websocket ended with %v", err)
	}
	sending.Wait()
	return legs
}

// command ends a call of the first node by way of the second.
func (p *pair) command(ctx context.Context, leg string) error {
	if _, err := p.client(1).Do(ctx, "DELETE", "/rest/call/"+leg, nil); err != nil {
		return err
	}
	p.until(ctx, p.client(1), "/rest/call/"+leg, "ended by the API", func(d house.Doc) bool { return d.Str("state") == "destroyed" && d.Str("reason") == "api" })
	return nil
}

// taken waits until a node has taken so many messages.
func (p *pair) taken(ctx context.Context, n int) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		have := len(p.sms)
		p.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.t.Fatalf("%d messages were taken, want %d", have, n)
		}
	}
}

// again waits until a lost node has started anew: its work goes on under another id.
func (p *pair) again(ctx context.Context, node int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, anew)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for len(p.nodes[node].Grep(`"msg":"ready"`)) < 2 {
		select {
		case <-tick.C:
		case err := <-p.nodes[node].Over():
			p.t.Fatalf("the lost node ended: %v", err)
		case <-ctx.Done():
			p.t.Fatal("the lost node did not start anew")
		}
	}
}

// killed ends the second node in the middle of its work, and starts it again.
func (p *pair) killed(ctx context.Context) []string {
	p.t.Helper()
	legs := p.talk(ctx, 1)
	had := len(p.sms)
	var sending sync.WaitGroup
	sending.Go(func() { p.send(ctx, 1) })
	p.taken(ctx, had+messages/3)
	began := time.Now()
	p.nodes[1].Kill()
	sending.Wait()
	p.closed(ctx, 0, legs, began)
	return legs
}
