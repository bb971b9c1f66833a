// Package obs lets operators see what the program does: structured logs and metrics.
//
// NewLogger (log.go) makes the slog.Logger that every part gets passed. It blanks secrets by the name of the attribute, shows message
// bodies at level trace only, and adds the ids that With (context.go) has put into the context. Metrics (metrics.go) is a registry whose
// constructors keep to one naming rule, opentact_<subject>_<unit>; metrics_http.go serves it. Build (build.go) is what was compiled.
//
// The package keeps no global logger or registry, and never accepts a label that could hold a telephone number or another unbounded value.
package obs
