package db

import (
	"reflect"
	"testing"
)

func TestPositional(t *testing.T) {
	for query, want := range map[string]struct {
		text  string
		order []int
	}{
		"SELECT 1":                                  {"SELECT 1", nil},
		"INSERT INTO t VALUES ($1,$2),($3,$4)":      {"INSERT INTO t VALUES (?,?),(?,?)", nil},
		"UPDATE t SET a = $2 WHERE b = $1":          {"UPDATE t SET a = ? WHERE b = ?", []int{1, 0}},
		"SELECT '$1', $1, $10 || $1":                {"SELECT '$1', ?, ? || ?", []int{0, 9, 0}},
		"SELECT a$b, 'it''s $2' WHERE x = $1 AND $": {"SELECT a$b, 'it''s $2' WHERE x = ? AND $", nil},
	} {
		text, order := positional(query)
		if text != want.text || !reflect.DeepEqual(order, want.order) {
			t.Errorf("%s: %s %v", query, text, order)
		}
	}
	if got := arrange([]int{1, 0, 1}, []any{"a", "b"}); !reflect.DeepEqual(got, []any{"b", "a", "b"}) {
		t.Error(got)
	}
}
