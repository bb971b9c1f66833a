package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/opentact/opentact/internal/fault"
)

func (a *API) openapiJSON(w http.ResponseWriter, r *http.Request) {
	tag := r.URL.Query().Get("tag")
	if tag != "" {
		if _, known := pick(a.tags(), tag); !known {
			a.Fail(w, r, fault.New(fault.NotFound))
			return
		}
	}
	doc, err := a.document(tag)
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(doc)
}

func (a *API) openapiYAML(w http.ResponseWriter, r *http.Request) {
	doc, err := a.documentYAML()
	if err != nil {
		a.Fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(doc)
}

// document renders the OpenAPI document of a tag once; the tags bound how many there are.
func (a *API) document(tag string) ([]byte, error) {
	if tag != "" {
		tag, _ = pick(a.tags(), tag)
	}
	return a.docs.once("json "+tag, func() ([]byte, error) { return json.Marshal(a.OpenAPI(tag)) })
}

func (a *API) documentYAML() ([]byte, error) {
	return a.docs.once("yaml", func() ([]byte, error) { return a.OpenAPI("").YAML() })
}

// once renders a document the first time it is asked for; two that come at once may both render it.
func (d *documents) once(key string, make func() ([]byte, error)) ([]byte, error) {
	d.mu.Lock()
	b := d.rendered[key]
	d.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := make()
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rendered[key] = b
	return b, nil
}
