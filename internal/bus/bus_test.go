package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is a log that tests read.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func open(t *testing.T, url string) (*Bus, *record) {
	t.Helper()
	var r record
	b, err := Open(Options{URL: url, Logger: slog.New(slog.NewTextHandler(&r, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, &r
}

// cluster is a server outside, on loopback.
func cluster(t *testing.T) (*server.Server, string) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(openTimeout) {
		t.Fatal("no server")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s, s.ClientURL()
}

func TestMessagesReachAllListenersInOrder(t *testing.T) {
	b, _ := open(t, "embedded")
	const n = 1000
	one, all := make(chan string, n), make(chan string, n)
	for pattern, c := range map[string]chan string{"outbox.news": one, "outbox.*": all} {
		if _, err := b.Subscribe(pattern, func(data []byte) { c <- string(data) }); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := b.Publish("outbox.news", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		want := fmt.Sprint(i)
		if a, b := <-one, <-all; a != want || b != want {
			t.Fatalf("%s and %s at place %d", a, b, i)
		}
	}
}

func TestUnsubscribedFunctionsAreNotCalled(t *testing.T) {
	b, _ := open(t, "")
	first, second := make(chan string, 4), make(chan string, 4)
	off, err := b.Subscribe("x", func(d []byte) { first <- string(d) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Subscribe("x", func(d []byte) { second <- string(d) }); err != nil {
		t.Fatal(err)
	}
	b.Publish("x", []byte("1"))
	<-first
	off()
	off()
	b.Publish("x", []byte("2"))
	<-second
	<-second
	if len(first) != 0 {
		t.Error("called after unsubscribe")
	}
}

func TestRequestsAreAnsweredAtOnceNotInTurn(t *testing.T) {
	b, _ := open(t, "embedded")
	release := make(chan struct{})
	if _, err := b.Reply("call.node1.>", func(d []byte) []byte {
		if string(d) == "slow" {
			<-release
		}
		return append([]byte("did "), d...)
	}); err != nil {
		t.Fatal(err)
	}
	slow := make(chan string)
	go func() {
		a, err := b.Request(t.Context(), "call.node1.abc", []byte("slow"))
		slow <- fmt.Sprint(string(a), err)
	}()
	if a, err := b.Request(t.Context(), "call.node1.def", []byte("fast")); err != nil || string(a) != "did fast" {
		t.Errorf("%q %v", a, err)
	}
	close(release)
	if got := <-slow; got != "did slow<nil>" {
		t.Error(got)
	}
}

func TestRequestsThatGetNoAnswer(t *testing.T) {
	b, log := open(t, "embedded")
	if _, err := b.Request(t.Context(), "nobody.here", nil); !errors.Is(err, ErrNoListener) {
		t.Errorf("%v", err)
	}
	stop := make(chan struct{})
	b.Reply("hangs", func([]byte) []byte { <-stop; return nil })
	b.Reply("panics", func([]byte) []byte { panic("kaboom") })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.Request(ctx, "hangs", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(stop)
	if _, err := b.Request(t.Context(), "panics", nil); !errors.Is(err, ErrAnswer) || !strings.Contains(log.String(), "kaboom") {
		t.Errorf("%v %s", err, log)
	}
	if _, err := b.Request(t.Context(), "panics", nil); !errors.Is(err, ErrAnswer) {
		t.Errorf("second time: %v", err)
	}
}

func TestPanickingSubscriberKeepsItsSubscription(t *testing.T) {
	b, log := open(t, "embedded")
	done := make(chan struct{}, 1)
	b.Subscribe("x", func(d []byte) {
		if string(d) == "bad" {
			panic("kaboom")
		}
		done <- struct{}{}
	})
	b.Publish("x", []byte("bad"))
	b.Publish("x", []byte("good"))
	<-done
	if !strings.Contains(log.String(), "kaboom") {
		t.Error(log.String())
	}
}

func TestSlowSubscriberLosesOnlyItsOwnMessages(t *testing.T) {
	b, log := open(t, "embedded")
	const n = maxPendingMessages + 1000
	release, started := make(chan struct{}), make(chan struct{}, n)
	var slow int
	b.Subscribe("x", func([]byte) { started <- struct{}{}; <-release; slow++ })
	quick := make(chan struct{}, n)
	b.Subscribe("x", func([]byte) { quick <- struct{}{} })
	for i := range n {
		b.Publish("x", []byte("m"))
		if i%1000 == 0 { // the quick one must not fall behind because of the test itself
			for range min(i+1, 1000) {
				<-quick
			}
		}
	}
	for range (n - 1) % 1000 {
		<-quick
	}
	<-started
	close(release)
	b.Close()
	if slow >= n || slow < maxPendingMessages {
		t.Errorf("%d of %d", slow, n)
	}
	if !strings.Contains(log.String(), "bus subscription is behind") {
		t.Error("loss not logged")
	}
}

func TestCloseDeliversWhatWasPublishedAndRefusesMore(t *testing.T) {
	b, _ := open(t, "embedded")
	var got int // written by one goroutine, read after Close has waited for it
	b.Subscribe("x", func([]byte) { got++ })
	for range 500 {
		b.Publish("x", nil)
	}
	b.Close()
	b.Close()
	if got != 500 {
		t.Errorf("%d of 500", got)
	}
	if err := b.Publish("x", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	if _, err := b.Subscribe("x", func([]byte) {}); !errors.Is(err, ErrClosed) {
		t.Errorf("subscribe: %v", err)
	}
	if _, err := b.Request(t.Context(), "x", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("request: %v", err)
	}
	if b.Connected() {
		t.Error("still connected")
	}
}

func TestInvalidSubjectsAndSizesAreRefused(t *testing.T) {
	b, _ := open(t, "embedded")
	for _, s := range []string{"", ".", "a.", ".a", "a..b", "a b", "a\r\nPUB x 0", "a.*", "a.>", "a*b"} {
		if err := b.Publish(s, nil); !errors.Is(err, ErrSubject) {
			t.Errorf("published to %q: %v", s, err)
		}
	}
	for _, s := range []string{"", "a.>.b", "a b", "a*"} {
		if _, err := b.Subscribe(s, func([]byte) {}); !errors.Is(err, ErrSubject) {
			t.Errorf("subscribed to %q: %v", s, err)
		}
	}
	if err := b.Publish("a", make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestTwoNodesShareACluster(t *testing.T) {
	_, url := cluster(t)
	a, _ := open(t, url)
	b, _ := open(t, url)
	if _, err := a.Reply("call.a", func(d []byte) []byte { return append(d, '!') }); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	if _, err := b.Subscribe("news", func(d []byte) { got <- string(d) }); err != nil {
		t.Fatal(err)
	}
	if err := a.Publish("news", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "hello" {
		t.Error(s)
	}
	if answer, err := b.Request(t.Context(), "call.a", []byte("hi")); err != nil || string(answer) != "hi!" {
		t.Errorf("%q %v", answer, err)
	}
}

func TestOpenFailsWithoutACluster(t *testing.T) {
	s, url := cluster(t)
	s.Shutdown()
	s.WaitForShutdown()
	if b, err := Open(Options{URL: url}); err == nil {
		b.Close()
		t.Error("opened")
	}
}

func BenchmarkRequest(b *testing.B) {
	bus, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	bus.Reply("x", func(d []byte) []byte { return d })
	for b.Loop() {
		if _, err := bus.Request(b.Context(), "x", []byte("hello")); err != nil {
			b.Fatal(err)
		}
	}
}
