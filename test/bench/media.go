package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/opentact/opentact/test/fake"
	"github.com/opentact/opentact/test/scenario/house"
)

// streams is how many calls have sound at a time.
const streams = 100

// held is a set of calls by SIPp that stay until they are let go.
type held struct {
	cancel context.CancelFunc
	done   chan error
}

// hold places the calls with their sound at the hub and waits until each has some.
func (b *bench) hold(s *stand, number string, h *hub) (*held, error) {
	ctx, cancel := context.WithCancel(b.ctx)
	c := &held{cancel, make(chan error, 1)}
	go func() {
		_, err := house.SIPp{
			Dir: b.sipp, Scenario: "held.xml", Server: s.SIP, Number: number, Calls: streams, Rate: 50, Timeout: 2*b.duration + time.Minute,
			Keys: []string{"-key", "rtp_port", strconv.Itoa(h.port())},
		}.Run(ctx)
		c.done <- err
	}()
	for end := time.Now().Add(20 * time.Second); h.count() < streams; {
		select {
		case err := <-c.done:
			cancel()
			return nil, fmt.Errorf("the calls ended early: %w", err)
		default:
		}
		if time.Now().After(end) {
			c.let()
			return nil, fmt.Errorf("only %d of %d calls have sound; %s", h.count(), streams, b.lastWords(s))
		}
		if err := b.wait(50 * time.Millisecond); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// lastWords is what the flow of the latest ended call says, for errors.
func (b *bench) lastWords(s *stand) string {
	found, err := s.c.Do(b.ctx, "POST", "/rest/call/search?take=1", `{"state": "offline", "direction": "in"}`)
	if err != nil || found.Str("data[0].uuid") == "" {
		return "no call has ended"
	}
	call, err := s.c.Do(b.ctx, "GET", "/rest/call/"+found.Str("data[0].uuid"), nil)
	if err != nil {
		return err.Error()
	}
	return "the last step of a call that ended: " + house.Text(call.At("logs").Value)
}

// let stops SIPp; the server's calls end with the server.
func (c *held) let() {
	c.cancel()
	<-c.done
}

// playback measures a hundred calls that hear a file.
func (b *bench) playback() error {
	customer, err := fake.NewCustomer()
	if err != nil {
		return err
	}
	defer customer.Close()
	s, err := b.start(false)
	if err != nil {
		return err
	}
	defer s.Kill()
	number, err := house.Number(b.ctx, s.c, `<Response><Answer/><Play url="`+customer.URL+`/tone.wav" loop="0"/></Response>`)
	if err != nil {
		return err
	}
	h, err := newHub()
	if err != nil {
		return err
	}
	defer h.close()
	calls, err := b.hold(s, number, h)
	if err != nil {
		return err
	}
	defer calls.let()
	percent, uneven, err := b.sound(s, h)
	if err != nil {
		return err
	}
	b.t.most("CPU of 100 calls with 20 ms G.711 playback", percent, 20, "% of a core", "Asterisk 23 %, FreeSWITCH 27 %")
	b.t.most("  jitter of their packets, p99", ms(share(uneven, 0.99)), 2, "ms", "")
	return nil
}

// sound measures what the streams of the hub cost.
func (b *bench) sound(s *stand, h *hub) (percent float64, uneven []time.Duration, err error) {
	if err := b.wait(2 * time.Second); err != nil {
		return 0, nil, err
	}
	h.begin()
	cpu, wall, err := s.cost(func() error { return b.wait(b.duration) })
	uneven, packets := h.end()
	if err != nil {
		return 0, nil, err
	}
	if want := float64(streams) * 50 * wall.Seconds(); float64(packets) < 0.97*want {
		err = fmt.Errorf("%d packets came instead of %.0f", packets, want)
	}
	return 100 * cpu.Seconds() / wall.Seconds(), uneven, err
}

// bridge measures a hundred calls that are joined with a phone beyond a carrier.
func (b *bench) bridge() error {
	s, err := b.start(false)
	if err != nil {
		return err
	}
	defer s.Kill()
	near, err1 := newHub()
	far, err2 := newHub()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	defer near.close()
	defer far.close()
	stop, port, err := b.carrier(far)
	if err != nil {
		return err
	}
	defer stop()
	if _, err := s.c.Do(b.ctx, "POST", "/rest/admin/carrier", map[string]any{
		"name": "far side", "kind": "voice", "priority": 1, "prefixes": []string{"1646555"}, "options_ping": 0, "number_format": "digits",
		"hosts": []any{map[string]any{"host": "127.0.0.1", "port": port, "transport": "udp"}},
	}); err != nil {
		return err
	}
	if _, err := house.OutboundProfile(b.ctx, s.c); err != nil {
		return err
	}
	number, err := house.Number(b.ctx, s.c, `<Response><Answer/><Dial ringback="tone" timeout="30000"><To>16465550100</To></Dial><Hangup/></Response>`)
	if err != nil {
		return err
	}
	calls, err := b.hold(s, number, near)
	if err != nil {
		return err
	}
	defer calls.let()
	for end := time.Now().Add(20 * time.Second); far.count() < streams; {
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d calls are bridged", far.count(), streams)
		}
		if err := b.wait(50 * time.Millisecond); err != nil {
			return err
		}
	}
	percent, uneven, err := b.sound(s, near)
	if err != nil {
		return err
	}
	b.t.most("CPU of 100 bridged calls (two legs each)", percent, 20, "% of a core", "Asterisk 25.5 %, FreeSWITCH 46-49 %, rtpengine (relay only) 11.6 %")
	b.t.plain("  jitter of their packets, p99", show(ms(share(uneven, 0.99)))+" ms")
	return nil
}

// carrier runs SIPp as the far side; the sound of its calls is at the hub.
func (b *bench) carrier(h *hub) (stop func(), port int, err error) {
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return nil, 0, err
	}
	port = free.LocalAddr().(*net.UDPAddr).Port
	if err := free.Close(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = house.SIPp{Dir: b.sipp, Scenario: "called.xml", Keys: []string{"-p", strconv.Itoa(port), "-key", "rtp_port", strconv.Itoa(h.port())}, Timeout: time.Hour}.Run(ctx) // it is ended by force
	}()
	return func() { cancel(); <-done }, port, nil
}
