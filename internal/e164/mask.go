package e164

import "strings"

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
