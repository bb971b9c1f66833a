package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/event"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/stream"
)

// hearers are the audience of a log that is in this process: its relay, the gate of websockets, and sockets that follow every event.
type hearers struct {
	stop    context.CancelFunc
	srv     *http.Server
	sockets []*socket
	counts  []atomic.Int64 // events that each got
	fault   atomic.Pointer[error]
	parts   sync.WaitGroup // relay, gate and HTTP server
	readers sync.WaitGroup
}

// anyone lets in whoever shows a user's name as a token.
func anyone(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
	return httpapi.Identity{Account: "a", User: c.Value, Role: httpapi.RoleUser, Unlimited: true}, nil
}

// plainSessions are without end and without views.
type plainSessions struct{}

func (plainSessions) Alive(context.Context, stream.Session) (bool, error) { return true, nil }

func (plainSessions) AuthViews(context.Context, db.Querier, stream.Session) (user, account json.RawMessage, err error) {
	return json.RawMessage("{}"), json.RawMessage("{}"), nil
}

// hear starts the relay and the gate of a log, and opens the sockets.
func (b *bench) hear(d *db.DB, log *event.Log) (h *hearers, err error) {
	ctx, stop := context.WithCancel(b.ctx)
	h = &hearers{stop: stop, counts: make([]atomic.Int64, logSockets)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.end())
		}
	}()
	gate := stream.NewGate(stream.Config{DB: d, Log: log, Sessions: plainSessions{}})
	for _, run := range []func(context.Context, func()) error{log.Run, gate.Run} {
		up := make(chan struct{})
		h.parts.Go(func() { h.failed(run(ctx, func() { close(up) })) })
		<-up
	}
	api := httpapi.New(httpapi.Options{Auth: httpapi.AuthFunc(anyone)})
	gate.Mount(api)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return h, err
	}
	h.srv = &http.Server{Handler: api.Handler(), ReadHeaderTimeout: 10 * time.Second}
	h.parts.Go(func() {
		if err := h.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			h.failed(err)
		}
	})
	for i := range logSockets {
		s, err := openSocket(b.ctx, ln.Addr().String(), "127.0.0.1", fmt.Sprintf("user%d", i), "call_state")
		if err != nil {
			return h, err
		}
		h.sockets = append(h.sockets, s)
		h.readers.Go(func() { h.follow(s, &h.counts[i]) })
	}
	return h, nil
}

// follow counts the events of a socket, which come without a gap.
func (h *hearers) follow(s *socket, count *atomic.Int64) {
	mark := []byte(`"cursor":"`)
	last := int64(0)
	for {
		text, err := s.next()
		if err != nil {
			if _, told := err.(closed); told && !strings.Contains(err.Error(), "restarts") {
				h.failed(err)
			}
			return
		}
		i := bytes.Index(text, mark) + len(mark)
		seq, err := event.ParseCursor(string(text[i:min(i+18, len(text))]))
		if err == nil && last != 0 && seq != last+1 {
			err = fmt.Errorf("event %d came after %d", seq, last)
		}
		if err != nil {
			h.failed(err)
			return
		}
		last = seq
		count.Add(1)
	}
}

// failed keeps the first fault.
func (h *hearers) failed(err error) {
	if err != nil {
		h.fault.CompareAndSwap(nil, &err)
	}
}

func (h *hearers) err() error {
	if e := h.fault.Load(); e != nil {
		return *e
	}
	return nil
}

// least is what every socket has got.
func (h *hearers) least() int64 {
	n := h.counts[0].Load()
	for i := range h.counts {
		n = min(n, h.counts[i].Load())
	}
	return n
}

// end stops everything and tells what went wrong.
func (h *hearers) end() error {
	h.stop()
	if h.srv != nil {
		_ = h.srv.Close() // the listener is of no more use
	}
	for _, s := range h.sockets {
		_ = s.conn.Close()
	}
	h.readers.Wait()
	h.parts.Wait()
	return h.err()
}
