package httpapi

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/opentact/opentact/internal/fault"
)

// swaggerAssets is swagger-ui-dist 5.35.0 (Apache-2.0, see LICENSE and NOTICE beside it), compressed.
//
//go:embed swaggerui
var swaggerAssets embed.FS

const swaggerCSP = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src *"

const swaggerHTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Opentact API</title>
<link rel="stylesheet" href="/swagger/swagger-ui.css">
<link rel="icon" type="image/png" href="/swagger/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/swagger/swagger-ui-bundle.js"></script>
<script src="/swagger/swagger-ui-standalone-preset.js"></script>
<script src="/swagger/start.js"></script>
</body>
</html>
`

func (a *API) swaggerPage(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", swaggerCSP)
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, swaggerHTML)
}

// swaggerStart is the script that opens the page: one document for all and one for each tag, so that links with
// ?urls.primaryName=TAG%3A%20<Tag>#/<Tag>/<operationId> lead to their operation.
func (a *API) swaggerStart() []byte {
	type link struct {
		URL  string `json:"url"`
		Name string `json:"name"`
	}
	links := []link{{"/openapi.json", "All"}}
	for _, tag := range a.tags() {
		links = append(links, link{"/openapi.json?tag=" + tag, "TAG: " + tag})
	}
	urls, _ := json.Marshal(links) // two strings always marshal
	return fmt.Appendf(nil, `window.ui = SwaggerUIBundle({
  urls: %s,
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayOperationId: true,
  persistAuthorization: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout"
});
`, urls)
}

func (a *API) swaggerFile(w http.ResponseWriter, r *http.Request) {
	name := stateOf(r.Context()).params[0].value
	h := w.Header()
	kind := swaggerType(name)
	if kind == "" {
		a.Fail(w, r, fault.New(fault.NotFound))
		return
	}
	h.Set("Content-Type", kind)
	if name == "start.js" {
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write(a.swaggerStart())
		return
	}
	h.Set("Cache-Control", "public, max-age=86400")
	if body, err := swaggerAssets.ReadFile("swaggerui/" + name); err == nil {
		_, _ = w.Write(body)
		return
	}
	body, err := swaggerAssets.ReadFile("swaggerui/" + name + ".gz")
	if err != nil {
		a.Fail(w, r, fault.New(fault.NotFound))
		return
	}
	h.Add("Vary", "Accept-Encoding")
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	_, _ = io.Copy(w, z) // a broken connection has no reader for an error
}

func swaggerType(name string) string {
	switch {
	case strings.HasSuffix(name, ".js"):
		return "text/javascript; charset=utf-8"
	case strings.HasSuffix(name, ".css"):
		return "text/css; charset=utf-8"
	case strings.HasSuffix(name, ".png"):
		return "image/png"
	case name == "LICENSE", name == "NOTICE", strings.HasSuffix(name, ".txt"):
		return "text/plain; charset=utf-8"
	}
	return ""
}
