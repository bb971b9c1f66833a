package db

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
)

// Bulk is a statement about many rows at once. SQLite gets them as lists of values, of few different lengths, so that the statements stay prepared. PostgreSQL
// gets each column as an array: one statement does for every number of rows, where a list of each length would be parsed and planned on each connection.
type Bulk struct {
	types []string
	pg    string
	lite  map[int]string
}

// bulkSizes are the numbers of rows that one statement of SQLite has.
var bulkSizes = []int{128, 64, 32, 16, 8, 4, 2, 1}

// NewBulk makes the statement from a text with one place for the rows: {values} in an INSERT; {rows} for a table with the columns column1, column2, … after
// FROM; {in} after an expression that shall be one of them. The columns have the given SQL types: TEXT, BIGINT or BOOLEAN. The parameters that the text
// has itself, fixed of them, come first.
func NewBulk(text string, fixed int, types ...string) *Bulk {
	b := &Bulk{types: types, lite: make(map[int]string, len(bulkSizes))}
	var arrays, names []string
	for i, t := range types {
		arrays = append(arrays, fmt.Sprintf("CAST($%d AS %s[])", fixed+i+1, t))
		names = append(names, "column"+strconv.Itoa(i+1))
	}
	unnest := "unnest(" + strings.Join(arrays, ",") + ") AS u (" + strings.Join(names, ",") + ")"
	b.pg = strings.NewReplacer("{values}", "SELECT * FROM "+unnest, "{rows}", "(SELECT * FROM "+unnest+")", "{in}", "= ANY("+arrays[0]+")").Replace(text)
	for _, n := range bulkSizes {
		values := valuesFrom(fixed, n, len(types))
		b.lite[n] = strings.NewReplacer("{values}", "VALUES "+values, "{rows}", "(VALUES "+values+")", "{in}", "IN "+valuesFrom(fixed, 1, n)).Replace(text)
	}
	return b
}

// valuesFrom is Values whose first parameter has the number fixed + 1.
func valuesFrom(fixed, rows, columns int) string {
	var b strings.Builder
	for n := range rows * columns {
		switch {
		case n > 0 && n%columns == 0:
			b.WriteString("),(")
		case n > 0:
			b.WriteByte(',')
		default:
			b.WriteByte('(')
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(fixed + n + 1))
	}
	return b.String() + ")"
}

// Exec runs the statement for rows, which stand one after the other in args, and gives how many it touched.
func (b *Bulk) Exec(ctx context.Context, q Querier, fixed, args []any) (touched int64, err error) {
	err = b.each(q.Engine(), fixed, args, func(text string, args []any) error {
		n, err := q.Exec(ctx, text, args...)
		touched += n
		return err
	})
	return touched, err
}

// Query runs the statement for rows and hands each row of its answer to scan.
func (b *Bulk) Query(ctx context.Context, q Querier, fixed, args []any, scan func(into func(...any) error) error) error {
	return b.each(q.Engine(), fixed, args, func(text string, args []any) error {
		rows, err := q.Query(ctx, text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// each calls run for each statement that it takes: one on PostgreSQL.
func (b *Bulk) each(e Engine, fixed, args []any, run func(text string, args []any) error) error {
	width := len(b.types)
	if len(args)%width != 0 {
		return fmt.Errorf("db: %d arguments for rows of %d", len(args), width)
	}
	if len(args) == 0 {
		return nil
	}
	if e == Postgres {
		columns, err := b.columns(args)
		if err != nil {
			return err
		}
		return run(b.pg, append(fixed[:len(fixed):len(fixed)], columns...))
	}
	for _, n := range bulkSizes {
		for len(args) >= n*width {
			some := args[:n*width]
			if len(fixed) > 0 {
				some = append(fixed[:len(fixed):len(fixed)], some...)
			}
			if err := run(b.lite[n], some); err != nil {
				return err
			}
			args = args[n*width:]
		}
	}
	return nil
}

// columns gives the values of rows as one array for each column.
func (b *Bulk) columns(args []any) ([]any, error) {
	width := len(b.types)
	out := make([]any, width)
	for c, t := range b.types {
		var err error
		switch t {
		case "TEXT":
			out[c], err = column[string](args[c:], width)
		case "BIGINT":
			out[c], err = column[int64](args[c:], width)
		case "BOOLEAN":
			out[c], err = column[bool](args[c:], width)
		default:
			err = fmt.Errorf("db: no lists of %s", t)
		}
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", c+1, err)
		}
	}
	return out, nil
}

// column takes each width-th value; NULL is a nil pointer.
func column[T any](args []any, width int) ([]*T, error) {
	out := make([]*T, 0, (len(args)+width-1)/width)
	values := make([]T, cap(out)) // what out points into
	for i := 0; i < len(args); i += width {
		v := args[i]
		if own, ok := v.(driver.Valuer); ok {
			var err error
			if v, err = own.Value(); err != nil {
				return nil, err
			}
		}
		if v == nil {
			out = append(out, nil)
			continue
		}
		t, ok := v.(T)
		if !ok {
			return nil, fmt.Errorf("db: %T is no %T", v, t)
		}
		values[len(out)] = t
		out = append(out, &values[len(out)])
	}
	return out, nil
}
