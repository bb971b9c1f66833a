package db

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"
)

// Time is a time as both databases keep it: BIGINT micro-seconds since 1970 UTC, NULL for the zero time.
type Time struct{ time.Time }

// At makes a Time, cut to the micro-second.
func At(t time.Time) Time { return Time{t} }

// Value gives the number, or NULL.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UnixMicro(), nil
}

// Scan reads the number, or NULL.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		t.Time = time.Time{}
	case int64:
		t.Time = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("db: %T is no time", src)
	}
	return nil
}

// Text is a text that is NULL when empty.
type Text string

// Value gives the text, or NULL.
func (s Text) Value() (driver.Value, error) {
	if s == "" {
		return nil, nil
	}
	return string(s), nil
}

// Scan reads the text; NULL is empty.
func (s *Text) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*s = ""
	case string:
		*s = Text(v)
	case []byte:
		*s = Text(v)
	default:
		return fmt.Errorf("db: %T is no text", src)
	}
	return nil
}

// JSON keeps a value as JSON text; a nil map, slice or pointer is NULL.
type JSON[T any] struct{ V T }

// JSONOf wraps v.
func JSONOf[T any](v T) JSON[T] { return JSON[T]{v} }

// Value gives the text, or NULL.
func (j JSON[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(j.V)
	if err != nil {
		return nil, err
	}
	if string(b) == "null" {
		return nil, nil
	}
	return string(b), nil
}

// Scan reads the text; NULL leaves the zero value.
func (j *JSON[T]) Scan(src any) error {
	var zero T
	j.V = zero
	switch v := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(v), &j.V)
	case []byte:
		return json.Unmarshal(v, &j.V)
	default:
		return fmt.Errorf("db: %T is no JSON text", src)
	}
}
