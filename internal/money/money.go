package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Amount is a number of micro-units: 1.25 is 1_250_000.
type Amount int64

// Unit is one whole unit of the currency.
const Unit Amount = 1_000_000

// Errors of Parse and the checked operations.
var (
	ErrForm     = errors.New("not an amount of money with at most 6 decimals")
	ErrOverflow = errors.New("amount of money out of range")
)

// Parse reads a decimal number: an optional sign, digits, at most six decimals (more only when they are zero).
// Exponents, as JSON allows them, are refused.
func Parse(s string) (Amount, error) {
	neg := false
	body := s
	if strings.HasPrefix(body, "-") || strings.HasPrefix(body, "+") {
		neg, body = body[0] == '-', body[1:]
	}
	whole, frac, _ := strings.Cut(body, ".")
	if whole == "" && frac == "" || !digits(whole) || !digits(frac) {
		return 0, ErrForm
	}
	if len(frac) > 6 {
		if strings.Trim(frac[6:], "0") != "" {
			return 0, ErrForm
		}
		frac = frac[:6]
	}
	frac += strings.Repeat("0", 6-len(frac))
	v, err := strconv.ParseInt("0"+whole+frac, 10, 64)
	if err != nil {
		return 0, ErrOverflow
	}
	if neg {
		v = -v
	}
	return Amount(v), nil
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// MustParse is Parse for constants of the program.
func MustParse(s string) Amount {
	a, err := Parse(s)
	if err != nil {
		panic(fmt.Sprintf("money: %q: %v", s, err))
	}
	return a
}

// String gives the shortest decimal form: 1.25, -0.0075, 100.
func (a Amount) String() string {
	u := uint64(a)
	sign := ""
	if a < 0 {
		sign, u = "-", -u
	}
	s := sign + strconv.FormatUint(u/1e6, 10)
	if f := u % 1e6; f != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%06d", f), "0")
	}
	return s
}

// MarshalJSON writes a JSON number.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalJSON reads a JSON number, or a string that holds one.
func (a *Amount) UnmarshalJSON(b []byte) error {
	v, err := Parse(strings.Trim(string(b), `"`))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// Add is a checked sum.
func (a Amount) Add(b Amount) (Amount, error) {
	s := a + b
	if (s > a) != (b > 0) && b != 0 {
		return 0, ErrOverflow
	}
	return s, nil
}

// Times multiplies by a whole number, checked.
func (a Amount) Times(n int64) (Amount, error) { return a.MulDiv(n, 1) }

// MulDiv is a × num ÷ den with a 128-bit intermediate, rounded once, halves away from zero; den must be positive, num not negative.
// The price of a call is rate.MulDiv(seconds, 60).
func (a Amount) MulDiv(num, den int64) (Amount, error) {
	if den <= 0 || num < 0 {
		return 0, ErrOverflow
	}
	u := uint64(a)
	if a < 0 {
		u = -u
	}
	hi, lo := bits.Mul64(u, uint64(num))
	lo, carry := bits.Add64(lo, uint64(den)/2, 0)
	hi += carry
	if hi >= uint64(den) {
		return 0, ErrOverflow
	}
	q, _ := bits.Div64(hi, lo, uint64(den))
	if q > math.MaxInt64 {
		return 0, ErrOverflow
	}
	if a < 0 {
		return -Amount(q), nil
	}
	return Amount(q), nil
}
