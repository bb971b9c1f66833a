package fault

import (
	"errors"
	"fmt"
	"sort"
	"time"
)

// Error is an error whose meaning is public: its code, its message and its fields may be shown to the customer.
type Error struct {
	Code    Code
	Message string           // public text; empty means the default of the code
	Fields  map[string]Field // bad members by dotted path, without the "params." of the wire
	Retry   time.Duration    // when to come back; zero says nothing
	Cause   error            // for the log only
}

// Field is one bad member of a request.
type Field struct {
	Message string
	Value   any // as it was sent; nil when it was missing
}

// Error gives code, public text and cause, for logs.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Public()
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Public is the text that a customer may see.
func (e *Error) Public() string {
	if e.Message != "" {
		return e.Message
	}
	return Lookup(e.Code).Message
}

// New makes an error of a code with its default message.
func New(c Code) *Error { return &Error{Code: c} }

// Newf makes an error of a code with a public message of its own.
func Newf(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives an internal cause a public code; the cause goes to the log only.
func Wrap(c Code, cause error) *Error { return &Error{Code: c, Cause: cause} }

// Missing is a 404 in the contract's words: Missing("SIP connection") says "SIP connection not found".
func Missing(entity string) *Error { return Newf(NotFound, "%s not found", entity) }

// Taken is a 409 in the contract's words: "<entity> already exists".
func Taken(entity string) *Error { return Newf(Exists, "%s already exists", entity) }

// Busy is a 409 in the contract's words: "<entity> is in use".
func Busy(entity string) *Error { return Newf(InUse, "%s is in use", entity) }

// Invalid is a 400 about one member: its dotted path, what is wrong with it, and the value that was sent.
func Invalid(path, message string, value any) *Error {
	return &Error{Code: Validation, Message: message, Fields: map[string]Field{path: {Message: message, Value: value}}}
}

// Of returns the *Error inside err, or nil when its meaning is not public.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Is tells whether err carries the code.
func Is(err error, c Code) bool {
	e := Of(err)
	return e != nil && e.Code == c
}

// Fields collects the faults of one request; the zero value is ready.
type Fields struct {
	m     map[string]Field
	order []string
}

// Add notes a bad member; the first fault of a path stays.
func (f *Fields) Add(path, message string, value any) {
	if f.m == nil {
		f.m = map[string]Field{}
	}
	if _, ok := f.m[path]; ok {
		return
	}
	f.m[path] = Field{Message: message, Value: value}
	f.order = append(f.order, path)
}

// Merge takes over the fields of a Validation error under a prefix and reports whether err was one.
func (f *Fields) Merge(prefix string, err error) bool {
	e := Of(err)
	if e == nil || e.Code != Validation || len(e.Fields) == 0 {
		return false
	}
	paths := make([]string, 0, len(e.Fields))
	for p := range e.Fields {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	for _, p := range paths {
		full := p
		if prefix != "" {
			full = prefix + "." + p
		}
		f.Add(full, e.Fields[p].Message, e.Fields[p].Value)
	}
	return true
}

// Len is the number of bad members so far.
func (f *Fields) Len() int { return len(f.order) }

// Err is nil without faults, else a 400 whose message is that of the first one.
func (f *Fields) Err() error {
	if len(f.order) == 0 {
		return nil
	}
	return &Error{Code: Validation, Message: f.m[f.order[0]].Message, Fields: f.m}
}
