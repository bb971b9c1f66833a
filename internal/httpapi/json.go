package httpapi

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/fault"
)

// Limits of a JSON body.
const (
	maxDepth  = 32
	maxValues = 200_000
)

// kind is the type of a JSON value, known from its first byte.
type kind byte

const (
	kindNone kind = iota
	kindNull
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// value is one member as it came: JSON text, or plain text from the query, a form, the path or a header.
type value struct {
	raw   []byte
	text  string
	plain bool
}

func plainValue(s string) value { return value{text: s, plain: true} }

func (v value) present() bool { return v.plain || len(v.raw) > 0 }

func (v value) kind() kind {
	if v.plain {
		return kindString
	}
	if len(v.raw) == 0 {
		return kindNone
	}
	switch v.raw[0] {
	case '{':
		return kindObject
	case '[':
		return kindArray
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	return kindNumber
}

// scalar gives the text of a scalar: strings without quotes, numbers and booleans as written.
func (v value) scalar() (string, bool) {
	switch v.kind() {
	case kindString:
		if v.plain {
			return v.text, true
		}
		return unquote(v.raw), true
	case kindNumber, kindBool:
		return string(v.raw), true
	}
	return "", false
}

// json gives the value as JSON text, quoting plain text.
func (v value) json() []byte {
	if !v.plain {
		return v.raw
	}
	b, _ := json.Marshal(v.text) // a string always marshals
	return b
}

// foul tells what makes a value one that no database takes as text: a body was checked for its encoding, text from elsewhere was not.
func (v value) foul() string {
	switch {
	case v.plain && !utf8.ValidString(v.text):
		return "must be valid UTF-8"
	case v.plain && strings.IndexByte(v.text, 0) >= 0, !v.plain && escapedNUL(v.raw):
		return textNUL
	}
	return ""
}

// escapedNUL tells whether a string of the document has a NUL, which JSON writes as an escape only.
func escapedNUL(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return false
		}
		if bytes.HasPrefix(raw[i+1:], []byte("u0000")) {
			return true
		}
		raw = raw[min(i+2, len(raw)):]
	}
}

// maxShown is the length in bytes up to which a bad value is sent back.
const maxShown = 256

// show is the value as an error answer repeats it; long ones are left out.
func (v value) show() any {
	if !v.present() || v.kind() == kindNull || len(v.raw) > maxShown || len(v.text) > maxShown {
		return nil
	}
	if v.plain {
		return v.text
	}
	return json.RawMessage(v.raw)
}

// unquote reads a valid JSON string.
func unquote(raw []byte) string {
	if len(raw) < 2 {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	_ = json.Unmarshal(raw, &s) // the body was checked as a whole
	return s
}

// checkJSON refuses what is not one UTF-8 JSON document within the limits of depth and number of values.
func checkJSON(b []byte) error {
	if !utf8.Valid(b) || !json.Valid(b) {
		return fault.New(fault.InvalidJSON)
	}
	depth, values := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
			values++
			if depth > maxDepth {
				return badJSON("nested deeper than " + strconv.Itoa(maxDepth) + " levels")
			}
		case '}', ']':
			depth--
		case ',':
			values++
		}
		if values > maxValues {
			return badJSON("more than " + strconv.Itoa(maxValues) + " values")
		}
	}
	return nil
}

// badJSON is a document beyond a limit; the message is the one text of its code (rest-conventions §4).
func badJSON(why string) error {
	return &fault.Error{Code: fault.InvalidJSON, Fields: map[string]fault.Field{"": {Message: why}}}
}

// The functions below walk a document that checkJSON has accepted; on anything else they only promise to end.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString gives the index behind the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue gives the index behind the value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return len(b)
}

// eachMember calls fn for the members of an object, in their order.
func eachMember(b []byte, fn func(key string, val []byte)) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return
	}
	i++
	for {
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != '"' {
			return
		}
		end := skipString(b, i)
		key := unquote(b[i:end])
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ':' {
			return
		}
		i = skipSpace(b, i+1)
		end = skipValue(b, i)
		if end <= i {
			return
		}
		fn(key, b[i:end])
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ',' {
			return
		}
		i++
	}
}

// eachItem calls fn for the items of an array until it returns false.
func eachItem(b []byte, fn func(n int, val []byte) bool) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '[' {
		return
	}
	i++
	for n := 0; ; n++ {
		i = skipSpace(b, i)
		end := skipValue(b, i)
		if end <= i || !fn(n, b[i:end]) {
			return
		}
		i = skipSpace(b, end)
		if i >= len(b) || b[i] != ',' {
			return
		}
		i++
	}
}

// looksJSON tells whether a body is to be read as JSON whatever its label says.
func looksJSON(b []byte) bool {
	i := skipSpace(b, 0)
	return i < len(b) && (b[i] == '{' || b[i] == '[')
}

// fold is the form in which member names are compared.
func fold(s string) string { return strings.ToLower(s) }
