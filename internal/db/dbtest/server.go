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

// Passing names the variable that is not empty when the server's files are removed after the tests. Its databases are left to that: a file system like ext4
// takes a third of a second of processor time to make the thousand files of a database when it has just deleted those of another.
const Passing = "OPENTACT_TEST_POSTGRES_PASSING"

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

// Cluster is a PostgreSQL server of a test's own, to be stopped and started at will.
type Cluster struct {
	bin, dir string
	port     int
	cred     *syscall.Credential
	cmd      *exec.Cmd
	out      *bytes.Buffer
}

// start makes a cluster that serves the whole process and ends with it.
func start() (string, error) {
	c, err := NewCluster()
	if err != nil {
		return "", err
	}
	return c.URL(), c.Start()
}

// NewCluster makes the files of a cluster; Start runs it. The server refuses to run as root, so root hands it to the user postgres that its package made.
func NewCluster() (*Cluster, error) {
	bin, err := binDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "opentact-pg-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, dir: dir}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		c.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", c.data(), "-U", "opentact", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	c.port, err = freePort()
	return c, err
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// URL names the server's own database.
func (c *Cluster) URL() string {
	return fmt.Sprintf("postgres://opentact@127.0.0.1:%d/postgres?sslmode=disable", c.port)
}

// Start runs the server as a child that the kernel ends with this process, and waits until it answers.
func (c *Cluster) Start() error {
	c.cmd = exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.data(), "-k", c.dir, "-p", strconv.Itoa(c.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=400", "-c", "shared_buffers=128MB", "-c", "full_page_writes=off")
	c.cmd.SysProcAttr, c.cmd.Dir = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Credential: c.cred}, c.dir
	c.out = &bytes.Buffer{}
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	if err := startLocked(c.cmd); err != nil {
		return err
	}
	return await(c.URL(), c.out)
}

// Kill ends the server as a crash would: no connection is closed in good order, nothing is written back (pg_ctl stop -m immediate).
func (c *Cluster) Kill() error {
	if err := c.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	_ = c.cmd.Wait() // it ends with a code of its own
	return nil
}

// Remove deletes the files, unless they lie where all are removed after the tests (Passing); the server must be stopped.
func (c *Cluster) Remove() error {
	if os.Getenv(Passing) != "" {
		return nil
	}
	return os.RemoveAll(c.dir)
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
