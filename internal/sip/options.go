package sip

import (
	"context"
	"fmt"
)

// Options asks a peer for a sign of life (RFC 3261 §11) and gives the status of its answer, whatever it is. The peer is a SIP URI; transport is "UDP"
// when empty. Without an answer the error is that of ctx, ErrTimeout or ErrTransport.
func (ep *Endpoint) Options(ctx context.Context, uri, transport string) (status int, err error) {
	if !ep.running.Load() {
		return 0, ErrOver
	}
	target, ok := ParseURI(uri)
	if !ok {
		return 0, fmt.Errorf("sip: bad URI %q", uri)
	}
	f, err := ep.flowFor(ctx, &InviteRequest{Transport: transport}, target)
	if err != nil {
		return 0, err
	}
	host, _ := ep.advertised(f)
	branch, callID := newBranch(), newToken()
	req := &outgoing{
		method: "OPTIONS", uri: uri, via: ep.viaValue(f, branch), from: nameAddr("", sipURI("", host, 0)) + ";tag=" + newToken(), to: nameAddr("", uri),
		callID: callID, cseq: 1, contact: ep.contactValue(f, ""), headers: []Header{{"Accept", "application/sdp"}},
	}
	type result struct {
		status int
		err    error
	}
	answered := make(chan result, 1) // one final answer or error
	tx := ep.shardOf(callID).call(f, req, branch, func(m *message, err error) {
		switch {
		case err != nil:
			answered <- result{0, err}
		case m.status >= 200:
			answered <- result{m.status, nil}
		}
	})
	tx.start()
	select {
	case r := <-answered:
		return r.status, r.err
	case <-ctx.Done():
		tx.abandon()
		return 0, ctx.Err()
	case <-ep.ctx.Done():
		return 0, ErrOver
	}
}
