package sim

import "time"

// dice decides everything that is left to chance. A decision depends on the seed and on what it is about, so it is the same however goroutines were scheduled.
type dice uint64

// mix is the last step of SplitMix64: each bit of the input changes half of the output's.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// roll gives the number that belongs to a subject and its ordinals.
func (d dice) roll(subject string, n ...int) uint64 {
	h := mix(uint64(d) + 0x9e3779b97f4a7c15)
	for _, c := range []byte(subject) {
		h = mix(h*31 + uint64(c) + 1)
	}
	for _, v := range n {
		h = mix(h + uint64(v)*0x9e3779b97f4a7c15 + 7)
	}
	return h
}

// chance is true in a share of p of all cases.
func (d dice) chance(p float64, subject string, n ...int) bool {
	return float64(d.roll(subject, n...)>>11)/(1<<53) < p
}

// pick gives a number from 0 to n-1.
func (d dice) pick(n int, subject string, about ...int) int {
	return int(d.roll(subject, about...) % uint64(n))
}

// between gives a whole number of milliseconds from low to high.
func (d dice) between(low, high time.Duration, subject string, n ...int) time.Duration {
	return low + time.Duration(d.roll(subject, n...)%uint64((high-low)/time.Millisecond+1))*time.Millisecond
}

// ordinal makes an ordinal of a text.
func ordinal(s string) int {
	h := uint64(len(s))
	for i := range len(s) {
		h = mix(h*31 + uint64(s[i]))
	}
	return int(h >> 1)
}
