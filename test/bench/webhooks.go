package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// Deliveries of events to endpoints, and how they are driven.
const (
	hookEndpoints = 10 // of the account: each gets every event
	hookNumbers   = 64 // whose leases change: deliveries about one lease go one after the other
	hookWriters   = 16
	hookAhead     = 2_000 // deliveries that the sink may be behind
	hookTarget    = 1_000.0
	hookDrain     = 2 * time.Minute // for what is under way at the end
)

// sink is a customer's server that costs little: it reads a request to its end, counts it and says 200.
type sink struct {
	ln   net.Listener
	got  atomic.Int64
	done sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns []net.Conn
}

func newSink() (*sink, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{ln: ln}
	s.done.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.done.Go(func() { s.serve(c) })
		}
	})
	return s, nil
}

// serve answers the requests of a connection until the other side ends it.
func (s *sink) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 8<<10)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	name := []byte("content-length:")
	for {
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
				break
			}
			if len(line) > len(name) && bytes.EqualFold(line[:len(name)], name) {
				if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
					return
				}
			}
		}
		if _, err := io.CopyN(io.Discard, in, int64(length)); err != nil {
			return
		}
		s.got.Add(1)
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

func (s *sink) close() {
	_ = s.ln.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

// webhooks measures signed deliveries, from the change that makes an event to the end of its delivery in the history.
func (b *bench) webhooks() error {
	for _, postgres := range []bool{false, true} {
		name := map[bool]string{false: "SQLite", true: "PostgreSQL"}[postgres]
		if err := b.deliverMany(postgres, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (b *bench) deliverMany(postgres bool, name string) error {
	s, err := b.start(postgres, "--allow-private-urls")
	if err != nil {
		return err
	}
	defer s.Kill()
	to, err := newSink()
	if err != nil {
		return err
	}
	defer to.close()
	var numbers [hookNumbers]string
	for i := range numbers {
		if numbers[i], err = house.Number(b.ctx, s.c, ""); err != nil {
			return err
		}
	}
	var endpoints [hookEndpoints]string
	for i := range endpoints {
		made, err := s.c.Do(b.ctx, "POST", "/rest/webhook", fmt.Sprintf(`{"url": "http://%s/%d", "types": ["tn_lease"]}`, to.ln.Addr(), i))
		if err != nil {
			return err
		}
		endpoints[i] = made.Str("uuid")
	}
	var made atomic.Int64
	cpu, wall, err := s.cost(func() error {
		_, _, err := b.many(hookWriters, func(client, i int) error {
			for made.Load()*hookEndpoints-to.got.Load() > hookAhead && b.ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			_, err := s.c.Do(b.ctx, "PATCH", "/rest/lease/tn/"+numbers[(client+i*hookWriters)%hookNumbers], fmt.Sprintf(`{"name": "%d of %d"}`, i, client))
			if err == nil {
				made.Add(1)
			}
			return err
		})
		if err != nil {
			return err
		}
		return b.written(s, endpoints[:], made.Load())
	})
	if err != nil {
		return err
	}
	n := float64(made.Load() * hookEndpoints)
	if got := to.got.Load(); float64(got) < n {
		return fmt.Errorf("%d of %.0f deliveries arrived", got, n)
	}
	b.t.least("webhook deliveries, each with its attempt row, "+name, n/wall.Seconds(), hookTarget, "/s", "")
	b.t.plain("  CPU per delivery, "+name, show(ms(cpu)/max(n, 1))+" ms")
	return nil
}

// written waits until the history of each endpoint has so many deliveries that arrived.
func (b *bench) written(s *stand, endpoints []string, n int64) error {
	end := time.Now().Add(hookDrain)
	for _, id := range endpoints {
		for {
			page, err := s.c.Do(b.ctx, "GET", "/rest/webhook/"+id+"/delivery?take=1&state=success", nil)
			if err != nil {
				return err
			}
			if int64(page.Num("total")) >= n {
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("%v of %d deliveries of an endpoint are in its history", page.Num("total"), n)
			}
			if err := b.wait(100 * time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}
