package webhook

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/fetch"
)

// maxHold is how long a node may have a delivery in hand: the longest request with all its redirects.
const maxHold = fetch.MaxTimeout*(fetch.MaxRedirects+1) + leaseMargin

var (
	errStopped = errors.New("server stops")
	errBody    = errors.New("the event is no longer kept")
)

// outcome is what came of an attempt.
type outcome struct {
	status   int
	err      string
	header   map[string]string
	response string
	took     time.Duration
	later    time.Time // when an answer that asks for fewer requests wants the next try (Retry-After); zero: it does not say
	lost     bool      // there is nothing to send any more
}

func (o outcome) good() bool { return o.err == "" && o.status >= 200 && o.status < 300 }

// gone tells that the endpoint wants nothing any more.
func (o outcome) gone() bool { return o.status == 410 }

// result is an attempt that ended.
type result struct {
	d    *delivery
	o    outcome
	sent bool // false: the server stops, or the delivery may be another node's by now
	idle bool // its turn never came: the run ended before it
	last bool // of its run
}

// send makes one request. An error says that it was not made, and nothing about the receiver.
func (s *Service) send(ctx context.Context, d *delivery) (outcome, error) {
	r, err := s.request(ctx, d)
	if errors.Is(err, errBody) {
		return outcome{err: err.Error(), lost: true}, nil
	}
	if err != nil {
		return outcome{}, err
	}
	a, err := s.fetch.Do(ctx, r)
	o := outcome{status: a.Status, took: a.Duration, response: plain(a.Body), header: shownHeader(a.Header)}
	if err == nil {
		if !o.good() {
			o.err = "Status " + strconv.Itoa(a.Status)
			if slowAnswers[a.Status] {
				o.later = retryAfter(a.Header.Get("Retry-After"), s.now())
			}
		}
		return o, nil
	}
	if fetch.KindOf(err) == fetch.Canceled && ctx.Err() != nil {
		return o, errStopped
	}
	o.status, o.err = 0, err.Error()
	return o, nil
}

// request is what a delivery sends. What is in the history is made of the same parts (shownRequest).
func (s *Service) request(ctx context.Context, d *delivery) (fetch.Request, error) {
	n := d.notice
	r := fetch.Request{
		Method: n.Method, URL: d.url(), Header: map[string][]string{}, Timeout: n.Timeout, RedirectLimit: schedules[n.Schedule].redirects, MaxBody: keptBody,
	}
	if n.Timeout < 0 {
		r.Timeout = fetch.NoTimeout
	}
	for k, v := range n.Header {
		r.Header.Set(k, v)
	}
	r.Header.Set("X-Opentact-Event", n.Trigger)
	r.Header.Set("X-Opentact-Attempt", strconv.Itoa(d.tries))
	var secrets []string
	if d.endpoint != nil {
		body, err := s.bodyOf(ctx, d)
		if err != nil {
			return r, err
		}
		n.Body, r.Method, r.Timeout, secrets = body, "POST", signedTimeout, d.endpoint.secrets(d.started)
	} else if n.Secret != "" {
		secrets = []string{n.Secret}
	}
	if r.Method != "GET" {
		r.Body = n.Body
		r.Header.Set("Content-Type", "application/json")
	}
	if len(secrets) > 0 {
		sign(r.Header.Set, secrets, d.messageID(), d.started, r.Body)
	}
	return r, nil
}

// plain makes bytes of a stranger into a text that every database takes.
func plain(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "?"), "\x00", "?")
}

// hiddenHeaders of an answer may hold secrets of the customer.
var hiddenHeaders = map[string]bool{"Set-Cookie": true, "Authorization": true, "Www-Authenticate": true, "Proxy-Authenticate": true, "X-Api-Key": true}

// shownHeader is what is kept of an answer's headers.
func shownHeader(h map[string][]string) map[string]string {
	if len(h) == 0 {
		return nil
	}
	out, size := map[string]string{}, 0
	for k, v := range h {
		text := plain([]byte(strings.Join(v, ", ")))
		if hiddenHeaders[k] {
			text = mask
		}
		if size += len(k) + len(text); size > keptHeader {
			continue
		}
		out[k] = text
	}
	return out
}

// retryAfter reads the header of that name, seconds or an HTTP date (RFC 9110 §10.2.3); what is more than 24 hours away counts as 24 hours.
func retryAfter(v string, now time.Time) time.Time {
	v = strings.TrimSpace(v)
	if v == "" {
		return time.Time{}
	}
	latest := now.Add(maxPause)
	if strings.Trim(v, "0123456789") == "" {
		if n, err := strconv.ParseInt(v, 10, 32); err == nil && time.Duration(n)*time.Second <= maxPause {
			return now.Add(time.Duration(n) * time.Second)
		}
		return latest
	}
	for _, form := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
		if t, err := time.Parse(form, v); err == nil {
			if t.After(latest) {
				return latest
			}
			if t.Before(now) {
				return time.Time{}
			}
			return t
		}
	}
	return time.Time{}
}
