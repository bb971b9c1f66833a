package sip

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
)

// allowed are the methods named in Allow headers: what calls do. REFER is left to the owner of a call, who declines it, and other methods to the
// Handler; a phone shall not offer its user what will be refused (RFC 3261 §20.5).
const allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, NOTIFY"

// understood are the methods that get 405 rather than 501 where they are not allowed.
const understood = allowed + ", REFER, REGISTER, MESSAGE, SUBSCRIBE, PUBLISH"

// supported are the option tags a peer may require of a call.
var supported = []string{"timer", "100rel"}

const supportedList = "timer, 100rel"

// refusal is the answer to a request that may not reach the user of the package.
type refusal struct {
	status  int
	phrase  string
	headers []Header
}

func refuse(status int, phrase string, headers ...Header) *refusal {
	return &refusal{status: status, phrase: phrase, headers: headers}
}

// checkRequest applies what RFC 3261 §8.2 and §16.3 ask of every receiver. The second result is false when no answer can be addressed: without
// a Via nobody would recognise it.
func (m *message) checkRequest() (*refusal, bool) {
	defect := m.essentials()
	if m.via.host == "" {
		return nil, false
	}
	if !strings.EqualFold(m.version, sipVersion) {
		return refuse(505, ""), true
	}
	if m.defect == "" {
		m.defect = defect
	}
	if m.defect != "" {
		return refuse(400, m.defect), true
	}
	if m.cseqMethod != m.method {
		return refuse(400, "CSeq method does not match the request"), true
	}
	if m.length > len(m.body) {
		return refuse(400, "Content-Length larger than the body"), true
	}
	if m.length >= 0 {
		m.body = m.body[:m.length]
	}
	if r := m.checkURI(); r != nil {
		return r, true
	}
	if r := m.checkForwarding(); r != nil {
		return r, true
	}
	return m.checkBody(), true
}

func (m *message) checkURI() *refusal {
	u, ok := ParseURI(m.uri)
	switch {
	case !ok && u.Scheme == "":
		return refuse(400, "Bad Request-URI")
	case u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel":
		return refuse(416, "")
	case !ok || u.Headers != "": // RFC 3261 §19.1.1: no headers in a Request-URI
		return refuse(400, "Bad Request-URI")
	}
	if m.method == "INVITE" || m.method == "REGISTER" {
		for _, line := range m.headers {
			if line.Name == "Contact" && !contactsOK(line.Value, m.method) {
				return refuse(400, "Bad Contact")
			}
		}
	}
	return nil
}

func contactsOK(value, method string) bool {
	if value == "*" {
		return method == "REGISTER"
	}
	if hollow(value) {
		return false
	}
	var a address
	for _, part := range splitList(value) {
		if !a.parse(part) {
			return false
		}
		// "<" missing: a question mark would belong to the header, RFC 3261 §20.10
		if !strings.Contains(part, "<") && strings.Contains(a.text, "?") {
			return false
		}
	}
	return true
}

func (m *message) checkForwarding() *refusal {
	if value := m.header("Max-Forwards"); value != "" {
		n, err := strconv.ParseUint(value, 10, 8)
		switch {
		case err != nil:
			return refuse(400, "Bad Max-Forwards")
		case n == 0:
			return refuse(483, "")
		}
	}
	if m.method == "ACK" || m.method == "CANCEL" { // RFC 3261 §8.2.2.3
		return nil
	}
	var unknown []string
	for _, tag := range m.list("Require") {
		if !supportedTag(tag) {
			unknown = append(unknown, clean(tag))
		}
	}
	if unknown != nil {
		return refuse(420, "", Header{"Unsupported", strings.Join(unknown, ", ")})
	}
	return nil
}

func supportedTag(tag string) bool {
	for _, known := range supported {
		if strings.EqualFold(tag, known) {
			return true
		}
	}
	return false
}

// checkBody lets bodies of calls pass only when they hold SDP; from a multipart/mixed body the SDP part is taken (RFC 5621 §3.1).
func (m *message) checkBody() *refusal {
	switch m.method {
	case "INVITE", "UPDATE", "PRACK", "ACK":
	default:
		return nil
	}
	if m.method == "INVITE" {
		if accept := m.header("Accept"); accept != "" && !acceptsSDP(accept) {
			return refuse(406, "")
		}
	}
	if encoding := m.header("Content-Encoding"); len(m.body) > 0 && encoding != "" && !strings.EqualFold(encoding, "identity") {
		return refuse(415, "", Header{"Accept-Encoding", "identity"})
	}
	if len(m.body) == 0 {
		return nil
	}
	if m.header("Content-Type") == "" {
		return refuse(400, "Missing Content-Type")
	}
	body, ok := sdpOf(m.header("Content-Type"), m.body)
	if !ok {
		return refuse(415, "", Header{"Accept", "application/sdp, multipart/mixed"})
	}
	m.body = body
	return nil
}

func acceptsSDP(accept string) bool {
	for _, part := range splitList(accept) {
		media, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/sdp", "application/*", "*/*", "multipart/mixed":
			return true
		}
	}
	return false
}

// sdpOf finds the SDP in a body of the given type.
func sdpOf(contentType string, body []byte) ([]byte, bool) {
	if len(contentType) >= 15 && strings.EqualFold(contentType[:15], "application/sdp") {
		return body, true
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || !strings.HasPrefix(media, "multipart/") || params["boundary"] == "" {
		return nil, false
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range 16 {
		part, err := parts.NextRawPart()
		if err != nil {
			return nil, false
		}
		if kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); kind == "application/sdp" {
			sdp, err := io.ReadAll(io.LimitReader(part, maxMessage))
			return sdp, err == nil
		}
	}
	return nil, false
}

// checkResponse says whether a response is whole; a broken one is dropped, the transaction's timers see to the rest.
func (m *message) checkResponse() bool {
	if m.essentials() != "" || m.defect != "" || m.length > len(m.body) {
		return false
	}
	if m.length >= 0 {
		m.body = m.body[:m.length]
	}
	return true
}

// responseSDP is the SDP of a response or ACK, nil when there is none.
func (m *message) responseSDP() []byte {
	if len(m.body) == 0 {
		return nil
	}
	sdp, _ := sdpOf(m.header("Content-Type"), m.body)
	return sdp
}
