package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/opentact/opentact/internal/db/dbtest"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/test/scenario/house"
)

// bench is one run of the program.
type bench struct {
	ctx      context.Context
	binary   string
	dir      string        // for data of the servers
	sipp     string        // directory of the scenarios for SIPp
	profile  string        // file for profiles; empty for none
	duration time.Duration // of each rate
	t        *table
	serial   int
}

// stand is a server of its own for one measurement.
type stand struct {
	*house.Server
	c   *house.Client
	url string // of its PostgreSQL database; empty for SQLite
}

// Cores of the machine: the server has one to itself, everything else runs on the other.
const serverCore, generatorCore = "0", "1"

// pinSelf moves this process, and with it what it starts, to the core of the generators.
func pinSelf() error {
	out, err := exec.Command("taskset", "-a", "-p", "-c", generatorCore, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset (Debian package util-linux) on a machine with two cores is needed: %w: %s", err, out)
	}
	return nil
}

// start starts a server; postgres chooses its database.
func (b *bench) start(postgres bool, flags ...string) (*stand, error) {
	b.serial++
	data := filepath.Join(b.dir, strconv.Itoa(b.serial))
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	o := house.Options{Binary: b.binary, Data: data, Wrap: []string{"taskset", "-c", serverCore}, Flags: append([]string{"--sandbox-credit", "100000.00"}, flags...)}
	if postgres {
		var err error
		if o.DB, err = b.database(); err != nil {
			return nil, err
		}
	}
	s, err := house.Start(b.ctx, o)
	if err != nil {
		return nil, err
	}
	return &stand{s, s.Client(), o.DB}, nil
}

// database makes an empty PostgreSQL database on the tests' own cluster.
func (b *bench) database() (string, error) {
	server, err := dbtest.Server()
	if err != nil {
		return "", fmt.Errorf("PostgreSQL (Debian package postgresql): %w", err)
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", err
	}
	name := "bench_" + ident.Secret(8)
	u.Path = "/postgres"
	pool, err := sql.Open("pgx", u.String())
	if err != nil {
		return "", err
	}
	defer pool.Close()
	if _, err := pool.ExecContext(b.ctx, fmt.Sprintf("CREATE DATABASE %q", name)); err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// end stops the server.
func (s *stand) end() error {
	s.c.HTTP.CloseIdleConnections()
	code, err := s.Stop()
	if err == nil && code != 0 {
		err = fmt.Errorf("the server ended with code %d\n%s", code, s.Log())
	}
	return err
}

// cost runs fn and gives the server's CPU time and the time that passed meanwhile.
func (s *stand) cost(fn func() error) (cpu, wall time.Duration, err error) {
	before, err := s.CPU()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := fn(); err != nil {
		return 0, 0, err
	}
	wall = time.Since(began)
	after, err := s.CPU()
	return after - before, wall, err
}

// wait sleeps for d or until the run is canceled.
func (b *bench) wait(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
}

// databaseCPU is the CPU time that the PostgreSQL server of a database has used so far, with its living processes; zero for SQLite, and for one that runs
// elsewhere.
func databaseCPU(database string) (time.Duration, error) {
	if database == "" {
		return 0, nil
	}
	pool, err := sql.Open("pgx", database)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	var pid int
	if err := pool.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return 0, err
	}
	own, ok := stat(pid)
	if !ok {
		return 0, nil
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, dir := range all {
		n, _ := strconv.Atoi(filepath.Base(dir))
		if p, ok := stat(n); ok && (p.parent == own.parent || n == own.parent) {
			sum += p.used
		}
	}
	return sum, nil
}

// process is what stat tells of one: its parent, and the CPU time of it and of its children that ended.
type process struct {
	parent int
	used   time.Duration
}

// clockTicks are the kernel's units of CPU time in a second.
const clockTicks = 100

// stat reads a process; false when there is none (proc(5): fields are counted after the name in brackets; ppid is 4, utime to cstime are 14 to 17).
func stat(pid int) (p process, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if err != nil || len(f) < 15 {
		return p, false
	}
	var ticks int64
	for _, field := range f[11:15] {
		n, _ := strconv.ParseInt(field, 10, 64)
		ticks += n
	}
	p.parent, _ = strconv.Atoi(f[1])
	p.used = time.Duration(ticks) * time.Second / clockTicks
	return p, true
}
