package app

import (
	"errors"
	"net"
	"sync"
	"time"
)

// greetLimit is how long a client may take to send its first byte; then its connection is closed. It is that of the header.
const greetLimit = headerTimeout

// acceptPause is the rest after a connection that could not be accepted.
const acceptPause = 50 * time.Millisecond

// tlsHandshake is the first byte of a TLS client (RFC 8446 §5.1, content type handshake); no method of HTTP begins with it.
const tlsHandshake = 22

// splitter tells TLS clients from plain ones on one address by their first byte.
type splitter struct {
	ln    net.Listener
	tls   *branch
	plain *branch
	work  sync.WaitGroup // the connections that have not spoken

	mu      sync.Mutex // guards what follows
	closed  bool
	waiting map[net.Conn]bool
}

// branch is a listener that gets its connections from a splitter.
type branch struct {
	addr net.Addr
	in   chan net.Conn // without room: who hands over waits until it is taken, or until done
	done chan struct{}
	once sync.Once
}

func newSplitter(ln net.Listener) *splitter {
	s := &splitter{ln: ln, waiting: map[net.Conn]bool{}}
	s.tls, s.plain = newBranch(ln), newBranch(ln)
	return s
}

func newBranch(ln net.Listener) *branch {
	return &branch{addr: ln.Addr(), in: make(chan net.Conn), done: make(chan struct{})}
}

// run accepts until close and waits for what it started.
func (s *splitter) run() {
	for {
		conn, err := s.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			s.work.Wait()
			return
		case err != nil: // no file is free, or the client left: the address itself stays good
			time.Sleep(acceptPause)
		case s.keep(conn):
			s.work.Go(func() { s.sort(conn) })
		}
	}
}

// keep notes a connection that has not spoken, so that close can end it.
func (s *splitter) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return false
	}
	s.waiting[conn] = true
	return true
}

// sort reads the first byte and hands the connection to the branch that it belongs to.
func (s *splitter) sort(conn net.Conn) {
	first := make([]byte, 1)
	_ = conn.SetReadDeadline(time.Now().Add(greetLimit)) // a connection that is gone shows at the read
	_, err := conn.Read(first)
	s.mu.Lock()
	delete(s.waiting, conn)
	s.mu.Unlock()
	if err != nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	to := s.plain
	if first[0] == tlsHandshake {
		to = s.tls
	}
	select {
	case to.in <- &begun{conn, first}:
	case <-to.done:
		_ = conn.Close()
	}
}

// close ends the address and what waits on it.
func (s *splitter) close() {
	_ = s.ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.waiting {
		_ = conn.Close()
	}
	s.tls.end()
	s.plain.end()
}

// Accept gives the next connection of the kind.
func (b *branch) Accept() (net.Conn, error) {
	select {
	case conn := <-b.in:
		return conn, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}

// Close ends the branch; the other goes on.
func (b *branch) Close() error {
	b.end()
	return nil
}

func (b *branch) end() { b.once.Do(func() { close(b.done) }) }

// Addr is the address that both branches share.
func (b *branch) Addr() net.Addr { return b.addr }

// begun is a connection whose first byte was read already.
type begun struct {
	net.Conn
	first []byte
}

func (c *begun) Read(p []byte) (int, error) {
	if len(c.first) > 0 && len(p) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
