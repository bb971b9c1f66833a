package db

import (
	"database/sql"
	"fmt"
)

// List reads all rows of a query by scan and closes them; rows and err are what Query gave. The list is never nil. what names it in errors.
func List[T any](what string, rows *sql.Rows, err error, scan func(into func(...any) error) (T, error)) ([]T, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}
