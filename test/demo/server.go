package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/opentact/opentact/internal/cli/client"
	"github.com/opentact/opentact/internal/ident"
)

const (
	startLimit = 20 * time.Second
	stopLimit  = 15 * time.Second
	tailLines  = 20
)

// server is the program under show.
type server struct {
	cmd  *exec.Cmd
	dir  string
	api  *client.Client
	sip  string
	log  *logTail
	done chan error // has the end of the process, once
}

// start runs the program with a new data directory and waits until it is ready.
func start(ctx context.Context, program string) (*server, error) {
	dir, err := os.MkdirTemp("", "opentact-demo-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, done: make(chan error, 1), log: &logTail{ready: make(chan ready, 1)}}
	token := ident.Secret(48)
	s.cmd = exec.Command(program, "serve", "--data", dir, "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0", "--allow-private-urls", "--log-format", "json", "--drain", "5s")
	s.cmd.Env = append(plainEnv(os.Environ()), "OPENTACT_ADMIN_TOKEN="+token)
	s.cmd.Stdout = io.Discard
	pipe, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	go func() {
		s.log.read(pipe)
		s.done <- s.cmd.Wait()
	}()
	if err := s.await(ctx, token); err != nil {
		_ = s.cmd.Process.Kill()
		s.remove()
		return nil, fmt.Errorf("%w\n%s", err, s.log.tail())
	}
	return s, nil
}

// plainEnv leaves out settings that are meant for another server.
func plainEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "OPENTACT_") {
			out = append(out, e)
		}
	}
	return out
}

// await takes the addresses from the log line "ready" and asks the health page.
func (s *server) await(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case r := <-s.log.ready:
		api, err := client.New("http://"+r.HTTP, token)
		if err != nil {
			return err
		}
		s.api, s.sip = api, r.SIP
	case err := <-s.done:
		s.done <- err
		return fmt.Errorf("the server ended at its start: %v", err)
	case <-ctx.Done():
		return errors.New("the server did not say ready in time")
	}
	_, err := s.api.Get(ctx, "/health/ready")
	return err
}

// stop sends SIGTERM and wants exit code 0.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("it was gone before: %w", <-s.done)
	}
	select {
	case err := <-s.done:
		return err
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Kill()
		<-s.done
		return fmt.Errorf("it did not end within %s", stopLimit)
	}
}

func (s *server) remove() { _ = os.RemoveAll(s.dir) }

// ready is the log line of that name.
type ready struct {
	Message string `json:"msg"`
	HTTP    string `json:"http"`
	SIP     string `json:"sip"`
}

// logTail reads the log of the server and keeps its end.
type logTail struct {
	ready chan ready // gets the first ready line

	mu    sync.Mutex // guards lines
	lines []string
}

func (l *logTail) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		l.mu.Lock()
		l.lines = append(l.lines, scanner.Text())
		if len(l.lines) > tailLines {
			l.lines = l.lines[1:]
		}
		l.mu.Unlock()
		var line ready
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Message == "ready" {
			select {
			case l.ready <- line:
			default: // only the first one is waited for
			}
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line too long must not stop the server
}

func (l *logTail) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
