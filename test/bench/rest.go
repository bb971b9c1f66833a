package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/test/scenario/house"
)

// How many requests are under way at a time. Messages have more: their commits are shared by those who wait.
const (
	clients    = 64
	smsClients = 256
)

// many runs one request after the other on each of so many clients for the duration and counts those that went well.
func (b *bench) many(clients int, do func(client, i int) error) (count int64, wall time.Duration, err error) {
	var done atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	end := began.Add(b.duration)
	for n := range clients {
		wg.Go(func() {
			for i := 0; time.Now().Before(end) && b.ctx.Err() == nil; i++ {
				if err := do(n, i); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if e := first.Load(); e != nil {
		err = *e
	}
	return done.Load(), time.Since(began), err
}

// rest measures reads and durable writes.
func (b *bench) rest() error {
	for _, postgres := range []bool{false, true} {
		s, err := b.start(postgres)
		if err != nil {
			return err
		}
		name := map[bool]string{false: "SQLite", true: "PostgreSQL"}[postgres]
		for _, w := range []struct{ what, method, path, body string }{
			{"REST reads (account)", "GET", "/rest/account", ""},
			{"REST writes (address)", "POST", "/rest/address", `{"name": "shop", "address1": "9 Pier Road", "zip_code": "10004", "city": "New York", "country": "US"}`},
		} {
			if w.method == "GET" && postgres {
				continue
			}
			n, wall, err := b.many(clients, func(int, int) error {
				var body any
				if w.body != "" {
					body = w.body
				}
				_, err := s.c.Do(b.ctx, w.method, w.path, body)
				return err
			})
			if err != nil {
				s.Kill()
				return err
			}
			b.t.plain(fmt.Sprintf("%s, %s", w.what, name), show(float64(n)/wall.Seconds())+" /s")
		}
		if err := s.end(); err != nil {
			return err
		}
	}
	return nil
}

// Senders of the messages: throughput is per number and thread.
const senders = 16

// messages lets clients send to numbers that deliver, and waits until every message has its receipt.
func (b *bench) messages() error {
	for _, postgres := range []bool{false, true} {
		name, target := "SQLite", 2500.0
		if postgres {
			name, target = "PostgreSQL", 4000
		}
		if err := b.sendMany(postgres, name, target); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) sendMany(postgres bool, name string, target float64) error {
	s, err := b.start(postgres)
	if err != nil {
		return err
	}
	defer s.Kill()
	var from [senders]string
	for i := range from {
		if from[i], err = house.Sender(b.ctx, s.c); err != nil {
			return err
		}
	}
	list, stop, err := posters(s, "/rest/sms", smsClients)
	if err != nil {
		return err
	}
	defer stop()
	file := b.profile
	if file != "" {
		file += "." + name
	}
	base, err := databaseCPU(s.url)
	if err != nil {
		return err
	}
	began := time.Now()
	var n int64
	cpu, _, err := s.cost(func() error {
		var wall time.Duration
		err := b.profiled(s, file, b.duration, func() (err error) {
			n, wall, err = b.many(smsClients, func(client, i int) error {
				return list[client].post(fmt.Sprintf(`{"from": %s, "to": "1646%07d", "message": "Your table is ready."}`, from[client%senders], 2000000+(client*100000+i)%7000000))
			})
			return err
		})
		if err != nil {
			return err
		}
		b.t.plain("messages accepted, "+name, show(float64(n)/wall.Seconds())+" /s")
		return b.delivered(s, n)
	})
	if err != nil {
		return err
	}
	over := time.Since(began)
	b.t.least("messages accepted and delivered with receipt, "+name, float64(n)/over.Seconds(), target, "/s", "Kannel 1.4.5 submit only 4,600-6,500")
	b.t.plain("  CPU per message, "+name, show(ms(cpu)/float64(n))+" ms")
	if spent, err := databaseCPU(s.url); err != nil {
		return err
	} else if spent > 0 {
		b.t.plain("  CPU of the database per message, "+name, show(ms(spent-base)/float64(n))+" ms")
	}
	return nil
}

// delivered waits until n messages have their receipts.
func (b *bench) delivered(s *stand, n int64) error {
	for end := time.Now().Add(5*b.duration + 30*time.Second); ; {
		got, err := s.c.Do(b.ctx, "POST", "/rest/sms/search/outbound?take=1", `{"delivered": true}`)
		if err != nil {
			return err
		}
		if int64(got.Num("total")) >= n {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%v of %d messages were delivered", got.Num("total"), n)
		}
		if err := b.wait(200 * time.Millisecond); err != nil {
			return err
		}
	}
}
