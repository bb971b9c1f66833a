package sip

import (
	"errors"
	"strconv"
	"strings"
)

const (
	sipVersion  = "SIP/2.0"
	magicCookie = "z9hG4bK" // RFC 3261 §8.1.1.7
)

// errGarbage is a datagram that is not SIP and gets no answer.
var errGarbage = errors.New("not a SIP message")

// canonical maps lower-case and compact names to the long form (RFC 3261 §7.3.3).
var canonical = map[string]string{
	"v": "Via", "via": "Via", "f": "From", "from": "From", "t": "To", "to": "To", "i": "Call-ID", "call-id": "Call-ID",
	"cseq": "CSeq", "m": "Contact", "contact": "Contact", "l": "Content-Length", "content-length": "Content-Length",
	"c": "Content-Type", "content-type": "Content-Type", "e": "Content-Encoding", "content-encoding": "Content-Encoding",
	"k": "Supported", "supported": "Supported", "s": "Subject", "subject": "Subject", "o": "Event", "event": "Event",
	"r": "Refer-To", "refer-to": "Refer-To", "b": "Referred-By", "referred-by": "Referred-By", "u": "Allow-Events", "allow-events": "Allow-Events",
	"x": "Session-Expires", "session-expires": "Session-Expires", "min-se": "Min-SE", "max-forwards": "Max-Forwards",
	"route": "Route", "record-route": "Record-Route", "require": "Require", "proxy-require": "Proxy-Require", "unsupported": "Unsupported",
	"allow": "Allow", "accept": "Accept", "reason": "Reason", "expires": "Expires", "date": "Date", "user-agent": "User-Agent",
	"www-authenticate": "WWW-Authenticate", "proxy-authenticate": "Proxy-Authenticate", "authorization": "Authorization",
	"proxy-authorization": "Proxy-Authorization", "p-asserted-identity": "P-Asserted-Identity", "retry-after": "Retry-After",
	"content-disposition": "Content-Disposition", "timestamp": "Timestamp", "replaces": "Replaces", "rseq": "RSeq", "rack": "RAck",
	"y": "Identity", "identity": "Identity", "privacy": "Privacy", "path": "Path", "server": "Server", "warning": "Warning",
}

// longNames are the spellings seen nearly always; they need no lower-casing.
var longNames = func() map[string]string {
	names := make(map[string]string, len(canonical))
	for _, long := range canonical {
		names[long] = long
	}
	return names
}()

func longName(name string) string {
	if long, ok := longNames[name]; ok {
		return long
	}
	if long, ok := canonical[strings.ToLower(name)]; ok {
		return long
	}
	return name
}

// parse cuts text into a message. A message with a usable frame but a wrong line is returned with its defect set, so that the sender can
// be told (RFC 3261 §8.2); errGarbage is for the rest.
func parse(text string) (*message, error) {
	text = strings.TrimLeft(text, "\r\n") // RFC 3261 §7.5
	if len(text) > maxMessage {
		return nil, errGarbage
	}
	line, rest, ok := cutLine(text)
	if !ok {
		return nil, errGarbage
	}
	m := &message{length: -1}
	if err := m.startLine(line); err != nil {
		return nil, err
	}
	m.headers = make([]Header, 0, 20)
	for {
		line, rest, ok = cutLine(rest)
		if !ok {
			m.blame("Missing empty line after the headers")
			return m, nil
		}
		if line == "" {
			break
		}
		for rest != "" && (rest[0] == ' ' || rest[0] == '\t') { // folded, RFC 3261 §7.3.1
			var more string
			more, rest, _ = cutLine(rest)
			line += " " + strings.Trim(more, " \t")
		}
		if len(m.headers) == maxHeaders {
			return nil, errGarbage
		}
		m.headerLine(line)
	}
	if rest != "" {
		m.body = []byte(rest)
	}
	return m, nil
}

// blame keeps the first defect only: the later ones often follow from it.
func (m *message) blame(defect string) {
	if m.defect == "" {
		m.defect = defect
	}
}

func cutLine(text string) (line, rest string, ok bool) {
	i := strings.IndexByte(text, '\n')
	if i < 0 {
		return "", "", false
	}
	line, rest = text[:i], text[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest, true
}

func (m *message) startLine(line string) error {
	if len(line) > 4 && strings.EqualFold(line[:4], "SIP/") {
		return m.statusLine(line)
	}
	first, last := strings.IndexByte(line, ' '), strings.LastIndexByte(strings.TrimRight(line, " \t"), ' ')
	if first <= 0 || last <= first || !isToken(line[:first]) {
		return errGarbage
	}
	m.request, m.method = true, line[:first]
	m.uri, m.version = line[first+1:last], strings.TrimRight(line[last+1:], " \t")
	if len(m.version) < 4 || !strings.EqualFold(m.version[:4], "SIP/") {
		return errGarbage
	}
	// Exactly one space between the three parts and none after them, RFC 3261 §7.1.
	if strings.ContainsAny(m.uri, " \t<>\"\r") || m.uri == "" || len(line) != last+1+len(m.version) {
		m.blame("Malformed request line")
	}
	return nil
}

func (m *message) statusLine(line string) error {
	version, rest, _ := strings.Cut(line, " ")
	code, phrase, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 || status > 699 || !strings.EqualFold(version, sipVersion) {
		return errGarbage
	}
	m.status, m.phrase, m.version = status, phrase, sipVersion
	return nil
}

func (m *message) headerLine(line string) {
	colon := strings.IndexByte(line, ':')
	if colon <= 0 {
		m.blame("Malformed header line")
		return
	}
	name := strings.TrimRight(line[:colon], " \t")
	value := strings.Trim(line[colon+1:], " \t")
	if !isToken(name) || strings.IndexByte(value, '\r') >= 0 {
		m.blame("Malformed header line")
		return
	}
	m.headers = append(m.headers, Header{longName(name), value})
}

// essentials reads the headers that every message must have. It names the first one that is missing, doubled or wrong.
func (m *message) essentials() string {
	var seen [6]int // Via From To Call-ID CSeq Content-Length
	var defect string
	bad := func(name string) {
		if defect == "" {
			defect = "Bad " + name
		}
	}
	for i := range m.headers {
		value := m.headers[i].Value
		switch m.headers[i].Name {
		case "Via":
			if seen[0]++; seen[0] == 1 && !m.via.parse(value) {
				bad("Via")
			}
		case "From":
			if seen[1]++; !m.from.parse(value) {
				bad("From")
			}
		case "To":
			if seen[2]++; !m.to.parse(value) {
				bad("To")
			}
		case "Call-ID":
			seen[3]++
			if m.callID = value; value == "" || strings.ContainsAny(value, " \t,") {
				bad("Call-ID")
			}
		case "CSeq":
			if seen[4]++; !m.parseCSeq(value) {
				bad("CSeq")
			}
		case "Content-Length":
			seen[5]++
			n, err := strconv.ParseUint(value, 10, 31)
			if m.length = int(n); err != nil {
				m.length = -1
				bad("Content-Length")
			}
		}
	}
	for i, name := range [6]string{"Via", "From", "To", "Call-ID", "CSeq", "Content-Length"} {
		if seen[i] == 0 && i < 5 {
			return "Missing " + name
		}
		if seen[i] > 1 && i > 0 {
			return "More than one " + name
		}
	}
	return defect
}

func (m *message) parseCSeq(value string) bool {
	number, method, ok := strings.Cut(strings.ReplaceAll(value, "\t", " "), " ")
	n, err := strconv.ParseUint(number, 10, 31) // RFC 3261 §8.1.1.5: below 2**31
	m.cseq, m.cseqMethod = uint32(n), strings.Trim(method, " ")
	return ok && err == nil && isToken(m.cseqMethod)
}

// tokenChar marks the characters of an RFC 3261 §25.1 token.
var tokenChar = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c < 128 && c > 32 && strings.IndexByte("-.!%*_+`'~", byte(c)) >= 0
	}
	return table
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenChar[s[i]] {
			return false
		}
	}
	return s != ""
}

func itoa(n int) string { return strconv.Itoa(n) }
