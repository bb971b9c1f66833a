package httpapi

import (
	"encoding/json"
	"errors"
	"time"
)

// Opt is a member of a PATCH: absent, null or a value.
type Opt[T any] struct {
	Set  bool // the member was there
	Null bool // and was null
	V    T
}

// Some is a member that is there.
func Some[T any](v T) Opt[T] { return Opt[T]{Set: true, V: v} }

// Or gives the new value of a member: old when absent, the zero value when null.
func (o Opt[T]) Or(old T) T {
	if !o.Set {
		return old
	}
	return o.V
}

// Ptr is Or for nullable members: old when absent, nil when null.
func (o Opt[T]) Ptr(old *T) *T {
	if !o.Set {
		return old
	}
	if o.Null {
		return nil
	}
	v := o.V
	return &v
}

// Has tells whether the member came with a value that is not null.
func (o Opt[T]) Has() bool { return o.Set && !o.Null }

// IsZero lets `omitzero` leave an absent member out.
func (o Opt[T]) IsZero() bool { return !o.Set }

// MarshalJSON writes the value, or null.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	return json.Marshal(o.V)
}

func (o Opt[T]) optional() {}

// optional marks the instances of Opt for the compiler of input plans.
type optional interface{ optional() }

// Time is a moment on the wire: emitted in UTC with milliseconds, read with any offset and fraction.
type Time struct{ time.Time }

const timeForm = "2006-01-02T15:04:05.000Z"

var errTime = errors.New("invalid date")

// TimeOf wraps a moment.
func TimeOf(t time.Time) Time { return Time{t} }

// TimePtr is TimeOf for nullable members; a nil or zero moment gives nil, which is written as null.
func TimePtr(t *time.Time) *Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return &Time{*t}
}

// TimeOrNil gives nil for the zero moment.
func TimeOrNil(t time.Time) *Time { return TimePtr(&t) }

// Std gives the moment behind a nullable member, nil when it is unset.
func (t *Time) Std() *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

// MarshalJSON writes `"2026-03-04T05:06:07.089Z"`, or null for the zero moment.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	b := make([]byte, 0, len(timeForm)+2)
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeForm)
	return append(b, '"'), nil
}

// UnmarshalJSON reads what ParseTime reads, or null.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errTime
	}
	v, err := ParseTime(s)
	if err != nil {
		return err
	}
	*t = v
	return nil
}

// ParseTime reads an ISO 8601 date with time: any offset (none means UTC) and any fraction; a bare date means its
// first moment in UTC. Years outside 1..9999 are refused.
func ParseTime(s string) (Time, error) {
	if len(s) > 64 {
		return Time{}, errTime
	}
	for _, form := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07",
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
		"2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly,
	} {
		if t, err := time.Parse(form, s); err == nil && t.Year() >= 1 {
			return Time{t.UTC()}, nil
		}
	}
	return Time{}, errTime
}

// File is an uploaded part of a multipart body; Data is nil when there was none.
type File struct {
	Name        string
	ContentType string
	Data        []byte
}

// Raw is the whole body as it came: of requests with an XML body, or of any request when tagged `raw:"any"`. Tagged `raw:"json"` it stands beside the members
// that are read from a JSON body, and has that body; nil when there was none.
type Raw []byte

// Empty is the output of operations without a natural result: payload {}.
type Empty struct{}

// Envelope is an output that adds members beside payload.
type Envelope struct {
	Payload any
	Extra   map[string]any
}
