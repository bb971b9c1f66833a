package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/cli"
)

const asProgram = "OPENTACT_TEST_AS_PROGRAM" // makes the test binary behave as the opentact program

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := cli.Run(ctx, cli.Program{Args: os.Args[1:], Env: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "test", Commit: "test"})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(cli.ExitCode(err))
}

// program writes a shell script to start.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "opentact")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDemoObservesEveryStep(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	wav := filepath.Join(t.TempDir(), "demo.wav")
	var out bytes.Buffer
	err = show(ctx, program(t, fmt.Sprintf("%s=1 exec '%s' \"$@\"", asProgram, self)), wav, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for i, st := range steps {
		if !strings.Contains(out.String(), fmt.Sprintf("== %d. %s\n", i+1, st.title)) {
			t.Errorf("step %d is not shown", i+1)
		}
	}
	for _, kind := range []string{"tn_order", "tn_lease", "call_state", "call_flow", "call_record", "sms"} {
		if !strings.Contains(out.String(), "| "+kind) {
			t.Errorf("no event %s is shown", kind)
		}
	}
	recording, err := os.ReadFile(wav)
	if err != nil {
		t.Fatal(err)
	}
	wantSpoken(t, recording)
}

func TestDemoTellsWhatFailed(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health/ready" {
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	for name, c := range map[string]struct{ script, want string }{
		"ends at once":     {"echo cannot open the database >&2; exit 3", "the server ended at its start: exit status 3\ncannot open the database"},
		"not a server":     {"trap 'exit 0' TERM\n" + ready200(s), "websocket: the server answers 404 Not Found"},
		"ends with a code": {"trap 'exit 7' TERM\n" + ready200(s), "ending the server: exit status 7"},
	} {
		err := show(t.Context(), program(t, c.script), filepath.Join(t.TempDir(), "x.wav"), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// ready200 says ready with the address of s and stays until a trap ends it.
func ready200(s *httptest.Server) string {
	return fmt.Sprintf("echo '{\"msg\":\"ready\",\"http\":\"%s\"}' >&2\nwhile :; do sleep 0.05; done", s.Listener.Addr())
}

func TestARecordingWithoutSpeechIsRefused(t *testing.T) {
	tone := func(d time.Duration, peak float64) []int16 {
		out := make([]int16, audio.Samples(d))
		for i := range out {
			out[i] = int16(peak * math.Sin(float64(i)/3))
		}
		return out
	}
	for name, c := range map[string]struct {
		samples []int16
		good    bool
	}{
		"silence":       {make([]int16, audio.Samples(10*time.Second)), false},
		"too short":     {tone(2*time.Second, 8000), false},
		"only a click":  {append(tone(300*time.Millisecond, 8000), make([]int16, audio.Samples(8*time.Second))...), false},
		"barely heard":  {tone(8*time.Second, 100), false},
		"loud and long": {tone(8*time.Second, 8000), true},
	} {
		var wav bytes.Buffer
		if err := audio.EncodeWAV(&wav, c.samples); err != nil {
			t.Fatal(err)
		}
		h, err := listen(wav.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.judge(); (err == nil) != c.good {
			t.Errorf("%s: %v %+v", name, err, h)
		}
	}
	if _, err := listen([]byte("no sound")); err == nil {
		t.Error("text was taken for sound")
	}
}

func TestMicroDollarsAreExact(t *testing.T) {
	for v, want := range map[float64]int64{0: 0, 0.0075: 7500, -0.0011: -1100, 97.7609: 97_760_900, -1e-6: -1} {
		if got := micro(v); got != want {
			t.Errorf("%v: %d, want %d", v, got, want)
		}
	}
}
