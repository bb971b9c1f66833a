package house

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits of a server under test.
const (
	readyLimit = 20 * time.Second
	stopLimit  = 40 * time.Second
	logKept    = 4000 // lines
)

// Token is the API token of the first administrator of every server that Start makes.
const Token = "house-token-0123456789"

// Options say how the server is run. Binary and Data are required.
type Options struct {
	Binary string
	Data   string   // directory of everything durable
	DB     string   // database URL; default SQLite in Data
	Flags  []string // after the usual ones, so that they win
	Wrap   []string // program and arguments in front, such as taskset -c 0
}

// Server is one run of the program after another on the same data.
type Server struct {
	HTTP string   // bound address of REST and websocket
	SIP  string   // bound address of SIP, empty when it has none
	Env  []string // added to the environment at the next start

	opts Options
	cmd  *exec.Cmd
	done chan error
	took time.Duration

	mu  sync.Mutex
	log []string
}

// Build compiles the program with the module's usual settings, and with these build tags, into dir and returns its path.
func Build(ctx context.Context, dir string, tags ...string) (string, error) {
	bin := filepath.Join(dir, "server-under-test")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-tags", strings.Join(tags, ","), "-o", bin, "github.com/opentact/opentact/cmd/opentact")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
}

// Start runs the program and returns when it is ready. Ports are chosen by the kernel.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{opts: opts}
	return s, s.Restart(ctx)
}

// Restart runs the program again on the same data after Stop or Kill.
func (s *Server) Restart(ctx context.Context) error {
	args := append([]string{}, s.opts.Wrap...)
	args = append(args, s.opts.Binary, "serve", "--data", s.opts.Data, "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0",
		"--public-ip", "127.0.0.1", "--rtp-ports", rtpPorts(), "--admin-token", Token, "--allow-private-urls", "--drain", "3s", "--log-format", "json", "--log-level", "info")
	if s.opts.DB != "" {
		args = append(args, "--db", s.opts.DB)
	}
	args = append(args, s.opts.Flags...)
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = append(plainEnv(), s.Env...)
	s.cmd.Dir = s.opts.Data
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return errors.Join(err, r.Close(), w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	ready := make(chan struct{})
	drained, done, cmd := make(chan struct{}), make(chan error, 1), s.cmd
	s.done = done
	go s.follow(r, ready, drained)
	go func() {
		<-drained // everything it wrote was read
		done <- cmd.Wait()
		close(done)
	}()
	timer := time.NewTimer(readyLimit)
	defer timer.Stop()
	select {
	case <-ready:
		s.took = time.Since(began)
		return nil
	case err := <-s.done:
		return fmt.Errorf("the server ended before it was ready: %v\n%s", err, s.Log())
	case <-timer.C:
	case <-ctx.Done():
	}
	s.Kill()
	return fmt.Errorf("the server was not ready in %v\n%s", readyLimit, s.Log())
}

// rtpPorts picks a range, so that servers that run side by side seldom ask for the same ports.
func rtpPorts() string {
	const first, size, ranges = 20000, 2500, 16
	low := first + rand.IntN(ranges)*size
	return fmt.Sprintf("%d-%d", low, low+size-1)
}

// plainEnv is the environment without settings of the server, which would win over defaults.
func plainEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OPENTACT_") {
			env = append(env, e)
		}
	}
	return env
}

// follow keeps the last lines of the log and notices the line "ready".
func (s *Server) follow(r io.ReadCloser, ready, drained chan struct{}) {
	defer close(drained)
	defer r.Close()
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 4<<20)
	for lines.Scan() {
		line := lines.Text()
		s.mu.Lock()
		s.log = append(s.log, line)
		if len(s.log) > logKept {
			s.log = s.log[len(s.log)-logKept/2:]
		}
		s.mu.Unlock()
		var at struct{ Msg, HTTP, SIP string }
		if ready != nil && strings.Contains(line, `"ready"`) && json.Unmarshal([]byte(line), &at) == nil && at.Msg == "ready" {
			s.HTTP, s.SIP = at.HTTP, at.SIP
			s.SIP, _, _ = strings.Cut(s.SIP, ",")
			close(ready)
			ready = nil
		}
	}
}

// Took is the time from the start of the process to ready.
func (s *Server) Took() time.Duration { return s.took }

// Log is the end of what the server wrote.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	tail := s.log
	if len(tail) > 60 {
		tail = tail[len(tail)-60:]
	}
	return strings.Join(tail, "\n")
}

// Grep gives the kept log lines that hold text.
func (s *Server) Grep(text string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, l := range s.log {
		if strings.Contains(l, text) {
			out = append(out, l)
		}
	}
	return out
}

// PID is the process, the server itself and not what Wrap named: taskset and its like replace themselves.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Over is closed, or gives the error of the process, when it ends.
func (s *Server) Over() <-chan error { return s.done }

// Kill ends the process at once (SIGKILL) and waits for it.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it may be gone
	<-s.done
}

// Stop asks the server to end (SIGTERM) and gives its exit code.
func (s *Server) Stop() (int, error) {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, err
	}
	timer := time.NewTimer(stopLimit)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-timer.C:
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // the stacks go to the log
		<-s.done
		return -1, fmt.Errorf("the server did not stop in %v\n%s", stopLimit, s.Log())
	}
}
