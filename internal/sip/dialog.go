package sip

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
)

type state int

const (
	stateTrying   state = iota // inbound, nothing but 100 was sent
	stateCalling               // outbound, no answer yet
	stateEarly                 // a provisional answer went or came
	stateAnswered              // 2xx without ACK yet
	stateLive                  // ACK came or went
	stateEnding                // ended for the owner; a BYE is on its way or waits for the ACK
	stateOver
)

// Errors of Dialog methods.
var (
	ErrOver  = errors.New("sip: the call has ended")
	ErrState = errors.New("sip: not possible in this state of the call")
)

// StatusError is a final answer of 300 and more to a request inside the dialog.
type StatusError struct {
	Status int
	Phrase string
}

// Error gives status and phrase.
func (e *StatusError) Error() string { return "sip: answered " + itoa(e.Status) + " " + e.Phrase }

// Dialog is one call leg in either direction. All methods may be used from any goroutine; those without a context never wait.
type Dialog struct {
	ep       *Endpoint
	sh       *shard
	dir      Direction
	callID   string
	localTag string
	from, to Party
	uri      string
	remote   netip.AddrPort
	proto    string

	events serial
	out    serial

	mu        sync.Mutex
	state     state
	done      bool // the last event was queued
	observer  func(Event)
	waiting   []Event  // before Observe, at most maxOutboxEvents
	heard     *message // INVITE of an inbound call, last answer of an outbound one
	remoteTag string
	local     string // our From or To value with tag
	peer      string // theirs
	target    string
	routes    []string
	flow      flow
	contact   string
	cseq      uint32 // ours, last used
	peerCSeq  uint32
	localSDP  []byte
	remoteSDP []byte

	serverTx *serverTx // INVITE of an inbound call until its final answer
	clientTx *clientTx // INVITE of an outbound call until its final answer
	request  *InviteRequest
	invited  uint32 // CSeq of the INVITE that waits for its ACK from us
	tries    int
	why      Why
	rseq     uint32 // of the last reliable provisional answer
	rel      *unacked
	relNext  []func()
	unacked  *unacked // our 2xx without ACK
	bye      func()   // sends the BYE that waits for the ACK (RFC 3261 §15)
	offerTx  *serverTx
	offering bool          // our own re-INVITE or UPDATE is pending
	settled  chan struct{} // closed when an offer that others wait for is through; nil when nobody waits
	session  session
	ring     timer
	patience timer
}

// unacked is a response that is repeated until the peer acknowledges it.
type unacked struct {
	cseq     uint32
	data     []byte
	flow     flow
	interval time.Duration
	resend   timer
	life     timer
}

// ID is unique among the dialogs of all endpoints: our tag.
func (d *Dialog) ID() string { return d.localTag }

// CallID is the Call-ID header.
func (d *Dialog) CallID() string { return d.callID }

// Direction says who called.
func (d *Dialog) Direction() Direction { return d.dir }

// From is the caller as the From header shows it.
func (d *Dialog) From() Party { return d.from }

// To is the called party as the To header shows it.
func (d *Dialog) To() Party { return d.to }

// RequestURI is the request URI of the INVITE.
func (d *Dialog) RequestURI() string { return d.uri }

// Called is the request URI in its parts.
func (d *Dialog) Called() URI {
	u, _ := ParseURI(d.uri)
	return u
}

// RemoteAddr is the address the INVITE came from or was sent to.
func (d *Dialog) RemoteAddr() netip.AddrPort { return d.remote }

// Transport is "UDP", "TCP", "TLS", "WS" or "WSS".
func (d *Dialog) Transport() string { return d.proto }

// Header gives a header of the INVITE (inbound) or of the last answer to it (outbound), cleaned; "" when there is none.
func (d *Dialog) Header(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.heard == nil {
		return ""
	}
	return clean(d.heard.header(name))
}

// Headers gives all values of a header, comma lists not divided.
func (d *Dialog) Headers(name string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var values []string
	if d.heard == nil {
		return nil
	}
	for _, h := range d.heard.headers {
		if strings.EqualFold(h.Name, name) {
			values = append(values, clean(h.Value))
		}
	}
	return values
}

// Offer is the SDP of the far side: of the INVITE at first, later of its last offer or answer.
func (d *Dialog) Offer() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remoteSDP
}

// AssertedIdentity is the first P-Asserted-Identity (RFC 3325 §9.1). Whether to believe it is for the owner to decide.
func (d *Dialog) AssertedIdentity() (Party, bool) {
	var a address
	for _, value := range d.Headers("P-Asserted-Identity") {
		for _, part := range splitList(value) {
			if a.parse(part) {
				return a.party(), true
			}
		}
	}
	return Party{}, false
}

// Live says whether the call was answered and has not ended.
func (d *Dialog) Live() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state == stateAnswered || d.state == stateLive
}

// Observe sets who hears the events, those that happened before included. fn is called for one event after the other and must
// not wait: it runs on the goroutine that reads the network. It may call the dialog's methods that take no context.
func (d *Dialog) Observe(fn func(Event)) {
	d.mu.Lock()
	d.observer = fn
	waiting := d.waiting
	d.waiting = nil
	for _, e := range waiting {
		d.events.add(func() { fn(e) })
	}
	d.unlock()
}

// emit queues an event; mu is held. Past the last event nothing is said.
func (d *Dialog) emit(e Event) {
	if d.done {
		return
	}
	if fn := d.observer; fn != nil {
		d.events.add(func() { fn(e) })
	} else if len(d.waiting) < maxOutboxEvents {
		d.waiting = append(d.waiting, e)
	}
}

// finish queues the last event; mu is held.
func (d *Dialog) finish(e Event) {
	if !d.done && d.observer == nil && len(d.waiting) == maxOutboxEvents {
		d.waiting = d.waiting[:maxOutboxEvents-1] // the end must be heard
	}
	d.emit(e)
	d.done = true
	if d.observer != nil {
		d.observer = deaf // transactions keep the dialog for half a minute: the owner's call shall not stay with it
	}
}

// deaf hears events that come after the last one.
func deaf(Event) {}

// crowded says that an unobserved dialog has no room for more requests of the peer; mu is held.
func (d *Dialog) crowded() bool { return d.observer == nil && len(d.waiting) >= maxOutboxEvents/2 }

// unlock releases mu, then sends and reports what was queued under it.
func (d *Dialog) unlock() {
	d.mu.Unlock()
	d.out.run()
	d.events.run()
}

// over forgets the dialog; mu is held. What the transactions need they have by themselves.
func (d *Dialog) over() {
	if d.state == stateOver {
		return
	}
	d.state = stateOver
	w := d.sh.wheel
	w.stop(&d.ring)
	w.stop(&d.patience)
	w.stop(&d.session.timer)
	d.settle()
	d.stopUnacked(d.unacked)
	d.stopUnacked(d.rel)
	d.unacked, d.rel, d.relNext, d.serverTx, d.clientTx, d.request = nil, nil, nil, nil, nil, nil
	if tx := d.offerTx; tx != nil {
		d.offerTx = nil
		d.out.add(func() { tx.reply(reply{status: 487}) })
	}
	d.sh.dropDialog(d)
	d.ep.live.Add(-1)
}

func (d *Dialog) stopUnacked(u *unacked) {
	if u != nil {
		d.sh.wheel.stop(&u.resend)
		d.sh.wheel.stop(&u.life)
	}
}

// repeat sends u again and again, from T1 to T2, until it is stopped; lost is called after 64*T1 (RFC 3261 §13.3.1.4). mu is held.
func (d *Dialog) repeat(u *unacked, lost func()) {
	w, t1 := d.sh.wheel, d.ep.cfg.T1
	u.interval = t1
	var again func()
	again = func() {
		d.mu.Lock()
		if d.unacked == u || d.rel == u {
			u.interval = min(2*u.interval, d.ep.cfg.T2)
			w.set(&u.resend, u.interval, again)
			d.ep.count.retransmitsOut.Add(1)
			d.out.add(func() { u.flow.send(u.data) })
		}
		d.unlock()
	}
	w.set(&u.resend, t1, again)
	w.set(&u.life, 64*t1, lost)
}

// Hangup ends the call in the way its state asks for: CANCEL, a refusal or BYE. It does not wait and may be called at any time.
// An inbound call that is still ringing is refused with reason.SIP, or 480.
func (d *Dialog) Hangup(reason Reason) {
	d.mu.Lock()
	switch d.state {
	case stateTrying:
		d.reject(defaultStatus(reason), reason, nil)
	case stateCalling:
		d.cancel(reason, CanceledByUs)
	case stateEarly:
		if d.dir == Inbound {
			d.reject(defaultStatus(reason), reason, nil)
		} else {
			d.cancel(reason, CanceledByUs)
		}
	case stateAnswered, stateLive:
		d.endCall(reason, Local, nil)
	}
	d.unlock()
}

func defaultStatus(r Reason) int {
	if r.SIP >= 300 {
		return r.SIP
	}
	return 480
}

// Bye ends an answered call and waits until the far side has confirmed it. The call has ended when it returns, whatever it returns.
func (d *Dialog) Bye(ctx context.Context, reason Reason) error {
	d.mu.Lock()
	if d.state != stateAnswered && d.state != stateLive {
		over := d.state >= stateEnding
		d.mu.Unlock()
		if over {
			return ErrOver
		}
		return ErrState
	}
	confirmed := make(chan error, 1)
	d.endCall(reason, Local, func(err error) { confirmed <- err })
	d.unlock()
	select {
	case err := <-confirmed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ep.ctx.Done():
		return ErrOver
	}
}

// endCall ends an answered call; mu is held. The BYE of a called party waits for the ACK (RFC 3261 §15).
func (d *Dialog) endCall(reason Reason, by Side, confirmed func(error)) {
	d.finish(Ended{By: by, Reason: reason})
	waits := d.state == stateAnswered && d.dir == Inbound && d.unacked != nil && by != Lost
	if d.state == stateAnswered && d.dir == Outbound {
		d.sendAck(nil)
	}
	d.state = stateEnding
	d.sh.wheel.stop(&d.session.timer)
	send := func() {
		d.send(midRequest{method: "BYE", headers: reason.headers(), on: func(m *message, err error) {
			d.mu.Lock()
			d.over()
			d.unlock()
			if confirmed != nil {
				confirmed(err)
			}
		}})
	}
	if waits {
		d.bye = send
		return
	}
	d.stopUnacked(d.unacked)
	d.unacked = nil
	send()
}

// base is a request inside the dialog (RFC 3261 §12.2.1.1); mu is held.
func (d *Dialog) base(method string, cseq uint32) (*outgoing, string) {
	branch := newBranch()
	o := &outgoing{
		method: method, uri: d.target, routes: d.routes, via: d.ep.viaValue(d.flow, branch), from: d.local, to: d.peer,
		callID: d.callID, cseq: cseq,
	}
	if len(d.routes) > 0 {
		var first address
		if first.parse(d.routes[0]) {
			if _, loose := param(first.uri.Params, "lr"); !loose { // strict router
				o.uri = first.text
				o.routes = append(append([]string{}, d.routes[1:]...), "<"+d.target+">")
			}
		}
	}
	return o, branch
}

// nextHop is where requests inside a dialog go: the first route or the contact when it is an address that can be used, otherwise
// back where the last message came from. Phones behind NAT and browsers (RFC 7118 §5) show addresses that lead nowhere.
func nextHop(target string, routes []string, source flow) flow {
	if source.stream != nil {
		return source
	}
	if len(routes) > 0 {
		var a address
		if !a.parse(routes[0]) {
			return source
		}
		target = a.text
	}
	u, ok := ParseURI(target)
	if proto, set := param(u.Params, "transport"); !ok || u.Scheme != "sip" || set && !strings.EqualFold(proto, "udp") {
		return source
	}
	ip, err := netip.ParseAddr(u.Host)
	from := source.remote.Addr()
	if err != nil || ip.Is4() != from.Is4() || ip.IsUnspecified() || hidden(ip) && !hidden(from) {
		return source
	}
	if source.local().Addr().IsLoopback() && !ip.IsLoopback() { // nothing leaves this machine from there
		return source
	}
	port := uint16(u.Port)
	if port == 0 {
		port = 5060
	}
	source.remote = netip.AddrPortFrom(ip, port)
	return source
}

// hidden are addresses that mean nothing outside their network.
func hidden(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || sharedSpace.Contains(ip)
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func cloneAll(list []string) []string {
	for i := range list {
		list[i] = strings.Clone(list[i])
	}
	return list
}

func sameSDP(a, b []byte) bool { return len(a) > 0 && bytes.Equal(a, b) }

// settle wakes who waits for an offer to be through; mu is held.
func (d *Dialog) settle() {
	if d.settled != nil {
		close(d.settled)
		d.settled = nil
	}
}
