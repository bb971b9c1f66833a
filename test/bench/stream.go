package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/test/scenario/house"
)

// Sockets of the fan-out: a user may have twenty.
const fanUsers, fanPerUser, fanWriters = 10, 20, 4

// listener is a socket that counts what comes and keeps no frame.
type listener struct {
	conn  *websocket.Conn
	count atomic.Int64
	late  []time.Duration // of frames with a test's time in their name; owned by the reader
	done  chan struct{}
}

// fanOut makes events as fast as they can be written while 200 sockets of one account listen.
func (b *bench) fanOut() error {
	s, err := b.start(false)
	if err != nil {
		return err
	}
	defer s.Kill()
	tn, err := house.Number(b.ctx, s.c, "")
	if err != nil {
		return err
	}
	all, err := b.listeners(s)
	if err != nil {
		return err
	}
	cpu, wall, err := s.cost(func() error {
		_, _, err := b.many(fanWriters, func(int, int) error {
			_, err := s.c.Do(b.ctx, "PATCH", "/rest/lease/tn/"+tn, fmt.Sprintf(`{"name": "at %d"}`, time.Now().UnixNano()))
			return err
		})
		return err
	})
	if err != nil {
		return err
	}
	var frames int64
	var late []time.Duration
	for _, l := range all {
		_ = l.conn.CloseNow() // the reader notices
		<-l.done
		frames += l.count.Load()
		late = append(late, l.late...)
	}
	b.t.plain("events fanned out to 200 sockets", show(float64(frames)/wall.Seconds())+" frames/s")
	b.t.plain("  CPU per frame", fmt.Sprintf("%.1f µs", float64(cpu.Microseconds())/float64(max(frames, 1))))
	b.t.plain("  write to frame, p99 under that load", show(ms(share(late, 0.99)))+" ms")
	return nil
}

// listeners signs in users of the account and opens their sockets.
func (b *bench) listeners(s *stand) ([]*listener, error) {
	var all []*listener
	for u := range fanUsers {
		email := fmt.Sprintf("fan%d@example.com", u)
		if _, err := s.c.Do(b.ctx, "POST", "/rest/account/user", map[string]any{"email": email, "password": "listen-to-it"}); err != nil {
			return nil, err
		}
		token, err := house.SignIn(b.ctx, s.c.Base, email, "listen-to-it")
		if err != nil {
			return nil, err
		}
		for range fanPerUser {
			l, err := b.listen(s.HTTP, token)
			if err != nil {
				return nil, err
			}
			all = append(all, l)
		}
	}
	return all, nil
}

func (b *bench) listen(addr, token string) (*listener, error) {
	conn, _, err := websocket.Dial(b.ctx, "ws://"+addr+"/", nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(4 << 20)
	l := &listener{conn: conn, done: make(chan struct{})}
	for _, frame := range []string{`{"type":"auth","payload":"` + token + `"}`, `{"type":"subscribe","payload":{"types":["tn_lease"]}}`} {
		if err := conn.Write(b.ctx, websocket.MessageText, []byte(frame)); err != nil {
			return nil, err
		}
	}
	var ready sync.WaitGroup
	ready.Add(1)
	go l.read(b, ready.Done)
	ready.Wait()
	return l, nil
}

func (l *listener) read(b *bench, ready func()) {
	defer close(l.done)
	subscribed := false
	for i := 0; ; i++ {
		_, text, err := l.conn.Read(b.ctx)
		if err != nil {
			if !subscribed {
				ready()
			}
			return
		}
		if !subscribed {
			var f struct{ Type string }
			if json.Unmarshal(text, &f) == nil && f.Type == "subscribe" {
				subscribed = true
				ready()
			}
			continue
		}
		l.count.Add(1)
		if i%50 == 0 { // decoding each would measure us
			l.sample(text)
		}
	}
}

func (l *listener) sample(text []byte) {
	var f struct{ Payload struct{ Name string } }
	var at int64
	if json.Unmarshal(text, &f) != nil {
		return
	}
	if _, err := fmt.Sscanf(f.Payload.Name, "at %d", &at); err == nil {
		l.late = append(l.late, time.Since(time.Unix(0, at)))
	}
}
