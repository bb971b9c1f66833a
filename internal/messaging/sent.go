package messaging

import "sync"

// maxSent is how many messages a node remembers that wait for their receipts; those of older ones are looked up in the table.
const maxSent = 10000

// sent remembers the messages that this node handed over last, by the carrier's names of them: their receipts need not be looked up. A remembered message may
// be out of date; whoever changes it by a receipt must make sure that it is not.
type sent struct {
	mu    sync.Mutex // guards those below
	m     map[string]*Message
	order []string // names in the order in which they came; the oldest gives way
	next  int
}

func newSent() *sent { return &sent{m: map[string]*Message{}, order: make([]string, maxSent)} }

// put remembers messages that wait for one receipt.
func (c *sent) put(list []*Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range list {
		if m.Ref == "" || m.State != Success || m.Delivered {
			continue
		}
		delete(c.m, c.order[c.next])
		c.order[c.next] = m.Ref
		c.next = (c.next + 1) % len(c.order)
		c.m[m.Ref] = m
	}
}

// peek gives copies of the messages of these names that it remembers.
func (c *sent) peek(refs []string) map[string]*Message {
	out := make(map[string]*Message, len(refs))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ref := range refs {
		if m := c.m[ref]; m != nil && out[ref] == nil {
			mine := *m
			out[ref] = &mine
		}
	}
	return out
}

// forget drops messages that were changed.
func (c *sent) forget(list []*Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range list {
		delete(c.m, m.Ref)
	}
}
