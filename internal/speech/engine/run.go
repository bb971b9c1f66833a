package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Limits of one run of a program.
const (
	MaxOutput   = 64 << 20         // bytes of standard output
	maxComplain = 2 << 10          // bytes of standard error kept for the log
	killWait    = 2 * time.Second  // for the pipes of a killed program
	RunTimeout  = 60 * time.Second // unless the command has its own
)

// Command is a program to run. Args never hold a customer's text.
type Command struct {
	Program string // name in PATH, or a path
	Package string // Debian package that has it, for the error
	Args    []string
	Stdin   []byte
	Timeout time.Duration // 0 means RunTimeout
}

// errOutput ends a program that writes without end.
var errOutput = errors.New("too much output")

// Run runs the program and returns its standard output. When the context ends or the time is over the program and its children are
// killed, and the error is that of the context. A program that is not installed gives a *MissingError.
func Run(ctx context.Context, c Command) ([]byte, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = RunTimeout
	}
	run, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	command := exec.CommandContext(run, c.Program, c.Args...)
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = killWait
	command.Stdin = bytes.NewReader(c.Stdin)
	out, complaint := &bounded{most: MaxOutput, full: cancel}, &bounded{most: maxComplain}
	command.Stdout, command.Stderr = out, complaint
	err := command.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", c.Program, context.Cause(ctx))
	case out.over:
		return nil, fmt.Errorf("%s: %w", c.Program, errOutput)
	case run.Err() != nil:
		return nil, fmt.Errorf("%s did not end within %v: %w", c.Program, timeout, run.Err())
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
		return nil, &MissingError{Program: c.Program, Package: c.Package}
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", c.Program, err, strings.TrimSpace(complaint.buf.String()))
	}
	return out.buf.Bytes(), nil
}

// bounded keeps the first bytes written to it. With full set it calls that at the first byte too many.
type bounded struct {
	buf  bytes.Buffer
	most int
	full func()
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.buf.Len()
	if len(p) <= room {
		return b.buf.Write(p)
	}
	b.buf.Write(p[:room])
	b.over = true
	if b.full != nil {
		b.full()
	}
	return len(p), nil
}
