package sip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Auth are the credentials for challenges to a call of ours.
type Auth struct {
	User     string
	Password string
	Realm    string // when set, a challenge of any other realm stays unanswered
}

// InviteRequest describes an outbound call.
type InviteRequest struct {
	RequestURI  string // "sip:+13125550100@192.0.2.7"; required
	To          string // URI of the To header; default RequestURI
	ToDisplay   string
	Dest        string   // host:port to send to; default host and port of RequestURI. A name is looked up as an address only
	Transport   string   // "UDP" (default), "TCP", "TLS"
	Flow        string   // Request.Flow of a registration: send over that connection, Dest is ignored
	Route       []string // Route headers, "<sip:proxy.example.com;lr>"
	From        Party    // User, Host and Display are used; Host defaults to our own address
	ContactUser string   // default From.User
	Body        []byte   // SDP offer; nil asks the far side to offer
	Headers     []Header // cleaned of line breaks; those that the package writes itself are ignored
	Auth        *Auth
	CallID      string        // default random
	RingTimeout time.Duration // default DefaultRingTimeout; then CANCEL and Failed with RingedOut
	PreAnswer   time.Duration // default DefaultPreAnswer; without any answer Failed with NoResponse
	Observe     func(Event)   // hears the events from the first on; may also be set later with Dialog.Observe
}

// Invite places a call. It waits only for the address lookup and, over TCP and TLS, for the connection; what becomes of the call comes as events.
func (ep *Endpoint) Invite(ctx context.Context, req InviteRequest) (*Dialog, error) {
	if !ep.running.Load() {
		return nil, ErrOver
	}
	target, ok := ParseURI(req.RequestURI)
	if !ok {
		return nil, fmt.Errorf("sip: bad request URI %q", req.RequestURI)
	}
	if req.To == "" {
		req.To = req.RequestURI
	}
	toURI, ok := ParseURI(req.To)
	if !ok {
		return nil, fmt.Errorf("sip: bad To URI %q", req.To)
	}
	for _, route := range req.Route {
		if a := (address{}); !a.parse(route) || clean(route) != route {
			return nil, fmt.Errorf("sip: bad route %q", route)
		}
	}
	f, err := ep.flowFor(ctx, &req, target)
	if err != nil {
		return nil, err
	}
	d := ep.outboundDialog(&req, f, toURI)
	d.mu.Lock()
	d.observer = req.Observe
	d.sendInvite(nil)
	d.sh.addDialog(d)
	d.unlock()
	return d, nil
}

func (ep *Endpoint) outboundDialog(req *InviteRequest, f flow, toURI URI) *Dialog {
	callID := req.CallID
	if callID == "" || strings.ContainsAny(callID, " \t\r\n,") {
		callID = newToken()
	}
	if req.From.Host == "" {
		req.From.Host, _ = ep.advertised(f)
	}
	if req.ContactUser == "" {
		req.ContactUser = req.From.User
	}
	from := req.From
	from.URI = sipURI(from.User, from.Host, 0)
	d := &Dialog{
		ep: ep, sh: ep.shardOf(callID), dir: Outbound, callID: callID, localTag: newToken(), state: stateCalling,
		from: from, to: Party{User: toURI.User, Host: toURI.Host, Display: clean(req.ToDisplay), URI: req.To}, uri: req.RequestURI,
		remote: f.remote, proto: f.transport(), flow: f, request: req, target: req.RequestURI, routes: req.Route, localSDP: req.Body,
	}
	d.local = nameAddr(from.Display, from.URI) + ";tag=" + d.localTag
	d.peer = nameAddr(req.ToDisplay, req.To)
	d.contact = ep.contactValue(f, req.ContactUser)
	d.session.offered = DefaultSessionExpires
	ep.live.Add(1)
	ringTimeout := req.RingTimeout
	if ringTimeout <= 0 {
		ringTimeout = DefaultRingTimeout
	}
	d.sh.wheel.set(&d.ring, ringTimeout, func() {
		d.mu.Lock()
		if d.state == stateCalling || d.state == stateEarly {
			d.cancel(Reason{Q850: 19, Text: "No answer"}, RingedOut)
		}
		d.unlock()
	})
	return d
}

func (ep *Endpoint) flowFor(ctx context.Context, req *InviteRequest, target URI) (flow, error) {
	if req.Flow != "" {
		return ep.flowByName(req.Flow)
	}
	transport := strings.ToUpper(req.Transport)
	if transport == "" {
		transport = "UDP"
		if proto, ok := param(target.Params, "transport"); ok {
			transport = strings.ToUpper(proto)
		}
	}
	host, port := target.Host, target.Port
	if req.Dest != "" {
		var ok bool
		if host, port, ok = splitHostPort(req.Dest); !ok {
			return flow{}, fmt.Errorf("sip: bad destination %q", req.Dest)
		}
	}
	if port == 0 {
		port = 5060
		if transport == "TLS" {
			port = 5061
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return flow{}, fmt.Errorf("sip: looking up %s: %w", host, err)
		}
		ip = ips[0]
	}
	if _, err := netip.ParseAddr(host); err == nil { // looked up before: the certificate names the domain that was asked for (RFC 5922 §7.1)
		host = target.Host
	}
	ctx = context.WithValue(ctx, serverName{}, host)
	return ep.flowTo(ctx, transport, netip.AddrPortFrom(ip, uint16(port)))
}

// sendInvite sends the INVITE, again with credentials after a challenge; mu is held.
func (d *Dialog) sendInvite(credentials []Header) {
	d.cseq++
	d.invited = d.cseq
	branch := newBranch()
	req := &outgoing{
		method: "INVITE", uri: d.request.RequestURI, via: d.ep.viaValue(d.flow, branch), routes: d.request.Route, from: d.local,
		to: d.peer, callID: d.callID, cseq: d.cseq, contact: d.contact, kind: "application/sdp", body: d.request.Body,
	}
	req.headers = append([]Header{{"Allow", allowed}, {"Supported", supportedList}}, d.session.request()...)
	req.headers = append(append(req.headers, credentials...), d.request.Headers...)
	tx := d.sh.call(d.flow, req, branch, nil)
	tx.on = func(m *message, err error) { d.invitation(tx, m, err) }
	d.clientTx = tx
	preAnswer := d.request.PreAnswer
	if preAnswer <= 0 {
		preAnswer = DefaultPreAnswer
	}
	d.sh.wheel.set(&d.patience, preAnswer, func() { d.silent(tx) })
	d.out.add(tx.start)
}

// silent ends a call that got no answer at all.
func (d *Dialog) silent(tx *clientTx) {
	d.mu.Lock()
	if d.clientTx == tx && d.state == stateCalling {
		d.out.add(tx.abandon)
		d.fail(Failed{Why: NoResponse, Status: 408})
	}
	d.unlock()
}

// fail ends a call that was not answered; mu is held.
func (d *Dialog) fail(e Failed) {
	if d.why != Refused {
		e.Why = d.why
	}
	if e.Q850 == 0 && e.Why == RingedOut {
		e.Q850 = 19
	}
	d.finish(e)
	d.over()
}

// invitation takes the answers to our INVITE.
func (d *Dialog) invitation(tx *clientTx, m *message, err error) {
	d.mu.Lock()
	defer d.unlock()
	if d.clientTx != tx || d.state != stateCalling && d.state != stateEarly {
		if m != nil && m.status >= 200 && m.status < 300 {
			d.out.add(func() { d.sh.endFork(m) })
		}
		return
	}
	switch {
	case err != nil:
		failed := Failed{Why: NoResponse, Status: 408}
		if !isTimeout(err) {
			failed = Failed{Why: Unreachable, Status: 503}
		}
		d.fail(failed)
	case m.status < 200:
		d.progress(m)
	case m.status < 300:
		d.answered(tx, m)
	default:
		d.refused(m)
	}
}

func (d *Dialog) progress(m *message) {
	d.sh.wheel.stop(&d.patience)
	d.state = stateEarly
	if m.status == 100 {
		return
	}
	if m.to.tag() != "" {
		d.establish(m)
	}
	if m.hasToken("Require", "100rel") {
		rseq, err := strconv.ParseUint(m.header("RSeq"), 10, 32)
		if err != nil || uint32(rseq) <= d.rseq {
			return // a copy; its PRACK is on the way
		}
		d.rseq = uint32(rseq)
		d.send(midRequest{method: "PRACK", headers: []Header{{"RAck", itoa(int(rseq)) + " " + itoa(int(m.cseq)) + " INVITE"}}})
	}
	d.heard = m
	sdp := m.responseSDP()
	if sdp != nil {
		d.remoteSDP = sdp
	}
	if d.why != Refused {
		return // given up; what is left is to hear the end
	}
	d.emit(Progress{Status: m.status, Body: sdp})
}

// establish takes tag, contact and routes of an answer (RFC 3261 §12.1.2); mu is held.
func (d *Dialog) establish(m *message) {
	d.remoteTag = strings.Clone(m.to.tag())
	d.peer = strings.Clone(m.header("To"))
	d.target = strings.Clone(m.targetURI())
	d.routes = cloneAll(m.routeSet())
	d.flow = nextHop(d.target, d.routes, m.flow)
}

func (d *Dialog) answered(tx *clientTx, m *message) {
	d.sh.wheel.stop(&d.patience)
	d.sh.wheel.stop(&d.ring)
	d.establish(m)
	d.heard = m
	sdp := m.responseSDP()
	if sdp != nil {
		d.remoteSDP = sdp
	}
	d.state = stateAnswered
	if d.why != Refused { // the answer crossed our CANCEL: RFC 3261 §9.1 leaves us with a call to end
		d.finish(Failed{Why: d.why, Status: 487})
		d.sendAck(nil)
		d.endCall(Reason{Q850: 16}, Local, nil)
		return
	}
	if len(d.request.Body) > 0 {
		d.sendAck(nil)
		d.state = stateLive
	}
	d.startSession(m)
	d.emit(Answered{Status: m.status, Body: sdp})
}

// sendAck acknowledges the 2xx of our INVITE and keeps the ACK for its copies; mu is held.
func (d *Dialog) sendAck(body []byte) {
	tx := d.clientTx
	if tx == nil {
		return
	}
	d.clientTx, d.request = nil, keepAuth(d.request)
	ack, f := d.ackBytes(d.invited, body), d.flow
	d.out.add(func() { tx.acknowledged(f, ack) })
}

// keepAuth drops all of a request but what later requests of the dialog need.
func keepAuth(r *InviteRequest) *InviteRequest {
	if r == nil || r.Auth == nil {
		return nil
	}
	return &InviteRequest{Auth: r.Auth}
}

func (d *Dialog) ackBytes(cseq uint32, body []byte) []byte {
	ack, _ := d.base("ACK", cseq)
	ack.kind, ack.body = "application/sdp", body
	return ack.bytes(d.ep.cfg.UserAgent)
}

// Ack sends the SDP answer to an offer that came with Answered, when the INVITE had none.
func (d *Dialog) Ack(body []byte) error {
	d.mu.Lock()
	defer d.unlock()
	if d.dir != Outbound || d.state != stateAnswered {
		return d.stateError()
	}
	d.localSDP = body
	d.sendAck(body)
	d.state = stateLive
	return nil
}

// refused takes a final answer of 300 and more: a challenge or a short session interval is answered, the rest ends the call.
func (d *Dialog) refused(m *message) {
	d.sh.wheel.stop(&d.patience)
	d.heard = m
	switch {
	case d.why != Refused || d.tries >= maxAuthTry+1:
	case m.status == 401 || m.status == 407:
		if credentials, ok := answerChallenge(m, d.request.Auth, "INVITE", d.request.RequestURI, d.tries); ok {
			d.tries++
			d.state = stateCalling
			d.sendInvite([]Header{credentials})
			return
		}
	case m.status == 422: // RFC 4028 §7.4
		if least := seconds(m.header("Min-SE")); least > d.session.offered {
			d.tries++
			d.session.offered, d.session.least = least, least
			d.state = stateCalling
			d.sendInvite(nil)
			return
		}
	}
	r := m.reason()
	failed := Failed{Why: Refused, Status: m.status, Phrase: clean(m.phrase), Q850: r.Q850, Text: r.Text}
	failed.RetryAfter = seconds(m.header("Retry-After"))
	if m.status < 400 {
		failed.Contacts = slices.Clip(m.list("Contact"))
	}
	d.fail(failed)
}

// Cancel gives up an outbound call before its answer. Failed follows when the far side has confirmed, or 64*T1 later.
func (d *Dialog) Cancel(reason Reason) error {
	d.mu.Lock()
	defer d.unlock()
	if d.dir != Outbound || d.state != stateCalling && d.state != stateEarly {
		return d.stateError()
	}
	d.cancel(reason, CanceledByUs)
	return nil
}

// cancel is for a call of ours that was not answered; mu is held.
func (d *Dialog) cancel(reason Reason, why Why) {
	if d.why != Refused || d.clientTx == nil {
		return
	}
	d.why = why
	tx := d.clientTx
	d.out.add(func() { tx.cancelLater(reason) })
}
