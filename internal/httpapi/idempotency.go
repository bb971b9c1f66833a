package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"

	"github.com/opentact/opentact/internal/fault"
)

// IdempotencyScope is what a key is unique in (rest-conventions §9).
type IdempotencyScope struct {
	Account string // empty for operations without a credential
	Method  string
	Path    string // with /rest, parameters filled in
	Key     string
}

// Stored is the first answer to a key.
type Stored struct {
	Status int
	Header http.Header
	Body   []byte
}

// IdempotencyStore remembers the answers of 24 hours.
//
// Begin claims a scope: nil, nil when it is new. A finished one with the same hash gives its answer; with another
// hash the error is fault.KeyMismatch; one that still runs is fault.Conflict with Retry of one second.
// Finish keeps the answer, Release forgets the claim.
type IdempotencyStore interface {
	Begin(ctx context.Context, scope IdempotencyScope, bodyHash string) (*Stored, error)
	Finish(ctx context.Context, scope IdempotencyScope, answer Stored) error
	Release(ctx context.Context, scope IdempotencyScope) error
}

// storedHeaders are the headers that a replay repeats.
func storedHeaders() []string {
	return []string{"Content-Type", "X-Total-Count", "Location", "Retry-After", "Allow", "WWW-Authenticate"}
}

// once runs the operation, or replays its first answer when the request carries a known Idempotency-Key.
func (a *API) once(ctx context.Context, st *state, req *request) error {
	key := st.r.Header.Get(headerIdempotency)
	if key == "" || st.r.Method != http.MethodPost || a.opt.Idempotency == nil || st.op.op.NoIdempotency {
		return st.op.serve(ctx, st, req)
	}
	if len(key) > maxIdempotency || !printable(key) {
		return fault.Invalid(headerIdempotency, "must have 1 to 255 printable characters", nil)
	}
	scope := IdempotencyScope{Account: st.identity.Account, Method: http.MethodPost, Path: st.path, Key: key}
	replay, err := a.opt.Idempotency.Begin(ctx, scope, bodyHash(req))
	if err != nil {
		return err
	}
	if replay != nil {
		st.replay(replay)
		return nil
	}
	a.first(ctx, st, req, scope)
	return nil
}

// first runs the operation with its answer held back until it is stored, so that a retry never meets a half-done key.
func (a *API) first(ctx context.Context, st *state, req *request, scope IdempotencyScope) {
	keep, panicked := false, true
	st.w.hold()
	defer func() {
		after := context.WithoutCancel(ctx)
		var err error
		if keep {
			err = a.opt.Idempotency.Finish(after, scope, st.w.stored())
		} else {
			err = a.opt.Idempotency.Release(after, scope)
		}
		if err != nil {
			a.log.ErrorContext(ctx, "idempotency key not stored", "request_id", st.id, "op", st.label, "err", err)
		}
		if panicked {
			st.w.abandon()
			return
		}
		st.w.letGo()
	}()
	if err := st.op.serve(ctx, st, req); err != nil {
		a.fail(ctx, st, err)
	}
	panicked = false
	keep = st.w.status < 500 && st.w.status != statusGone && st.w.held != nil
}

func (st *state) replay(s *Stored) {
	h := st.w.Header()
	for k, v := range s.Header {
		h[k] = v
	}
	h.Set("Idempotency-Replayed", "true")
	st.w.json(s.Status, s.Header.Get("Content-Type"), s.Body)
}

// hold keeps the answer back, up to maxStored bytes.
func (w *response) hold() { w.held = []byte{} }

// stored is the answer held.
func (w *response) stored() Stored {
	s := Stored{Status: w.status, Header: http.Header{}, Body: append([]byte(nil), w.held...)}
	if s.Status == 0 {
		s.Status = http.StatusOK
	}
	for _, k := range storedHeaders() {
		if v := w.Header().Values(k); len(v) > 0 {
			s.Header[http.CanonicalHeaderKey(k)] = append([]string(nil), v...)
		}
	}
	return s
}

// letGo sends what was held.
func (w *response) letGo() {
	held := w.held
	if w.held = nil; held == nil || !w.started {
		return
	}
	w.open()
	if len(held) > 0 {
		_, _ = w.pass(held) // the client is gone when this fails
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// bodyHash compares bodies, those of forms by their parts; members given in the query count too.
func bodyHash(req *request) string {
	h := sha256.New()
	h.Write(req.sum)
	if q := stripCredentials(req.http.URL.RawQuery); q != "" {
		h.Write([]byte{0})
		h.Write([]byte(q))
	}
	return hex.EncodeToString(h.Sum(nil))
}
