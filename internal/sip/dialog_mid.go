package sip

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
)

// midRequest is a request inside the dialog.
type midRequest struct {
	method  string
	headers []Header
	contact string
	kind    string
	body    []byte
	on      func(*message, error) // the final answer, or an error
	tries   int
}

// send queues a request; a challenge is answered with the credentials of the call. mu is held.
func (d *Dialog) send(r midRequest) {
	d.cseq++
	cseq := d.cseq
	o, branch := d.base(r.method, cseq)
	o.headers, o.contact, o.kind, o.body = r.headers, r.contact, r.kind, r.body
	var tx *clientTx
	tx = d.sh.call(d.flow, o, branch, func(m *message, err error) {
		if m != nil && m.status < 200 {
			return
		}
		if m != nil && (m.status == 401 || m.status == 407) && d.retry(r, m) {
			return
		}
		if m != nil && m.status < 300 && r.method == "INVITE" {
			d.acknowledge(tx, m, cseq)
		}
		if r.on != nil {
			r.on(m, err)
		}
	})
	d.out.add(tx.start)
}

func (d *Dialog) retry(r midRequest, m *message) bool {
	d.mu.Lock()
	defer d.unlock()
	if d.request == nil || r.tries >= maxAuthTry || d.state == stateOver {
		return false
	}
	credentials, ok := answerChallenge(m, d.request.Auth, r.method, d.target, r.tries)
	if !ok {
		return false
	}
	if r.tries > 0 {
		r.headers = r.headers[1:]
	}
	r.headers = append([]Header{credentials}, r.headers...)
	r.tries++
	d.send(r)
	return true
}

// acknowledge sends the ACK of a re-INVITE and takes over a changed Contact.
func (d *Dialog) acknowledge(tx *clientTx, m *message, cseq uint32) {
	d.mu.Lock()
	d.target = strings.Clone(m.targetURI())
	if d.state != stateOver {
		d.flow = nextHop(d.target, d.routes, m.flow)
	}
	ack, f := d.ackBytes(cseq, nil), d.flow
	d.out.add(func() { tx.acknowledged(f, ack) })
	d.unlock()
}

// receive takes a request inside the dialog other than ACK and CANCEL.
func (d *Dialog) receive(m *message, tx *serverTx) {
	d.mu.Lock()
	defer d.unlock()
	answer := func(status int, headers ...Header) {
		d.out.add(func() { tx.reply(reply{status: status, headers: headers}) })
	}
	if d.state == stateOver || d.state == stateEnding && m.method != "BYE" {
		answer(481)
		return
	}
	if d.peerCSeq != 0 && m.cseq <= d.peerCSeq { // RFC 3261 §12.2.2
		answer(500)
		return
	}
	d.peerCSeq = m.cseq
	switch m.method {
	case "BYE":
		answer(200)
		d.byeCame(m.reason())
	case "INVITE", "UPDATE":
		d.offered(m, tx)
	case "PRACK":
		if d.dir == Inbound && d.pracked(m) {
			answer(200)
		} else {
			answer(481)
		}
	case "INFO":
		if d.crowded() {
			answer(503)
			return
		}
		answer(200)
		d.emit(Info{ContentType: clean(m.header("Content-Type")), Body: m.body})
	case "REFER":
		d.referred(m, tx)
	case "NOTIFY":
		answer(200)
		d.emit(Notified{Package: clean(m.header("Event")), Body: m.body})
	case "OPTIONS":
		answer(200, Header{"Allow", allowed}, Header{"Accept", "application/sdp"}, Header{"Supported", supportedList})
	default:
		answer(405, Header{"Allow", allowed})
	}
}

// byeCame ends the call. A caller may also send BYE before our answer or before its ACK (RFC 3261 §15).
func (d *Dialog) byeCame(reason Reason) {
	switch {
	case d.state == stateTrying || d.state == stateEarly && d.dir == Inbound:
		d.refuseInvite(reply{status: 487, tag: d.localTag})
		d.finish(Canceled{Reason: reason})
	case d.state == stateEarly || d.state == stateCalling:
		if tx := d.clientTx; tx != nil {
			d.out.add(func() { tx.cancelLater(Reason{}); tx.abandon() })
		}
		d.fail(Failed{Why: Refused, Status: 480, Q850: reason.Q850, Text: reason.Text})
	default:
		d.finish(Ended{By: Remote, Reason: reason})
	}
	d.over()
}

// offered takes a re-INVITE or UPDATE; mu is held.
func (d *Dialog) offered(m *message, tx *serverTx) {
	answer := func(status int, headers ...Header) {
		d.out.add(func() { tx.reply(reply{status: status, headers: headers}) })
	}
	switch {
	case m.method == "INVITE" && d.state < stateAnswered || d.state == stateAnswered && m.method == "INVITE" && d.dir == Inbound:
		answer(500, Header{"Retry-After", itoa(rand.IntN(10))}) // RFC 3261 §14.2
		return
	case d.offerTx != nil:
		answer(500, Header{"Retry-After", itoa(rand.IntN(10))})
		return
	case d.offering:
		answer(491)
		return
	case sessionTooShort(m):
		answer(422, Header{"Min-SE", itoa(int(MinSessionExpires.Seconds()))})
		return
	}
	if contacts := m.list("Contact"); len(contacts) > 0 {
		d.target = strings.Clone(m.targetURI())
		d.flow = nextHop(d.target, d.routes, m.flow)
	}
	if m.method == "UPDATE" && len(m.body) == 0 || sameSDP(m.body, d.remoteSDP) && d.localSDP != nil {
		d.replyOffer(m, tx, 200, d.localSDP) // a session refresh: nothing changes (RFC 4028 §7.4)
		return
	}
	if d.crowded() {
		answer(503)
		return
	}
	d.offerTx = tx
	give := func(status int, body []byte) {
		d.mu.Lock()
		if d.offerTx == tx {
			d.offerTx = nil
			d.settle()
			d.sh.wheel.stop(&d.patience)
			d.replyOffer(m, tx, status, body)
		}
		d.unlock()
	}
	d.sh.wheel.set(&d.patience, answererPatience, func() { give(488, nil) })
	d.emit(ReOffer{Method: m.method, Body: m.body, Reply: give})
}

func (d *Dialog) replyOffer(m *message, tx *serverTx, status int, body []byte) {
	if status < 200 || status >= 300 {
		if status < 300 || status > 699 {
			status = 488
		}
		d.out.add(func() { tx.reply(reply{status: status}) })
		return
	}
	if m.method == "UPDATE" && len(m.body) == 0 {
		body = nil
	}
	if len(m.body) > 0 {
		d.remoteSDP = m.body
	}
	if body != nil {
		d.localSDP = body
	}
	headers := append([]Header{{"Contact", d.contact}, {"Allow", allowed}, {"Supported", supportedList}}, d.acceptSession(m)...)
	r := reply{status: status, headers: headers, kind: "application/sdp", body: body}
	if m.method == "INVITE" {
		d.answer2xx(tx, m, r)
		return
	}
	d.out.add(func() { tx.reply(r) })
}

func (d *Dialog) referred(m *message, tx *serverTx) {
	var to, by address
	if d.state != stateLive || !to.parse(m.header("Refer-To")) || d.crowded() {
		status := 400
		if d.state != stateLive {
			status = 491
		}
		d.out.add(func() { tx.reply(reply{status: status}) })
		return
	}
	by.parse(m.header("Referred-By"))
	d.emit(Refer{Target: clean(to.text), ReferredBy: clean(by.text), Reply: func(status int) {
		tx.reply(reply{status: status, headers: []Header{{"Contact", d.contact}}})
	}})
}

// do sends a request and waits for its final answer; a 2xx is returned, anything else is an error.
func (d *Dialog) do(ctx context.Context, r midRequest) (*message, error) {
	type result struct {
		m   *message
		err error
	}
	results := make(chan result, 1)
	r.on = func(m *message, err error) { results <- result{m, err} }
	d.mu.Lock()
	if d.state >= stateEnding {
		d.mu.Unlock()
		return nil, ErrOver
	}
	if d.remoteTag == "" {
		d.mu.Unlock()
		return nil, ErrState
	}
	d.send(r)
	d.unlock()
	select {
	case got := <-results:
		if got.err != nil {
			return nil, got.err
		}
		if got.m.status >= 300 {
			return nil, &StatusError{got.m.status, clean(got.m.phrase)}
		}
		return got.m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-d.ep.ctx.Done():
		return nil, ErrOver
	}
}

// SendInfo sends INFO, such as "application/dtmf-relay" digits, and waits for the answer.
func (d *Dialog) SendInfo(ctx context.Context, contentType string, body []byte) error {
	_, err := d.do(ctx, midRequest{method: "INFO", kind: contentType, body: body})
	return err
}

// Refer asks the far side to call target instead (RFC 3515); its progress comes as Notified.
func (d *Dialog) Refer(ctx context.Context, target string) error {
	if _, ok := ParseURI(target); !ok {
		return ErrState
	}
	_, err := d.do(ctx, midRequest{method: "REFER", contact: d.contact, headers: []Header{{"Refer-To", "<" + clean(target) + ">"}}})
	return err
}

// Notify reports how a transfer that was accepted fares: 100 to 199 while it goes on, then a final status (RFC 3515 §2.4.4).
func (d *Dialog) Notify(ctx context.Context, status int) error {
	subscription := "active;expires=60"
	if status >= 200 {
		subscription = "terminated;reason=noresource"
	}
	_, err := d.do(ctx, midRequest{
		method: "NOTIFY", contact: d.contact, kind: "message/sipfrag;version=2.0",
		headers: []Header{{"Event", "refer"}, {"Subscription-State", subscription}}, body: []byte(sipVersion + " " + itoa(status) + " " + phrase(status) + "\r\n"),
	})
	return err
}

// ReInvite offers new SDP in a live call and gives the answer. It waits until an offer that is under way is through, and when both sides
// offer at once it tries once more after the time of RFC 3261 §14.1.
func (d *Dialog) ReInvite(ctx context.Context, body []byte) ([]byte, error) {
	answer, err := d.reInvite(ctx, body)
	var refused *StatusError
	if !errors.As(err, &refused) || refused.Status != 491 {
		return answer, err
	}
	wait := time.Duration(rand.IntN(200)) * 10 * time.Millisecond
	if d.dir == Outbound { // the owner of the Call-ID
		wait += 2100 * time.Millisecond
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return d.reInvite(ctx, body)
}

func (d *Dialog) reInvite(ctx context.Context, body []byte) ([]byte, error) {
	d.mu.Lock()
	for d.state == stateLive && (d.offering || d.offerTx != nil || d.unacked != nil) {
		if d.settled == nil {
			d.settled = make(chan struct{})
		}
		settled := d.settled
		d.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-d.ep.ctx.Done():
			return nil, ErrOver
		}
		d.mu.Lock()
	}
	if d.state != stateLive || len(body) == 0 {
		err := d.stateError()
		d.mu.Unlock()
		return nil, err
	}
	d.offering = true
	headers := append([]Header{{"Allow", allowed}, {"Supported", supportedList}}, d.session.request()...)
	d.mu.Unlock()
	m, err := d.do(ctx, midRequest{method: "INVITE", contact: d.contact, headers: headers, kind: "application/sdp", body: body})
	d.mu.Lock()
	defer d.unlock()
	d.offering = false
	d.settle()
	if err != nil {
		if refused := (*StatusError)(nil); errors.As(err, &refused) && (refused.Status == 481 || refused.Status == 408) {
			d.lose("The far side has lost the call")
		}
		return nil, err
	}
	sdp := m.responseSDP()
	d.localSDP = body
	if sdp != nil {
		d.remoteSDP = sdp
	}
	d.startSession(m)
	return sdp, nil
}

// lose ends a call that the far side no longer knows (RFC 3261 §12.2.1.2); mu is held.
func (d *Dialog) lose(text string) {
	if d.state == stateLive || d.state == stateAnswered {
		d.endCall(Reason{Q850: 102, Text: text}, Lost, nil)
	}
}
