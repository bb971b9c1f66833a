package httpapi

import (
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// pages registers what the layer itself serves (rest-conventions §12).
func (a *API) pages() {
	for path, h := range map[string]http.HandlerFunc{
		"/version": a.version, "/health/live": a.live, "/health/ready": a.ready,
		"/errors": a.errorList, "/errors/{code}": a.errorPage,
		"/openapi.json": a.openapiJSON, "/openapi.yaml": a.openapiYAML,
		"/swagger": a.swaggerPage, "/swagger/{file}": a.swaggerFile,
	} {
		a.register(&operation{op: Op{ID: "page " + path, Method: http.MethodGet, Path: path, Hidden: true}, page: h})
	}
}

func (a *API) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Version string `json:"version"`
		Commit  string `json:"commit"`
		BuiltOn string `json:"built_on"`
	}{a.opt.Version, a.opt.Commit, a.opt.BuiltOn})
}

func (a *API) live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	waiting := []string{}
	if a.opt.Ready != nil {
		waiting = append(waiting, a.opt.Ready()...)
	}
	if a.doors.draining.Load() {
		waiting = append(waiting, "draining")
	}
	if len(waiting) == 0 {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "not_ready": waiting})
		return
	}
	w.Header().Set("Retry-After", "1")
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "unavailable", "not_ready": waiting})
}

// errorDoc is a row of the table of codes.
type errorDoc struct {
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Message string `json:"message"`
	Help    string `json:"help"`
	Type    string `json:"type"`
}

// errorDocs gives the rows of a wire code, or all of them for "".
func (a *API) errorDocs(wire string) []errorDoc {
	var docs []errorDoc
	for _, e := range fault.Table() {
		if wire == "" || e.Wire == wire {
			docs = append(docs, errorDoc{e.Wire, e.Status, e.Title, e.Message, e.Help, a.opt.APIURL + "/errors/" + e.Wire})
		}
	}
	return docs
}

func (a *API) errorList(w http.ResponseWriter, r *http.Request) {
	a.writeErrors(w, r, "Error codes", a.errorDocs(""))
}

func (a *API) errorPage(w http.ResponseWriter, r *http.Request) {
	code := stateOf(r.Context()).params[0].value
	docs := a.errorDocs(code)
	if len(docs) == 0 {
		a.Fail(w, r, fault.New(fault.NotFound))
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeJSON(w, http.StatusOK, docs[0])
		return
	}
	a.writeErrors(w, r, docs[0].Code, docs)
}

// writeErrors writes HTML to browsers and JSON to everybody else.
func (a *API) writeErrors(w http.ResponseWriter, r *http.Request, title string, docs []errorDoc) {
	w.Header().Add("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeJSON(w, http.StatusOK, docs)
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>", html.EscapeString(title))
	b.WriteString(`<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#1b1f24}code{background:#eef1f4;padding:.1em .3em;border-radius:4px}</style>`)
	fmt.Fprintf(&b, "<h1>%s</h1>", html.EscapeString(title))
	for _, d := range docs {
		fmt.Fprintf(&b, "<h2>%d %s</h2><p><a href=\"/errors/%s\"><code>%s</code></a> %s</p><p>%s</p>", d.Status, html.EscapeString(d.Title),
			html.EscapeString(d.Code), html.EscapeString(d.Code), html.EscapeString(d.Message), html.EscapeString(d.Help))
	}
	b.WriteString("<p><a href=\"/errors\">All codes</a></p></html>")
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(b.String()))
}
