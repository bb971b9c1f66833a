package main

import (
	"context"
	"fmt"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// load is how many other calls per second are placed while latencies are read.
const load = 50

// latencies measures the first sound of a flow, keys, and events on the websocket, with other calls going on.
func (b *bench) latencies() error {
	s, err := b.start(false)
	if err != nil {
		return err
	}
	defer s.Kill()
	number, err := house.Number(b.ctx, s.c, `<Response><Answer/><Gather dtmf_length="1" timeout="10000"><Say>Welcome. Please press a key.</Say><DTMF value="5"><Hangup/></DTMF></Gather></Response>`)
	if err != nil {
		return err
	}
	other, err := house.Number(b.ctx, s.c, `<Response><Answer/><Pause length="500"/><Hangup/></Response>`)
	if err != nil {
		return err
	}
	socket, err := house.Open(b.ctx, s.HTTP, house.Token, []string{"call_state"}, "")
	if err != nil {
		return err
	}
	defer socket.Close()
	ctx, cancel := context.WithTimeout(b.ctx, b.duration)
	defer cancel()
	background := make(chan error, 1)
	go func() {
		_, err := house.SIPp{Dir: b.sipp, Scenario: "answered.xml", Server: s.SIP, Number: other, Calls: max(1, int(b.duration/time.Second)-1) * load, Rate: load, Timeout: b.duration + 30*time.Second}.Run(b.ctx)
		background <- err
	}()
	var sounds, keys []time.Duration
	for ctx.Err() == nil {
		sound, key, err := b.probeOnce(s, number)
		if err != nil {
			<-background
			return err
		}
		sounds, keys = append(sounds, sound), append(keys, key)
	}
	if err := <-background; err != nil {
		return err
	}
	b.t.most("first sound of a flow (Say) after the ACK, p99", ms(share(sounds, 0.99)), 300, "ms", "46-504 ms")
	b.t.plain("  median", show(ms(share(sounds, 0.5)))+" ms")
	b.t.most("last packet of a key to what it causes, p99", ms(share(keys, 0.99)), 60, "ms", "")
	b.eventLatency(socket)
	return nil
}

// probeOnce makes a call with sockets of its own: what is left of an earlier call cannot be heard.
func (b *bench) probeOnce(s *stand, number string) (sound, key time.Duration, err error) {
	p, err := newProbe(s.SIP, number)
	if err != nil {
		return 0, 0, err
	}
	defer p.close()
	return p.call()
}

// eventLatency compares the time of each change with the time its event was read.
func (b *bench) eventLatency(socket *house.Socket) {
	stamps := map[string]string{"init": "init_on", "ringing": "ring_on", "live": "answer_on", "hangup": "hangup_on", "destroyed": "destroy_on"}
	var late []time.Duration
	for _, f := range socket.All() {
		if f.Str("type") != "call_state" {
			continue
		}
		cause, err := time.Parse(time.RFC3339Nano, f.Str("payload."+stamps[f.Str("payload.state")]))
		if err == nil {
			late = append(late, f.At.Sub(cause))
		}
	}
	b.t.most(fmt.Sprintf("cause to event on the websocket, p99 of %d", len(late)), ms(share(late, 0.99)), 100, "ms", "")
	b.t.plain("  median", show(ms(share(late, 0.5)))+" ms")
}
