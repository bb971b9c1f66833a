package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/ident"
	"github.com/opentact/opentact/internal/obs"
)

// logID is the attribute that log lines of a request carry.
const logID = "request_id"

// statusGone is what the log shows when the client left before its answer.
const statusGone = 499

// ServeHTTP is the path of every request.
func (a *API) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	st := &state{id: requestID(r), start: a.now(), remote: a.remoteIP(r), label: "none"}
	st.w = a.newResponse(rw, r)
	ctx := obs.With(context.WithValue(r.Context(), stateKey{}, st), slog.String(logID, st.id))
	st.r = r.WithContext(ctx)
	a.commonHeaders(st)
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a.log.ErrorContext(ctx, "request panicked", "op", st.label, "panic", p, "stack", string(debug.Stack()))
			a.render(st, fault.New(fault.Internal))
		}
		st.w.finish()
		a.done(ctx, st)
		if st.cut {
			panic(http.ErrAbortHandler)
		}
	}()
	a.dispatch(ctx, st)
}

// dispatch finds who serves the request.
func (a *API) dispatch(ctx context.Context, st *state) {
	r := st.r
	segs, ok := segments(r.URL)
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if ok && len(segs) > 0 {
		if m, found := a.routes.find(method, segs, nil); found {
			a.operate(ctx, st, m, segs)
			return
		}
	}
	allow := ""
	if ok && len(segs) > 0 {
		if allow = a.routes.allow(segs); allow == "" && aliasable(segs[0]) {
			full := append([]string{"rest"}, segs...)
			if m, found := a.routes.find(method, full, nil); found {
				a.deprecate(st)
				a.operate(ctx, st, m, full)
				return
			}
			allow = a.routes.allow(full)
		}
	}
	if allow == "" {
		a.mounted(ctx, st)
		return
	}
	a.unserved(ctx, st, allow)
}

// unserved answers a request whose path has other methods, or none at all.
func (a *API) unserved(ctx context.Context, st *state, allow string) {
	switch {
	case allow == "":
		a.fail(ctx, st, fault.New(fault.NotFound))
	case st.r.Method == http.MethodOptions:
		a.preflight(st, allow)
	default:
		st.w.Header().Set("Allow", allow)
		a.fail(ctx, st, fault.New(fault.MethodNotAllowed))
	}
}

// mountMethods are the methods under which a raw handler has the path, as Allow lists them.
func (a *API) mountMethods(r *http.Request) string {
	set := map[string]bool{}
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if _, pattern := a.mounts.Handler(&http.Request{Method: m, URL: r.URL, Host: r.Host}); pattern != "" {
			set[m] = true
		}
	}
	return allowHeader(set)
}

// aliasable tells whether a first segment belongs to the alias without /rest (rest-conventions §1).
func aliasable(seg string) bool {
	switch seg {
	case "account", "address", "admin", "app", "auth", "batch", "call", "dict", "event", "invoice", "janus", "lease",
		"order", "payment", "profile", "record", "report", "sandbox", "settings", "sip", "sms", "tcr", "tn", "token",
		"transaction", "user", "webhook":
		return true
	}
	return false
}

func (a *API) deprecate(st *state) {
	h := st.w.Header()
	h.Set("Deprecation", "true")
	h.Set("Link", "</rest"+st.r.URL.EscapedPath()+`>; rel="successor-version"`)
}

func (a *API) operate(ctx context.Context, st *state, m match, segs []string) {
	st.path = "/" + strings.Join(segs, "/")
	st.op, st.label = m.route.op, m.route.op.op.ID
	for i, name := range m.route.names {
		st.params = append(st.params, param{name, m.values[i]})
	}
	if st.op.page != nil {
		a.showLimit(st)
		st.op.page(st.w, st.r)
		return
	}
	st.w.Header().Set("Cache-Control", "no-store")
	if err := a.run(ctx, st); err != nil {
		a.fail(ctx, st, err)
	}
}

// mounted gives the request to a raw handler, if there is one for it.
func (a *API) mounted(ctx context.Context, st *state) {
	h, pattern := a.mounts.Handler(st.r)
	if pattern == "" {
		a.unserved(ctx, st, a.mountMethods(st.r))
		return
	}
	st.label = pattern
	if a.doors.held.Load() && !a.open[pattern] {
		a.fail(ctx, st, fault.New(fault.Unavailable))
		return
	}
	a.showLimit(st)
	h.ServeHTTP(st.w, st.r)
}

const (
	allowedHeaders = "Authorization, X-Auth-Token, X-Auth-Google-Token, X-Auth-Facebook-Token, X-Auth-HA1B-Token, " +
		"X-Account, Content-Type, Idempotency-Key, X-Request-Id"
	exposedHeaders = "X-Request-Id, X-Total-Count, X-Opentact-Version, RateLimit-Limit, RateLimit-Remaining, " +
		"RateLimit-Reset, Retry-After, Idempotency-Replayed, Deprecation, Sunset, Link"
)

// constantHeaders are the same on every answer; their values are shared between requests and never changed.
func constantHeaders(opt Options) []header {
	list := []header{
		{"X-Opentact-Version", []string{opt.Version}},
		{"Access-Control-Allow-Origin", []string{"*"}},
		{"Access-Control-Expose-Headers", []string{exposedHeaders}},
		{"X-Content-Type-Options", []string{"nosniff"}},
		{"Referrer-Policy", []string{"no-referrer"}},
		{"X-Frame-Options", []string{"SAMEORIGIN"}},
	}
	if opt.TLS {
		list = append(list, header{"Strict-Transport-Security", []string{"max-age=31536000"}})
	}
	return list
}

type header struct {
	name   string // canonical
	values []string
}

func (a *API) commonHeaders(st *state) {
	h := st.w.Header()
	h["X-Request-Id"] = []string{st.id}
	for _, c := range a.common {
		h[c.name] = c.values
	}
}

func (a *API) preflight(st *state, allow string) {
	h := st.w.Header()
	h.Set("Allow", allow)
	h.Set("Access-Control-Allow-Methods", allow)
	list := allowedHeaders
	for _, name := range strings.Split(st.r.Header.Get("Access-Control-Request-Headers"), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if strings.HasPrefix(name, "x-auth-") && isToken(name) && !strings.Contains(strings.ToLower(allowedHeaders), name) {
			list += ", " + name
		}
	}
	h.Set("Access-Control-Allow-Headers", list)
	h.Set("Access-Control-Max-Age", "86400")
	st.label = "options"
	a.showLimit(st)
	st.w.WriteHeader(http.StatusNoContent)
}

func isToken(s string) bool {
	return len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// requestID keeps a decent id of the client, else makes one (rest-conventions §8).
func requestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id == "" || len(id) > maxRequestID {
		return ident.New()
	}
	for i := range len(id) {
		c := id[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-' {
			continue
		}
		return ident.New()
	}
	return id
}

// remoteIP is the client's address: that of the connection, or, behind trusted proxies, the last entry of
// X-Forwarded-For that is none of them.
func (a *API) remoteIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if len(a.opt.TrustedProxies) == 0 || !a.trusted(host) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		host = hop
		if !a.trusted(hop) {
			break
		}
	}
	return host
}

func (a *API) trusted(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range a.opt.TrustedProxies {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

// done writes the line of the request and its metric.
func (a *API) done(ctx context.Context, st *state) {
	took := a.now().Sub(st.start)
	if a.opt.Observe != nil {
		a.opt.Observe(st.label, st.w.status, took)
	}
	level := slog.LevelDebug
	if st.w.status >= 500 {
		level = slog.LevelWarn
	}
	if !a.log.Enabled(ctx, level) {
		return
	}
	a.log.LogAttrs(ctx, level, "request", slog.String("method", st.r.Method),
		slog.String("path", maskedPath(st)), slog.String("query", maskQuery(st.r.URL.RawQuery)), slog.String("op", st.label),
		slog.Int("status", st.w.status), slog.Int64("bytes", st.w.size), slog.Duration("took", took),
		slog.String("account", st.identity.Account), slog.String("remote", st.remote))
}

// secretName tells of query parameters, path parameters and members whether their values are shown nowhere.
func secretName(name string) bool {
	n := strings.ToLower(name)
	switch n {
	case "jwt", "bearer", "google_token", "facebook_token", "ha1b", "ha1", "token", "sig":
		return true
	}
	return strings.Contains(n, "password") || strings.Contains(n, "secret")
}

// maskQuery replaces the values of credentials in a query string.
func maskQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		name, _, has := strings.Cut(p, "=")
		if un, err := url.QueryUnescape(name); has && (err != nil || secretName(un) || strings.EqualFold(un, "email")) {
			parts[i] = name + "=***"
		}
	}
	return strings.Join(parts, "&")
}

// maskedPath is the path for the log; one with a secret parameter is shown as its pattern.
func maskedPath(st *state) string {
	if secretParam(st) {
		return st.op.op.Path
	}
	return st.r.URL.Path
}
