//go:build !linux

package rtp

import (
	"context"
	"net"
)

// Poller reads with one goroutine a socket where there is no epoll.
type Poller struct{ goroutines Goroutines }

// NewPoller never fails here; n has no meaning.
func NewPoller(int) (*Poller, error) { return &Poller{}, nil }

// Run waits for the end of ctx.
func (p *Poller) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Add implements Reader.
func (p *Poller) Add(conn *net.UDPConn, receive Receive) (func(), error) {
	return p.goroutines.Add(conn, receive)
}

// canDrain tells that quiet works here.
const canDrain = false

func quiet(*net.UDPConn) bool { return false }
