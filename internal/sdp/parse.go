package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of what Parse reads.
const (
	MaxSize    = 64 << 10 // bytes of a body
	MaxLines   = 2048     // lines of a body
	MaxMedia   = 64       // m= lines
	MaxFormats = 256      // formats of one m= line
)

// Errors that concern the body as a whole.
var (
	ErrEmpty    = errors.New("sdp: empty body")
	ErrTooLarge = errors.New("sdp: body too large")
)

// LineError is a line that could not be understood.
type LineError struct {
	Line int // counted from 1
	Msg  string
}

func (e *LineError) Error() string { return fmt.Sprintf("sdp: line %d: %s", e.Line, e.Msg) }

// Parse reads a body. It accepts any line order, LF or CR alone as line end, a
// missing last line end, missing v=, s= and t= lines, blank lines, space around
// lines and trailing zero bytes. Errors: ErrEmpty, ErrTooLarge, *LineError.
func Parse(body []byte) (*Session, error) {
	if len(body) > MaxSize {
		return nil, ErrTooLarge
	}
	// Some gateways count the C string's end into Content-Length.
	text := string(bytes.TrimRight(body, "\x00"))
	if strings.TrimSpace(text) == "" {
		return nil, ErrEmpty
	}
	s := &Session{}
	for n := 1; text != ""; n++ {
		if n > MaxLines {
			return nil, ErrTooLarge
		}
		var line string
		line, text = cutLine(text)
		line = strings.Trim(line, " \t")
		if line == "" {
			continue
		}
		if err := s.readLine(line); err != nil {
			return nil, &LineError{Line: n, Msg: err.Error()}
		}
	}
	return s, nil
}

// cutLine splits at CRLF, LF or CR.
func cutLine(text string) (line, rest string) {
	i := strings.IndexAny(text, "\r\n")
	if i < 0 {
		return text, ""
	}
	if strings.HasPrefix(text[i:], "\r\n") {
		return text[:i], text[i+2:]
	}
	return text[:i], text[i+1:]
}

func (s *Session) readLine(line string) error {
	if strings.ContainsRune(line, 0) {
		return errors.New("zero byte")
	}
	name, value, found := strings.Cut(line, "=")
	name = strings.TrimRight(name, " \t")
	if !found || len(name) != 1 || !isLetter(name[0]) {
		return errors.New("want <letter>=<value>")
	}
	value = strings.TrimLeft(value, " \t")
	kind := name[0] | 0x20 // "A=" has been seen
	switch kind {
	case 'v':
		return nil
	case 'm':
		return s.readMedia(value)
	}
	if n := len(s.Media); n > 0 {
		return readCommon(kind, value, &s.Media[n-1].Conn, &s.Media[n-1].Attributes, &s.Media[n-1].Lines)
	}
	switch kind {
	case 'o':
		s.Origin = parseOrigin(value)
		return nil
	case 's':
		s.Name = value
		return nil
	}
	return readCommon(kind, value, &s.Conn, &s.Attributes, &s.Lines)
}

// readCommon reads what the session and a media share. The first c= of a part
// counts.
func readCommon(kind byte, value string, conn *Conn, attributes *[]Attribute, lines *[]Line) error {
	switch kind {
	case 'c':
		c, err := parseConn(value)
		if err == nil && conn.Host == "" {
			*conn = c
		}
		return err
	case 'a':
		name, v, _ := strings.Cut(value, ":")
		name = strings.TrimSpace(name)
		if name == "" {
			return nil // an empty attribute says nothing
		}
		*attributes = append(*attributes, Attribute{Name: name, Value: strings.TrimSpace(v)})
		return nil
	}
	*lines = append(*lines, Line{Type: kind, Value: value})
	return nil
}

// parseOrigin never fails: nothing in it decides where media goes.
func parseOrigin(value string) Origin {
	f := strings.Fields(value)
	for len(f) < 6 {
		f = append(f, "")
	}
	return Origin{User: f[0], ID: f[1], Version: f[2], Addr: f[5]}
}

// parseConn reads "IN IP4 192.0.2.1/127"; the suffix of multicast is dropped
// and the address decides the family, not its label.
func parseConn(value string) (Conn, error) {
	f := strings.Fields(value)
	if len(f) < 3 || !strings.EqualFold(f[0], "IN") {
		return Conn{}, errors.New("c= wants IN IP4|IP6 <address>")
	}
	host, _, _ := strings.Cut(f[2], "/")
	host = strings.Trim(host, "[]")
	if host == "" {
		return Conn{}, errors.New("c= without an address")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return Conn{Host: host}, nil
	}
	return Conn{Host: host, Addr: addr.WithZone("").Unmap()}, nil
}

func (s *Session) readMedia(value string) error {
	if len(s.Media) == MaxMedia {
		return errors.New("too many m= lines")
	}
	f := strings.Fields(value)
	if len(f) < 3 {
		return errors.New("m= wants media, port, protocol and at least one format")
	}
	if len(f)-3 > MaxFormats {
		return errors.New("too many formats")
	}
	portText, countText, counted := strings.Cut(f[1], "/")
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return errors.New("m= with a port that is not 0..65535")
	}
	m := Media{Kind: strings.ToLower(f[0]), Port: int(port), Proto: f[2], Formats: f[3:]}
	if counted {
		count, err := strconv.ParseUint(countText, 10, 16)
		if err != nil || count == 0 {
			return errors.New("m= with a port count that is not 1..65535")
		}
		m.Ports = int(count)
	}
	s.Media = append(s.Media, m)
	return nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
