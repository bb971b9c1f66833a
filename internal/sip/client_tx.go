package sip

import (
	"errors"
	"strings"
	"sync"
	"time"
)

// ErrTimeout says that a request got no final answer in 64*T1; ErrTransport that it could not be sent.
var (
	ErrTimeout   = errors.New("sip: no answer")
	ErrTransport = errors.New("sip: transport failed")
)

type clientState int

const (
	txCalling clientState = iota
	txProceeding
	txCompleted // non-2xx to INVITE; ACKs repeated answers
	txAccepted  // 2xx to INVITE; the tx acknowledges copies and ends forks (RFC 6026 §7.2)
	txOver
)

// clientTx sends one request until it is answered (RFC 3261 §17.1).
type clientTx struct {
	sh     *shard
	key    string
	flow   flow
	invite bool
	on     func(*message, error) // every answer above 100, or an error; nil after the last one

	mu        sync.Mutex
	state     clientState
	req       *outgoing // until the final answer
	packet    []byte
	ack       []byte
	tag       string // of the answer that was accepted
	cancel    *Reason
	canceled  bool // CANCEL was sent
	abandoned bool
	interval  time.Duration
	resend    timer
	life      timer
}

// call sends req over f; on hears the answers, one after the other, with no lock held.
func (sh *shard) call(f flow, req *outgoing, branch string, on func(*message, error)) *clientTx {
	tx := &clientTx{sh: sh, key: branch + "|" + req.method, flow: f, req: req, invite: req.method == "INVITE", on: on}
	tx.packet = req.bytes(sh.ep.cfg.UserAgent)
	tx.interval = sh.ep.cfg.T1
	return tx
}

func (tx *clientTx) start() {
	tx.sh.mu.Lock()
	tx.sh.client[tx.key] = tx
	tx.sh.mu.Unlock()
	tx.mu.Lock()
	if !tx.flow.reliable() {
		tx.sh.wheel.set(&tx.resend, tx.interval, tx.again)
	}
	tx.sh.wheel.set(&tx.life, 64*tx.sh.ep.cfg.T1, func() { tx.fail(ErrTimeout) })
	tx.mu.Unlock()
	if err := tx.flow.send(tx.packet); err != nil {
		tx.fail(errors.Join(ErrTransport, err))
	}
}

// again is timer A or E.
func (tx *clientTx) again() {
	tx.mu.Lock()
	var packet []byte
	to := tx.flow // an accepted answer changes it
	if tx.state == txCalling || tx.state == txProceeding && !tx.invite {
		packet = tx.packet
		tx.interval *= 2
		if !tx.invite {
			tx.interval = min(tx.interval, tx.sh.ep.cfg.T2)
		}
		tx.sh.wheel.set(&tx.resend, tx.interval, tx.again)
	}
	tx.mu.Unlock()
	if packet != nil {
		tx.sh.ep.count.retransmitsOut.Add(1)
		to.send(packet)
	}
}

func (tx *clientTx) remove() {
	tx.sh.wheel.stop(&tx.resend)
	tx.sh.wheel.stop(&tx.life)
	tx.sh.mu.Lock()
	if tx.sh.client[tx.key] == tx {
		delete(tx.sh.client, tx.key)
	}
	tx.sh.mu.Unlock()
}

func (tx *clientTx) fail(err error) {
	tx.mu.Lock()
	if tx.state > txProceeding {
		tx.mu.Unlock()
		return
	}
	tx.state = txOver
	on := tx.on
	tx.on, tx.req, tx.packet = nil, nil, nil
	tx.mu.Unlock()
	tx.remove()
	if on != nil {
		on(nil, err)
	}
}

// receive takes a response that carries the branch of tx.
func (tx *clientTx) receive(m *message) {
	tx.mu.Lock()
	switch {
	case tx.state == txAccepted:
		tx.mu.Unlock()
		tx.late(m)
	case tx.state == txCompleted:
		ack := tx.ack
		tx.mu.Unlock()
		if m.status >= 300 {
			tx.flow.send(ack)
		}
	case tx.state == txOver:
		tx.mu.Unlock()
	case m.status < 200:
		tx.provisional(m)
	case !tx.invite:
		tx.final(m, txOver, nil)
	case m.status < 300:
		tx.success(m)
	default:
		ack := tx.req.ackFor(strings.Clone(m.header("To"))).bytes("")
		tx.final(m, txCompleted, ack)
	}
}

// provisional is entered with mu held and leaves it.
func (tx *clientTx) provisional(m *message) {
	tx.state = txProceeding
	on := tx.on
	var cancel *Reason
	if tx.invite {
		tx.sh.wheel.stop(&tx.resend)
		if !tx.canceled {
			// Timer B is for the calling state. How long it may ring the dialog decides; this is for peers that go silent in a re-INVITE.
			tx.sh.wheel.set(&tx.life, maxRinging, func() { tx.fail(ErrTimeout) })
			cancel = tx.cancel
		}
		if tx.abandoned && !tx.canceled {
			cancel = &Reason{}
		}
		if cancel != nil {
			tx.canceled = true
		}
	} else {
		tx.interval = tx.sh.ep.cfg.T2
	}
	tx.mu.Unlock()
	if cancel != nil {
		tx.sendCancel(*cancel)
	}
	if on != nil {
		on(m, nil)
	}
}

// final is entered with mu held and leaves it.
func (tx *clientTx) final(m *message, state clientState, ack []byte) {
	on := tx.on
	tx.state, tx.ack = state, ack
	tx.on, tx.req, tx.packet = nil, nil, nil
	tx.mu.Unlock()
	if ack != nil {
		tx.flow.send(ack)
	}
	if state == txOver || tx.flow.reliable() {
		tx.remove()
	} else {
		tx.sh.wheel.stop(&tx.resend)
		tx.sh.wheel.set(&tx.life, 64*tx.sh.ep.cfg.T1, tx.remove) // timer D
	}
	if on != nil {
		on(m, nil)
	}
}

// success is the first 2xx of an INVITE; entered with mu held, leaves it.
func (tx *clientTx) success(m *message) {
	tx.tag = strings.Clone(m.to.tag())
	on, abandoned := tx.on, tx.abandoned || tx.on == nil
	tx.state = txAccepted
	tx.on, tx.req, tx.packet = nil, nil, nil
	tx.sh.wheel.stop(&tx.resend)
	tx.sh.wheel.set(&tx.life, 64*tx.sh.ep.cfg.T1, tx.remove) // timer M
	if abandoned {
		tx.tag = ""
	}
	tx.mu.Unlock()
	if abandoned {
		tx.late(m)
		return
	}
	on(m, nil)
}

// late is a further 2xx: a copy gets the ACK again, another fork is acknowledged and ended (RFC 3261 §13.2.2.4).
func (tx *clientTx) late(m *message) {
	if m.status < 200 || m.status >= 300 {
		return
	}
	tag := m.to.tag()
	tx.mu.Lock()
	ack, ours := tx.ack, tag == tx.tag
	tx.mu.Unlock()
	if ours {
		if ack != nil {
			tx.sh.ep.count.retransmitsOut.Add(1)
			tx.flow.send(ack)
		}
		return
	}
	tx.sh.endFork(m)
}

// acknowledged keeps the ACK of the accepted answer for its copies and sends it.
func (tx *clientTx) acknowledged(f flow, ack []byte) {
	tx.mu.Lock()
	tx.ack, tx.flow = ack, f
	tx.mu.Unlock()
	f.send(ack)
}

// cancelLater sends CANCEL now, or when the first provisional answer allows it (RFC 3261 §9.1).
func (tx *clientTx) cancelLater(reason Reason) {
	tx.mu.Lock()
	tx.cancel = &reason
	send := tx.state == txProceeding && !tx.canceled
	if send {
		tx.canceled = true
	}
	tx.mu.Unlock()
	if send {
		tx.sendCancel(reason)
	}
}

func (tx *clientTx) sendCancel(reason Reason) {
	tx.mu.Lock()
	req := tx.req
	if req != nil {
		// If the peer never sends the 487, give up 64*T1 after the CANCEL.
		tx.sh.wheel.set(&tx.life, 64*tx.sh.ep.cfg.T1, func() { tx.fail(ErrTimeout) })
	}
	tx.mu.Unlock()
	if req == nil {
		return
	}
	branch, _, _ := strings.Cut(tx.key, "|")
	tx.sh.call(tx.flow, req.cancel(reason), branch, func(*message, error) {}).start()
}

// abandon stops sending an INVITE nobody waits for any more. Should it be answered after all, it is cancelled or ended.
func (tx *clientTx) abandon() {
	tx.mu.Lock()
	tx.abandoned, tx.on = true, nil
	tx.sh.wheel.stop(&tx.resend)
	tx.mu.Unlock()
}

// endFork acknowledges a 2xx that no dialog wants and hangs it up. The answer itself holds all that the two requests need.
func (sh *shard) endFork(m *message) {
	sh.ep.count.forks.Add(1)
	base := outgoing{uri: m.targetURI(), routes: m.routeSet(), from: m.header("From"), to: m.header("To"), callID: m.callID, cseq: m.cseq}
	ack := base
	ack.method, ack.via = "ACK", sh.ep.viaValue(m.flow, newBranch())
	m.flow.send(ack.bytes(sh.ep.cfg.UserAgent))
	bye, branch := base, newBranch()
	bye.method, bye.via, bye.cseq = "BYE", sh.ep.viaValue(m.flow, branch), m.cseq+1
	bye.headers = Reason{Q850: 26, SIP: 200, Text: "Call completed elsewhere"}.headers()
	sh.call(m.flow, &bye, branch, func(*message, error) {}).start()
}

// targetURI is the URI of the Contact, to which requests inside the dialog go; without one, the URI of To.
func (m *message) targetURI() string {
	var a address
	if list := m.list("Contact"); len(list) > 0 && a.parse(list[0]) {
		return a.text
	}
	return m.to.text
}

// routeSet is the Record-Route of a response, in the order of a client (RFC 3261 §12.1.2).
func (m *message) routeSet() []string {
	routes := m.list("Record-Route")
	for i, j := 0, len(routes)-1; i < j; i, j = i+1, j-1 {
		routes[i], routes[j] = routes[j], routes[i]
	}
	return routes
}
