package sip

import (
	"strings"
	"sync"
	"time"
)

// serverTx absorbs retransmissions of one request (RFC 3261 §17.2, RFC 6026). After the final answer it is its key, the answer's bytes and a
// wheel entry; the request is forgotten.
type serverTx struct {
	sh       *shard
	key      string
	mergeKey string
	invite   bool
	flow     flow

	mu       sync.Mutex
	req      *message // until the final answer
	dialog   *Dialog  // whom a CANCEL concerns, until the final answer
	answer   []byte
	status   int
	acked    bool
	interval time.Duration
	resend   timer
	life     timer
}

// serve registers a new transaction, or gives the one that m repeats and true.
func (sh *shard) serve(m *message) (*serverTx, bool) {
	key := m.key(m.method)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if tx := sh.server[key]; tx != nil {
		return tx, true
	}
	tx := &serverTx{sh: sh, key: strings.Clone(key), invite: m.method == "INVITE", req: m, flow: m.answerFlow()}
	sh.server[tx.key] = tx
	return tx, false
}

func (sh *shard) serverTx(key string) *serverTx {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.server[key]
}

// merge notes the INVITE of tx and reports whether the same request already came with another branch (RFC 3261 §8.2.2.2).
func (tx *serverTx) merge(m *message) bool {
	key := m.mergeKey()
	tx.sh.mu.Lock()
	defer tx.sh.mu.Unlock()
	if other, ok := tx.sh.merged[key]; ok && other != tx.key {
		return true
	}
	tx.mergeKey = key
	tx.sh.merged[key] = tx.key
	return false
}

func (tx *serverTx) remove() {
	tx.mu.Lock()
	tx.answer = nil // a retransmission that is under way must be the last
	tx.mu.Unlock()
	tx.sh.wheel.stop(&tx.resend)
	tx.sh.wheel.stop(&tx.life)
	tx.sh.mu.Lock()
	delete(tx.sh.server, tx.key)
	if tx.mergeKey != "" && tx.sh.merged[tx.mergeKey] == tx.key {
		delete(tx.sh.merged, tx.mergeKey)
	}
	tx.sh.mu.Unlock()
}

// repeated answers a retransmitted request with what was answered before.
func (tx *serverTx) repeated() {
	tx.sh.ep.count.retransmitsIn.Add(1)
	tx.mu.Lock()
	answer, waiting := tx.answer, tx.invite && tx.status == 0
	tx.mu.Unlock()
	if answer != nil {
		tx.flow.send(answer)
	} else if waiting {
		tx.trying()
	}
}

// reply answers the request; after a final answer further ones are ignored.
func (tx *serverTx) reply(r reply) {
	tx.mu.Lock()
	if tx.req == nil {
		tx.mu.Unlock()
		return
	}
	if tx.status == 0 {
		tx.sh.wheel.stop(&tx.resend) // no 100 is needed any more
	}
	data := r.bytes(tx.req, tx.sh.ep.cfg.UserAgent)
	tx.answer, tx.status = data, r.status
	if r.status >= 200 {
		tx.finish()
	}
	tx.mu.Unlock()
	tx.flow.send(data)
}

// trying sends 100 to an INVITE that nobody has answered yet (RFC 3261 §17.2.1); most are answered before.
func (tx *serverTx) trying() {
	tx.mu.Lock()
	if tx.req == nil || tx.status != 0 {
		tx.mu.Unlock()
		return
	}
	r := reply{status: 100}
	data := r.bytes(tx.req, tx.sh.ep.cfg.UserAgent)
	tx.answer, tx.status = data, r.status
	tx.mu.Unlock()
	tx.flow.send(data)
}

// finish enters the state after the final answer: timers G, H, J of RFC 3261 and L of RFC 6026.
func (tx *serverTx) finish() {
	ep, w := tx.sh.ep, tx.sh.wheel
	tx.req, tx.dialog = nil, nil
	switch {
	case !tx.invite && tx.flow.reliable():
		w.set(&tx.life, 0, tx.remove)
		return
	case tx.invite && tx.status < 300:
		tx.answer = nil // the dialog repeats its 2xx itself until the ACK
	case tx.invite && !tx.flow.reliable():
		tx.interval = ep.cfg.T1
		w.set(&tx.resend, tx.interval, tx.again)
	}
	w.set(&tx.life, 64*ep.cfg.T1, tx.remove)
}

func (tx *serverTx) again() {
	tx.mu.Lock()
	answer := tx.answer
	if tx.acked {
		answer = nil
	}
	tx.interval = min(2*tx.interval, tx.sh.ep.cfg.T2)
	if answer != nil {
		tx.sh.wheel.set(&tx.resend, tx.interval, tx.again)
	}
	tx.mu.Unlock()
	if answer != nil {
		tx.sh.ep.count.retransmitsOut.Add(1)
		tx.flow.send(answer)
	}
}

// ack ends the retransmission of a non-2xx answer; later copies are absorbed for timer I.
func (tx *serverTx) ack() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if tx.acked || tx.status < 300 {
		return
	}
	tx.acked, tx.answer = true, nil
	tx.sh.wheel.stop(&tx.resend)
	linger := tx.sh.ep.cfg.T4
	if tx.flow.reliable() {
		linger = 0
	}
	tx.sh.wheel.set(&tx.life, linger, tx.remove)
}
