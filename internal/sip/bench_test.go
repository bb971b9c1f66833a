package sip

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkAnsweredCall sets up and ends calls between two endpoints of this process: INVITE, 100, 200, ACK, BYE, 200. The CPU of a call
// is that of both sides; half of it is to be compared with figures of one server.
func BenchmarkAnsweredCall(b *testing.B) {
	standard := func(c *Config) { c.T1, c.T2, c.T4 = 0, 0, 0; c.SourceRate = 1e6 }
	caller, callee := newPhone(b, standard), newPhone(b, standard)
	callee.handle(func(d *Dialog) {
		d.Observe(func(Event) {})
		d.Accept(context.Background(), []byte("v=0\r\nanswer\r\n"))
	}, nil)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	before := cpuTime()
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			events := make(chan Event, 4)
			for left.Add(-1) >= 0 {
				d, err := caller.Endpoint.Invite(context.Background(), InviteRequest{
					RequestURI: "sip:bob@" + callee.addr().String(), From: Party{User: "alice"},
					Body: []byte("v=0\r\noffer\r\n"), Observe: func(e Event) { events <- e },
				})
				if err != nil {
					b.Error(err)
					return
				}
				if e, ok := (<-events).(Answered); !ok {
					b.Errorf("%+v", e)
					return
				}
				if err := d.Bye(context.Background(), Reason{Q850: 16}); err != nil {
					b.Error(err)
				}
				<-events
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	cpu := cpuTime() - before
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N)/2, "cpu-us/call/side")
	b.ReportMetric(float64(caller.Counters().RetransmitsOut+callee.Counters().RetransmitsOut)/float64(b.N), "retransmits/call")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
