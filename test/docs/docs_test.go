package docs

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/cli"
	"github.com/opentact/opentact/internal/config"
)

const (
	root      = "../.."
	pageLimit = 90 * time.Second
	asProgram = "OPENTACT_TEST_AS_PROGRAM" // makes the test binary behave as the opentact program
	token     = "docs0123456789docs0123456789"
)

// atOnce is how many pages run at a time: they wait for most of it.
const atOnce = "4"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		flag.Parse()
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := cli.Run(ctx, cli.Program{Args: os.Args[1:], Env: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "test", Commit: "test"})
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "opentact: %v\n", err)
	}
	os.Exit(cli.ExitCode(err))
}

func TestSamplesAreTakenByTheirMark(t *testing.T) {
	page := "# T\n```sh\na\nb\n```\ntext\n```xml\n<a/>\n```\n  ```sh\n  c\n  ```\n"
	got, err := samples(page, "sh")
	want := []sample{{3, "a\nb\n"}, {11, "  c\n"}}
	if err != nil || !cmp.Equal(want, got, cmp.AllowUnexported(sample{})) {
		t.Errorf("%v %+v", err, got)
	}
	if s := script(got); s != "set -euo pipefail\necho '# line 3'\na\nb\necho '# line 11'\n  c\n" {
		t.Errorf("%q", s)
	}
	for _, bad := range []string{"```sh\na\n", "```\na\n```\n"} {
		if got, err := samples(bad, "sh"); err == nil {
			t.Errorf("%q gave %+v", bad, got)
		}
	}
}

// TestEverySampleRuns is the reader's day: each page from top to bottom on a server of its own.
func TestEverySampleRuns(t *testing.T) {
	pages, err := filepath.Glob(root + "/docs/guides/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	for _, path := range append(pages, root+"/README.md") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			page, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			list, err := samples(string(page), "sh")
			if err != nil {
				t.Fatal(err)
			}
			if len(list) == 0 {
				t.Fatal("the page has no sample")
			}
			execute(t, startServer(t), script(list))
		})
	}
}

// TestFramesOfTheEventsPageWork: what the page says to send is accepted in this order.
func TestFramesOfTheEventsPageWork(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/guides/events.md")
	if err != nil {
		t.Fatal(err)
	}
	frames, err := samples(string(page), "json")
	if err != nil || len(frames) != 2 {
		t.Fatalf("%d frames, %v", len(frames), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pageLimit)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(startServer(t), "http")+"/", nil) //nolint:bodyclose // an upgraded connection has no body
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()          //nolint:errcheck // the server ends next
	cursor := "c_0000000000000000" // the example's own is one of the future here
	for _, f := range frames {
		text := strings.NewReplacer("<API token or JWT>", token, "c_0000000000000012", cursor).Replace(f.text)
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		_, answer, err := conn.Read(ctx)
		if err != nil || !strings.Contains(string(answer), `"success":true`) {
			t.Fatalf("line %d: %s, %v", f.line, answer, err)
		}
	}
}

// startServer runs a server until the test ends and gives its address.
func startServer(t *testing.T) string {
	t.Helper()
	cfg, err := config.Load([]string{"--data", t.TempDir(), "--http-addr=127.0.0.1:0", "--sip-addr=127.0.0.1:0", "--allow-private-urls", "--drain=2s", "--admin-token", token}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := app.New(ctx, cfg, app.Build{Version: "test", Commit: "test"}, t.Output(), log)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("the server ended at its start: %v", err)
	}
	return "http://" + server.HTTPAddr()
}

// execute runs a script in a directory of its own.
func execute(t *testing.T, api, text string) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asProgram, self)
	if err := os.WriteFile(filepath.Join(bin, "opentact"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pageLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", text)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with what it left in the background
	cmd.WaitDelay = 5 * time.Second
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "OPENTACT_") && name != "PATH" && name != "HOME" {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "OPENTACT_API="+api, "OPENTACT_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}
