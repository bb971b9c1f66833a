package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// socket is a websocket written out by hand: a client of thousands that costs little, keeps no frame and may leave its frames unread.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
	buf  []byte
}

// socketLimit is the longest that the server may take to answer a frame while sockets are opened.
const socketLimit = 30 * time.Second

// openSocket connects from a loopback address (thousands need more ports than one has), signs in and, with types, subscribes to them.
func openSocket(ctx context.Context, addr, from, token string, types ...string) (*socket, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, in: bufio.NewReaderSize(conn, 1024)}
	if err := s.begin(addr, token, types); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) begin(addr, token string, types []string) error {
	if err := s.conn.SetDeadline(time.Now().Add(socketLimit)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", addr)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("websocket: the server answers %s", answer.Status)
	}
	if err := s.ask("auth", token); err != nil {
		return err
	}
	if len(types) > 0 {
		if err := s.ask("subscribe", map[string]any{"types": types}); err != nil {
			return err
		}
	}
	s.buf = nil
	return s.conn.SetDeadline(time.Time{})
}

// ask sends a frame and waits for its answer.
func (s *socket) ask(kind string, payload any) error {
	text, err := json.Marshal(map[string]any{"type": kind, "payload": payload})
	if err != nil {
		return err
	}
	if err := s.write(0x1, text); err != nil {
		return err
	}
	for {
		b, err := s.next()
		if err != nil {
			return err
		}
		var f struct {
			Type    string
			Success bool
		}
		if err := json.Unmarshal(b, &f); err != nil {
			return err
		}
		if f.Type == kind {
			if !f.Success {
				return fmt.Errorf("%s: %.200s", kind, b)
			}
			return nil
		}
	}
}

// write sends a frame, masked with zeros, which leave it as it is (RFC 6455 §5.3).
func (s *socket) write(op byte, payload []byte) error {
	b := []byte{0x80 | op}
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(payload)))
	}
	_, err := s.conn.Write(append(append(b, 0, 0, 0, 0), payload...))
	return err
}

// next gives the next text, which is good until the call after; pings are answered on the way.
func (s *socket) next() ([]byte, error) {
	for {
		var h [10]byte
		if _, err := io.ReadFull(s.in, h[:2]); err != nil {
			return nil, err
		}
		n := uint64(h[1])
		switch n {
		case 126:
			if _, err := io.ReadFull(s.in, h[2:4]); err != nil {
				return nil, err
			}
			n = uint64(binary.BigEndian.Uint16(h[2:]))
		case 127:
			if _, err := io.ReadFull(s.in, h[2:]); err != nil {
				return nil, err
			}
			n = binary.BigEndian.Uint64(h[2:])
		}
		if uint64(cap(s.buf)) < n {
			s.buf = make([]byte, n)
		}
		s.buf = s.buf[:n]
		if _, err := io.ReadFull(s.in, s.buf); err != nil {
			return nil, err
		}
		switch h[0] & 0x0f {
		case 0x1:
			return s.buf, nil
		case 0x8:
			return nil, closed(s.buf)
		case 0x9:
			if err := s.write(0xA, bytes.Clone(s.buf)); err != nil {
				return nil, err
			}
		}
	}
}

// closed is the server's close frame as an error.
type closed []byte

func (c closed) Error() string {
	if len(c) < 2 {
		return "closed"
	}
	return fmt.Sprintf("closed with %d %s", binary.BigEndian.Uint16(c), c[2:])
}
