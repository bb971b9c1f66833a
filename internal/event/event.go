package event

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Type is the wire name of a kind of event; each is one typed constant in the domain that owns it.
type Type string

// Event is what a domain reports.
type Event struct {
	UUID    string // made when empty
	Account string
	Type    Type
	RefID   string // the entity it is about
	Message string
	At      time.Time // when it happened; now when zero
	Payload any       // object, or a number for balance; json.RawMessage is taken as it is
	Members []Member  // further members of the envelope, in order
}

// Member is one more top-level member of the envelope, such as "call" or "source_action".
type Member struct {
	Name  string
	Value any
}

// Row is one event of the log.
type Row struct {
	Seq     int64
	UUID    string
	Account string
	Type    string
	RefID   string
	At      time.Time
	Body    []byte // the envelope; the same bytes on every channel; not to be changed
}

// Cursor gives the row's place in the log as it stands on the wire.
func (r Row) Cursor() string { return FormatCursor(r.Seq) }

// ErrCursor says that a text is no cursor.
var ErrCursor = errors.New("not a cursor")

// FormatCursor gives "c_" and 16 hex digits.
func FormatCursor(seq int64) string { return fmt.Sprintf("c_%016x", uint64(seq)) }

// ParseCursor reads what FormatCursor wrote.
func ParseCursor(s string) (int64, error) {
	if len(s) != 18 || s[:2] != "c_" {
		return 0, ErrCursor
	}
	v, err := strconv.ParseUint(s[2:], 16, 63)
	if err != nil {
		return 0, ErrCursor
	}
	return int64(v), nil
}
