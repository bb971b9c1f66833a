package rtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	pollEvents = 128 // sockets taken from the kernel at once
	pollReads  = 4   // datagrams of one socket before the next has its turn
)

// Poller is the Reader that owns many sockets with few goroutines. Each has its
// own epoll set, which Go's own poller watches, so that no thread is held while
// nothing comes. Run must be running for anything to be received.
type Poller struct {
	shards []*shard
	next   atomic.Uint32
}

// NewPoller makes a poller of n goroutines, at least one. Error: of epoll.
func NewPoller(n int) (*Poller, error) {
	p := &Poller{}
	for range max(n, 1) {
		s, err := newShard()
		if err != nil {
			p.close()
			return nil, err
		}
		p.shards = append(p.shards, s)
	}
	return p, nil
}

func (p *Poller) close() {
	for _, s := range p.shards {
		_ = s.file.Close()
	}
}

// Run reads until ctx ends; then it gives its descriptors back, so that it can
// run only once.
func (p *Poller) Run(ctx context.Context) error {
	defer p.close()
	stop := context.AfterFunc(ctx, func() {
		for _, s := range p.shards {
			_ = s.file.SetReadDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	errs := make(chan error, len(p.shards))
	for _, s := range p.shards {
		go func() { errs <- s.run() }()
	}
	var all error
	for range p.shards {
		all = errors.Join(all, <-errs)
	}
	return all
}

// Add implements Reader.
func (p *Poller) Add(conn *net.UDPConn, receive Receive) (func(), error) {
	return p.shards[int(p.next.Add(1))%len(p.shards)].add(conn, receive)
}

// shard is one epoll set and the goroutine that serves it.
type shard struct {
	file   *os.File
	buf    [maxDatagram]byte
	events [pollEvents]unix.EpollEvent

	mu      sync.RWMutex
	sockets map[int32]*socket
}

type socket struct {
	receive Receive

	mu   sync.Mutex // held while receive runs
	gone bool
}

func newShard() (*shard, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	// Only a descriptor that does not block is watched by Go's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &shard{file: os.NewFile(uintptr(fd), "epoll"), sockets: map[int32]*socket{}}, nil
}

func (s *shard) add(conn *net.UDPConn, receive Receive) (func(), error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("poll: %w", err)
	}
	sock := &socket{receive: receive}
	var fd int32
	var failed error
	err = raw.Control(func(f uintptr) {
		fd = int32(f)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sockets[fd] = sock
		if failed = s.control(unix.EPOLL_CTL_ADD, fd); failed != nil {
			delete(s.sockets, fd)
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("poll: %w", err)
	}
	return func() { s.remove(fd, sock) }, nil
}

func (s *shard) remove(fd int32, sock *socket) {
	s.mu.Lock()
	if s.sockets[fd] == sock {
		delete(s.sockets, fd)
		_ = s.control(unix.EPOLL_CTL_DEL, fd) // the set is gone when Run has ended
	}
	s.mu.Unlock()
	sock.mu.Lock()
	sock.gone = true
	sock.mu.Unlock()
}

// control changes the set, through the file, so that it fails after the end
// instead of reaching another descriptor of the same number.
func (s *shard) control(op int, fd int32) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: fd}
	var failed error
	err = raw.Control(func(set uintptr) { failed = unix.EpollCtl(int(set), op, int(fd), &event) })
	return errors.Join(err, failed)
}

// run serves the set until the deadline that ends it.
func (s *shard) run() error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, failed = unix.EpollWait(int(fd), s.events[:], 0)
			return failed != nil || n > 0
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case failed != nil && !errors.Is(failed, unix.EINTR):
			return fmt.Errorf("epoll: %w", failed)
		}
		for i := range max(n, 0) {
			s.serve(s.events[i].Fd)
		}
	}
}

func (s *shard) serve(fd int32) {
	s.mu.RLock()
	sock := s.sockets[fd]
	s.mu.RUnlock()
	if sock == nil {
		return
	}
	sock.mu.Lock()
	defer sock.mu.Unlock()
	for range pollReads {
		if sock.gone {
			return
		}
		n, from, errno := recvFrom(fd, s.buf[:])
		if errno == syscall.EAGAIN {
			return
		}
		// Another error is an ICMP answer to an earlier packet; reading took it.
		if errno == 0 {
			sock.receive(s.buf[:n], from)
		}
	}
}

// recvFrom reads one datagram without blocking. The calls of x/sys allocate the
// address; this one is made for every packet.
func recvFrom(fd int32, b []byte) (int, netip.AddrPort, syscall.Errno) {
	var sa syscall.RawSockaddrInet6 // large enough for both families
	size := uint32(unsafe.Sizeof(sa))
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, netip.AddrPort{}, errno
	}
	p := (*[2]byte)(unsafe.Pointer(&sa.Port)) // in network order
	port := uint16(p[0])<<8 | uint16(p[1])
	if sa.Family == syscall.AF_INET {
		four := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&sa))
		return int(n), netip.AddrPortFrom(netip.AddrFrom4(four.Addr), port), 0
	}
	return int(n), netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port), 0
}

// canDrain tells that quiet works here.
const canDrain = true

// quiet readies a socket for another leg: what came for the last one is thrown away. false when so much came that somebody still sends.
func quiet(conn *net.UDPConn) bool {
	if conn.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var few bool
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		for range lateLimit {
			if _, _, errno := recvFrom(int32(fd), b[:]); errno == syscall.EAGAIN {
				few = true
				return
			}
		}
	})
	return err == nil && few
}
