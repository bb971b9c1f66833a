package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// state is what the layer knows of one request.
type state struct {
	id       string
	w        *response
	r        *http.Request
	start    time.Time
	remote   string
	op       *operation
	label    string // operation id or mount pattern, for logs and metrics
	params   []param
	path     string // as matched: with /rest, uuids in lower case
	identity Identity
	status   int // asked for by SetStatus
	empty    bool
	cut      bool // the answer broke off half-way
	key      *keyed
}

type param struct{ name, value string }

type (
	stateKey    struct{}
	identityKey struct{}
)

func stateOf(ctx context.Context) *state {
	st, _ := ctx.Value(stateKey{}).(*state)
	return st
}

// Who tells who is asking; the zero Identity stands for nobody.
func Who(ctx context.Context) Identity {
	if id, ok := ctx.Value(identityKey{}).(Identity); ok {
		return id
	}
	if st := stateOf(ctx); st != nil {
		return st.identity
	}
	return Identity{}
}

// WithIdentity makes a context in which Who answers id.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// RequestID is the X-Request-Id of the request behind ctx, empty outside of one.
func RequestID(ctx context.Context) string {
	if st := stateOf(ctx); st != nil {
		return st.id
	}
	return ""
}

// RemoteIP is the address of the client behind ctx, empty outside of a request.
func RemoteIP(ctx context.Context) string {
	if st := stateOf(ctx); st != nil {
		return st.remote
	}
	return ""
}

// SetStatus replaces the status of a success, for operations that answer 200 or 201.
func SetStatus(ctx context.Context, code int) {
	if st := stateOf(ctx); st != nil {
		st.status = code
	}
}

// SetHeader sets a header of the answer.
func SetHeader(ctx context.Context, k, v string) {
	if st := stateOf(ctx); st != nil {
		st.w.Header().Set(k, v)
	}
}

// SetTotal says how many items a plain list has in all.
func SetTotal(ctx context.Context, n int) { SetHeader(ctx, "X-Total-Count", strconv.Itoa(n)) }

// BodyEmpty tells whether the request came without a body, for operations that mean another thing then.
func BodyEmpty(ctx context.Context) bool {
	st := stateOf(ctx)
	return st == nil || st.empty
}
