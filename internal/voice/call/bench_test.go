package call

import (
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/sdp"
	"github.com/opentact/opentact/internal/sip"
)

// processorTime is what this process has used: the phones that call are part of it, so that the figures of the benchmarks are those of
// both sides of the calls.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type nobody struct{}

func (nobody) LegChanged(Leg)       {}
func (nobody) RecordChanged(Record) {}

// BenchmarkAnsweredCall is one call: INVITE, 180, 200, ACK, media opened, BYE by the caller. The calling endpoint (without media) runs in
// the same process and is in the figure.
func BenchmarkAnsweredCall(b *testing.B) {
	w := newWorld(b, func(c *Call) {
		c.Ring(bg)
		_ = c.Answer(bg)
	}, func(c *Config) { c.Observer = nobody{} })
	p := newPhone(b)
	body := benchOffer(b)
	places := make(chan struct{}, 32)
	var calls sync.WaitGroup
	b.ReportAllocs()
	runtime.GC()
	before := processorTime(b)
	b.ResetTimer()
	for range b.N {
		places <- struct{}{}
		var d *sip.Dialog
		ready := make(chan struct{})
		calls.Add(1)
		d, err := p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + w.addr().String(), Body: body, Observe: func(e sip.Event) {
			switch e.(type) {
			case sip.Answered:
				go func() { <-ready; d.Hangup(sip.Reason{}) }()
			case sip.Ended, sip.Failed:
				<-places
				calls.Done()
			}
		}})
		if err != nil {
			b.Fatal(err)
		}
		close(ready)
	}
	calls.Wait()
	for w.engine.Count() > 0 {
		runtime.Gosched()
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/call(both-sides)")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func benchOffer(b *testing.B) []byte {
	s, err := sdp.Offer(sdp.Local{Addr: loopback, Port: 9, Codecs: []sdp.Codec{sdp.PCMU, sdp.PCMA}, DTMF: true, SessionID: 1})
	if err != nil {
		b.Fatal(err)
	}
	return s.Bytes()
}

// BenchmarkBridgedCall is a call that is put through: two legs, one bridge, BYE by the caller. Both phones are in the figure.
func BenchmarkBridgedCall(b *testing.B) {
	body := benchOffer(b)
	callee := startSIP(b, handlerFunc(func(d *sip.Dialog) {
		d.Observe(func(sip.Event) {})
		_ = d.Accept(bg, body)
	}))
	w := newWorld(b, func(c *Call) { c.Dial(bg, DialRequest{Targets: to("200")}) }, func(c *Config) { c.Observer = nobody{} })
	addr := callee.Addr()[0].Addr.String()
	w.change(func() {
		w.route = func(RouteRequest) ([]Attempt, *Cause) {
			return []Attempt{{RequestURI: "sip:200@" + addr, FromUser: "1"}}, nil
		}
	})
	p := newPhone(b)
	places := make(chan struct{}, 32)
	var calls sync.WaitGroup
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	for range b.N {
		places <- struct{}{}
		var d *sip.Dialog
		ready := make(chan struct{})
		calls.Add(1)
		d, err := p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + w.addr().String(), Body: body, Observe: func(e sip.Event) {
			switch e.(type) {
			case sip.Answered:
				go func() { <-ready; d.Hangup(sip.Reason{}) }()
			case sip.Ended, sip.Failed:
				<-places
				calls.Done()
			}
		}})
		if err != nil {
			b.Fatal(err)
		}
		close(ready)
	}
	calls.Wait()
	for w.engine.Count() > 0 {
		runtime.Gosched()
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/call(all-sides)")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkHeldCallMemory is what an answered call that waits costs: heap and stacks, without the caller's side being taken out.
func BenchmarkHeldCallMemory(b *testing.B) {
	const held = 500
	w := newWorld(b, func(c *Call) { _ = c.Answer(bg) }, func(c *Config) { c.Observer = nobody{} })
	p := newPhone(b)
	body := benchOffer(b)
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var up, gone sync.WaitGroup
		dialogs := make([]*sip.Dialog, 0, held)
		for range held {
			up.Add(1)
			gone.Add(1)
			d, err := p.sip.Invite(bg, sip.InviteRequest{RequestURI: "sip:1@" + w.addr().String(), Body: body, Observe: func(e sip.Event) {
				switch e := e.(type) {
				case sip.Answered:
					up.Done()
				case sip.Ended:
					gone.Done()
				case sip.Failed:
					b.Errorf("a call failed: %+v", e)
					up.Done()
					gone.Done()
				}
			}})
			if err != nil {
				b.Fatal(err)
			}
			dialogs = append(dialogs, d)
		}
		up.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		used := after.HeapAlloc + after.StackInuse - before.HeapAlloc - before.StackInuse
		b.ReportMetric(float64(used)/held/1024, "KiB/call(both-sides)")
		for _, d := range dialogs {
			d.Hangup(sip.Reason{})
		}
		gone.Wait()
		w.gone()
	}
}
