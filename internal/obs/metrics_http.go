package obs

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of /metrics.
const (
	maxScrapes   = 4
	scrapeLimit  = 10 * time.Second
	nothingToSee = "metrics are off\n"
)

// Handler serves the metrics as Prometheus text.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, nothingToSee, http.StatusNotFound) })
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: scrapeLimit})
}
