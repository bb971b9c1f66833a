package db

import (
	"database/sql"
	"strconv"
	"strings"
)

// prepared is a statement of SQLite with the order in which its arguments are bound.
type prepared struct {
	st    *sql.Stmt
	order []int // nil: as they are given
}

// positional writes $1, $2, … as plain ?, with the order of the arguments. SQLite takes $1 for a name and looks each of them up in a list, when a statement is
// prepared and each time it is bound: a statement with a thousand of them costs a million comparisons.
func positional(query string) (text string, order []int) {
	if !strings.Contains(query, "$") {
		return query, nil
	}
	var b strings.Builder
	b.Grow(len(query))
	quoted, plain := false, true
	for i := 0; i < len(query); {
		c := query[i]
		if c == '\'' {
			quoted = !quoted
		}
		end := i + 1
		for c == '$' && !quoted && end < len(query) && query[end] >= '0' && query[end] <= '9' {
			end++
		}
		if end == i+1 {
			b.WriteByte(c)
			i++
			continue
		}
		n, _ := strconv.Atoi(query[i+1 : end]) // digits only
		b.WriteByte('?')
		order = append(order, n-1)
		plain = plain && n == len(order)
		i = end
	}
	if plain {
		order = nil
	}
	return b.String(), order
}

// arrange gives the arguments in the order in which they are bound. One that is missing is left to the driver to complain of.
func arrange(order []int, args []any) []any {
	if order == nil {
		return args
	}
	out := make([]any, 0, len(order))
	for _, i := range order {
		if i < 0 || i >= len(args) {
			return args
		}
		out = append(out, args[i])
	}
	return out
}
