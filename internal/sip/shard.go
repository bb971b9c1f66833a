package sip

import (
	"strings"
	"sync"
)

// packet is a message as it came, before anything was looked at.
type packet struct {
	text string
	flow flow
}

// shard holds the transactions and dialogs of the Call-IDs that hash to it. One worker handles all its messages, so those of one call keep
// the order in which they arrived. Lock order: Dialog.mu, then a transaction's mu, then shard.mu; none is held while sending.
type shard struct {
	ep    *Endpoint
	in    chan packet // bound shardQueue; UDP drops when full, streams wait
	wheel *wheel

	mu      sync.Mutex
	server  map[string]*serverTx
	merged  map[string]string // merge key to transaction key of INVITEs
	client  map[string]*clientTx
	dialogs map[string]*Dialog // by local tag
}

func newShard(ep *Endpoint) *shard {
	return &shard{
		ep: ep, in: make(chan packet, shardQueue), wheel: newWheel(ep.tick),
		server: map[string]*serverTx{}, merged: map[string]string{}, client: map[string]*clientTx{}, dialogs: map[string]*Dialog{},
	}
}

func (sh *shard) offer(p packet) bool {
	select {
	case sh.in <- p:
		return true
	default:
		return false
	}
}

// work handles the shard's messages until the endpoint stops.
func (sh *shard) work() {
	for {
		select {
		case p := <-sh.in:
			sh.handle(p)
		case <-sh.ep.ctx.Done():
			return
		}
	}
}

func (sh *shard) handle(p packet) {
	m, err := parse(p.text)
	if err != nil {
		sh.ep.count.garbage.Add(1)
		return
	}
	m.flow = p.flow
	if m.request {
		sh.request(m)
		return
	}
	if !m.checkResponse() {
		sh.ep.count.garbage.Add(1)
		return
	}
	sh.mu.Lock()
	tx := sh.client[m.via.branch+"|"+m.cseqMethod]
	sh.mu.Unlock()
	if tx == nil {
		sh.ep.count.strays.Add(1)
		return
	}
	tx.receive(m)
}

// shardFor finds the Call-ID in raw text, so that the order of a call's messages survives before they are parsed.
func (ep *Endpoint) shardFor(text string) *shard {
	rest := text
	for {
		i := strings.IndexByte(rest, '\n')
		if i < 0 || len(rest) < i+4 {
			return ep.shards[0]
		}
		rest = rest[i+1:]
		var value string
		switch c := rest[0] | 0x20; {
		case c == 'i' && (rest[1] == ':' || rest[1] == ' ' || rest[1] == '\t'):
			value = rest[1:]
		case c == 'c' && len(rest) > 8 && strings.EqualFold(rest[:7], "Call-ID"):
			value = rest[7:]
		case rest[0] == '\r' && rest[1] == '\n':
			return ep.shards[0]
		default:
			continue
		}
		value, _, _ = strings.Cut(value, "\n")
		if _, id, ok := strings.Cut(value, ":"); ok {
			return ep.shardOf(strings.Trim(id, " \t\r"))
		}
	}
}

// shardOf is the shard of a Call-ID: FNV-1a of its text.
func (ep *Endpoint) shardOf(callID string) *shard {
	h := uint32(2166136261)
	for i := range len(callID) {
		h = (h ^ uint32(callID[i])) * 16777619
	}
	return ep.shards[h%uint32(len(ep.shards))]
}

func (sh *shard) dialog(localTag string) *Dialog {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.dialogs[localTag]
}

func (sh *shard) addDialog(d *Dialog) {
	sh.mu.Lock()
	sh.dialogs[d.localTag] = d
	sh.mu.Unlock()
}

func (sh *shard) dropDialog(d *Dialog) {
	sh.mu.Lock()
	delete(sh.dialogs, d.localTag)
	sh.mu.Unlock()
}
