package crash

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/sandbox/phone"
	"github.com/opentact/opentact/test/scenario/house"
)

// flow is what the account's number does with a call.
const flow = `<Response><Answer/><Pause length="1500"/><Hangup/></Response>`

// areas are where customers order numbers: each ordering customer has its own, so that no two want the same number.
func areas() [][]string {
	return [][]string{{"416", "312", "415"}, {"647", "305", "713"}}
}

// work is what the customers of a run do, with what was made for them before it.
type work struct {
	plan   Plan
	nodes  *nodes
	notes  *notes
	calls  *phones
	number string // with a flow, and for messages
	sender string
	route  string // outbound voice profile
	owner  string // account
}

// prepare makes what the work needs, while nobody kills.
func (w *work) prepare(ctx context.Context, sink *sink) error {
	c := w.nodes.client(0)
	account, err := c.Do(ctx, "GET", "/rest/account", nil)
	if err != nil {
		return err
	}
	w.owner = account.Str("uuid")
	if w.number, err = house.Number(ctx, c, flow); err != nil {
		return err
	}
	if w.sender, err = house.Sender(ctx, c); err != nil {
		return err
	}
	if w.route, err = house.OutboundProfile(ctx, c); err != nil {
		return err
	}
	profiles, err := c.Do(ctx, "GET", "/rest/profile/messaging", nil)
	if err != nil {
		return err
	}
	profile := profiles.Str("[is_default=true].uuid")
	if _, err := c.Do(ctx, "POST", "/rest/lease/tn/"+w.number+"/subscription/sms", map[string]any{"messaging_profile": profile}); err != nil {
		return err
	}
	if _, err := c.Do(ctx, "PATCH", "/rest/profile/messaging/"+profile, map[string]any{"callback_url": sink.url + callbackPath}); err != nil {
		return err
	}
	apps, err := c.Do(ctx, "GET", "/rest/sip/app", nil)
	if err != nil {
		return err
	}
	if _, err := c.Do(ctx, "PATCH", "/rest/sip/app/"+apps.Str("[0].uuid"), map[string]any{"webhook_url": sink.url + appPath, "webhook_method": "POST"}); err != nil {
		return err
	}
	return sink.register(ctx, c)
}

// begin starts all customers. They take new work until ctx ends and finish what they began; answers ends their patience.
func (w *work) begin(ctx, answers context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	const senders, phoneUsers = 8, 6
	n := 0
	crew := func(pause time.Duration, job func(context.Context, *caller, string)) {
		n++
		c, name := &caller{nodes: w.nodes, notes: w.notes, node: n}, fmt.Sprintf("c%d", n)
		wg.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for i := 0; ; i++ {
				job(answers, c, fmt.Sprintf("%s-%d", name, i))
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
				if ctx.Err() != nil {
					return
				}
			}
		})
	}
	for i := range senders {
		crew(time.Second*senders/time.Duration(w.plan.Rate), w.sms(i))
	}
	crew(50*time.Millisecond, w.inbound)
	for _, to := range []string{"15005550001", "15005550002", "15005550004"} {
		crew(150*time.Millisecond, w.call(to))
	}
	crew(150*time.Millisecond, w.ring())
	for _, area := range areas() {
		crew(w.plan.orders(), w.order(area))
	}
	crew(40*time.Millisecond, w.credit)
	crew(40*time.Millisecond, w.credit)
	for range phoneUsers {
		crew(100*time.Millisecond, w.phone)
	}
	return &wg
}

// sms sends to each behaviour of the sandbox and to a number of the platform.
func (w *work) sms(first int) func(context.Context, *caller, string) {
	far := []string{"15005550101", "15005550102", "15005550103", "15005550104", w.number, "13125550199"}
	return func(ctx context.Context, c *caller, tag string) {
		c.do(ctx, request{kind: kindSMS, tag: tag, path: "/rest/sms", body: map[string]any{"from": w.sender, "to": far[first%len(far)], "message": "m " + tag}})
		first++
	}
}

func (w *work) inbound(ctx context.Context, c *caller, tag string) {
	c.do(ctx, request{kind: kindInbound, tag: tag, path: "/rest/sandbox/sms", body: map[string]any{"from": "13125550144", "to": w.sender, "message": "i " + tag}})
}

func (w *work) call(to string) func(context.Context, *caller, string) {
	return func(ctx context.Context, c *caller, tag string) {
		c.do(ctx, request{kind: kindCall, tag: tag, path: "/rest/call", body: map[string]any{
			"to": to, "from": w.sender, "outbound_voice_profile": w.route, "meta": map[string]any{"tag": tag}, "xml": "<Response><Pause length='800'/><Hangup/></Response>",
		}})
	}
}

// ring lets simulated callers ring; the caller's number is the tag by which the record is found.
func (w *work) ring() func(context.Context, *caller, string) {
	n := 0
	return func(ctx context.Context, c *caller, _ string) {
		n++
		from := fmt.Sprintf("1312%07d", 2000000+n)
		c.do(ctx, request{kind: kindRing, tag: from, path: "/rest/sandbox/call", body: map[string]any{"from": from, "to": w.number, "script": []any{map[string]any{"wait_ms": 400}}}})
	}
}

// order buys numbers of its areas, one by one.
func (w *work) order(area []string) func(context.Context, *caller, string) {
	var stock []string
	skip := 0
	return func(ctx context.Context, c *caller, _ string) {
		for len(stock) == 0 {
			if len(area) == 0 || ctx.Err() != nil {
				return
			}
			found, err := c.get(ctx, "POST", fmt.Sprintf("/rest/tn/search?take=100&skip=%d", skip), map[string]any{"npa": area[0], "profile": "US"})
			if err != nil {
				return
			}
			for _, tn := range found.List("data") {
				stock = append(stock, tn.Str("tn"))
			}
			if len(stock) == 0 {
				area = area[1:]
			}
		}
		tn := stock[0]
		stock = stock[1:]
		c.do(ctx, request{kind: kindOrder, tag: tn, path: "/rest/order", body: map[string]any{"items": []any{map[string]any{"tn": tn, "features": []string{"voice"}}}}})
	}
}

func (w *work) credit(ctx context.Context, c *caller, tag string) {
	c.do(ctx, request{kind: kindCredit, tag: tag, path: "/rest/admin/account/" + w.owner + "/credit", body: map[string]any{"amount": 0.25, "description": "credit " + tag}})
}

// phone calls the account's number over SIP and hangs up, or is hung up on.
func (w *work) phone(ctx context.Context, c *caller, tag string) {
	c.node++
	w.calls.call(ctx, w.nodes.list[c.node%len(w.nodes.list)].sip, w.number, tag)
}

// phones are telephones outside of the server, and what became of their calls.
type phones struct {
	phone *phone.Phone
	off   func()

	mu       sync.Mutex
	placed   int
	answered map[string]bool // Call-ID of calls that were answered

	unrecorded int // of these, the ones without a record
}

// newPhones switches a phone on.
func newPhones() (*phones, error) {
	p, err := phone.New(phone.Config{User: "+13125550177"})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- p.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return nil, err
	}
	return &phones{phone: p, off: func() { cancel(); <-ended }, answered: map[string]bool{}}, nil
}

// call is over after two seconds, whatever the server does.
func (p *phones) call(ctx context.Context, server, number, tag string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	id := "crash-" + strings.ReplaceAll(tag, " ", "") + "@phone"
	c, err := p.phone.Place(ctx, phone.Request{To: "sip:+" + number + "@" + server, CallID: id, Deaf: true, RingTimeout: 2 * time.Second})
	if err != nil {
		return // no server is there
	}
	defer c.Close()
	p.mu.Lock()
	p.placed++
	p.mu.Unlock()
	if c.WaitAnswered(ctx) != nil {
		return
	}
	p.mu.Lock()
	p.answered[id] = true
	p.mu.Unlock()
	_ = c.Wait(ctx) // it is hung up here when the server does not
}
