package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// Op describes an operation.
type Op struct {
	ID, Method, Path, Tag, Summary string

	Auth        Auth
	Status      int      // of a success; 200 when zero, see SetStatus
	MaxBody     int64    // bytes; default 1 MiB, 10 MiB for multipart
	Aliases     []string // further paths with the same parameters, not documented
	Scope       string   // group of API token scopes; by tag when empty; "<group>:read" makes a POST a reading one
	SignIn      bool     // needs no scope; a disabled account is 401 here, not 403
	Hidden      bool     // not in the OpenAPI document
	Multipart   bool     // takes files
	Secret      bool     // request or answer holds a secret: what an Idempotency-Key keeps of them is sealed with it, for the same user only
	Keeps       bool     // the handler stores its answer itself, in the transaction of its effect: see Prepare
	Live        bool     // the effect is outside the database: see Commit; a DELETE too takes a key then. A POST with neither runs in one transaction with the row of its key
	InDrain     bool     // served while the server drains: it is about a call in progress
	Description string
	// Ahead looks at the input, a *In, before the transaction that a POST with a key runs in, for what must not wait there, such as a look-up of a name. Without
	// a key it is not called: the handler looks itself unless db.Joined.
	Ahead    func(ctx context.Context, in any) error
	Produces string // content type of HandleRaw's answer, for the document
}

// operation is a registered Op.
type operation struct {
	op     Op
	plan   *plan
	in     reflect.Type
	out    reflect.Type
	scope  scope
	mode   keyMode
	absent bool
	raw    bool
	serve  func(ctx context.Context, st *state, req *request) error // after authentication, limit and replay
	ahead  func(ctx context.Context, req *request) error            // nil: nothing to look at; see Op.Ahead
	page   http.HandlerFunc                                         // a page of the layer itself
}

func (a *API) register(o *operation) {
	if o.op.Status == 0 {
		o.op.Status = http.StatusOK
	}
	o.scope = scopeOf(o.op)
	o.mode = keyModeOf(o)
	for _, path := range append([]string{o.op.Path}, o.op.Aliases...) {
		a.routes.add(o.op.Method, path, o)
	}
	a.ops = append(a.ops, o)
}

// Handle registers an operation with a typed input and output; the output goes into the success envelope.
func Handle[In, Out any](a *API, op Op, h func(ctx context.Context, in *In) (Out, error)) {
	pl := planOf(reflect.TypeFor[In]())
	serve := func(ctx context.Context, st *state, req *request) error {
		in := new(In)
		if err := pl.input(req, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		out, err := h(ctx, in)
		if err != nil {
			return err
		}
		if st.key != nil && st.key.kept != nil {
			st.send(st.key.kept)
			return nil
		}
		return a.answer(st, out)
	}
	o := &operation{op: op, plan: pl, in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), serve: serve}
	if op.Ahead != nil {
		o.ahead = func(ctx context.Context, req *request) error {
			in := new(In)
			if err := pl.input(req, reflect.ValueOf(in).Elem()); err != nil {
				return err
			}
			return op.Ahead(ctx, in)
		}
	}
	a.register(o)
}

// HandleRaw registers an operation that writes its own answer, such as audio or CSV. An error that it returns is
// rendered as long as nothing was written.
func HandleRaw[In any](a *API, op Op, h func(w http.ResponseWriter, r *http.Request, in *In) error) {
	pl := planOf(reflect.TypeFor[In]())
	serve := func(ctx context.Context, st *state, req *request) error {
		in := new(In)
		if err := pl.input(req, reflect.ValueOf(in).Elem()); err != nil {
			return err
		}
		return h(st.w, req.http, in)
	}
	a.register(&operation{op: op, plan: pl, in: reflect.TypeFor[In](), raw: true, serve: serve})
}

// run takes an operation from authentication to its answer.
func (a *API) run(ctx context.Context, st *state) error {
	o := st.op
	if o.absent {
		return fault.New(fault.NotImplemented)
	}
	if err := a.doors.enter(o.op.InDrain); err != nil {
		return err
	}
	defer a.doors.leave(o.op.InDrain)
	req := &request{http: st.r, op: o, params: st.params}
	if err := a.admit(ctx, st, req); err != nil {
		return err
	}
	if err := a.limit(st); err != nil {
		return err
	}
	if err := req.read(); err != nil {
		return err
	}
	st.empty = req.blank
	return a.once(ctx, st, req)
}

// readingPath tells whether a POST at this path only reads.
func readingPath(path string) bool {
	return strings.HasSuffix(path, "/search") || strings.Contains(path, "/search/")
}
