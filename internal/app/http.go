package app

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/opentact/opentact/internal/db"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/sandbox"
)

// Limits of the HTTP side.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	httpDrain     = 10 * time.Second // requests in flight get this long at a stop
)

// newAPI registers every operation.
func (a *App) newAPI() *httpapi.API {
	seconds := a.metrics.Seconds("http_request", "Time of REST operations", nil, "operation", "status")
	api := httpapi.New(httpapi.Options{
		Version: a.build.Version, Commit: a.build.Commit, BuiltOn: a.build.BuiltOn, APIURL: a.cfg.APIURL, Logger: a.log,
		Auth: a.domains.accounts, Answers: a.domains.answers, Ready: a.notReady, Down: db.Down,
		Observe: func(op string, status int, d time.Duration) {
			seconds.WithLabelValues(op, fmt.Sprintf("%dxx", status/100)).Observe(d.Seconds())
		},
		Limit: httpapi.Limit{PerSecond: float64(a.cfg.RateLimit), Burst: a.cfg.RateBurst},
		TLS:   a.tls.http != nil,
	})
	m := a.domains
	m.accounts.Routes(api)
	m.billing.Routes(api)
	m.numbers.Routes(api)
	m.gate.Routes(api)
	m.gate.Mount(api)
	m.routes(api)
	a.calls.voice.Routes(api)
	if a.calls.sandbox != nil {
		a.calls.sandbox.Routes(api)
	} else {
		sandbox.RoutesOff(api)
	}
	a.settingsRoutes(api)
	absent(api)
	describe(api)
	api.KeepOpen("/metrics", "/debug/pprof/", "/debug/pprof/profile", "/debug/pprof/trace")
	api.Hold(true) // until every part works
	operators := httpapi.Rule{Auth: httpapi.Admin, Scope: "admin:read"}
	api.Mount("/metrics", api.LoopbackOr(operators, a.metrics.Handler()))
	api.Mount("/debug/pprof/", api.LoopbackOr(operators, http.HandlerFunc(pprof.Index)))
	api.Mount("/debug/pprof/profile", api.LoopbackOr(operators, http.HandlerFunc(pprof.Profile)))
	api.Mount("/debug/pprof/trace", api.LoopbackOr(operators, http.HandlerFunc(pprof.Trace)))
	return api
}

// KeyModes tells of each POST, by its id, how it keeps an Idempotency-Key (httpapi.API.KeyMode).
func (a *App) KeyModes() map[string]string { return a.api.KeyMode() }

// absent lists operations of the wider interface that this server does not have (rest-resources, appendix A): 404 not_implemented.
func absent(api *httpapi.API) {
	for _, op := range []struct{ method, path string }{
		{"POST", "/rest/janus/conn"},
		{"PATCH", "/rest/janus/conn"},
		{"DELETE", "/rest/janus/conn"},
		{"GET", "/rest/janus/conn/{uuid}"},
		{"DELETE", "/rest/janus/conn/{uuid}"},
		{"GET", "/rest/janus/conn/{uuid}/{id}"},
		{"POST", "/rest/janus/session"},
		{"GET", "/rest/janus/session/list"},
		{"GET", "/rest/janus/session/owner"},
		{"GET", "/rest/janus/session/account"},
		{"GET", "/rest/janus/session/{uuid}"},
		{"PATCH", "/rest/janus/session/{uuid}"},
		{"DELETE", "/rest/janus/session/{uuid}"},
		{"GET", "/rest/janus/session/{uuid}/roster"},
		{"POST", "/rest/janus/session/{uuid}/whitelist"},
		{"POST", "/rest/janus/session/{uuid}/blacklist"},
		{"DELETE", "/rest/janus/session/{uuid}/whitelist/{id}"},
		{"DELETE", "/rest/janus/session/{uuid}/blacklist/{id}"},
		{"POST", "/rest/janus/session/{uuid}/user"},
		{"PATCH", "/rest/janus/session/{uuid}/user/{id}"},
		{"DELETE", "/rest/janus/session/{uuid}/user/{id}"},
		{"GET", "/rest/admin/class4/products/sync"},
		{"POST", "/rest/admin/class4/did/prefix"},
	} {
		api.Absent(op.method, op.path)
	}
	for _, ending := range []string{"", ".json", ".xml"} { // the first generation of the interface
		for _, op := range []struct{ method, path string }{
			{"GET", "/v1/accounts" + ending},
			{"POST", "/v1/accounts" + ending},
			{"GET", "/v1/accounts/{sid}" + ending},
			{"POST", "/v1/accounts/{sid}" + ending},
			{"PUT", "/v1/accounts/{sid}" + ending},
			{"GET", "/v1/friends/{sid}" + ending},
			{"POST", "/v1/friends/{sid}" + ending},
			{"GET", "/v1/accounts/{sid}/sip" + ending},
			{"GET", "/v1/accounts/{sid}/im" + ending},
			{"GET", "/v1/numbers/{number}" + ending},
		} {
			api.Absent(op.method, op.path)
		}
	}
}
