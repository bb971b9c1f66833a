package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Limits and times of the layer; those of JSON stand in json.go, those of formats in check.go.
const (
	maxJSONBody      = 1 << 20
	maxMultipartBody = 10 << 20
	maxParts         = 100
	maxDropped       = 16 << 20 // bytes read and thrown away of a body that is too large
	maxRequestID     = 128
	maxIdempotency   = 255     // characters of an Idempotency-Key
	maxStored        = 1 << 20 // bytes of an answer kept for replay
	waitForFirst     = 5 * time.Second
	gzipAbove        = 1 << 10

	// Requests of an account (rest-conventions §10), unless Options say otherwise.
	defaultRate      = 50 // per second
	defaultBurst     = 100
	retryUnavailable = 5 * time.Second

	// Bad credentials (rest-conventions §3.7).
	badTries  = 10
	badWindow = time.Minute

	// Entries of the maps that clients can make grow; the least recently used one goes when full.
	maxBuckets  = 16384
	maxTryKeys  = 16384
	maxKnownIDs = 16384
)

// Options are the needs of the layer; the zero value of each member but Auth and Logger works.
type Options struct {
	Version, Commit, BuiltOn string
	APIURL                   string // absolute base of this server, without a trailing slash
	Logger                   *slog.Logger
	Auth                     Authenticator
	Limit                    Limit                // per account; default defaultRate and defaultBurst
	LimitOf                  func(Identity) Limit // replaces Limit where settings differ; its zero Limit means Limit
	Answers                  *Answers             // to requests with an Idempotency-Key; nil: keys are ignored
	Now                      func() time.Time
	Ready                    func() []string  // names what is not ready; nil: always ready
	Down                     func(error) bool // tells errors that mean "storage cannot answer now": 503 instead of 500
	Observe                  func(op string, status int, d time.Duration)
	TrustedProxies           []netip.Prefix // whose X-Forwarded-For is believed
	TLS                      bool           // the public side is https: answers carry HSTS
}

// API holds the operations and serves them. Registration ends before the first request.
type API struct {
	opt      Options
	log      *slog.Logger
	now      func() time.Time
	routes   node
	ops      []*operation
	mounts   *http.ServeMux
	common   []header
	limits   *buckets
	tries    *tries
	webhooks []WebhookDoc
	docs     documents
	flights  flights
	patience time.Duration // for the answer of an equal request that runs
	zips     sync.Pool
	buffers  sync.Pool
	doors    *doors
	open     map[string]bool // mounts that Hold leaves open
}

// New makes the layer with its own pages: /version, /health, /errors, /openapi.json, /openapi.yaml and /swagger/.
func New(opt Options) *API {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Limit == (Limit{}) {
		opt.Limit = Limit{PerSecond: defaultRate, Burst: defaultBurst}
	}
	opt.APIURL = strings.TrimSuffix(opt.APIURL, "/")
	a := &API{
		opt: opt, log: opt.Logger, now: opt.Now, mounts: http.NewServeMux(), common: constantHeaders(opt),
		limits: newBuckets(maxBuckets), tries: newTries(), patience: waitForFirst, doors: newDoors(), open: map[string]bool{}, docs: documents{rendered: map[string][]byte{}},
	}
	a.pages()
	return a
}

// Handler is the whole chain.
func (a *API) Handler() http.Handler { return a }

// Mount serves a raw handler under a net/http pattern, behind the operations: "/metrics", "/ws", "/{$}", "/console/".
// It gets request ids, logs, recovery and gzip, but no authentication and no rate limit.
func (a *API) Mount(pattern string, h http.Handler) { a.mounts.Handle(pattern, h) }

// Absent registers an operation of the wider interface that this server does not have: 404 not_implemented.
func (a *API) Absent(method, path string) {
	a.register(&operation{op: Op{ID: "absent", Method: method, Path: path, Hidden: true}, absent: true})
}

// Authenticate checks a credential that came another way than in a request of this layer, such as a websocket frame, and what it may.
// Bad tries count like those of requests; a bad credential is fault.Unauthorized, one without the right fault.AccessDenied.
func (a *API) Authenticate(ctx context.Context, c Credentials, actFor string, rule Rule) (Identity, error) {
	id, err := a.signIn(ctx, c, actFor)
	if err != nil {
		return Identity{}, err
	}
	return id, rule.admits(id)
}

// Identify finds and checks the credential of a raw request, as a mount may need, and what it may; without one the error is 401.
func (a *API) Identify(r *http.Request, rule Rule) (Identity, error) {
	c, ok := FindCredentials(r)
	if !ok {
		return Identity{}, errNoCredential()
	}
	c.RemoteIP = a.remoteIP(r)
	return a.Authenticate(r.Context(), c, r.Header.Get(headerActFor), rule)
}

// Guard puts a rule before a raw handler.
func (a *API) Guard(rule Rule, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := a.Identify(r, rule)
		if err != nil {
			a.Fail(w, r, err)
			return
		}
		h.ServeHTTP(w, r.WithContext(WithIdentity(r.Context(), id)))
	})
}

// LoopbackOr is Guard for everybody but clients on this machine, which pass.
func (a *API) LoopbackOr(rule Rule, h http.Handler) http.Handler {
	guarded := a.Guard(rule, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip, err := netip.ParseAddr(a.remoteIP(r)); err == nil && ip.Unmap().IsLoopback() {
			h.ServeHTTP(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// RedirectToTLS answers every request with 302 to the same URL under https (rest-conventions §1), for the plain side of an address with TLS. Only a client of
// HTTP/1.0 that names no host is led to the base of the API.
func (a *API) RedirectToTLS() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		base := "https://" + r.Host
		if r.Host == "" {
			base = "https://" + strings.TrimPrefix(strings.TrimPrefix(a.opt.APIURL, "http://"), "https://")
		}
		w.Header().Set("Location", base+r.URL.RequestURI())
		w.WriteHeader(http.StatusFound)
	})
}
