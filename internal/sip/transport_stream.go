package sip

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MessageConn is a connection that keeps message borders, such as a websocket (RFC 7118). Read gives one message; Close ends a waiting Read.
type MessageConn interface {
	Read(ctx context.Context) ([]byte, error)
	Write(ctx context.Context, data []byte) error
	Close() error
}

// stream is a connection with a reader and a writer goroutine, both owned by the Endpoint.
type stream struct {
	ep        *Endpoint
	transport string
	local     netip.AddrPort
	remote    netip.AddrPort
	name      string // host that a peer we dialled over TLS has proved to be
	out       chan []byte
	done      chan struct{}
	once      sync.Once
	conn      net.Conn // one of the two
	framed    MessageConn
}

var errStreamClosed = errors.New("sip: connection closed")

// send queues data for the writer. A peer that lets the queue fill up is cut off: SIP has no use for old messages.
func (s *stream) send(data []byte) error {
	select {
	case <-s.done:
		return errStreamClosed
	default:
	}
	select {
	case s.out <- data:
		return nil
	default:
		s.ep.count.sendErrors.Add(1)
		s.close()
		return errStreamClosed
	}
}

func (s *stream) close() {
	s.once.Do(func() {
		close(s.done)
		if s.conn != nil {
			s.conn.Close()
		}
		if s.framed != nil {
			s.framed.Close()
		}
		s.ep.forget(s)
	})
}

func (s *stream) write(ctx context.Context) {
	defer s.close()
	for {
		select {
		case <-s.done:
			return
		case data := <-s.out:
			if s.framed != nil {
				if s.framed.Write(ctx, data) != nil {
					return
				}
				continue
			}
			s.conn.SetWriteDeadline(time.Now().Add(streamWrite))
			if _, err := s.conn.Write(data); err != nil {
				return
			}
		}
	}
}

// read moves messages to the shards. When a shard is full it waits: TCP slows the sender down by itself.
func (s *stream) read(ctx context.Context) {
	defer s.close()
	if s.framed != nil {
		s.readFrames(ctx)
		return
	}
	in := bufio.NewReaderSize(s.conn, 16<<10)
	for {
		s.conn.SetReadDeadline(time.Now().Add(streamIdle))
		if _, err := in.Peek(1); err != nil {
			return
		}
		s.conn.SetReadDeadline(time.Now().Add(streamMessage))
		text, err := readMessage(in)
		if err != nil {
			s.ep.count.garbage.Add(1)
			return
		}
		switch text {
		case "":
		case "\r\n\r\n": // RFC 5626 §4.4.1: ping and pong
			s.send([]byte("\r\n"))
		default:
			s.pass(text)
		}
	}
}

func (s *stream) readFrames(ctx context.Context) {
	for {
		data, err := s.framed.Read(ctx)
		if err != nil {
			return
		}
		if len(data) > maxMessage {
			s.ep.count.tooLarge.Add(1)
			return
		}
		if text := string(data); strings.Trim(text, "\r\n") == "" {
			s.send([]byte("\r\n"))
		} else {
			s.pass(text)
		}
	}
}

func (s *stream) pass(text string) {
	s.ep.count.received.Add(1)
	select {
	case s.ep.shardFor(text).in <- packet{text, flow{stream: s, remote: s.remote}}:
	case <-s.done:
	}
}

// readMessage takes one message off a byte stream (RFC 3261 §18.3). Line ends between messages come back as themselves.
func readMessage(in *bufio.Reader) (string, error) {
	head := make([]byte, 0, 1024)
	length, sized := 0, false
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) && len(head)+len(line) <= maxMessage {
			head = append(head, line...)
			continue
		}
		if err != nil {
			return "", err
		}
		start := len(head) == 0
		head = append(head, line...)
		if len(head) > maxMessage {
			return "", errGarbage
		}
		if text := strings.TrimRight(string(line), "\r\n"); text == "" {
			if start {
				return keepAlive(in, head)
			}
			break
		} else if n, ok := contentLength(text); ok && !sized {
			length, sized = n, true
		}
	}
	if length < 0 || length > maxMessage-len(head) {
		return "", errGarbage
	}
	head = append(head, make([]byte, length)...)
	_, err := io.ReadFull(in, head[len(head)-length:])
	return string(head), err
}

func keepAlive(in *bufio.Reader, head []byte) (string, error) {
	if in.Buffered() < 2 {
		return "", nil
	}
	if next, _ := in.Peek(2); string(next) == "\r\n" {
		_, err := in.Discard(2)
		return string(head) + "\r\n", err
	}
	return "", nil
}

func contentLength(line string) (int, bool) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || longName(strings.TrimRight(name, " \t")) != "Content-Length" {
		return 0, false
	}
	n, err := strconv.Atoi(strings.Trim(value, " \t"))
	if err != nil {
		return 0, true // the checks answer it with 400
	}
	return n, true
}

// addStream starts the two goroutines of a connection and makes it known for sending.
func (ep *Endpoint) addStream(s *stream) bool {
	s.ep, s.out, s.done = ep, make(chan []byte, streamQueue), make(chan struct{})
	ep.mu.Lock()
	if ep.closing || len(ep.open) >= maxStreams {
		ep.mu.Unlock()
		return false
	}
	ep.open[s] = struct{}{}
	ep.streams[s.key()] = s
	ep.wg.Add(2)
	ep.mu.Unlock()
	go func() { defer ep.wg.Done(); s.write(ep.ctx) }()
	go func() { defer ep.wg.Done(); s.read(ep.ctx) }()
	return true
}

// streamKey is what makes a connection good for another request. Two hosts behind one address are two peers over TLS: each must show its own
// certificate (RFC 5923 §4).
type streamKey struct {
	transport string
	remote    netip.AddrPort
	name      string
}

func (s *stream) key() streamKey { return streamKey{s.transport, s.remote, s.name} }

func (ep *Endpoint) forget(s *stream) {
	ep.mu.Lock()
	delete(ep.open, s)
	if ep.streams[s.key()] == s {
		delete(ep.streams, s.key())
	}
	ep.mu.Unlock()
}

func (ep *Endpoint) openStream(k streamKey) *stream {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	return ep.streams[k]
}

// streamTo reuses a connection (RFC 3261 §18) or dials one.
func (ep *Endpoint) streamTo(ctx context.Context, transport string, remote netip.AddrPort) (*stream, error) {
	name := ""
	if transport == "TLS" {
		name, _ = ctx.Value(serverName{}).(string)
	}
	if s := ep.openStream(streamKey{transport, remote, name}); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, streamDial)
	defer cancel()
	conn, err := ep.dial(ctx, transport, remote)
	if err != nil {
		return nil, err
	}
	s := newStream(transport, conn)
	s.name = name
	if !ep.addStream(s) {
		conn.Close()
		return nil, errStreamClosed
	}
	return s, nil
}

func (ep *Endpoint) dial(ctx context.Context, transport string, remote netip.AddrPort) (net.Conn, error) {
	if transport == "TLS" {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12}
		if ep.cfg.TLS != nil {
			cfg = ep.cfg.TLS.Clone()
		}
		if name, ok := ctx.Value(serverName{}).(string); ok && cfg.ServerName == "" {
			cfg.ServerName = name
		}
		return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", remote.String())
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", remote.String())
}

// serverName carries the host name a TLS certificate must show from Invite to dial.
type serverName struct{}

func newStream(transport string, conn net.Conn) *stream {
	address := func(a net.Addr) netip.AddrPort {
		p := a.(*net.TCPAddr).AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return &stream{transport: transport, conn: conn, local: address(conn.LocalAddr()), remote: address(conn.RemoteAddr())}
}

// accept takes connections until the listener closes.
func (ep *Endpoint) accept(ln net.Listener, transport string) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors: give the open ones time to close
			select {
			case <-ep.ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		s := newStream(transport, conn)
		if ep.suspects.banned(s.remote.Addr(), ep.cfg.Now()) || !ep.addStream(s) {
			ep.count.banned.Add(1)
			conn.Close()
		}
	}
}

// Serve runs a connection accepted elsewhere, such as a websocket of transport "WSS", until it ends. Calls to and from it are as any other.
func (ep *Endpoint) Serve(ctx context.Context, transport string, remote netip.AddrPort, conn MessageConn) error {
	s := &stream{transport: transport, framed: conn, remote: netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())}
	if !ep.addStream(s) {
		conn.Close()
		return errStreamClosed
	}
	select {
	case <-ctx.Done():
		s.close()
	case <-s.done:
	}
	return ctx.Err()
}
