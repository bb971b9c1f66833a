package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Env names the variable with the URL of a PostgreSQL server whose user may create databases.
const Env = "OPENTACT_TEST_POSTGRES"

var own struct {
	once sync.Once
	url  string
	err  error
}

// Server gives the URL of a PostgreSQL server, started if need be.
func Server() (string, error) {
	if u := os.Getenv(Env); u != "" {
		return u, nil
	}
	own.once.Do(func() { own.url, own.err = start() })
	return own.url, own.err
}

// binDir finds Debian's versioned directory of server programs.
func binDir() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(dirs) == 0 {
		return "", errors.New("no server programs below /usr/lib/postgresql")
	}
	return dirs[len(dirs)-1], nil
}

// start makes a cluster and runs it as a child that the kernel ends with this process. The server refuses to run as root, so root hands it to the
// user postgres that its package made.
func start() (string, error) {
	bin, err := binDir()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "opentact-pg-")
	if err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return "", err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "opentact", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: attr.Credential}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400", "-c", "shared_buffers=128MB", "-c", "full_page_writes=off")
	cmd.SysProcAttr, cmd.Dir = attr, dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := startLocked(cmd); err != nil {
		return "", err
	}
	u := fmt.Sprintf("postgres://opentact@127.0.0.1:%d/postgres?sslmode=disable", port)
	return u, await(u, &out)
}

// startLocked starts the child from a thread that lives as long as the process: Pdeathsig fires when the starting thread ends.
func startLocked(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {} // keeps the thread; ends with the test process, like its child
	}()
	return <-started
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func await(u string, out *bytes.Buffer) error {
	pool, err := sql.Open("pgx", u)
	if err != nil {
		return err
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := pool.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("server does not answer: %w: %s", err, out.String())
		case <-tick.C:
		}
	}
}
