package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/e164"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

// CallRequest is a call that a simulated person makes to a number of the account.
type CallRequest struct {
	Account  string
	From, To e164.Number
	Script   []Step
}

// Call places a call into the platform and gives the leg that the platform made of it. The script goes on after it returns; Find has its results
// under the uuid of that leg. Errors: fault.NotFound when the number is not the account's, fault.Unavailable, fault.Upstream when the platform refuses.
func (n *Carrier) Call(ctx context.Context, q CallRequest) (json.RawMessage, error) {
	if err := n.owned(ctx, q.Account, q.To); err != nil {
		return nil, err
	}
	platform := n.platform()
	if platform == "" || !n.startListening() {
		return nil, fault.New(fault.Unavailable)
	}
	c, err := n.phone.Place(ctx, phone.Request{To: "sip:" + q.To.Plus() + "@" + platform, User: q.From.Plus(), CallID: ident.New()})
	if err != nil {
		n.stopListening()
		return nil, fault.Wrap(fault.Unavailable, err)
	}
	r := &Run{Account: q.Account, Kind: KindScript, From: q.From, To: q.To, SIPCallID: c.CallID(), Started: n.now()}
	r.begin(c)
	if !n.follow(c, r, q.Script) {
		hangup(ctx, c)
		return nil, fault.New(fault.Unavailable)
	}
	leg, err := n.awaitLeg(ctx, c)
	if err != nil {
		hangup(ctx, c)
		return nil, err
	}
	var named struct {
		UUID string `json:"uuid"`
	}
	if json.Unmarshal(leg, &named) == nil && named.UUID != "" {
		r.ID = named.UUID
		n.shelf.put(r)
	}
	return leg, nil
}

// owned says 404 for a number that is not the account's.
func (n *Carrier) owned(ctx context.Context, account string, tn e164.Number) error {
	ok, err := n.cfg.Owned(ctx, account, tn)
	if err == nil && !ok {
		return fault.Missing("TN lease")
	}
	return err
}

// follow starts the script on a goroutine that Run waits for.
func (n *Carrier) follow(c *phone.Call, r *Run, script []Step) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx == nil || n.ctx.Err() != nil {
		n.listening--
		return false
	}
	ctx := n.ctx
	n.scripts.Go(func() {
		defer n.stopListening()
		n.run(ctx, c, r, script)
	})
	return true
}

// run is the life of a scripted call: answer, script, then the line is kept until the platform hangs up.
func (n *Carrier) run(ctx context.Context, c *phone.Call, r *Run, script []Step) {
	ctx, cancel := context.WithTimeout(ctx, maxCall)
	defer cancel()
	if err := c.WaitAnswered(ctx); err == nil {
		r.enter(StateAnswered)
		n.play(ctx, c, r, script)
		_ = c.Wait(ctx)
	} else {
		for _, step := range script {
			r.add(StepResult{Step: step, Detail: err.Error()})
		}
	}
	hangup(ctx, c)
	r.end(c, n.now())
	n.shelf.trim()
	n.log.Debug("sandbox script over", "sip_call_id", c.CallID(), "state", r.Result().State)
}

// hangup ends a call and waits a little, whatever has become of ctx.
func hangup(ctx context.Context, c *phone.Call) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeWait)
	defer cancel()
	c.Hangup(ctx)
}

// awaitLeg asks the platform for its side of the call; once the call has been refused there is not much to wait for.
func (n *Carrier) awaitLeg(ctx context.Context, c *phone.Call) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, inboundWait)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-c.Over():
		}
		grace := time.NewTimer(refusedWait)
		defer grace.Stop()
		select {
		case <-ctx.Done():
		case <-grace.C:
			cancel()
		}
	})
	leg, err := n.cfg.Calls.AwaitInbound(ctx, c.CallID())
	cancel()
	watch.Wait()
	if err == nil {
		return leg, nil
	}
	if o := c.Outcome(); o.Status != 0 {
		return nil, fault.Newf(fault.Upstream, "the platform refused the call: %d %s", o.Status, o.Phrase)
	}
	return nil, fault.Wrap(fault.Upstream, fmt.Errorf("the call did not arrive: %w", err))
}

// Message delivers a message from the simulated network to a number of the account. Errors: fault.NotFound, those of Messages.
func (n *Carrier) Message(ctx context.Context, account string, from, to e164.Number, text string) (json.RawMessage, error) {
	if err := n.owned(ctx, account, to); err != nil {
		return nil, err
	}
	return n.cfg.Messages.Inbound(ctx, from, to, text)
}

// Find gives a run that the account may see: its own scripts, and recordings of calls from its numbers. Error: fault.NotFound.
func (n *Carrier) Find(ctx context.Context, account, id string) (*Run, error) {
	r, ok := n.shelf.find(id)
	if ok {
		visible, err := n.visible(ctx, account, r)
		if err != nil {
			return nil, err
		}
		if visible {
			return r, nil
		}
	}
	return nil, fault.Missing("Call")
}

// Runs lists what Find would give, latest first.
func (n *Carrier) Runs(ctx context.Context, account string) ([]*Run, error) {
	var out []*Run
	for _, r := range n.shelf.all() {
		ok, err := n.visible(ctx, account, r)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

func (n *Carrier) visible(ctx context.Context, account string, r *Run) (bool, error) {
	if r.Kind == KindScript {
		return r.Account == account, nil
	}
	if r.From == "" {
		return false, nil
	}
	return n.cfg.Owned(ctx, account, r.From)
}
