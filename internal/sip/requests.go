package sip

import (
	"net/netip"
	"strings"
)

// Request is a request outside any call.
type Request struct {
	Method   string
	URI      string // as written
	From, To Party
	CallID   string
	CSeq     uint32
	Body     []byte

	m *message
}

// Header gives the first value of a header, cleaned.
func (r *Request) Header(name string) string { return clean(r.m.header(name)) }

// Headers gives all elements of a comma separated header, such as Contact or Path.
func (r *Request) Headers(name string) []string {
	values := r.m.list(longName(name))
	for i := range values {
		values[i] = clean(values[i])
	}
	return values
}

// Lines gives the values of all lines of a header, not divided at commas, such as Authorization.
func (r *Request) Lines(name string) []string {
	var values []string
	for _, h := range r.m.headers {
		if strings.EqualFold(h.Name, name) {
			values = append(values, clean(h.Value))
		}
	}
	return values
}

// RemoteAddr is where the request came from.
func (r *Request) RemoteAddr() netip.AddrPort { return r.m.flow.remote }

// Transport is "UDP", "TCP", "TLS", "WS" or "WSS".
func (r *Request) Transport() string { return r.m.flow.transport() }

// Flow names the way back to the sender on this node, for InviteRequest.Flow: its address, or its connection while that is open.
func (r *Request) Flow() string { return r.m.flow.transport() + "|" + r.m.flow.remote.String() }

// Contact is one element of a Contact header.
type Contact struct {
	URI    string
	Host   string
	Params string // header parameters: "expires=60;q=0.5"
	All    bool   // "*"
}

// Param gives a parameter of the contact, such as "expires".
func (c Contact) Param(name string) (string, bool) { return param(c.Params, strings.ToLower(name)) }

// Contacts reads the Contact headers; they have been checked.
func (r *Request) Contacts() []Contact {
	var contacts []Contact
	for _, value := range r.m.list("Contact") {
		if value == "*" {
			contacts = append(contacts, Contact{All: true})
			continue
		}
		var a address
		if a.parse(value) {
			contacts = append(contacts, Contact{URI: clean(a.text), Host: a.uri.Host, Params: clean(a.params)})
		}
	}
	return contacts
}

// Response is the answer of a Handler. Header values are cleaned of line breaks.
type Response struct {
	Status      int
	Phrase      string // empty: the usual one
	Headers     []Header
	ContentType string
	Body        []byte
}

// request takes a request of the shard: retransmissions, refusals, the dialog it belongs to, or something new.
func (sh *shard) request(m *message) {
	ep := sh.ep
	refused, answerable := m.checkRequest()
	if !answerable {
		ep.count.garbage.Add(1)
		return
	}
	if m.method == "ACK" {
		if refused == nil {
			sh.ack(m)
		}
		return
	}
	if sh.ignored(m) {
		ep.count.banned.Add(1)
		return
	}
	if tx := sh.serverTx(m.key(m.method)); tx != nil {
		tx.repeated()
		return
	}
	if refused != nil {
		ep.count.refused.Add(1)
		if !ep.sources.allow(m.sourceIP(), ep.cfg.Now()) {
			return
		}
		sh.stateless(m, reply{status: refused.status, phrase: refused.phrase, headers: refused.headers})
		return
	}
	if m.method == "CANCEL" {
		sh.cancel(m)
		return
	}
	if tag := m.to.tag(); tag != "" && sh.inside(m, tag) {
		return
	}
	sh.outside(m)
}

// stateless answers without keeping anything; a retransmission is answered anew.
func (sh *shard) stateless(m *message, r reply) {
	if r.status != 100 && r.tag == "" {
		r.tag = newToken()
	}
	m.answerFlow().send(r.bytes(m, sh.ep.cfg.UserAgent))
}

func (sh *shard) ack(m *message) {
	if tx := sh.serverTx(m.key("INVITE")); tx != nil && tx.invite {
		tx.ack()
	}
	if d := sh.dialog(m.to.tag()); d != nil && d.callID == m.callID {
		d.acked(m)
	}
}

func (sh *shard) cancel(m *message) {
	invite := sh.serverTx(m.key("INVITE"))
	if invite == nil {
		sh.stateless(m, reply{status: 481})
		return
	}
	tx, repeated := sh.serve(m)
	if repeated {
		tx.repeated()
		return
	}
	invite.mu.Lock()
	d := invite.dialog
	invite.mu.Unlock()
	r := reply{status: 200}
	if d != nil {
		r.tag = d.localTag
	} else {
		r.tag = newToken()
	}
	tx.reply(r)
	if d != nil {
		d.canceled(invite, m.reason())
	}
}

// inside handles a request with a To tag; false means it is none of a call's.
func (sh *shard) inside(m *message, tag string) bool {
	d := sh.dialog(tag)
	if d != nil && d.callID == m.callID && d.knows(m.from.tag()) {
		tx, repeated := sh.serve(m)
		if repeated {
			tx.repeated()
			return true
		}
		if m.method == "INVITE" {
			tx.mu.Lock()
			tx.dialog = d
			tx.mu.Unlock()
		}
		d.receive(m, tx)
		return true
	}
	switch m.method {
	case "REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "OPTIONS":
		return false
	}
	sh.stateless(m, reply{status: 481})
	return true
}

// knows compares the tag of the peer; before an answer of ours was confirmed any fork may speak (RFC 3261 §12.1.2).
func (d *Dialog) knows(tag string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.remoteTag == tag || d.dir == Outbound && d.state < stateAnswered
}

// outside handles a request that starts something.
func (sh *shard) outside(m *message) {
	ep := sh.ep
	switch m.method {
	case "BYE", "INFO", "UPDATE", "PRACK":
		sh.stateless(m, reply{status: 481})
		return
	case "OPTIONS":
		sh.stateless(m, reply{status: ep.ready(), headers: []Header{{"Allow", allowed}, {"Accept", "application/sdp"}, {"Supported", supportedList}}})
		return
	}
	if !ep.sources.allow(m.sourceIP(), ep.cfg.Now()) || len(sh.in) > shedQueue || ep.drained.Load() {
		ep.count.shed.Add(1)
		sh.stateless(m, reply{status: 503, headers: []Header{{"Retry-After", "1"}}})
		return
	}
	if m.method == "INVITE" {
		sh.invite(m)
		return
	}
	if ep.working.Load() >= maxRequests {
		ep.count.shed.Add(1)
		sh.stateless(m, reply{status: 503, headers: []Header{{"Retry-After", "1"}}})
		return
	}
	tx, repeated := sh.serve(m)
	if repeated {
		tx.repeated()
		return
	}
	ep.working.Add(1)
	if !ep.spawn(func() { ep.ask(m, tx) }) {
		ep.working.Add(-1)
	}
}

// ready is the status of an answer to OPTIONS: 503 tells a balancer to look elsewhere.
func (ep *Endpoint) ready() int {
	if ep.drained.Load() {
		return 503
	}
	return 200
}

func (sh *shard) invite(m *message) {
	if sessionTooShort(m) {
		sh.stateless(m, reply{status: 422, headers: []Header{{"Min-SE", itoa(int(MinSessionExpires.Seconds()))}}})
		return
	}
	tx, repeated := sh.serve(m)
	if repeated {
		tx.repeated()
		return
	}
	if tx.merge(m) {
		tx.reply(reply{status: 482, tag: newToken()})
		return
	}
	sh.ep.count.calls.Add(1)
	d := sh.ep.newCall(sh, m, tx)
	sh.ep.spawn(func() { sh.ep.handler.Invite(d) })
}

// ask lets the Handler answer a request.
func (ep *Endpoint) ask(m *message, tx *serverTx) {
	defer ep.working.Add(-1)
	response := ep.handler.Request(&Request{
		Method: m.method, URI: m.uri, From: m.from.party(), To: m.to.party(), CallID: m.callID,
		CSeq: m.cseq, Body: m.body, m: m,
	})
	if response.Status < 200 || response.Status > 699 {
		response = Response{Status: 405, Headers: []Header{{"Allow", allowed}}}
		if !strings.Contains(understood, m.method) {
			response.Status = 501
		}
	}
	tx.reply(reply{
		status: response.Status, phrase: response.Phrase, tag: newToken(), headers: response.Headers,
		kind: response.ContentType, body: response.Body,
	})
}
