package sip

import (
	"errors"
	"net"
	"net/netip"
)

// udpSocket is one listening UDP socket.
type udpSocket struct {
	ep    *Endpoint
	conn  *net.UDPConn
	local netip.AddrPort
}

func listenUDP(ep *Endpoint, address string) (*udpSocket, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	network := "udp"
	if addr.IP.To4() != nil {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetReadBuffer(udpReadBuffer); err != nil {
		ep.log.Warn("small UDP receive buffer", "error", err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &udpSocket{ep: ep, conn: conn, local: netip.AddrPortFrom(local.Addr().Unmap(), local.Port())}, nil
}

func (s *udpSocket) send(data []byte, to netip.AddrPort) error {
	_, err := s.conn.WriteToUDPAddrPort(data, to)
	if err != nil {
		s.ep.count.sendErrors.Add(1)
	}
	return err
}

// read moves datagrams to the shards until the socket closes. It does nothing else, so that the kernel's buffer stays empty.
func (s *udpSocket) read() {
	buf := make([]byte, maxMessage+1)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier send
		}
		s.ep.count.received.Add(1)
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if n > maxMessage {
			s.ep.count.tooLarge.Add(1)
			continue
		}
		if n < 16 { // keep-alives of one or two line ends, STUN and less: RFC 5626 §4.4.1
			continue
		}
		text := string(buf[:n])
		if !s.ep.shardFor(text).offer(packet{text, flow{sock: s, remote: from}}) {
			s.ep.count.queueFull.Add(1)
		}
	}
}
