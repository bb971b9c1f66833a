package obs

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics is a registry of metrics named opentact_<subject>_<unit>. A nil *Metrics gives metrics that work and are served nowhere.
// Its constructors panic on a name that breaks the rule or is taken, because that is a broken program.
type Metrics struct {
	registry *prometheus.Registry
}

// Buckets of histograms, in seconds.
var (
	FastBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1} // inside the program
	NetBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30}   // requests to others
	CallBuckets = []float64{1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400} // conversations
	wordForm    = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	unbounded   = []string{"number", "from", "to", "tn", "phone", "caller", "callee", "account", "call", "uuid", "id", "email", "url", "ip", "user"}
)

// NewMetrics makes a registry that holds the Go runtime's and the process's own metrics and opentact_build_info.
func NewMetrics(b Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Gauge("build", "info", "What this program was made from.", "version", "commit", "go").WithLabelValues(b.Version, b.Commit, b.Go).Set(1)
	return m
}

// Counter makes opentact_<subject>_<unit>_total, which only grows: Counter("sms", "segments", …).
func (m *Metrics) Counter(subject, unit, help string, labels ...string) *prometheus.CounterVec {
	return register(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(subject, unit+"_total", labels), Help: help}, labels))
}

// Gauge makes opentact_<subject>_<unit>, which goes up and down: Gauge("calls", "live", …).
func (m *Metrics) Gauge(subject, unit, help string, labels ...string) *prometheus.GaugeVec {
	return register(m, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name(subject, unit, labels), Help: help}, labels))
}

// GaugeFunc makes opentact_<subject>_<unit> whose value is asked for when it is read; f must be quick and safe for any goroutine.
func (m *Metrics) GaugeFunc(subject, unit, help string, f func() float64) {
	register(m, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name(subject, unit, nil), Help: help}, f))
}

// Seconds makes opentact_<subject>_seconds, a histogram of durations.
func (m *Metrics) Seconds(subject, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name(subject, "seconds", labels), Help: help, Buckets: buckets}, labels))
}

// Register adds a collector of another library, for example of a connection pool.
func (m *Metrics) Register(c prometheus.Collector) { register(m, c) }

func register[C prometheus.Collector](m *Metrics, c C) C {
	if m != nil {
		m.registry.MustRegister(c)
	}
	return c
}

func name(subject, unit string, labels []string) string {
	n := "opentact_" + subject + "_" + unit
	if !wordForm.MatchString(subject) || !wordForm.MatchString(unit) {
		panic(fmt.Sprintf("obs: %q is not a name of a metric", n))
	}
	for _, l := range labels {
		if !wordForm.MatchString(l) || slices.Contains(unbounded, l) {
			panic(fmt.Sprintf("obs: label %q of %s: not a name, or without bound", l, n))
		}
	}
	return n
}
