package sip

import "strings"

// phrases are the reason phrases of RFC 3261 §21 and its extensions.
var phrases = map[int]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK", 202: "Accepted",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large",
	415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
	422: "Session Interval Too Small", 423: "Interval Too Brief", 428: "Use Identity Header", 436: "Bad Identity Info",
	437: "Unsupported Credential", 438: "Invalid Identity Header", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous",
	486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
	505: "Version Not Supported", 513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere",
	606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}

func phrase(status int) string {
	if p := phrases[status]; p != "" {
		return p
	}
	return [7]string{"", "Trying", "OK", "Redirection", "Request Failure", "Server Failure", "Global Failure"}[min(max(status/100, 0), 6)]
}

// reply is a response to be written.
type reply struct {
	status  int
	phrase  string // empty: the usual one
	tag     string // put into To when the request had none
	headers []Header
	kind    string // Content-Type
	body    []byte
}

// bytes writes the response to m (RFC 3261 §8.2.6). Header values given by the caller are cleaned of line breaks here and nowhere else.
func (r *reply) bytes(m *message, agent string) []byte {
	if r.phrase == "" {
		r.phrase = phrase(r.status)
	}
	b := make([]byte, 0, 640+len(r.body))
	b = append(b, "SIP/2.0 "...)
	b = append(b, itoa(r.status)...)
	b = append(b, ' ')
	b = append(b, clean(r.phrase)...)
	b = append(b, "\r\n"...)
	dialogForming := r.status > 100 && r.status < 300
	first := true
	for _, h := range m.headers {
		switch h.Name {
		case "Via":
			if first {
				first = false
				h.Value = m.via.reply(h.Value, m.flow)
			}
		case "To":
			if r.tag != "" && m.to.tag() == "" {
				h.Value += ";tag=" + r.tag
			}
		case "Record-Route":
			if !dialogForming {
				continue
			}
		case "Timestamp":
			if r.status != 100 {
				continue
			}
		case "From", "Call-ID", "CSeq":
		default:
			continue
		}
		b = appendHeader(b, h.Name, h.Value)
	}
	b = appendExtra(b, r.headers)
	if agent != "" {
		b = appendHeader(b, "Server", agent)
	}
	return appendBody(b, r.kind, r.body)
}

// outgoing is a request to be written; ACK and CANCEL are derived from it.
type outgoing struct {
	method  string
	uri     string
	via     string // transport, sent-by and branch, ready to write
	routes  []string
	from    string
	to      string
	callID  string
	cseq    uint32
	contact string
	headers []Header
	kind    string
	body    []byte
}

func (o *outgoing) bytes(agent string) []byte {
	b := make([]byte, 0, 768+len(o.body))
	b = append(b, o.method...)
	b = append(b, ' ')
	b = append(b, o.uri...)
	b = append(b, " SIP/2.0\r\n"...)
	b = appendHeader(b, "Via", o.via)
	b = append(b, "Max-Forwards: 70\r\n"...)
	for _, route := range o.routes {
		b = appendHeader(b, "Route", route)
	}
	b = appendHeader(b, "From", o.from)
	b = appendHeader(b, "To", o.to)
	b = appendHeader(b, "Call-ID", o.callID)
	b = append(b, "CSeq: "...)
	b = append(b, itoa(int(o.cseq))...)
	b = append(b, ' ')
	b = append(b, o.method...)
	b = append(b, "\r\n"...)
	if o.contact != "" {
		b = appendHeader(b, "Contact", o.contact)
	}
	b = appendExtra(b, o.headers)
	if agent != "" {
		b = appendHeader(b, "User-Agent", agent)
	}
	return appendBody(b, o.kind, o.body)
}

// ackFor is the ACK of a non-2xx answer: same branch, To of the answer (RFC 3261 §17.1.1.3).
func (o *outgoing) ackFor(to string) *outgoing {
	return &outgoing{method: "ACK", uri: o.uri, via: o.via, routes: o.routes, from: o.from, to: to, callID: o.callID, cseq: o.cseq}
}

// cancel is the CANCEL of a pending INVITE (RFC 3261 §9.1).
func (o *outgoing) cancel(reason Reason) *outgoing {
	return &outgoing{
		method: "CANCEL", uri: o.uri, via: o.via, routes: o.routes, from: o.from, to: o.to, callID: o.callID, cseq: o.cseq,
		headers: reason.headers(),
	}
}

func appendHeader(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// ownHeaders may not be given by callers: the package writes them itself.
var ownHeaders = map[string]bool{
	"Via": true, "From": true, "To": true, "Call-ID": true, "CSeq": true, "Content-Length": true,
	"Max-Forwards": true, "Route": true, "Record-Route": true, "Content-Type": true,
}

// appendExtra writes headers that may come from a customer: names must be tokens, values lose their control characters.
func appendExtra(b []byte, headers []Header) []byte {
	for _, h := range headers {
		name := longName(h.Name)
		if !isToken(name) || ownHeaders[name] {
			continue
		}
		b = appendHeader(b, name, clean(h.Value))
	}
	return b
}

func appendBody(b []byte, kind string, body []byte) []byte {
	if len(body) > 0 && kind != "" {
		b = appendHeader(b, "Content-Type", clean(kind))
	}
	b = append(b, "Content-Length: "...)
	b = append(b, itoa(len(body))...)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// nameAddr writes a From or To value without tag.
func nameAddr(display, uri string) string {
	if display = clean(display); display != "" {
		return quote(display) + " <" + uri + ">"
	}
	return "<" + uri + ">"
}

// sipURI writes a SIP URI from parts that may come from a customer.
func sipURI(user, host string, port int) string {
	host = strings.Map(func(r rune) rune {
		if r < 128 && (isHost(string(r)) || r == ':') {
			return r
		}
		return -1
	}, strings.Trim(host, "[]"))
	if user == "" {
		return "sip:" + hostPort(host, port)
	}
	return "sip:" + EscapeUser(user) + "@" + hostPort(host, port)
}
