package sip

import (
	"strconv"
	"strings"
	"time"
)

// session is the session timer of a dialog (RFC 4028).
type session struct {
	offered  time.Duration // what our INVITE asks for
	least    time.Duration // Min-SE after a 422
	interval time.Duration // agreed; 0 for none
	timer    timer
}

// request are the headers of our INVITE, re-INVITE or UPDATE.
func (s *session) request() []Header {
	interval, least := s.offered, max(s.least, MinSessionExpires)
	value := ""
	if s.interval > 0 {
		interval, value = s.interval, ";refresher=uac"
	}
	if interval == 0 {
		return nil
	}
	return []Header{{"Session-Expires", itoa(int(interval.Seconds())) + value}, {"Min-SE", itoa(int(least.Seconds()))}}
}

// sessionTooShort says that the peer wants to be refreshed more often than we allow (RFC 4028 §9).
func sessionTooShort(m *message) bool {
	asked := seconds(m.header("Session-Expires"))
	return asked > 0 && asked < MinSessionExpires && m.hasToken("Supported", "timer")
}

// acceptSession answers the session timer of an INVITE or UPDATE that gets a 2xx, and starts it; mu is held.
func (d *Dialog) acceptSession(m *message) []Header {
	value := m.header("Session-Expires")
	timed := m.hasToken("Supported", "timer") || m.hasToken("Require", "timer")
	interval := seconds(value)
	if interval == 0 && !timed {
		return nil
	}
	if interval == 0 {
		interval = max(DefaultSessionExpires, seconds(m.header("Min-SE")))
	}
	interval = max(interval, MinSessionExpires)
	_, params, _ := strings.Cut(value, ";")
	refresher, _ := param(params, "refresher")
	if refresher != "uas" {
		refresher = "uac"
	}
	if !timed {
		refresher = "uas"
	}
	d.armSession(interval, refresher == "uas")
	headers := []Header{{"Session-Expires", itoa(int(interval.Seconds())) + ";refresher=" + refresher}}
	if refresher == "uac" {
		headers = append(headers, Header{"Require", "timer"})
	}
	return headers
}

// startSession reads the session timer of a 2xx to our request; mu is held.
func (d *Dialog) startSession(m *message) {
	value := m.header("Session-Expires")
	interval := seconds(value)
	if interval == 0 {
		d.session.interval = 0
		d.sh.wheel.stop(&d.session.timer)
		return
	}
	_, params, _ := strings.Cut(value, ";")
	refresher, _ := param(params, "refresher")
	d.armSession(max(interval, MinSessionExpires), refresher != "uas")
}

// armSession starts the timer: the refresher acts at half the interval, the other side gives up shortly before its end (RFC 4028 §10).
func (d *Dialog) armSession(interval time.Duration, refresh bool) {
	if d.state >= stateEnding {
		return
	}
	d.session.interval = interval
	if refresh {
		d.sh.wheel.set(&d.session.timer, interval/2, d.refresh)
		return
	}
	d.sh.wheel.set(&d.session.timer, interval-min(32*time.Second, interval/3), d.expired)
}

func (d *Dialog) expired() {
	d.mu.Lock()
	d.lose("Session expired")
	d.unlock()
}

// refresh sends UPDATE, or a re-INVITE with the SDP that is in force when the peer does not know UPDATE.
func (d *Dialog) refresh() {
	d.mu.Lock()
	defer d.unlock()
	interval := d.session.interval
	if d.state != stateLive || interval == 0 {
		return
	}
	if d.offering || d.offerTx != nil { // that offer refreshes the session too
		d.sh.wheel.set(&d.session.timer, interval/8, d.refresh)
		return
	}
	headers := append([]Header{{"Allow", allowed}, {"Supported", supportedList}}, d.session.request()...)
	r := midRequest{method: "UPDATE", contact: d.contact, headers: headers}
	if d.heard == nil || !d.heard.hasToken("Allow", "UPDATE") {
		r.method, r.kind, r.body = "INVITE", "application/sdp", d.localSDP
	}
	d.offering = true
	r.on = func(m *message, err error) { d.refreshed(m, err) }
	d.sh.wheel.set(&d.session.timer, interval/2-min(32*time.Second, interval/6), d.expired)
	d.send(r)
}

func (d *Dialog) refreshed(m *message, err error) {
	d.mu.Lock()
	defer d.unlock()
	d.offering = false
	d.settle()
	switch {
	case d.state != stateLive:
	case err != nil || m.status == 481 || m.status == 408: // RFC 4028 §10, RFC 3261 §12.2.1.2
		d.lose("Session refresh failed")
	case m.status < 300:
		d.startSession(m)
	default: // such as 491: once more while there is time
		d.sh.wheel.set(&d.session.timer, d.session.interval/8, d.refresh)
	}
}

// seconds reads the number that begins a header such as Session-Expires, Min-SE, Retry-After; 0 when there is none.
func seconds(value string) time.Duration {
	end := 0
	for end < len(value) && value[end] >= '0' && value[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(value[:end], 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
