package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	duration time.Duration // of each rate
	t        *table
	serial   int
}

// stand is a server of its own for one measurement.
type stand struct {
	*house.Server
	c *house.Client
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
	return &stand{s, s.Client()}, nil
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
