package sdp

import (
	"net/netip"
	"strconv"
	"strings"
)

// Session is one session description in the order a reader needs it.
type Session struct {
	Origin     Origin
	Name       string
	Conn       Conn
	Lines      []Line // lines of other types, as they came
	Attributes []Attribute
	Media      []Media
}

// Origin is the o= line (RFC 8866 §5.2). Numbers are kept as text: devices
// send values that fit no integer.
type Origin struct {
	User, ID, Version string
	Addr              string
}

// Conn is a c= line (RFC 8866 §5.7). Addr is invalid when Host is a name.
type Conn struct {
	Host string
	Addr netip.Addr
}

// Line is a line that the package keeps but does not interpret.
type Line struct {
	Type  byte
	Value string
}

// Attribute is one a= line; Value is empty for a flag.
type Attribute struct {
	Name, Value string
}

// Media is one m= line with what belongs to it (RFC 8866 §5.14).
type Media struct {
	Kind       string // "audio", "image", ...
	Port       int    // 0: rejected or switched off
	Ports      int    // the number after the slash, 0 when absent
	Proto      string
	Formats    []string
	Conn       Conn // zero when the session's applies
	Lines      []Line
	Attributes []Attribute
}

// Attr returns the value of the first attribute with that name, letter case
// ignored.
func (m *Media) Attr(name string) (string, bool) { return findAttribute(m.Attributes, name) }

// Attr returns the value of the first session-level attribute with that name.
func (s *Session) Attr(name string) (string, bool) { return findAttribute(s.Attributes, name) }

func findAttribute(list []Attribute, name string) (string, bool) {
	for i := range list {
		if strings.EqualFold(list[i].Name, name) {
			return list[i].Value, true
		}
	}
	return "", false
}

// conn is the connection that holds for a media line: its own, else the
// session's (RFC 8866 §5.7).
func (s *Session) conn(m *Media) Conn {
	if m.Conn.Host != "" {
		return m.Conn
	}
	return s.Conn
}

// DirectionOf is the direction that the writer of s gave to m: the media's own
// attribute, else the session's, else sendrecv (RFC 3264 §5.1).
func (s *Session) DirectionOf(m *Media) Direction {
	for _, list := range [][]Attribute{m.Attributes, s.Attributes} {
		for i := range list {
			if d, ok := parseDirection(list[i].Name); ok {
				return d
			}
		}
	}
	return SendRecv
}

// Direction says who sends, seen from the side that writes it.
type Direction int

// The four directions of RFC 8866 §6.7.
const (
	SendRecv Direction = iota
	SendOnly
	RecvOnly
	Inactive
)

func (d Direction) String() string {
	switch d {
	case SendOnly:
		return "sendonly"
	case RecvOnly:
		return "recvonly"
	case Inactive:
		return "inactive"
	}
	return "sendrecv"
}

// Sends reports whether the writer sends.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// Receives reports whether the writer wants to receive.
func (d Direction) Receives() bool { return d == SendRecv || d == RecvOnly }

// Reverse is the same flow seen from the other side.
func (d Direction) Reverse() Direction { return direction(d.Receives(), d.Sends()) }

// And keeps what both allow.
func (d Direction) And(o Direction) Direction {
	return direction(d.Sends() && o.Sends(), d.Receives() && o.Receives())
}

func direction(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	}
	return Inactive
}

func parseDirection(name string) (Direction, bool) {
	switch strings.ToLower(name) {
	case "sendrecv":
		return SendRecv, true
	case "sendonly":
		return SendOnly, true
	case "recvonly":
		return RecvOnly, true
	case "inactive":
		return Inactive, true
	}
	return SendRecv, false
}

// Bytes writes the description with the line order of RFC 8866 §5 and CRLF.
func (s *Session) Bytes() []byte {
	b := make([]byte, 0, 512)
	b = append(b, "v=0\r\no="...)
	o := s.Origin
	b = append(b, orDash(o.User)+" "+orZero(o.ID)+" "+orZero(o.Version)+" IN "...)
	b = appendHost(b, o.Addr)
	b = append(b, "\r\ns="+orDash(s.Name)+"\r\n"...)
	b = appendLines(b, s.Lines, "iuep")
	b = appendConn(b, s.Conn)
	b = appendLines(b, s.Lines, "b")
	if n := len(b); len(appendLines(b, s.Lines, "t")) == n {
		b = append(b, "t=0 0\r\n"...)
	}
	b = appendLines(b, s.Lines, "trzk")
	b = appendAttributes(b, s.Attributes)
	for i := range s.Media {
		b = s.Media[i].append(b)
	}
	return b
}

func (s *Session) String() string { return string(s.Bytes()) }

func (m *Media) append(b []byte) []byte {
	b = append(b, "m="+m.Kind+" "...)
	b = strconv.AppendInt(b, int64(m.Port), 10)
	if m.Ports > 0 {
		b = append(b, '/')
		b = strconv.AppendInt(b, int64(m.Ports), 10)
	}
	b = append(b, " "+m.Proto...)
	for _, f := range m.Formats {
		b = append(b, " "+f...)
	}
	b = append(b, "\r\n"...)
	b = appendLines(b, m.Lines, "i")
	b = appendConn(b, m.Conn)
	b = appendLines(b, m.Lines, "bk")
	return appendAttributes(b, m.Attributes)
}

// appendLines writes the kept lines of the given types, type by type.
func appendLines(b []byte, lines []Line, types string) []byte {
	for i := range len(types) {
		for _, l := range lines {
			if l.Type == types[i] {
				b = append(b, l.Type, '=')
				b = append(b, l.Value+"\r\n"...)
			}
		}
	}
	return b
}

func appendConn(b []byte, c Conn) []byte {
	if c.Host == "" {
		return b
	}
	b = append(b, "c=IN "...)
	return append(appendHost(b, c.Host), "\r\n"...)
}

func appendHost(b []byte, host string) []byte {
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.Contains(host, ":") {
		return append(b, "IP6 "+host...)
	}
	return append(b, "IP4 "+host...)
}

func appendAttributes(b []byte, list []Attribute) []byte {
	for _, a := range list {
		b = append(b, "a="+a.Name...)
		if a.Value != "" {
			b = append(b, ":"+a.Value...)
		}
		b = append(b, "\r\n"...)
	}
	return b
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}
