package httpapi

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// lru is a bounded map; the least recently used entry goes when it is full. Not safe for concurrent use.
type lru[K comparable, V any] struct {
	cap   int
	order *list.List // of entry[K, V], the newest in front
	at    map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key K
	val V
}

func newLRU[K comparable, V any](n int) *lru[K, V] {
	return &lru[K, V]{cap: n, order: list.New(), at: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(k K) (V, bool) {
	e, ok := l.at[k]
	if !ok {
		var zero V
		return zero, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).val, true
}

func (l *lru[K, V]) put(k K, v V) {
	if e, ok := l.at[k]; ok {
		e.Value.(*entry[K, V]).val = v
		l.order.MoveToFront(e)
		return
	}
	l.at[k] = l.order.PushFront(&entry[K, V]{k, v})
	if l.order.Len() > l.cap {
		last := l.order.Back()
		l.order.Remove(last)
		delete(l.at, last.Value.(*entry[K, V]).key)
	}
}

// tries counts bad credentials by address and by e-mail. A credential that was good before passes a throttled
// address, so that one broken client does not lock out its neighbours; guesses do not.
type tries struct {
	seed maphash.Seed

	mu    sync.Mutex
	bads  *lru[string, []time.Time] // the last badTries of a key
	known *lru[uint64, struct{}]
}

func newTries() *tries {
	return &tries{
		seed: maphash.MakeSeed(), bads: newLRU[string, []time.Time](maxTryKeys),
		known: newLRU[uint64, struct{}](maxKnownIDs),
	}
}

func (t *tries) print(c Credentials) uint64 {
	return maphash.Comparable(t.seed, [4]string{c.Kind.String(), c.Value, c.User, c.Password})
}

func tryKeys(c Credentials) []string {
	keys := make([]string, 0, 2)
	if c.RemoteIP != "" {
		keys = append(keys, addressKey(c.RemoteIP))
	}
	if c.Kind == Basic && c.User != "" {
		keys = append(keys, "mail:"+strings.ToLower(strings.TrimSpace(c.User))) // as users are found
	}
	return keys
}

// addressKey is an address as a key; of IPv6 the /64, since a client owns that much.
func addressKey(ip string) string {
	if a, err := netip.ParseAddr(ip); err == nil && a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return "ip:" + p.String()
		}
	}
	return "ip:" + ip
}

// blocked tells how long this credential has to wait, zero when it may be tried.
func (t *tries) blocked(c Credentials, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var wait time.Duration
	for _, k := range tryKeys(c) {
		times, _ := t.bads.get(k)
		if len(times) == badTries {
			wait = max(wait, times[0].Add(badWindow).Sub(now))
		}
	}
	if wait <= 0 {
		return 0
	}
	if _, known := t.known.get(t.print(c)); known {
		return 0
	}
	return wait
}

func (t *tries) bad(c Credentials, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range tryKeys(c) {
		times, _ := t.bads.get(k)
		if len(times) == badTries {
			times = times[1:]
		}
		t.bads.put(k, append(append(make([]time.Time, 0, badTries), times...), now))
	}
}

func (t *tries) good(c Credentials) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known.put(t.print(c), struct{}{})
}
