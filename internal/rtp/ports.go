package rtp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// ErrNoPorts is returned when every port of the range is in use.
var ErrNoPorts = errors.New("rtp: no free port")

// Ports hands out pairs of UDP ports: RTP on an even one, RTCP on the next
// (RFC 3550 §11). The port that has been free longest is taken first, so that
// late packets of an old call do not meet a new one.
type Ports struct {
	ephemeral bool

	mu   sync.Mutex
	free []uint16 // ring of even ports
	head int      // the longest free
	n    int      // how many are free
}

// NewPorts covers low..high; 0..0 lets the kernel choose any two neighbours.
func NewPorts(low, high int) (*Ports, error) {
	if low == 0 && high == 0 {
		return &Ports{ephemeral: true}, nil
	}
	first := low + low&1
	if low < 1 || high > 65535 || first+1 > high {
		return nil, fmt.Errorf("rtp: port range %d-%d holds no pair", low, high)
	}
	p := &Ports{}
	for port := first; port < high; port += 2 {
		p.free = append(p.free, uint16(port))
	}
	p.n = len(p.free)
	return p, nil
}

// Free is how many pairs can still be handed out.
func (p *Ports) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *Ports) take() (uint16, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ephemeral {
		return 0, true
	}
	if p.n == 0 {
		return 0, false
	}
	port := p.free[p.head]
	p.head = (p.head + 1) % len(p.free)
	p.n--
	return port, true
}

func (p *Ports) release(port uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ephemeral {
		return
	}
	p.free[(p.head+p.n)%len(p.free)] = port
	p.n++
}

// Pair is the two sockets of a leg.
type Pair struct {
	RTP, RTCP *net.UDPConn

	ports *Ports
	port  uint16
	once  sync.Once
}

// Open binds a pair at ip. Errors: ErrNoPorts, or that of the last bind.
func (p *Ports) Open(ip netip.Addr) (*Pair, error) {
	var last error
	for range bindAttempts {
		port, ok := p.take()
		if !ok {
			if last != nil {
				return nil, fmt.Errorf("%w: %w", ErrNoPorts, last)
			}
			return nil, ErrNoPorts
		}
		pair, err := bind(ip, port)
		if err == nil {
			pair.ports, pair.port = p, port
			return pair, nil
		}
		// Another program has it: to the end of the queue.
		p.release(port)
		last = err
	}
	return nil, fmt.Errorf("%w: %w", ErrNoPorts, last)
}

func bind(ip netip.Addr, port uint16) (*Pair, error) {
	network := "udp4"
	if ip.Is6() && !ip.Is4In6() {
		network = "udp6"
	}
	ip = ip.Unmap()
	first, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port)))
	if err != nil {
		return nil, fmt.Errorf("bind rtp: %w", err)
	}
	port = uint16(first.LocalAddr().(*net.UDPAddr).Port)
	second, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, port+1)))
	if err != nil {
		_ = first.Close()
		return nil, fmt.Errorf("bind rtcp: %w", err)
	}
	return &Pair{RTP: first, RTCP: second}, nil
}

// Close closes both sockets and gives the ports back; more calls do nothing.
func (p *Pair) Close() {
	p.once.Do(func() {
		_ = p.RTP.Close()
		_ = p.RTCP.Close()
		p.ports.release(p.port)
	})
}
