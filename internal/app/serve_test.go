package app

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/lifecycle"
	"github.com/opentact/opentact/internal/obs"
)

// safeBuffer is written by the server and read by the test.
type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestProbesAreAnsweredWhileTheServerStarts looks at the server when only its first stage runs.
func TestProbesAreAnsweredWhileTheServerStarts(t *testing.T) {
	cfg, err := config.Load([]string{"--data", t.TempDir(), "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0", "--speech-tts", "none", "--speech-stt", "none"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := &safeBuffer{}
	log, err := obs.NewLogger(obs.LogOptions{Writer: out, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Build{Version: "test", BuiltOn: "2026-03-04T05:06:07Z"}, io.Discard, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	}()
	a.group = lifecycle.NewGroup(a.parts()...)
	ctx, cancel := context.WithCancel(t.Context())
	served, ready := make(chan error, 1), make(chan struct{})
	go func() { served <- a.serveHTTP(ctx, func() { close(ready) }) }()
	<-ready
	get := func(path string) (*http.Response, string) {
		res, err := http.Get("http://" + a.HTTPAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return res, string(b)
	}
	if res, body := get("/health/live"); res.StatusCode != 200 {
		t.Error(res.StatusCode, body)
	}
	if res, body := get("/health/ready"); res.StatusCode != 503 || !strings.Contains(body, `"operations"`) || !strings.Contains(body, `"events"`) {
		t.Error(res.StatusCode, body)
	}
	if res, body := get("/version"); res.StatusCode != 200 || !strings.Contains(body, `"built_on":"2026-03-04T05:06:07Z"`) {
		t.Error(res.StatusCode, body)
	}
	for _, path := range []string{"/rest/settings", "/ws"} {
		if res, body := get(path); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Error(path, res.StatusCode, body)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestTheWebServersOwnWordsAreLogLines: net/http has something to say of a handler that panics.
func TestTheWebServersOwnWordsAreLogLines(t *testing.T) {
	out := &safeBuffer{}
	log, err := obs.NewLogger(obs.LogOptions{Writer: out, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	a := &App{log: log}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := a.newServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("broken") }))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	if _, err := http.Get("http://" + ln.Addr().String()); err == nil {
		t.Error("a panic was answered")
	}
	_ = srv.Close()
	<-done
	if line := out.String(); !strings.Contains(line, `"level":"WARN"`) || !strings.Contains(line, "panic serving") {
		t.Error(line)
	}
}
