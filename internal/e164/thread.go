package e164

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// Thread names the conversation of two numbers whatever its direction: 32 hex digits, the md5 of both numbers' digits, sorted as
// text and joined by ":". Anything but digits is dropped from a and b; a party without digits (a sender name) counts as it is written.
// It is an identifier, not a protection.
func Thread(a, b string) string {
	a, b = partyDigits(a), partyDigits(b)
	if b < a {
		a, b = b, a
	}
	sum := md5.Sum([]byte(a + ":" + b))
	return hex.EncodeToString(sum[:])
}

func partyDigits(s string) string {
	d := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
	if d == "" {
		return s
	}
	return d
}
