package sip

import (
	"context"
	"strings"
)

// newCall is the dialog of a new INVITE.
func (ep *Endpoint) newCall(sh *shard, m *message, tx *serverTx) *Dialog {
	d := &Dialog{
		ep: ep, sh: sh, dir: Inbound, callID: strings.Clone(m.callID), localTag: newToken(), from: m.from.party(), to: m.to.party(),
		uri: m.uri, remote: m.flow.remote, proto: m.flow.transport(), heard: m, serverTx: tx,
		remoteTag: m.from.tag(), local: m.header("To"), peer: m.header("From"), peerCSeq: m.cseq, remoteSDP: m.body,
		target: m.targetURI(), routes: m.list("Record-Route"),
	}
	d.local += ";tag=" + d.localTag
	d.flow = nextHop(d.target, d.routes, m.flow)
	user := ""
	if u, ok := ParseURI(m.uri); ok {
		user = u.User
	}
	d.contact = ep.contactValue(m.flow, user)
	tx.mu.Lock()
	tx.dialog = d
	tx.mu.Unlock()
	ep.live.Add(1)
	sh.addDialog(d)
	sh.wheel.set(&tx.resend, min(tryingAfter, ep.cfg.T1/2), tx.trying)
	sh.wheel.set(&d.ring, maxRinging, func() {
		d.mu.Lock()
		if d.state == stateTrying || d.state == stateEarly {
			d.reject(480, Reason{Q850: 19, Text: "Nobody decided"}, nil)
		}
		d.unlock()
	})
	return d
}

// Ring sends a provisional answer of 101-199, with SDP when body is not nil. A caller that requires it gets it reliably (RFC 3262).
func (d *Dialog) Ring(_ context.Context, status int, body []byte) error {
	d.mu.Lock()
	defer d.unlock()
	if d.dir != Inbound || status <= 100 || status >= 200 {
		return ErrState
	}
	if d.state != stateTrying && d.state != stateEarly {
		return d.stateError()
	}
	d.state = stateEarly
	if body != nil {
		d.localSDP = body
	}
	if d.heard.hasToken("Require", "100rel") {
		if d.rel != nil {
			d.relNext = append(d.relNext, func() { d.ringReliably(status, body) })
		} else {
			d.ringReliably(status, body)
		}
		return nil
	}
	tx, r := d.serverTx, d.provisional(status, body)
	d.out.add(func() { tx.reply(r) })
	d.ringAgain(tx, r)
	return nil
}

// ringAgain repeats a provisional answer each minute.
func (d *Dialog) ringAgain(tx *serverTx, r reply) {
	d.sh.wheel.set(&d.patience, provisionalAgain, func() {
		d.mu.Lock()
		if d.state == stateEarly {
			d.out.add(func() { tx.reply(r) })
			d.ringAgain(tx, r)
		}
		d.unlock()
	})
}

func (d *Dialog) provisional(status int, body []byte) reply {
	return reply{status: status, tag: d.localTag, kind: "application/sdp", body: body, headers: []Header{{"Contact", d.contact}, {"Allow", allowed}}}
}

// ringReliably repeats the answer until PRACK comes; mu is held.
func (d *Dialog) ringReliably(status int, body []byte) {
	tx, r := d.serverTx, d.provisional(status, body)
	if tx == nil {
		return
	}
	d.rseq++
	r.headers = append(r.headers, Header{"Require", "100rel"}, Header{"RSeq", itoa(int(d.rseq))})
	u := &unacked{cseq: d.rseq, flow: tx.flow, data: r.bytes(d.heard, d.ep.cfg.UserAgent)}
	d.rel = u
	d.out.add(func() { tx.reply(r) })
	d.repeat(u, func() {
		d.mu.Lock()
		if d.rel == u {
			d.reject(504, Reason{Q850: 102, Text: "No PRACK"}, nil)
		}
		d.unlock()
	})
}

// pracked ends the repetition and sends what waited for it; mu is held.
func (d *Dialog) pracked(m *message) bool {
	rack := strings.Fields(m.header("RAck"))
	if d.rel == nil || len(rack) != 3 || rack[0] != itoa(int(d.rel.cseq)) || rack[1] != itoa(int(d.heard.cseq)) {
		return false
	}
	d.stopUnacked(d.rel)
	d.rel = nil
	if len(d.relNext) > 0 {
		next := d.relNext[0]
		d.relNext = d.relNext[1:]
		next()
	}
	return true
}

func (d *Dialog) stateError() error {
	if d.done || d.state >= stateEnding {
		return ErrOver
	}
	return ErrState
}

// Accept answers the call with 200 and SDP, and repeats it until the ACK comes; without ACK for 64*T1 the call ends (Ended by Lost).
// ErrOver means that the caller was faster in giving up. When the INVITE had no SDP, body is an offer and Acked brings the answer.
func (d *Dialog) Accept(_ context.Context, body []byte, headers ...Header) error {
	d.mu.Lock()
	defer d.unlock()
	if d.dir != Inbound || d.state != stateTrying && d.state != stateEarly {
		return d.stateError()
	}
	if d.rel != nil { // RFC 3262 §3: not before a reliable answer with SDP is acknowledged
		d.relNext = append(d.relNext, func() {
			if d.state == stateEarly {
				d.accept(body, headers)
			}
		})
		return nil
	}
	d.accept(body, headers)
	return nil
}

func (d *Dialog) accept(body []byte, headers []Header) {
	tx, m := d.serverTx, d.heard
	d.state, d.localSDP, d.serverTx = stateAnswered, body, nil
	d.sh.wheel.stop(&d.ring)
	d.sh.wheel.stop(&d.patience)
	headers = append([]Header{{"Contact", d.contact}, {"Allow", allowed}, {"Supported", supportedList}}, headers...)
	headers = append(headers, d.acceptSession(m)...)
	d.answer2xx(tx, m, reply{status: 200, tag: d.localTag, headers: headers, kind: "application/sdp", body: body})
}

// answer2xx sends a 2xx to an INVITE of the peer and repeats it until the ACK; mu is held.
func (d *Dialog) answer2xx(tx *serverTx, m *message, r reply) {
	u := &unacked{cseq: m.cseq, flow: tx.flow, data: r.bytes(m, d.ep.cfg.UserAgent)}
	d.unacked = u
	d.out.add(func() { tx.reply(r) })
	d.repeat(u, func() {
		d.mu.Lock()
		if d.unacked == u {
			d.stopUnacked(u)
			d.unacked = nil
			if d.state == stateEnding {
				d.byeNow()
			} else {
				d.endCall(Reason{Q850: 102, Text: "No ACK"}, Lost, nil)
			}
		}
		d.unlock()
	})
}

// byeNow sends the BYE that waited for the ACK; mu is held.
func (d *Dialog) byeNow() {
	if send := d.bye; send != nil {
		d.bye = nil
		send()
	}
}

// acked takes an ACK of a 2xx.
func (d *Dialog) acked(m *message) {
	d.mu.Lock()
	defer d.unlock()
	if d.unacked == nil || d.unacked.cseq != m.cseq {
		return // a copy
	}
	d.stopUnacked(d.unacked)
	d.unacked = nil
	d.settle()
	sdp := m.responseSDP()
	if sdp != nil {
		d.remoteSDP = sdp
	}
	switch d.state {
	case stateAnswered:
		d.state = stateLive
		d.emit(Acked{Body: sdp})
	case stateLive:
		if sdp != nil {
			d.emit(Acked{Body: sdp})
		}
	case stateEnding:
		d.byeNow()
	}
}

// Reject refuses the call with a status of 300-699. Ended follows, with By Local.
func (d *Dialog) Reject(status int, reason Reason, headers ...Header) error {
	d.mu.Lock()
	defer d.unlock()
	if d.dir != Inbound || d.state != stateTrying && d.state != stateEarly {
		return d.stateError()
	}
	if status < 300 || status > 699 {
		return ErrState
	}
	d.reject(status, reason, headers)
	return nil
}

// reject is for a call that was not answered; mu is held.
func (d *Dialog) reject(status int, reason Reason, headers []Header) {
	written := reason
	written.SIP = 0 // the status line says it already
	d.refuseInvite(reply{status: status, tag: d.localTag, headers: append(written.headers(), headers...)})
	d.finish(Ended{By: Local, Reason: reason})
	d.over()
}

func (d *Dialog) refuseInvite(r reply) {
	if tx := d.serverTx; tx != nil {
		d.serverTx = nil
		d.out.add(func() { tx.reply(r) })
	}
}

// canceled takes the CANCEL of tx. After the 2xx it has no effect (RFC 3261 §9.2).
func (d *Dialog) canceled(tx *serverTx, reason Reason) {
	d.mu.Lock()
	defer d.unlock()
	switch {
	case tx == d.offerTx:
		d.offerTx = nil
		d.out.add(func() { tx.reply(reply{status: 487}) })
	case tx == d.serverTx:
		d.refuseInvite(reply{status: 487, tag: d.localTag})
		d.finish(Canceled{Reason: reason})
		d.over()
	}
}
