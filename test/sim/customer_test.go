package sim

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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
)

// customer is a customer's server behind both names.
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
	status  int // what was answered; zero: nothing
	at      time.Time
	death   int // deaths of the process until then
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
		c.mu.Lock()
		c.got = append(c.got, q)
		c.mu.Unlock()
		c.w.trace.add("notification %s of %s to %s, attempt %d", q.trigger, keyOf(q.body), q.host, q.attempt)
		if !c.answer(conn, q) {
			return
		}
	}
}

// answer does what the dice say; false ends the connection.
func (c *customer) answer(conn net.Conn, q *request) bool {
	w := c.w
	about := []int{ordinal(keyOf(q.body) + q.trigger), ordinal(q.host), q.attempt}
	if w.chance(w.mood.customer/30, "never answers", about[0]) {
		return c.write(conn, q, 500, "")
	}
	if w.healed.Load() || !w.chance(w.mood.customer, "notification", about...) {
		return c.write(conn, q, 200, "")
	}
	switch w.pick(8, "trouble of a notification", about...) {
	case 0:
		return c.write(conn, q, 500, "")
	case 1:
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

// requests gives what arrived, by the id of the notification.
func (c *customer) requests() map[string][]*request {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]*request{}
	for _, q := range c.got {
		id := strings.TrimPrefix(q.id, "msg_")
		out[id] = append(out[id], q)
	}
	return out
}
