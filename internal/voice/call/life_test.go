package call

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/sip"
)

func TestManyShortCallsLeaveNothing(t *testing.T) {
	const total, atOnce = 300, 20
	b := newPhone(t)
	var scripts sync.WaitGroup
	w := newWorld(t, func(c *Call) {
		scripts.Add(1)
		defer scripts.Done()
		if c.Answer(bg) != nil {
			return
		}
		if c.A().To == "bridge" {
			c.Dial(bg, DialRequest{Targets: to("200")})
		} else {
			_ = c.Play(bg, audio.Tone(-10, 20*time.Millisecond, 700), false, "")
		}
		c.Hangup(Cause{Q850: 16, By: ByPlatform})
	})
	w.change(func() { w.route = towards(map[string]*phone{"200": b}) })
	a := newPhone(t)
	callees := make(chan struct{})
	go func() {
		defer close(callees)
		for l := range b.calls {
			l.answer(200)
			l.d.Hangup(sip.Reason{})
			l.stream.Close()
		}
	}()
	one := func(to string) {
		l := a.dial(w, to)
		expect[sip.Answered](l)
		expect[sip.Ended](l)
		l.stream.Close()
	}
	one("100")
	one("bridge")
	w.quiet(a, b)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	places := make(chan struct{}, atOnce)
	var calls sync.WaitGroup
	for i := range total {
		places <- struct{}{}
		calls.Go(func() {
			defer func() { <-places }()
			if i%3 == 0 {
				one("bridge")
			} else {
				one("100")
			}
		})
	}
	calls.Wait()
	scripts.Wait()
	w.quiet(a, b)
	if got := openFiles(t); got > files+2 {
		t.Errorf("%d open files, %d before", got, files)
	}
	limit := time.After(patience) // the goroutines of scripts and of SIP handlers are on their way out
	for runtime.NumGoroutine() > goroutines+5 {
		select {
		case <-limit:
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
		case <-time.After(10 * time.Millisecond):
		}
	}
	n := 0
	w.facts.mu.Lock()
	for _, l := range w.facts.legs {
		if l.State == Destroyed && l.Direction == In {
			n++
		}
	}
	w.facts.mu.Unlock()
	if n != total+2 {
		t.Errorf("%d calls, want %d", n, total+2)
	}
	close(b.calls)
	<-callees
}

// quiet waits until no call is left and closes the sockets that wait for other legs.
func (w *world) quiet(phones ...*phone) {
	w.gone()
	w.ports.CloseIdle()
	for _, p := range phones {
		p.ports.CloseIdle()
	}
}
