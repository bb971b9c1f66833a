package sim

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opentact/opentact/internal/webhook"
)

// secret signs the callbacks, so that each tells the id of its notification.
const secret = "whsec_c2ltdWxhdGVkLXNlY3JldC1vZi10aGUtY3VzdG9tZXI="

// Addresses of the customer's servers.
const (
	firstURL  = "http://hooks.example.com/sms"
	secondURL = "http://backup.example.com/sms"
	eventsURL = "http://events.example.com/all" // of the endpoint
)

// eventsHost is where the endpoint's deliveries go.
const eventsHost = "events.example.com"

// customer is a customer's server behind all names.
type customer struct {
	w *world

	mu  sync.Mutex // guards got
	got []*request
}

// request is a notification as it arrived.
type request struct {
	id      string // webhook-id
	trigger string
	host    string
	body    string
	attempt int
	status  int           // what was answered; zero: nothing
	after   time.Duration // that the answer asked for (Retry-After)
	at      time.Time
	until   time.Time // of the answer, or of the end without one
	death   int       // deaths of the process until then
}

func newCustomer(w *world) *customer { return &customer{w: w} }

// serve answers the requests of one connection.
func (c *customer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		attempt, _ := strconv.Atoi(r.Header.Get("X-Opentact-Attempt"))
		q := &request{id: r.Header.Get("Webhook-Id"), trigger: r.Header.Get("X-Opentact-Event"), host: r.Host, body: string(body), attempt: attempt, at: time.Now()}
		if at, _ := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64); r.Header.Get("Webhook-Signature") != webhook.Signature(secret, q.id, time.Unix(at, 0), body) {
			c.w.problem("notification %s has a wrong signature", q.id)
		}
		c.begin(q)
		c.w.trace.add("notification %s of %s to %s, attempt %d", q.trigger, keyOf(q.body), q.host, q.attempt)
		more := c.answer(conn, q)
		c.end(q)
		if !more {
			return
		}
	}
}

// begin and end keep a request with its time.
func (c *customer) begin(q *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, q)
}

func (c *customer) end(q *request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q.until = time.Now()
}

// patience is how long the platform waits for an answer of the endpoint (webhooks.md §7.3).
const patience = 15 * time.Second

// most gives how many requests the platform had under way to the endpoint at once.
func (c *customer) most() (most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	type change struct {
		at time.Time
		by int
	}
	var all []change
	for _, q := range c.got {
		if q.host != eventsHost {
			continue
		}
		until := q.at.Add(patience)
		if !q.until.IsZero() && q.until.Before(until) {
			until = q.until
		}
		all = append(all, change{q.at, 1}, change{until, -1})
	}
	slices.SortFunc(all, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), a.by-b.by) })
	now := 0
	for _, c := range all {
		now += c.by
		most = max(most, now)
	}
	return most
}

// away tells the time in which the endpoint takes nothing.
func (w *world) away(at time.Duration) bool {
	if !w.chance(w.mood.customer, "endpoint goes away") {
		return false
	}
	from := w.between(0, w.busy/2, "endpoint away")
	return at >= from && at < from+w.between(time.Second, w.busy, "endpoint away for")
}

// cursors finds the place of an event in the log, which is the same in each play of a seed.
var cursors = regexp.MustCompile(`"cursor":"c_[0-9a-f]+"`)

// answer does what the dice say; false ends the connection.
func (c *customer) answer(conn net.Conn, q *request) bool {
	w := c.w
	if q.host == eventsHost {
		return c.answerEvent(conn, q)
	}
	about := []int{ordinal(keyOf(q.body) + q.trigger), ordinal(q.host), q.attempt}
	if w.chance(w.mood.customer/30, "never answers", about[0]) {
		return c.write(conn, q, 500, "")
	}
	if w.healed.Load() || !w.chance(w.mood.customer, "notification", about...) {
		return c.write(conn, q, 200, "")
	}
	return c.trouble(conn, q, about)
}

// answerEvent is the endpoint: it may be away for a while, and never fails for good.
func (c *customer) answerEvent(conn net.Conn, q *request) bool {
	w := c.w
	about := []int{ordinal(cursors.FindString(q.body)), ordinal(q.host), q.attempt}
	switch {
	case w.healed.Load():
		return c.write(conn, q, 200, "")
	case w.away(time.Since(w.start)):
		return c.write(conn, q, 503, "")
	case w.chance(w.mood.customer/4, "puts off", about...):
		q.after = w.between(10*time.Second, 90*time.Second, "puts off for", about...).Truncate(time.Second)
		return c.write(conn, q, 503, fmt.Sprintf("Retry-After: %d\r\n", int(q.after.Seconds())))
	case w.chance(w.mood.customer, "delivery", about...):
		return c.trouble(conn, q, about)
	}
	return c.write(conn, q, 200, "")
}

// trouble is anything but a good answer in time.
func (c *customer) trouble(conn net.Conn, q *request, about []int) bool {
	w := c.w
	switch w.pick(8, "trouble of a notification", about...) {
	case 0:
		return c.write(conn, q, 500, "")
	case 1:
		q.after = 7 * time.Second
		return c.write(conn, q, 429, "Retry-After: 7\r\n")
	case 2:
		return c.write(conn, q, 302, "Location: http://elsewhere.example.com/\r\n")
	case 3: // no answer
		time.Sleep(time.Minute)
		return false
	case 4: // got, and the connection breaks
		return false
	case 5: // half an answer
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		return false
	case 6:
		time.Sleep(w.between(time.Second, 9*time.Second, "slow answer", about...))
		return c.write(conn, q, 204, "")
	}
	time.Sleep(w.between(11*time.Second, 20*time.Second, "too slow an answer", about...))
	return c.write(conn, q, 200, "")
}

func (c *customer) write(conn net.Conn, q *request, status int, header string) bool {
	body := "Content-Length: 2\r\n\r\nok"
	if status == 204 {
		body = "\r\n"
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n%s%s", status, http.StatusText(status), header, body)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	q.status = status
	c.w.mu.Lock()
	q.death = c.w.deaths
	c.w.mu.Unlock()
	return true
}

// requests gives what arrived, by the id of the notification: the endpoint's or the others.
func (c *customer) requests(endpoint bool) map[string][]*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]*request{}
	for _, q := range c.got {
		if endpoint != (q.host == eventsHost) {
			continue
		}
		id := strings.TrimPrefix(q.id, "msg_")
		out[id] = append(out[id], q)
	}
	return out
}
