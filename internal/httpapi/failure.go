package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/obs"
)

// envelope is an error as customers see it (rest-conventions §4).
type envelope struct {
	Success   bool           `json:"success"`
	Message   string         `json:"message"`
	Status    int            `json:"status"`
	Meta      string         `json:"meta"`
	Fields    map[string]bad `json:"fields"`
	RequestID string         `json:"request_id"`
}

type bad struct {
	Message string `json:"message"`
	Value   any    `json:"value"`
}

// problem is the same by RFC 9457 (rest-conventions §5).
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Instance  string         `json:"instance"`
	Code      string         `json:"code"`
	RequestID string         `json:"request_id"`
	Errors    []problemField `json:"errors,omitempty"`
}

type problemField struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func errNoCredential() *fault.Error { return fault.New(fault.Unauthorized) }

// awayRetry is when to come back while storage is away.
const awayRetry = 2 * time.Second

// Fail renders an error on a raw handler's writer, as the operations do.
func (a *API) Fail(w http.ResponseWriter, r *http.Request, err error) {
	st := stateOf(r.Context())
	if st == nil {
		st = &state{id: requestID(r), r: r, w: a.newResponse(w, r), start: a.now(), remote: a.remoteIP(r)}
		st.w.zipped = false
	}
	a.fail(obs.With(r.Context(), slog.String(logID, st.id)), st, err)
}

// fail decides what an error means outside and logs those that have no public meaning, once.
func (a *API) fail(ctx context.Context, st *state, err error) {
	e := fault.Of(err)
	var tooLarge *http.MaxBytesError
	switch {
	case e != nil && e.Code != fault.Internal:
		if e.Cause != nil && fault.Lookup(e.Code).Status >= 500 {
			a.log.WarnContext(ctx, "request failed", "op", st.label, "err", err)
		}
	case errors.As(err, &tooLarge):
		e = fault.New(fault.TooLarge)
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled):
		a.log.DebugContext(ctx, "client left", "op", st.label, "err", err)
		if !st.w.started {
			st.w.status = statusGone
		}
		return
	case errors.Is(err, context.DeadlineExceeded):
		a.log.WarnContext(ctx, "request timed out", "op", st.label, "err", err)
		e = fault.New(fault.Unavailable)
	case a.opt.Down != nil && a.opt.Down(err):
		a.log.WarnContext(ctx, "storage is away", "op", st.label, "err", err)
		e = &fault.Error{Code: fault.Unavailable, Retry: awayRetry}
	default:
		a.log.ErrorContext(ctx, "request broke", "op", st.label, "err", err)
		e = fault.New(fault.Internal)
	}
	a.render(st, e)
}

// render writes the one form of errors. When a part of another answer went out already, the connection is cut, so
// that the client does not take that part for the whole.
func (a *API) render(st *state, e *fault.Error) {
	if held := st.w.held; st.w.started {
		if !st.w.abandon() {
			st.cut = true
			return
		}
		st.w.held = held[:0]
	}
	e = located(e)
	row := fault.Lookup(e.Code)
	h := st.w.Header()
	for _, stale := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "ETag", "Last-Modified", "Accept-Ranges"} {
		h.Del(stale)
	}
	if h[limitHeader] == nil {
		a.showLimit(st)
	}
	retryAfter(h, e, row.Status)
	if row.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="opentact"`)
	}
	var body any
	contentType := "application/json"
	if wantsProblem(st.r.Header.Values("Accept")) {
		contentType = "application/problem+json"
		body = a.problem(st, e, row)
	} else {
		body = envelopeOf(st, e, row)
	}
	var buf bytes.Buffer
	if err := encode(&buf, body); err != nil { // a value that a domain put in its fields cannot be written
		bare := &fault.Error{Code: e.Code, Message: e.Message}
		buf.Reset()
		_ = encode(&buf, envelopeOf(st, bare, row))
	}
	st.w.json(row.Status, contentType, buf.Bytes())
}

// located puts the text of refused call XML at the member too, where clients look for it.
func located(e *fault.Error) *fault.Error {
	if e.Code != fault.InvalidXML || len(e.Fields) > 0 {
		return e
	}
	at := *e
	at.Fields = map[string]fault.Field{"xml": {Message: e.Public()}}
	return &at
}

func retryAfter(h http.Header, e *fault.Error, status int) {
	wait := e.Retry
	if wait <= 0 {
		switch status {
		case http.StatusServiceUnavailable:
			wait = retryUnavailable
		case http.StatusTooManyRequests:
			wait = time.Second
		default:
			return
		}
	}
	h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
}

func envelopeOf(st *state, e *fault.Error, row fault.Entry) envelope {
	fields := make(map[string]bad, len(e.Fields))
	for path, f := range e.Fields {
		fields[fieldKey(path)] = bad{Message: f.Message, Value: shown(path, f.Value)}
	}
	return envelope{Message: e.Public(), Status: row.Status, Meta: row.Wire, Fields: fields, RequestID: st.id}
}

func fieldKey(path string) string {
	if path == "" {
		return "params"
	}
	return "params." + path
}

// shown hides the values of secret members.
func shown(path string, v any) any {
	if secretName(path[strings.LastIndexByte(path, '.')+1:]) {
		return nil
	}
	return v
}

func (a *API) problem(st *state, e *fault.Error, row fault.Entry) problem {
	p := problem{
		Type: a.opt.APIURL + "/errors/" + row.Wire, Title: row.Title, Status: row.Status, Detail: e.Public(),
		Instance: st.r.URL.Path, Code: row.Wire, RequestID: st.id,
	}
	if secretParam(st) {
		p.Instance = st.op.op.Path
	}
	for path, f := range e.Fields {
		p.Errors = append(p.Errors, problemField{Pointer: pointer(path), Detail: f.Message})
	}
	sort.Slice(p.Errors, func(i, j int) bool { return p.Errors[i].Pointer < p.Errors[j].Pointer })
	return p
}

func secretParam(st *state) bool {
	for _, p := range st.params {
		if secretName(p.name) {
			return true
		}
	}
	return false
}

// pointer is a dotted path as a JSON pointer (RFC 6901).
func pointer(path string) string {
	if path == "" {
		return ""
	}
	path = strings.ReplaceAll(strings.ReplaceAll(path, "~", "~0"), "/", "~1")
	return "/" + strings.ReplaceAll(path, ".", "/")
}

// wantsProblem tells whether Accept names application/problem+json.
func wantsProblem(accept []string) bool {
	for _, line := range accept {
		for _, part := range strings.Split(line, ",") {
			name, q, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), "application/problem+json") {
				return strings.ReplaceAll(q, " ", "") != "q=0"
			}
		}
	}
	return false
}
