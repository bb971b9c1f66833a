package httpapi

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/opentact/opentact/internal/fault"
)

// Limit is a token bucket.
type Limit struct {
	PerSecond float64
	Burst     int
}

// buckets are the rate limits of accounts, and of addresses for operations without a credential. A bucket that is
// dropped when the map is full starts again full, which an idle one is anyway after Burst/PerSecond seconds.
type buckets struct {
	mu sync.Mutex
	by *lru[string, *rate.Limiter]
}

func newBuckets(n int) *buckets { return &buckets{by: newLRU[string, *rate.Limiter](n)} }

// take asks for one request; wait is above zero when it has to be refused.
func (b *buckets) take(l Limit, key string, now time.Time) (left float64, wait time.Duration) {
	lim := b.limiter(l, key, now)
	if lim.AllowN(now, 1) {
		return lim.TokensAt(now), 0
	}
	left = lim.TokensAt(now)
	return left, time.Duration((1 - left) / l.PerSecond * float64(time.Second))
}

func (b *buckets) limiter(l Limit, key string, now time.Time) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	lim, ok := b.by.get(key)
	if !ok {
		lim = rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst)
		b.by.put(key, lim)
	}
	if lim.Burst() != l.Burst || float64(lim.Limit()) != l.PerSecond {
		lim.SetLimitAt(now, rate.Limit(l.PerSecond))
		lim.SetBurstAt(now, l.Burst)
	}
	return lim
}

// left tells what a bucket holds without taking from it; an unknown one is full.
func (b *buckets) left(l Limit, key string, now time.Time) float64 {
	b.mu.Lock()
	lim, ok := b.by.get(key)
	b.mu.Unlock()
	if !ok {
		return float64(l.Burst)
	}
	return lim.TokensAt(now)
}

// showLimit writes the headers of answers that take nothing from a bucket.
func (a *API) showLimit(st *state) {
	l := a.opt.Limit
	limitHeaders(st.w.Header(), l, a.limits.left(l, addressKey(st.remote), st.start))
}

// The header names in the form that net/http keeps.
const (
	limitHeader     = "Ratelimit-Limit"
	remainingHeader = "Ratelimit-Remaining"
	resetHeader     = "Ratelimit-Reset"
)

// limitHeaders says the size of the bucket, what is left in it, and in how many seconds it is full again.
func limitHeaders(h http.Header, l Limit, left float64) {
	left = min(max(left, 0), float64(l.Burst))
	v := [3]string{strconv.Itoa(l.Burst), strconv.Itoa(int(left)), strconv.Itoa(int(math.Ceil((float64(l.Burst) - left) / l.PerSecond)))}
	h[limitHeader], h[remainingHeader], h[resetHeader] = v[0:1:1], v[1:2:2], v[2:3:3]
}

// limit takes one request from the caller's bucket.
func (a *API) limit(st *state) error {
	l := a.opt.Limit
	if a.opt.LimitOf != nil && !st.identity.Anonymous() {
		if own := a.opt.LimitOf(st.identity); own.PerSecond > 0 && own.Burst > 0 {
			l = own
		}
	}
	if st.identity.Unlimited {
		limitHeaders(st.w.Header(), l, float64(l.Burst))
		return nil
	}
	key := "account:" + st.identity.Account
	if st.identity.Anonymous() {
		key = addressKey(st.remote)
	}
	left, wait := a.limits.take(l, key, a.now())
	limitHeaders(st.w.Header(), l, left)
	if wait > 0 {
		return &fault.Error{Code: fault.RateLimited, Retry: wait}
	}
	return nil
}
