package httpapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/failpoint"
	"github.com/opentact/opentact/internal/fault"
)

// keyMode is how an operation keeps the promise of its key: one effect, one answer, whatever dies in between.
type keyMode string

const (
	// keyNone: the header means nothing.
	keyNone keyMode = "none"
	// keyRead: there is no effect; the answer is kept after it was found.
	keyRead keyMode = "read"
	// keyWhole: the handler runs in one transaction with the row of its answer. All that it does must lie in the database.
	keyWhole keyMode = "transaction"
	// keyOwn: the handler has a transaction of its own and keeps the answer in it (Prepare).
	keyOwn keyMode = "own"
	// keyLive: the effect is outside the database. The key is claimed first, and the answer kept right before the effect (Commit).
	keyLive keyMode = "live"
	// keyRaw: the handler writes to the client itself; the answer is kept afterwards, if it is not too long.
	keyRaw keyMode = "raw"
)

func keyModeOf(o *operation) keyMode {
	live := o.op.Live && (o.op.Method == http.MethodPost || o.op.Method == http.MethodDelete)
	switch {
	case o.op.Method != http.MethodPost && !live || o.absent || o.page != nil:
		return keyNone
	case live:
		return keyLive
	case o.scope.read:
		return keyRead
	case o.op.Keeps:
		return keyOwn
	case o.raw:
		return keyRaw
	}
	return keyWhole
}

// KeyMode tells of each POST, and of each other operation that takes a key, by its id, how it keeps an Idempotency-Key: none, read, transaction, own,
// live or raw.
func (a *API) KeyMode() map[string]string {
	out := map[string]string{}
	for _, o := range a.ops {
		if !o.absent && (o.op.Method == http.MethodPost || o.mode != keyNone) {
			out[o.op.ID] = string(o.mode)
		}
	}
	return out
}

// scope is what a key is unique in (rest-conventions §9).
type keyScope struct {
	account string // empty for operations without a credential
	user    string // of operations with Op.Secret only: nobody else shall see the answer
	method  string
	path    string // with /rest, parameters filled in
	key     string
	secret  bool
}

// Stored is the first answer to a key.
type Stored struct {
	Status int
	Header http.Header
	Body   []byte
}

// storedHeaders are the headers that a replay repeats.
func storedHeaders() []string {
	return []string{"Content-Type", "X-Total-Count", "Location", "Retry-After", "Allow", "WWW-Authenticate"}
}

// keyed is the key of one request.
type keyed struct {
	answers *Answers
	scope   keyScope
	hash    string // of the body
	seal    *seal  // nil unless Op.Secret
	mode    keyMode
	kept    *Stored // the answer that Prepare or Commit made
}

// once runs the operation, or replays its first answer when the request carries a known Idempotency-Key. Of equal requests that come at once one runs
// on this node, and the others wait for its answer.
func (a *API) once(ctx context.Context, st *state, req *request) error {
	value := st.r.Header.Get(headerIdempotency)
	mode := st.op.mode
	if value == "" || mode == keyNone || a.opt.Answers == nil {
		return st.op.serve(ctx, st, req)
	}
	k, err := a.keyOf(st, req, value)
	if err != nil {
		return err
	}
	f, first := a.flights.enter(k)
	if first {
		return a.first(ctx, st, req, k, f)
	}
	patience := time.NewTimer(a.patience)
	defer patience.Stop()
	for !first {
		if f.hash != k.hash {
			return fault.New(fault.KeyMismatch)
		}
		select {
		case <-f.done:
		case <-patience.C:
			return errRunning()
		case <-ctx.Done():
			return ctx.Err()
		}
		if f.answer != nil {
			st.replay(f.answer)
			return nil
		}
		f, first = a.flights.enter(k)
	}
	return a.first(ctx, st, req, k, f)
}

// keyOf makes the key of a request.
func (a *API) keyOf(st *state, req *request, value string) (*keyed, error) {
	if !utf8.ValidString(value) || utf8.RuneCountInString(value) > maxIdempotency || strings.ContainsFunc(value, unprintable) {
		return nil, fault.Invalid(headerIdempotency, "must have 1 to 255 printable characters", nil)
	}
	k := &keyed{
		answers: a.opt.Answers, hash: bodyHash(req), mode: st.op.mode,
		scope: keyScope{account: st.identity.Account, method: st.op.op.Method, path: st.path, key: value, secret: st.op.op.Secret},
	}
	if !k.scope.secret {
		return k, nil
	}
	k.scope.user = cmp.Or(st.identity.User, st.identity.SIPUser)
	var err error
	if k.seal, err = newSeal(k.scope); err != nil {
		return nil, err
	}
	k.hash = k.seal.hash(k.hash)
	return k, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// first is the one of equal requests that looks for the answer, or makes it.
func (a *API) first(ctx context.Context, st *state, req *request, k *keyed, f *flight) (err error) {
	defer a.flights.leave(k, f)
	defer func() {
		if p := recover(); p != nil {
			st.w.abandon()
			panic(p)
		}
	}()
	if f.answer, err = k.answers.find(ctx, k); err != nil {
		return err
	}
	if f.answer != nil {
		st.replay(f.answer)
		return nil
	}
	st.key = k
	switch k.mode {
	case keyWhole:
		f.answer, err = a.whole(ctx, st, req, k)
	case keyLive:
		f.answer, err = a.outside(ctx, st, req, k)
	default:
		f.answer, err = a.plain(ctx, st, req, k)
	}
	if errors.Is(err, errAnswered) { // on another node, while it ran here; nothing of it was kept here
		st.w.abandon()
		if f.answer, err = k.answers.find(ctx, k); f.answer != nil {
			st.replay(f.answer)
		} else if err == nil {
			err = errRunning()
		}
		return err
	}
	if err != nil {
		st.w.abandon()
		return err
	}
	failpoint.Hit("idempotency.before_answer")
	st.w.letGo()
	return nil
}

// whole runs the handler and keeps its answer in one transaction. A refusal takes back what the handler wrote and is kept; any other error keeps nothing.
func (a *API) whole(ctx context.Context, st *state, req *request, k *keyed) (*Stored, error) {
	if ahead := st.op.ahead; ahead != nil {
		if err := ahead(ctx, req); err != nil {
			return a.refused(ctx, st, k, err)
		}
	}
	before := st.w.Header().Clone()
	var answer *Stored
	err := k.answers.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		st.restart(before)
		answer = &Stored{}
		k.answers.keep(tx, k, answer) // before the events: the row that gives them their cursors is locked last
		if err := st.op.serve(db.Join(ctx, tx), st, req); err != nil {
			if !refusal(err) || tx.Changed() {
				return err
			}
			a.fail(ctx, st, err)
		}
		*answer = *st.w.stored()
		return nil
	})
	if err == nil {
		return answer, nil
	}
	st.restart(before)
	return a.refused(ctx, st, k, err)
}

// plain runs a handler that only reads, or keeps its answer itself.
func (a *API) plain(ctx context.Context, st *state, req *request, k *keyed) (*Stored, error) {
	st.w.hold(k.mode == keyOwn)
	if err := st.op.serve(ctx, st, req); err != nil {
		return a.refused(ctx, st, k, err)
	}
	if k.kept != nil {
		return k.kept, nil
	}
	if st.w.held == nil { // a reading one's, too long to be kept
		return nil, nil
	}
	return a.afterwards(ctx, st, k)
}

// outside runs a handler whose effect is not in the database.
func (a *API) outside(ctx context.Context, st *state, req *request, k *keyed) (answer *Stored, err error) {
	if err := k.answers.claim(ctx, k); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // a client that leaves shall not leave its effect half done
	claimed := true
	defer func() {
		if claimed {
			if err := k.answers.release(ctx, k); err != nil {
				a.log.ErrorContext(ctx, "idempotency key not released", "op", st.label, "err", err)
			}
		}
	}()
	st.w.hold(true)
	err = st.op.serve(ctx, st, req)
	switch {
	case err == nil && k.kept != nil:
		claimed = false
		return k.kept, nil
	case err != nil && !refusal(err):
		return nil, err
	case err != nil:
		a.fail(ctx, st, err)
	}
	answer = st.w.stored()
	if err := k.answers.replace(ctx, k, answer); err != nil {
		a.log.ErrorContext(ctx, "answer of a live operation not stored", "op", st.label, "err", err)
		return nil, nil // the effect is there, so the client shall know of it
	}
	claimed = false
	return answer, nil
}

// refused keeps an answer below 500 to an operation that left nothing; other errors pass.
func (a *API) refused(ctx context.Context, st *state, k *keyed, err error) (*Stored, error) {
	if !refusal(err) {
		return nil, err
	}
	st.w.hold(true)
	a.fail(ctx, st, err)
	return a.afterwards(ctx, st, k)
}

// afterwards keeps an answer in a transaction of its own. Losing it loses nothing: there was no effect.
func (a *API) afterwards(ctx context.Context, st *state, k *keyed) (*Stored, error) {
	answer := st.w.stored()
	return answer, k.answers.db.Update(context.WithoutCancel(ctx), func(_ context.Context, tx *db.Tx) error {
		k.answers.keep(tx, k, answer)
		return nil
	})
}

// refusal tells an error whose answer is below 500: it will be the same the next time.
func refusal(err error) bool {
	e := fault.Of(err)
	return e != nil && e.Code != fault.Internal && fault.Lookup(e.Code).Status < http.StatusInternalServerError
}

func errRunning() error {
	return &fault.Error{Code: fault.Conflict, Message: "The first request with this key still runs", Retry: time.Second}
}

// Keyed tells whether the request behind ctx has an Idempotency-Key that counts.
func Keyed(ctx context.Context) bool {
	st := stateOf(ctx)
	return st != nil && st.key != nil
}

// Kept is an answer that waits to be stored with its effect; nil stands for that of a request without a key.
type Kept struct {
	key    *keyed
	answer *Stored
}

// Prepare renders the answer that an operation with Op.Keeps is going to give, nil without a key. The handler stores it in the transaction of its effect
// (In) and returns as usual; the client then gets exactly this answer. SetStatus and SetHeader come before it.
func Prepare(ctx context.Context, out any) (*Kept, error) {
	st := stateOf(ctx)
	if st == nil || st.key == nil || st.key.mode != keyOwn {
		return nil, nil
	}
	answer, err := st.w.api.stored(st, out)
	if err != nil {
		return nil, err
	}
	return &Kept{st.key, answer}, nil
}

// In stores the answer with what tx does. When another node was first, the transaction fails; the handler passes its error on.
func (p *Kept) In(tx *db.Tx) {
	if p != nil {
		p.key.kept = p.answer
		p.key.answers.keep(tx, p.key, p.answer)
	}
}

// Commit stores the answer that an operation with Op.Live is going to give, right before its effect, in one transaction with what rows writes, if given:
// a retry after a crash gets it. When the handler fails after that, its error takes the answer's place. Without a key it does nothing.
func Commit(ctx context.Context, out any, rows func(ctx context.Context, tx *db.Tx) error) error {
	st := stateOf(ctx)
	if st == nil || st.key == nil || st.key.mode != keyLive {
		return nil
	}
	k := st.key
	answer, err := st.w.api.stored(st, out)
	if err != nil {
		return err
	}
	err = k.answers.db.Update(ctx, func(ctx context.Context, tx *db.Tx) error {
		if rows != nil {
			if err := rows(ctx, tx); err != nil {
				return err
			}
		}
		return k.answers.fill(ctx, tx, k, answer)
	})
	if err == nil {
		k.kept = answer
	}
	return err
}

// stored renders a success as it will be sent.
func (a *API) stored(st *state, out any) (*Stored, error) {
	s := &Stored{Status: st.statusOf(), Header: http.Header{"Content-Type": {"application/json"}}}
	for _, k := range storedHeaders()[1:] {
		if v := st.w.Header().Values(k); len(v) > 0 {
			s.Header[k] = append([]string(nil), v...)
		}
	}
	buf := a.buffer()
	defer a.buffers.Put(buf)
	if err := success(buf, out); err != nil {
		return nil, err
	}
	s.Body = append([]byte(nil), buf.Bytes()...)
	return s, nil
}

func (st *state) replay(s *Stored) {
	st.w.Header().Set("Idempotency-Replayed", "true")
	st.send(s)
}

func (st *state) send(s *Stored) {
	h := st.w.Header()
	for k, v := range s.Header {
		h[k] = v
	}
	st.w.json(s.Status, s.Header.Get("Content-Type"), s.Body)
}

// restart forgets what an earlier run of the handler answered.
func (st *state) restart(header http.Header) {
	st.w.abandon()
	h := st.w.Header()
	clear(h)
	for k, v := range header {
		h[k] = v
	}
	st.status = 0
	st.w.hold(true)
}

// hold keeps the answer back: whole, or up to maxStored bytes.
func (w *response) hold(whole bool) { w.held, w.whole = []byte{}, whole }

// stored is the answer held.
func (w *response) stored() *Stored {
	s := &Stored{Status: w.status, Header: http.Header{}, Body: append([]byte(nil), w.held...)}
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

// bodyHash compares raw bodies, those of forms by their parts (rest-conventions §9). Members that the operation finds in the query stand for a part of the
// body and count too; other parameters do not.
func bodyHash(req *request) string {
	h := sha256.New()
	h.Write(req.sum)
	for _, f := range req.op.plan.fields {
		names := []string{f.query}
		if f.scalar || f.list && req.bodyless() {
			names = append(names, f.json)
		}
		for _, name := range names {
			if v, ok := req.queryValue(name); ok && name != "" {
				fmt.Fprintf(h, "\x00%s=%s", name, v)
				break
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// flights are the keyed requests that run on this node, one for each key.
type flights struct {
	mu sync.Mutex
	m  map[keyScope]*flight
}

type flight struct {
	hash   string
	done   chan struct{} // closed when it has ended
	answer *Stored       // nil: it left none
}

func (l *flights) enter(k *keyed) (f *flight, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.m[k.scope]; ok {
		return f, false
	}
	if l.m == nil {
		l.m = map[keyScope]*flight{}
	}
	f = &flight{hash: k.hash, done: make(chan struct{})}
	l.m[k.scope] = f
	return f, true
}

func (l *flights) leave(k *keyed, f *flight) {
	l.mu.Lock()
	delete(l.m, k.scope)
	l.mu.Unlock()
	close(f.done)
}
