package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/opentact/opentact/internal/db/dbtest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: pgrun COMMAND [ARGUMENT]...")
		os.Exit(2)
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgrun:", err)
	}
	os.Exit(code)
}

// run gives the command's exit code; 125 when the server did not start, 126 when the command did not.
func run(command []string) (int, error) {
	env := os.Environ()
	if os.Getenv(dbtest.Env) == "" {
		dir, url, err := server()
		if dir != "" {
			defer remove(dir)
		}
		if err != nil {
			return 125, err
		}
		env = append(env, dbtest.Env+"="+url, dbtest.Passing+"=1")
	}
	// An interrupt at the terminal reaches the command too; pgrun stays to clean up after it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	case err != nil:
		return 126, err
	}
	return 0, nil
}

// server starts a cluster below a directory of its own, so that nothing of it is left behind.
func server() (dir, url string, err error) {
	dir, err = os.MkdirTemp("", "opentact-test-")
	if err != nil {
		return "", "", err
	}
	// Root's server runs as the user postgres, who must be able to pass through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return dir, "", err
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return dir, "", err
	}
	url, err = dbtest.Server()
	return dir, url, err
}

// remove ends the server and removes its directory. The server is a child of this process, so it can be waited for.
func remove(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*", "data", "postmaster.pid"))
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.SIGQUIT) == nil {
			_, _ = p.Wait()
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "pgrun:", err)
	}
}
