package main

import (
	"fmt"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// firstStart measures an empty server.
func (b *bench) firstStart() error {
	s, err := b.start(false)
	if err != nil {
		return err
	}
	defer s.Kill()
	b.t.most("first start to ready", s.Took().Seconds(), 2, "s", "")
	if err := b.wait(min(b.duration, 10*time.Second)); err != nil {
		return err
	}
	rss, err := s.RSS()
	if err != nil {
		return err
	}
	b.t.most("memory of an idle server", float64(rss)/(1<<20), 120, "MB", "")
	return nil
}

// Rates of answered calls per second. At the first the cost of a call is read, at the second whether the server keeps up.
const easyRate, fullRate = 500, 1600

// answeredCalls lets SIPp call a number whose flow answers and hangs up.
func (b *bench) answeredCalls() error {
	peers := "Asterisk 22 0.87 ms, 900/s; FreeSWITCH 3.2 ms, 275/s"
	for _, rate := range []int{easyRate, fullRate} {
		s, err := b.start(false)
		if err != nil {
			return err
		}
		number, err := house.Number(b.ctx, s.c, `<Response><Answer/><Hangup/></Response>`)
		if err != nil {
			s.Kill()
			return err
		}
		total := rate * int(b.duration/time.Second)
		var res house.SIPpResult
		var complaint error
		cpu, wall, err := s.cost(func() error {
			res, complaint = house.SIPp{Dir: b.sipp, Scenario: "answered.xml", Server: s.SIP, Number: number, Calls: total, Rate: rate, Limit: 20000, Timeout: 3*b.duration + 30*time.Second}.Run(b.ctx)
			return nil
		})
		if err != nil {
			return err
		}
		if res.Successful == 0 {
			s.Kill()
			return complaint
		}
		rss, err := s.RSS()
		if err != nil {
			return err
		}
		per := fmt.Sprintf("at %d calls/s", rate)
		b.t.most("CPU per answered call "+per, ms(cpu)/float64(res.Successful), 0.5, "ms", peers)
		if rate == fullRate {
			b.t.least("answered calls on one core", float64(res.Successful)/wall.Seconds(), 1500, "/s", peers)
			b.t.plain("  memory after it", show(float64(rss)/(1<<20))+" MB")
		}
		b.t.most("  failed "+per, 100*float64(total-res.Successful)/float64(total), 0, "%", "")
		b.t.most("  retransmissions "+per, 100*float64(res.Retransmissions)/float64(total), 0.1, "%", "bare Go SIP library 7 % at 2,500/s")
		s.Kill()
	}
	return nil
}
