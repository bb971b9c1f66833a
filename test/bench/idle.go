package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// Idle sockets that are opened: a user may have twenty.
const (
	idleSockets = 10_000
	idleShort   = 1_000
	idleWarm    = 200
	perUser     = 20
	idleDialers = 8
	perSource   = 5_000 // sockets from one loopback address
	idleWait    = 10 * time.Second
	idleTarget  = 30.0 // KiB
)

// idle opens sockets that sign in and then say and hear nothing but pings, and looks at the server's memory.
func (b *bench) idle() error {
	n := idleSockets
	if b.duration < time.Minute {
		n = idleShort
	}
	s, err := b.start(false)
	if err != nil {
		return err
	}
	defer s.Kill()
	tokens, err := b.users(s, n/perUser)
	if err != nil {
		return err
	}
	// What the passwords' hashes left in the heap must not pass for room of the sockets.
	if err := s.end(); err != nil {
		return err
	}
	if err := s.Restart(b.ctx); err != nil {
		return err
	}
	if err := b.warm(s, tokens); err != nil {
		return err
	}
	before, err := s.RSS()
	if err != nil {
		return err
	}
	began := time.Now()
	all, err := b.openMany(s, tokens, n)
	defer func() {
		for _, c := range all {
			_ = c.conn.Close()
		}
	}()
	if err != nil {
		return err
	}
	took := time.Since(began)
	if err := b.wait(idleWait); err != nil {
		return err
	}
	after, err := s.RSS()
	if err != nil {
		return err
	}
	cpu, wall, err := s.cost(func() error { return b.wait(idleWait) })
	if err != nil {
		return err
	}
	b.t.most(fmt.Sprintf("memory per idle socket, %d sockets", n), float64(after-before)/1024/float64(n), idleTarget, "KiB", "")
	b.t.plain("  all of the server's memory with them", show(float64(after)/(1<<20))+" MiB")
	b.t.plain("  CPU while they are idle", fmt.Sprintf("%.2f %%", 100*cpu.Seconds()/wall.Seconds()))
	b.t.plain("  sockets opened and signed in", show(float64(n)/took.Seconds())+" /s")
	return nil
}

// warm opens and closes some sockets, so that what the server makes once is there before it is looked at.
func (b *bench) warm(s *stand, tokens []string) error {
	some, err := b.openMany(s, tokens, min(idleWarm, len(tokens)*perUser))
	for _, c := range some {
		_ = c.conn.Close()
	}
	return errors.Join(err, b.wait(idleWait/2))
}

// users makes users of the account and signs them in.
func (b *bench) users(s *stand, n int) ([]string, error) {
	tokens := make([]string, n)
	for u := range tokens {
		email := fmt.Sprintf("listener%d@example.com", u)
		if _, err := s.c.Do(b.ctx, "POST", "/rest/account/user", map[string]any{"email": email, "password": "listen-to-it"}); err != nil {
			return nil, err
		}
		var err error
		if tokens[u], err = house.SignIn(b.ctx, s.c.Base, email, "listen-to-it"); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// openMany opens n sockets, twenty with each token, each with a reader that answers pings and drops the rest.
func (b *bench) openMany(s *stand, tokens []string, n int) ([]*socket, error) {
	all := make([]*socket, n)
	errs := make([]error, idleDialers)
	var work sync.WaitGroup
	for d := range idleDialers {
		work.Go(func() {
			for i := d; i < n && errs[d] == nil; i += idleDialers {
				all[i], errs[d] = openSocket(b.ctx, s.HTTP, fmt.Sprintf("127.0.0.%d", 2+i/perSource), tokens[i/perUser])
			}
		})
	}
	work.Wait()
	out := make([]*socket, 0, n)
	for _, c := range all {
		if c != nil {
			out = append(out, c)
			go c.drop()
		}
	}
	for _, err := range errs {
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// drop reads until the connection ends.
func (s *socket) drop() {
	for {
		if _, err := s.next(); err != nil {
			_, _ = io.Copy(io.Discard, s.conn)
			return
		}
	}
}
