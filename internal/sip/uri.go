package sip

import (
	"net/netip"
	"strconv"
	"strings"
)

// URI is a parsed address. For schemes other than sip, sips and tel only Scheme and the whole text in User are set.
type URI struct {
	Scheme   string // lower case
	User     string // unescaped
	Password string
	Host     string // lower case; IPv6 without brackets
	Port     int    // 0 when absent
	Params   string // "transport=tcp;lr" as written
	Headers  string // after "?"
}

// ParseURI reads a sip, sips or tel URI (RFC 3261 §19.1.1, RFC 3966 §3); any other scheme is kept whole.
func ParseURI(text string) (URI, bool) {
	var u URI
	colon := strings.IndexByte(text, ':')
	if colon <= 0 || !isToken(text[:colon]) || strings.ContainsAny(text, " \t\r\n<>\"") {
		return u, false
	}
	u.Scheme = strings.ToLower(text[:colon])
	rest := text[colon+1:]
	switch u.Scheme {
	case "sip", "sips":
		return u, u.parseSIP(rest)
	case "tel":
		u.User, u.Params, _ = strings.Cut(rest, ";")
		return u, u.User != ""
	}
	u.User = rest
	return u, true
}

func (u *URI) parseSIP(rest string) bool {
	// The user part may hold ";" and "?" (RFC 3261 §19.1.1), so the last "@" before the host is looked for first.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user := rest[:at]
		rest = rest[at+1:]
		user, u.Password, _ = strings.Cut(user, ":")
		if user == "" {
			return false
		}
		u.User = unescape(user)
	}
	if i := strings.IndexByte(rest, '?'); i >= 0 {
		u.Headers, rest = rest[i+1:], rest[:i]
	}
	if i := strings.IndexByte(rest, ';'); i >= 0 {
		u.Params, rest = rest[i+1:], rest[:i]
	}
	host, port, ok := splitHostPort(rest)
	u.Host, u.Port = strings.ToLower(host), port
	return ok
}

// param gives a URI or header parameter by its lower-case name.
func param(params, name string) (string, bool) {
	for part := range splitParams(params) {
		key, value, _ := strings.Cut(part, "=")
		if strings.EqualFold(strings.Trim(key, " \t"), name) {
			return unquote(strings.Trim(value, " \t")), true
		}
	}
	return "", false
}

// splitParams yields the parts between semicolons outside quotes.
func splitParams(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s != "" {
			i := indexOutside(s, ';')
			if i < 0 {
				yield(s)
				return
			}
			if !yield(s[:i]) {
				return
			}
			s = s[i+1:]
		}
	}
}

// indexOutside finds c outside quoted strings and angle brackets, or -1.
func indexOutside(s string, c byte) int {
	quoted, angled := false, false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == c && !angled:
			return i
		case s[i] == '<':
			angled = true
		case s[i] == '>':
			angled = false
		}
	}
	return -1
}

// splitList cuts a comma separated header outside quotes and angle brackets.
func splitList(value string) []string {
	var parts []string
	for {
		i := indexOutside(value, ',')
		if i < 0 {
			if value = strings.Trim(value, " \t"); value != "" {
				parts = append(parts, value)
			}
			return parts
		}
		if part := strings.Trim(value[:i], " \t"); part != "" {
			parts = append(parts, part)
		}
		value = value[i+1:]
	}
}

func splitHostPort(s string) (host string, port int, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, false
		}
		host = s[1:end]
		if _, err := netip.ParseAddr(host); err != nil {
			return "", 0, false
		}
		s = s[end+1:]
		if s != "" && s[0] != ':' {
			return "", 0, false
		}
	} else {
		i := strings.IndexByte(s, ':')
		if i < 0 {
			i = len(s)
		}
		host, s = s[:i], s[i:]
		if !isHost(host) {
			return "", 0, false
		}
	}
	if s == "" {
		return host, 0, true
	}
	n, err := strconv.ParseUint(s[1:], 10, 16)
	return host, int(n), err == nil && n > 0
}

func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// EscapeUser writes a user part so that nothing in it can end the URI or the header line (RFC 3261 §25.1, user).
func EscapeUser(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c > 32 && c < 127 && strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

// clean removes what could start another header line or end a string in C: control characters become spaces.
func clean(s string) string {
	dirty := false
	for i := range len(s) {
		if s[i] < 32 || s[i] == 127 {
			dirty = true
			break
		}
	}
	if !dirty {
		return s
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 32 || r == 127 {
			return ' '
		}
		return r
	}, s))
}

// quote writes a display name or a parameter text as a quoted-string.
func quote(s string) string {
	s = clean(s)
	s = strings.ReplaceAll(s, `\`, `\\`)
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// hostPort writes host and port, IPv6 in brackets; port 0 is left out.
func hostPort(host string, port int) string {
	if strings.IndexByte(host, ':') >= 0 {
		host = "[" + host + "]"
	}
	if port == 0 {
		return host
	}
	return host + ":" + itoa(port)
}
