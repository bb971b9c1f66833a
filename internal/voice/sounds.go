package voice

import (
	"container/list"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of the sounds that are kept.
const (
	maxSounds    = 64 << 20 // bytes of samples
	longestFresh = 24 * time.Hour
)

// sounds keeps what documents play from customers' servers, decoded, as long as those allow (RFC 9111). The least used go first.
type sounds struct {
	mu    sync.Mutex
	byKey map[string]*list.Element // of *sound
	used  list.List                // the newest in front
	bytes int
}

// sound is one file; its samples are shared and must not be changed.
type sound struct {
	key     string
	samples []int16
	etag    string    // "" cannot be asked about again
	until   time.Time // fresh so long
}

// get finds a sound; one that is not fresh must be asked about by its ETag.
func (c *sounds) get(key string) (sound, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return sound{}, false
	}
	c.used.MoveToFront(e)
	return *e.Value.(*sound), true
}

// keep remembers a sound as the headers of its answer allow, or forgets what was there.
func (c *sounds) keep(one sound, header map[string][]string, now time.Time) {
	age, store := freshness(header)
	one.until = now.Add(age)
	if etag := strings.Join(header["Etag"], ""); etag != "" {
		one.etag = etag
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey == nil {
		c.byKey = map[string]*list.Element{}
	}
	if old, ok := c.byKey[one.key]; ok {
		c.drop(old)
	}
	if size := 2 * len(one.samples); !store || age <= 0 && one.etag == "" || size > maxSounds {
		return
	}
	c.byKey[one.key] = c.used.PushFront(&one)
	c.bytes += 2 * len(one.samples)
	for c.bytes > maxSounds {
		c.drop(c.used.Back())
	}
}

// drop is called with the lock held.
func (c *sounds) drop(e *list.Element) {
	one := c.used.Remove(e).(*sound)
	delete(c.byKey, one.key)
	c.bytes -= 2 * len(one.samples)
}

// freshness says how long an answer may be used unasked, and whether it may be kept at all (RFC 9111 §5.2.2). This is a private cache: each account has
// its own. Without a word of the server nothing is fresh.
func freshness(header map[string][]string) (age time.Duration, store bool) {
	store = true
	for directive := range strings.SplitSeq(strings.ToLower(strings.Join(header["Cache-Control"], ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store":
			return 0, false
		case "no-cache":
			return 0, true
		case "max-age":
			age = deltaSeconds(strings.Trim(value, `"`))
		}
	}
	return max(0, age-deltaSeconds(strings.Join(header["Age"], ""))), store
}

// deltaSeconds reads RFC 9111 §1.2.2; what is no number is 0.
func deltaSeconds(v string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, longestFresh)
}
