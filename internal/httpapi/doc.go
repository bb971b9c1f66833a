// Package httpapi is the one HTTP layer: it turns typed operations of the domains into a REST API on net/http.
//
// A domain describes an operation as an Op and registers it with Handle (JSON in, JSON out) or HandleRaw (audio, CSV).
// API owns the routes, Who tells a handler who is asking, Opt, Page, Search, List, Time, File and Raw are the shapes
// that the wire needs. Faults are *fault.Error values; anything else that a handler returns is shown as "internal".
//
// A request travels through the files in this order: serve.go (request id, common headers, recover, log),
// router.go (path to operation), credential.go and auth.go (who is asking, may they), limit.go (rate limit), body.go
// (read the body), idempotency.go with idempotency_store.go and sealed.go (the answer to a key: kept with its effect, sealed if it
// holds a secret, or replayed), decode.go with plan.go, scalar.go and check.go (fill and check the input),
// the handler, answer.go (envelope), failure.go (errors), response.go (gzip, HEAD). drain.go says who
// is let in while the server starts and stops. openapi.go and schema.go describe
// the same operations as an OpenAPI 3.1 document from the same plans; swagger.go and pages.go serve it and the small pages.
//
// It stores nothing but the answers to keys, knows no domain rule, holds no session and follows no cookie.
package httpapi
