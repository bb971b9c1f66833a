package ident

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"
	"time"
)

// ErrForm says that a text is no uuid.
var ErrForm = errors.New("not a uuid")

// clock keeps the ids of one process strictly growing within a millisecond (RFC 9562 §6.2, method 1).
type clock struct {
	mu   sync.Mutex
	last uint64 // 48 bits of milliseconds, 12 bits of counter
}

var monotonic clock

func (c *clock) next(ms uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := ms << 12
	if v <= c.last {
		v = c.last + 1
	}
	c.last = v
	return v
}

// New makes a version 7 uuid; ids made one after the other in a process grow strictly.
func New() string {
	v := monotonic.next(uint64(time.Now().UnixMilli()))
	var b [16]byte
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], v>>12<<16|0x7000|v&0xfff)
	copy(b[:8], head[:])
	_, _ = rand.Read(b[8:]) // never fails since Go 1.24
	b[8] = b[8]&0x3f | 0x80
	return format(b)
}

func format(b [16]byte) string {
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

// Parse reads 8-4-4-4-12 hex digits of any version and case and returns them in lower case.
func Parse(s string) (string, error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return "", ErrForm
	}
	out := []byte(s)
	for i, c := range out {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			out[i] = c + 'a' - 'A'
		default:
			return "", ErrForm
		}
	}
	return string(out), nil
}

// Valid tells whether s has the form of a uuid.
func Valid(s string) bool {
	_, err := Parse(s)
	return err == nil
}

// Secret makes a random text of n characters of [A-Za-z0-9], without bias.
func Secret(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	out := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for len(out) < n {
		_, _ = rand.Read(buf)
		for _, c := range buf {
			if c < 248 && len(out) < n { // 248 = 4 * 62
				out = append(out, alphabet[c%62])
			}
		}
	}
	return string(out)
}
