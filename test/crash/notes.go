package crash

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Kinds of requests.
const (
	kindSMS     = "message"
	kindInbound = "inbound message"
	kindCall    = "call"
	kindRing    = "inbound call"
	kindOrder   = "order"
	kindCredit  = "credit"
)

// note is a request with an acknowledged effect.
type note struct {
	kind, tag string // tag is in the request and tells its effect from all others
	id        string // that the server gave
	replayed  bool   // the answer was the stored one
	tries     int
	at        time.Duration // of the answer, since the run began
}

// notes are what customers were promised.
type notes struct {
	began time.Time

	mu         sync.Mutex
	acks       map[string]map[string]note // by kind and tag
	open       map[string]string          // tag to kind of requests without an answer yet
	complaints []complaint
	retried    int
	replayed   int

	lost, doubled int   // acknowledged effects
	drift         int64 // micro-dollars between balances and ledgers
}

// complaint is one kind of broken promise, with its cases.
type complaint struct {
	format string
	cases  []string
}

func newNotes() *notes {
	return &notes{began: time.Now(), acks: map[string]map[string]note{}, open: map[string]string{}}
}

func (n *notes) begin(kind, tag string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[tag] = kind
}

func (n *notes) ack(a note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, a.tag)
	a.at = time.Since(n.began)
	if n.acks[a.kind] == nil {
		n.acks[a.kind] = map[string]note{}
	}
	n.acks[a.kind][a.tag] = a
	if a.tries > 1 {
		n.retried++
	}
	if a.replayed {
		n.replayed++
	}
}

// refused closes a request that had no effect.
func (n *notes) refused(tag string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, tag)
}

func (n *notes) complain(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.complaints, func(c complaint) bool { return c.format == format })
	if i < 0 {
		i = len(n.complaints)
		n.complaints = append(n.complaints, complaint{format: format})
	}
	n.complaints[i].cases = append(n.complaints[i].cases, fmt.Sprintf(format, args...))
}

func (n *notes) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := 0
	for _, k := range n.acks {
		all += len(k)
	}
	return all
}

// of gives the acknowledged requests of a kind; nobody adds to them any more.
func (n *notes) of(kind string) map[string]note {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.acks[kind]
}
