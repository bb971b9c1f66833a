package messaging

import "sync"

// references counts the 8-bit references of joined messages for each pair of numbers (3GPP TS 23.040 §9.2.3.24.1): two messages that follow one another in a
// thread never share one. It remembers at least the last most threads that had such messages; the count of any other starts anywhere.
type references struct {
	most int

	mu     sync.Mutex      // guards those below
	recent map[string]byte // by thread
	older  map[string]byte // what was recent before it
}

// next gives the reference of a message; one without segments needs none.
func (r *references) next(m *Message) byte {
	if m.Segments < 2 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, known := r.recent[m.Thread]
	if !known {
		if ref, known = r.older[m.Thread]; !known {
			ref = anyReference(m.ID)
		}
		if r.recent == nil || len(r.recent) >= r.most {
			r.recent, r.older = map[string]byte{}, r.recent
		}
	}
	ref++
	r.recent[m.Thread] = ref
	return ref
}

// anyReference is a hash of a message's uuid.
func anyReference(id string) (n byte) {
	for i := range len(id) {
		n = n*31 + id[i]
	}
	return n
}
