package sip

import (
	"strconv"
	"strings"
)

// Reason says why a call ends; it travels as Reason headers (RFC 3326). The zero value writes none.
type Reason struct {
	Q850 int    // cause of ITU-T Q.850, 0 for none
	SIP  int    // SIP status, such as 200 for "Call completed elsewhere", 0 for none
	Text string // free text, cleaned before it is sent
}

func (r Reason) headers() []Header {
	var headers []Header
	add := func(protocol string, cause int) {
		if cause == 0 {
			return
		}
		value := protocol + ";cause=" + itoa(cause)
		if r.Text != "" {
			value += ";text=" + quote(r.Text)
		}
		headers = append(headers, Header{"Reason", value})
	}
	add("SIP", r.SIP)
	add("Q.850", r.Q850)
	return headers
}

// reason reads the Reason headers of a message.
func (m *message) reason() Reason {
	var r Reason
	for _, part := range m.list("Reason") {
		protocol, params, _ := strings.Cut(part, ";")
		value, _ := param(params, "cause")
		cause, err := strconv.Atoi(value)
		if err != nil || cause < 0 || cause > 999 {
			continue
		}
		switch strings.ToUpper(strings.TrimSpace(protocol)) {
		case "Q.850":
			r.Q850 = cause
		case "SIP":
			r.SIP = cause
		default:
			continue
		}
		if text, ok := param(params, "text"); ok && r.Text == "" {
			r.Text = clean(text)
		}
	}
	return r
}
