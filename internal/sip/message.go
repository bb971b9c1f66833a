package sip

import (
	"net/netip"
	"strings"
)

// Header is one header line. The name is the long form ("Call-ID"), the value has no line breaks.
type Header struct{ Name, Value string }

// message is a parsed SIP message. Its strings share one allocation; what outlives the message must be cloned.
type message struct {
	request bool
	method  string
	uri     string // request URI as written
	version string
	status  int
	phrase  string
	headers []Header
	body    []byte
	defect  string // what the parser found wrong in a message that can still be answered

	// read by essentials
	via        via
	from, to   address
	callID     string
	cseq       uint32
	cseqMethod string
	length     int // Content-Length, -1 when absent

	flow flow
}

// header gives the first value of the long-form name, or "".
func (m *message) header(name string) string {
	for i := range m.headers {
		if m.headers[i].Name == name || strings.EqualFold(m.headers[i].Name, name) {
			return m.headers[i].Value
		}
	}
	return ""
}

// list gives all comma separated elements of all lines of a header.
func (m *message) list(name string) []string {
	var all []string
	for i := range m.headers {
		if m.headers[i].Name == name {
			all = append(all, splitList(m.headers[i].Value)...)
		}
	}
	return all
}

// hasToken says whether a list header names the token, without regard to case.
func (m *message) hasToken(name, token string) bool {
	for i := range m.headers {
		if m.headers[i].Name != name {
			continue
		}
		for part := range strings.SplitSeq(m.headers[i].Value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// key names the server transaction of a request (RFC 3261 §17.2.3); ACK and CANCEL are looked up with the method INVITE.
func (m *message) key(method string) string {
	port := m.via.port
	if strings.HasPrefix(m.via.branch, magicCookie) && len(m.via.branch) > len(magicCookie) {
		return m.via.branch + "|" + m.via.host + ":" + itoa(port) + "|" + method
	}
	// RFC 2543 peers have no unique branch. The To tag is left out: the ACK has one that the INVITE had not.
	return "2543|" + m.callID + "|" + m.from.tag() + "|" + itoa(int(m.cseq)) + "|" + m.via.host + ":" + itoa(port) + "|" + method
}

// mergeKey is equal for copies of one request that came over several paths (RFC 3261 §8.2.2.2).
func (m *message) mergeKey() string {
	return m.callID + "|" + m.from.tag() + "|" + itoa(int(m.cseq))
}

// Party is one side of a call as its header shows it: unescaped, without control characters.
type Party struct {
	User    string // user part, percent escapes resolved
	Host    string // host part, lower case, without port
	Display string // display name without quotes
	URI     string // the URI as it was sent
}

func (a address) party() Party {
	return Party{User: clean(a.uri.User), Host: a.uri.Host, Display: clean(a.display), URI: clean(a.text)}
}

// Direction says who started a call.
type Direction int

// The two directions, seen from this endpoint.
const (
	Inbound Direction = iota
	Outbound
)

// String gives "in" or "out".
func (d Direction) String() string {
	if d == Outbound {
		return "out"
	}
	return "in"
}

// sourceIP is the address a message came from, v4-mapped addresses as v4.
func (m *message) sourceIP() netip.Addr { return m.flow.remote.Addr().Unmap() }
