package db

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Where gathers the conditions of a search and their arguments; the zero value matches everything.
// Conditions are written with ? for each argument; SQL numbers them. Fixed conditions (the account) always hold; the others are joined by Or or AND.
type Where struct {
	Or    bool
	fixed []string
	conds []string
	fargs []any
	args  []any
}

// Fix adds a condition that always holds.
func (w *Where) Fix(cond string, args ...any) {
	w.fixed, w.fargs = append(w.fixed, cond), append(w.fargs, args...)
}

// Add adds a filter.
func (w *Where) Add(cond string, args ...any) {
	w.conds, w.args = append(w.conds, cond), append(w.args, args...)
}

// Mask adds a filter by mask without regard to case: * any run, % one character, no mask: the whole value (rest-conventions §7).
// A mask without letters compares the column itself, by its index when there is one.
func (w *Where) Mask(column, mask string) {
	arg := "?"
	if strings.ContainsFunc(mask, hasCase) {
		column, arg = foldCase+"("+column+")", foldCase+"(?)"
	}
	if !strings.ContainsAny(mask, "*%") {
		w.Add(column+" = "+arg, mask)
		return
	}
	w.Add(column+" LIKE "+arg+" ESCAPE '!'", LikeMask(mask))
}

func hasCase(r rune) bool { return r >= utf8.RuneSelf || 'a' <= r|0x20 && r|0x20 <= 'z' }

// Digits adds a filter of a column that holds a number as an integer: digits, or a mask of them as in Mask. Digits alone use the column's index.
func (w *Where) Digits(column, mask string) {
	if strings.ContainsAny(mask, "*%") {
		w.Add("CAST("+column+" AS TEXT) LIKE ? ESCAPE '!'", LikeMask(mask))
		return
	}
	n, err := strconv.ParseInt(mask, 10, 64)
	if err != nil { // longer than any number
		w.Add("1 = 0")
		return
	}
	w.Add(column+" = ?", n)
}

// LikeMask turns a mask into a LIKE pattern with ! as escape.
func LikeMask(mask string) string {
	var b strings.Builder
	for _, r := range mask {
		switch r {
		case '*':
			b.WriteByte('%')
		case '%':
			b.WriteByte('_')
		case '_', '!':
			b.WriteByte('!')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Between adds a closed range of times; a zero end is open. The upper end takes its whole millisecond, the precision of the wire.
func (w *Where) Between(column string, from, to time.Time) {
	switch {
	case !from.IsZero() && !to.IsZero():
		w.Add("("+column+" >= ? AND "+column+" <= ?)", from.UnixMicro(), to.UnixMicro()+999)
	case !from.IsZero():
		w.Add(column+" >= ?", from.UnixMicro())
	case !to.IsZero():
		w.Add(column+" <= ?", to.UnixMicro()+999)
	}
}

// In adds "one of"; an empty list matches nothing.
func (w *Where) In(column string, values []string) { w.list(column, " IN ", "1 = 0", values) }

// NotIn adds "none of, or NULL"; an empty list matches everything.
func (w *Where) NotIn(column string, values []string) {
	if len(values) == 0 {
		return
	}
	marks := strings.TrimSuffix(strings.Repeat("?,", len(values)), ",")
	w.Add("("+column+" IS NULL OR "+column+" NOT IN ("+marks+"))", anys(values)...)
}

func (w *Where) list(column, op, empty string, values []string) {
	if len(values) == 0 {
		w.Add(empty)
		return
	}
	w.Add(column+op+"("+strings.TrimSuffix(strings.Repeat("?,", len(values)), ",")+")", anys(values)...)
}

func anys(values []string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// SQL gives " WHERE …" (empty without conditions) with $1, $2, … and the arguments.
func (w *Where) SQL() (string, []any) {
	joint := " AND "
	if w.Or {
		joint = " OR "
	}
	parts := append([]string(nil), w.fixed...)
	if len(w.conds) > 0 {
		parts = append(parts, "("+strings.Join(w.conds, joint)+")")
	}
	if len(parts) == 0 {
		return "", nil
	}
	args := append(append([]any(nil), w.fargs...), w.args...)
	return " WHERE " + number(strings.Join(parts, " AND ")), args
}

// number replaces each ? by $1, $2, …; conditions hold no quoted question marks.
func number(s string) string {
	var b strings.Builder
	n := 0
	for i := range len(s) {
		if s[i] == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// Limit gives " LIMIT n OFFSET m".
func Limit(take, skip int) string {
	return " LIMIT " + strconv.Itoa(take) + " OFFSET " + strconv.Itoa(skip)
}

// Values gives "($1,$2),($3,$4)" for rows × columns.
func Values(rows, columns int) string {
	var b strings.Builder
	n := 0
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for c := range columns {
			if c > 0 {
				b.WriteByte(',')
			}
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
		b.WriteByte(')')
	}
	return b.String()
}
