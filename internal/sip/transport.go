package sip

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// flow is a way to a peer: a UDP socket with the peer's address, or a connection.
type flow struct {
	sock   *udpSocket
	stream *stream
	remote netip.AddrPort
}

var errNoFlow = errors.New("sip: no listener can reach this address")

func (f flow) send(data []byte) error {
	switch {
	case f.stream != nil:
		return f.stream.send(data)
	case f.sock != nil:
		return f.sock.send(data, f.remote)
	}
	return errNoFlow
}

func (f flow) reliable() bool { return f.stream != nil }

func (f flow) transport() string {
	if f.stream != nil {
		return f.stream.transport
	}
	return "UDP"
}

func (f flow) local() netip.AddrPort {
	if f.stream != nil {
		return f.stream.local
	}
	if f.sock != nil {
		return f.sock.local
	}
	return netip.AddrPort{}
}

// answerFlow is where the answers to a request go (RFC 3261 §18.2.2, RFC 3581 §4). A sender behind a NAT that did not ask for rport
// is answered at its source port all the same: the port in its Via is not its own.
func (m *message) answerFlow() flow {
	f := m.flow
	if f.stream != nil || m.via.rport {
		return f
	}
	if ip := m.sourceIP(); m.via.host == ip.String() && m.via.port > 0 {
		f.remote = netip.AddrPortFrom(ip, uint16(m.via.port))
	}
	return f
}

// Bound is one listening address.
type Bound struct {
	Transport string // "UDP", "TCP", "TLS"
	Addr      netip.AddrPort
}

// flowTo finds or opens a way to an address. Only dialling a stream waits.
func (ep *Endpoint) flowTo(ctx context.Context, transport string, remote netip.AddrPort) (flow, error) {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	switch transport {
	case "UDP":
		if sock := ep.sockFor(remote); sock != nil {
			return flow{sock: sock, remote: remote}, nil
		}
		return flow{}, errNoFlow
	case "TCP", "TLS":
		st, err := ep.streamTo(ctx, transport, remote)
		return flow{stream: st, remote: remote}, err
	}
	return flow{}, fmt.Errorf("sip: cannot dial transport %q", transport)
}

// sockFor is the socket for a first packet to an address: of several the one bound to the address that leads there, on a machine in more than one network,
// else one bound to all addresses, else any of the family. One bound to a loopback address reaches no other machine.
func (ep *Endpoint) sockFor(remote netip.AddrPort) *udpSocket {
	var best *udpSocket
	rank := 0
	for _, sock := range ep.socks {
		local, fits := sock.local.Addr(), 0
		switch all := local.IsUnspecified(); {
		case all && (local.Is6() || remote.Addr().Is4()):
			fits = 2
		case all || local.Is4() != remote.Addr().Is4() || local.IsLoopback() && !remote.Addr().IsLoopback():
		case len(ep.socks) == 1:
			fits = 1
		case local.String() == ep.localIP(remote):
			fits = 3
		default:
			fits = 1
		}
		if fits > rank {
			best, rank = sock, fits
		}
	}
	return best
}

// advertised is the host and port that peers shall use to reach us over f. The public address is for peers on the other side of a NAT: one on this
// machine would have to go out to the NAT and back in, which few allow, and a socket bound to a loopback address cannot send there at all.
func (ep *Endpoint) advertised(f flow) (host string, port int) {
	local := f.local()
	port = int(local.Port())
	if f.stream != nil {
		port = ep.listenPort(f.stream)
	}
	switch {
	case ep.cfg.PublicAddr != "" && !ep.onThisMachine(f.remote):
		return ep.cfg.PublicAddr, port
	case !local.Addr().IsValid() || local.Addr().IsUnspecified():
		return ep.localIP(f.remote), port
	}
	return local.Addr().String(), port
}

// onThisMachine says whether a peer is a program beside us: packets to an address of this machine leave from that same address.
func (ep *Endpoint) onThisMachine(remote netip.AddrPort) bool {
	ip := remote.Addr()
	return ip.IsLoopback() || ip.IsValid() && ep.localIP(remote) == ip.String()
}

// listenPort is where the peer of a stream may connect to: the port that it came to, else the first one of that transport.
func (ep *Endpoint) listenPort(s *stream) int {
	first := 0
	for _, b := range ep.bound {
		switch port := int(b.Addr.Port()); {
		case b.Transport != s.transport:
		case b.Addr.Port() == s.local.Port():
			return port
		case first == 0:
			first = port
		}
	}
	return first
}

// localIP asks the routing table which of our addresses leads to remote; nothing is sent. The answer is kept per remote address.
func (ep *Endpoint) localIP(remote netip.AddrPort) string {
	if ip, ok := ep.localIPs.Load(remote.Addr()); ok {
		return ip.(string)
	}
	conn, err := net.Dial("udp", remote.String())
	if err != nil {
		return "127.0.0.1"
	}
	defer conn.Close()
	ip := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().String()
	if ep.localIPCount.Add(1) <= maxSources {
		ep.localIPs.Store(remote.Addr(), ip)
	}
	return ip
}

// viaValue is a Via for a request over f with a new branch.
func (ep *Endpoint) viaValue(f flow, branch string) string {
	host, port := ep.advertised(f)
	return "SIP/2.0/" + f.transport() + " " + hostPort(host, port) + ";branch=" + branch + ";rport"
}

func (ep *Endpoint) contactValue(f flow, user string) string {
	host, port := ep.advertised(f)
	uri := sipURI(user, host, port)
	if f.transport() != "UDP" {
		uri += ";transport=" + strings.ToLower(f.transport())
	}
	return "<" + uri + ">"
}

// newToken is 130 bits of randomness as text: tags, branches, Call-IDs.
func newToken() string { return rand.Text() }

func newBranch() string { return magicCookie + rand.Text() }
