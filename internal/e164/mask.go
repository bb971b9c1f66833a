package e164

import (
	"fmt"
	"strings"
)

// Mask is what a search compares numbers with: digits, `*` for any run, also an empty one, `%` for exactly one digit. The empty Mask means none was asked for.
type Mask string

// ParseMask reads a number filter in any spelling that Parse takes, with `*` and `%` among the digits. Ten digits that start with 2 to 9 and carry
// neither "+" nor a mask character get a leading 1, as in Parse; how many there are else does not matter. The error matches ErrInvalid.
func ParseMask(s string) (Mask, error) {
	text, plus, err := strip(s, "*%")
	switch {
	case err != nil:
		return "", err
	case text == "":
		return "", fmt.Errorf("%w: no digits", ErrInvalid)
	case !plus && northAmerican(text) && !strings.ContainsAny(text, "*%"):
		text = "1" + text
	}
	return Mask(text), nil
}

// MatchMask compares digits with a search mask: `*` is any run, also an empty one, `%` is exactly one digit; without them the whole
// value must be equal. Punctuation and "+" in the mask are ignored; any other character makes it match nothing.
func MatchMask(mask, digits string) bool {
	var b strings.Builder
	for _, r := range mask {
		switch {
		case r >= '0' && r <= '9', r == '*', r == '%':
			b.WriteByte(byte(r))
		case r != '+' && !punctuation(r):
			return false
		}
	}
	return glob(b.String(), digits)
}

// glob needs no recursion: on a mismatch only the last `*` can take one digit more.
func glob(mask, s string) bool {
	m, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case m < len(mask) && mask[m] == '*':
			star, from = m, i
			m++
		case m < len(mask) && (mask[m] == '%' || mask[m] == s[i]):
			m++
			i++
		case star >= 0:
			from++
			m, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(mask[m:], "*") == ""
}
