package rtp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Receive takes one datagram. It runs on the reader, one call at a time for a
// socket; packet is the callee's until it returns, also to write to.
type Receive func(packet []byte, from netip.AddrPort)

// Reader brings the datagrams of many sockets.
type Reader interface {
	// Add begins to read conn. The returned function ends that and returns when
	// receive runs no more; it must be called before conn is closed, and not
	// from receive.
	Add(conn *net.UDPConn, receive Receive) (remove func(), err error)
}

// Goroutines is the Reader that spends one goroutine on each socket. It works on
// every system.
type Goroutines struct{}

// Add implements Reader; it never fails.
func (Goroutines) Add(conn *net.UDPConn, receive Receive) (func(), error) {
	var done sync.WaitGroup
	done.Go(func() { readAll(conn, receive) })
	return func() {
		_ = conn.SetReadDeadline(time.Unix(1, 0))
		done.Wait()
	}, nil
}

// readAll reads until the deadline that remove sets.
func readAll(conn *net.UDPConn, receive Receive) {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err == nil {
			receive(buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		// An ICMP refusal of an earlier packet ends up here; the next read works.
	}
}
