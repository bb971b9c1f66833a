package rtp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ErrNoPorts is returned when every port of the range is in use.
var ErrNoPorts = errors.New("rtp: no free port")

// Ports hands out pairs of UDP ports: RTP on an even one, RTCP on the next
// (RFC 3550 §11). The port that has been free longest is taken first, so that
// late packets of an old call do not meet a new one.
type Ports struct {
	ephemeral bool

	mu   sync.Mutex
	free []uint16    // ring of even ports
	head int         // the longest free
	n    int         // how many are free
	idle []*idle     // bound pairs without a leg, the longest idle first; at most maxIdle
	due  *time.Timer // of the next sweep; nil without one
}

// idle is the two sockets of a leg that ended. Where legs come and go quickly they are worth keeping: binding costs more than most of
// what a short call does.
type idle struct {
	rtp, rtcp *net.UDPConn
	port      uint16
	ip        netip.Addr
	since     time.Time
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
	p.head = rand.IntN(p.n) // two programs with the same range would go through it side by side
	return p, nil
}

// Free is how many pairs can still be handed out.
func (p *Ports) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n + len(p.idle)
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
	ip    netip.Addr
	once  sync.Once
}

// Open binds a pair at ip. Errors: ErrNoPorts, or that of the last bind.
func (p *Ports) Open(ip netip.Addr) (*Pair, error) {
	var last error
	for range bindAttempts {
		if pair := p.again(ip); pair != nil {
			return pair, nil
		}
		port, ok := p.take()
		if !ok {
			if last != nil {
				return nil, fmt.Errorf("%w: %w", ErrNoPorts, last)
			}
			return nil, ErrNoPorts
		}
		pair, err := bind(ip, port)
		if err == nil {
			pair.ports, pair.port, pair.ip = p, port, ip
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

// again gives idle sockets to a new leg, when there are so many that the oldest have rested, or when there are no other ports. nil: none.
func (p *Ports) again(ip netip.Addr) *Pair {
	for {
		old, drop := p.takeIdle(ip, time.Now())
		if old == nil {
			return nil
		}
		if !drop && quiet(old.rtp) && quiet(old.rtcp) {
			return &Pair{RTP: old.rtp, RTCP: old.rtcp, ports: p, port: old.port, ip: old.ip}
		}
		p.discard(old) // somebody still sends there, or it is of another address
	}
}

func (p *Ports) takeIdle(ip netip.Addr, now time.Time) (old *idle, drop bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil, false
	}
	rested := len(p.idle) >= minIdle && now.Sub(p.idle[0].since) >= restFor
	if !rested && (p.ephemeral || p.n > 0) {
		return nil, false
	}
	old = p.idle[0]
	p.idle[0] = nil
	p.idle = p.idle[1:]
	return old, old.ip != ip
}

// keep takes the sockets of a leg that ended; false when there are enough of them.
func (p *Ports) keep(i *idle) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !canDrain || len(p.idle) >= maxIdle {
		return false
	}
	p.idle = append(p.idle, i)
	if p.due == nil {
		p.due = time.AfterFunc(idleFor, p.sweep)
	}
	return true
}

// sweep closes what nobody wanted for a while.
func (p *Ports) sweep() {
	now := time.Now()
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= idleFor {
		n++
	}
	old := p.idle[:n:n]
	p.idle = p.idle[n:]
	if p.due = nil; len(p.idle) > 0 {
		p.due = time.AfterFunc(idleFor-now.Sub(p.idle[0].since), p.sweep)
	} else {
		p.idle = nil
	}
	p.mu.Unlock()
	for _, i := range old {
		p.discard(i)
	}
}

// CloseIdle closes the sockets that wait for another leg, and ends the clock that would; without it that happens after some seconds.
func (p *Ports) CloseIdle() {
	p.mu.Lock()
	all := p.idle
	p.idle = nil
	if p.due != nil {
		p.due.Stop()
		p.due = nil
	}
	p.mu.Unlock()
	for _, i := range all {
		p.discard(i)
	}
}

// discard closes sockets and gives their ports back.
func (p *Ports) discard(i *idle) {
	_ = i.rtp.Close()
	_ = i.rtcp.Close()
	p.release(i.port)
}

// Close ends the use of both sockets and gives the ports back; more calls do nothing.
func (p *Pair) Close() {
	p.once.Do(func() {
		i := &idle{p.RTP, p.RTCP, p.port, p.ip, time.Now()}
		if !p.ports.keep(i) {
			p.ports.discard(i)
		}
	})
}
