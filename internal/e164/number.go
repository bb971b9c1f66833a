package e164

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Lengths of a number, country code included (E.164 §6.2.1; the lower bound is the contract's).
const (
	MinDigits = 7
	MaxDigits = 15

	// maxText bounds what Parse looks at, in bytes: the longest number with generous punctuation.
	maxText = 128
)

// ErrInvalid is inside every error of Parse.
var ErrInvalid = errors.New("invalid number")

// Number is a telephone number as digits with country code, without "+". The empty Number means none.
type Number string

// Parse reads any usual spelling: an optional "+", digits, and between them spaces of any kind, dots, dashes, slashes and brackets.
// Ten digits that start with 2 to 9 and carry no "+" are a North American number and get a leading 1.
// The error says what is wrong and matches ErrInvalid.
func Parse(s string) (Number, error) {
	digits, plus, err := strip(s, "")
	if err != nil {
		return "", err
	}
	if !plus && northAmerican(digits) {
		digits = "1" + digits
	}
	return exact(digits)
}

// northAmerican tells ten digits that lack their country code 1.
func northAmerican(digits string) bool { return len(digits) == 10 && digits[0] >= '2' }

// FromInt takes digits with country code as they were stored: unlike Parse it never adds a 1.
func FromInt(n int64) (Number, error) {
	if n <= 0 {
		return "", fmt.Errorf("%w: %d is not positive", ErrInvalid, n)
	}
	return exact(strconv.FormatInt(n, 10))
}

// MustParse is Parse for constants of the program.
func MustParse(s string) Number {
	n, err := Parse(s)
	if err != nil {
		panic(fmt.Sprintf("e164: %q: %v", s, err))
	}
	return n
}

func exact(digits string) (Number, error) {
	switch {
	case digits == "":
		return "", fmt.Errorf("%w: no digits", ErrInvalid)
	case len(digits) < MinDigits:
		return "", fmt.Errorf("%w: %d digits, at least %d are needed", ErrInvalid, len(digits), MinDigits)
	case len(digits) > MaxDigits:
		return "", fmt.Errorf("%w: %d digits, at most %d are allowed", ErrInvalid, len(digits), MaxDigits)
	case digits[0] == '0':
		return "", fmt.Errorf("%w: no country code starts with 0", ErrInvalid)
	}
	return Number(digits), nil
}

// strip removes the punctuation of a written number and tells whether it began with "+". The characters of also are kept as digits are.
func strip(s, also string) (digits string, plus bool, err error) {
	if len(s) > maxText {
		return "", false, fmt.Errorf("%w: more than %d characters", ErrInvalid, maxText)
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r >= '0' && r <= '9', strings.ContainsRune(also, r):
			b.WriteRune(r)
		case r == '+' && !plus && b.Len() == 0:
			plus = true
		case !punctuation(r):
			return "", false, fmt.Errorf("%w: unexpected %q at position %d", ErrInvalid, r, i)
		}
	}
	return b.String(), plus, nil
}

// punctuation tells what may stand between digits: spaces, dashes, brackets, dots, slashes and the invisible direction marks that
// address books put around numbers.
func punctuation(r rune) bool {
	return r == '.' || r == '/' || r == '\u2212' || r == '(' || r == ')' || r == '[' || r == ']' ||
		unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Cf, r)
}

// Digits is the number without "+".
func (n Number) Digits() string { return string(n) }

// Plus is the number with "+", or empty.
func (n Number) Plus() string {
	if n == "" {
		return ""
	}
	return "+" + string(n)
}

// String is the digits.
func (n Number) String() string { return string(n) }

// Int is the digits as an integer, as the wire's `tn` members carry them; 0 when there is no number.
func (n Number) Int() int64 {
	v, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// MarshalJSON writes the digits as a JSON integer, or null when there is no number.
func (n Number) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("null"), nil
	}
	if _, err := exact(string(n)); err != nil {
		return nil, err
	}
	return []byte(n), nil
}

// UnmarshalJSON reads an integer or a string as Parse does, so ten digits get a leading 1 in both; null leaves the number alone.
func (n *Number) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	if strings.HasPrefix(s, `"`) {
		if err := json.Unmarshal(b, &s); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	} else if strings.Trim(s, "0123456789") != "" {
		return fmt.Errorf("%w: %s is not an integer", ErrInvalid, s)
	}
	v, err := Parse(s)
	if err != nil {
		return err
	}
	*n = v
	return nil
}
