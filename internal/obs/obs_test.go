package obs

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

func logger(t *testing.T, o LogOptions) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	o.Writer = &b
	l, err := NewLogger(o)
	if err != nil {
		t.Fatal(err)
	}
	return l, &b
}

func TestSecretsAreBlankAtEveryLevel(t *testing.T) {
	for _, level := range []string{"info", "trace"} {
		l, b := logger(t, LogOptions{Level: level, Format: "json"})
		l.Info("x", "password", "hunter2", "Authorization", "hunter2", "webhook-secret", "hunter2", "api_token", "hunter2", "Set-Cookie", "hunter2",
			slog.Group("request", "token", "hunter2", slog.Group("deep", "ha1b", "hunter2")), "token_id", "visible")
		l.With("admin_password", "hunter2").WithGroup("g").Info("y", "secret", []byte("hunter2"))
		if strings.Contains(b.String(), "hunter2") || strings.Count(b.String(), blank) != 9 || !strings.Contains(b.String(), "visible") {
			t.Errorf("%s: %s", level, b)
		}
	}
}

func TestMessageBodiesAreShownAtTraceOnly(t *testing.T) {
	l, b := logger(t, LogOptions{Format: "json"})
	l.Info("sms sent", "message", "grüße", "body", []byte("four"), "segments", 1)
	if s := b.String(); !strings.Contains(s, `"message":"[5 characters]"`) || !strings.Contains(s, `"body":"[4 characters]"`) || !strings.Contains(s, `"msg":"sms sent"`) {
		t.Error(s)
	}
	l, b = logger(t, LogOptions{Format: "json", Level: "trace"})
	l.Log(t.Context(), LevelTrace, "pdu", "message", "grüße")
	if s := b.String(); !strings.Contains(s, `"message":"grüße"`) || !strings.Contains(s, `"level":"TRACE"`) {
		t.Error(s)
	}
}

func TestIDsOfTheContextAreOnEachLine(t *testing.T) {
	l, b := logger(t, LogOptions{Format: "json", Level: "debug"})
	ctx := With(t.Context(), slog.String("account", "a1"), slog.String("call", "c1"))
	inner := With(ctx, slog.String("call", "c2"), slog.String("token", "t"))
	l.With("node", "n1").DebugContext(inner, "inner")
	l.InfoContext(ctx, "outer")
	l.Info("none")
	var lines []map[string]any
	for d := json.NewDecoder(b); d.More(); {
		var m map[string]any
		if err := d.Decode(&m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	if lines[0]["call"] != "c2" || lines[0]["account"] != "a1" || lines[0]["node"] != "n1" || lines[0]["token"] != blank || lines[1]["call"] != "c1" || lines[2]["call"] != nil {
		t.Errorf("%v", lines)
	}
}

func TestLevelsAndFormats(t *testing.T) {
	l, b := logger(t, LogOptions{Level: "warn", Format: "text"})
	l.Info("quiet")
	l.Warn("loud")
	if s := b.String(); strings.Contains(s, "quiet") || !strings.Contains(s, "level=WARN msg=loud") {
		t.Error(s)
	}
	l, b = logger(t, LogOptions{})
	l.Info("x")
	if !json.Valid(b.Bytes()) {
		t.Errorf("not JSON where there is no terminal: %s", b)
	}
	if l.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("debug by default")
	}
	for _, o := range []LogOptions{{Level: "loud"}, {Format: "xml"}} {
		if _, err := NewLogger(o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

func scrape(m *Metrics) (int, string) {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Code, w.Body.String()
}

func TestMetricsFollowTheNamingRule(t *testing.T) {
	m := NewMetrics(Build{Version: "1.2.3", Commit: "abc", Go: "go1"})
	m.Counter("sms", "segments", "Segments sent.", "result").WithLabelValues("success").Add(3)
	m.Gauge("calls", "live", "Calls.").WithLabelValues().Set(2)
	m.GaugeFunc("jobs", "waiting", "Jobs.", func() float64 { return 7 })
	m.Seconds("call_setup", "Time to ring.", NetBuckets, "direction").WithLabelValues("in").Observe(.3)
	code, text := scrape(m)
	for _, want := range []string{
		`opentact_sms_segments_total{result="success"} 3`, "opentact_calls_live 2", "opentact_jobs_waiting 7",
		`opentact_call_setup_seconds_bucket{direction="in",le="0.5"} 1`, `opentact_build_info{commit="abc",go="go1",version="1.2.3"} 1`,
		"go_goroutines", "process_start_time_seconds",
	} {
		if code != 200 || !strings.Contains(text, want) {
			t.Errorf("%d: no %s", code, want)
		}
	}
}

func TestBadMetricsAreABrokenProgram(t *testing.T) {
	m := NewMetrics(Build{})
	m.Gauge("calls", "live", "Calls.")
	for name, f := range map[string]func(){
		"name":   func() { m.Counter("SMS", "segments", "") },
		"empty":  func() { m.Counter("sms", "", "") },
		"label":  func() { m.Counter("sms", "sent", "", "from") },
		"double": func() { m.Gauge("calls", "live", "Calls.") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s accepted", name)
				}
			}()
			f()
		}()
	}
}

func TestNoMetricsStillCount(t *testing.T) {
	var m *Metrics
	m.Counter("sms", "segments", "").WithLabelValues().Inc()
	m.GaugeFunc("jobs", "waiting", "", func() float64 { return 0 })
	if code, _ := scrape(m); code != http.StatusNotFound {
		t.Errorf("%d", code)
	}
}

func TestBuildNamesVersionAndGo(t *testing.T) {
	if b := ReadBuild(""); b.Version != "devel" || b.Go != runtime.Version() {
		t.Errorf("%+v", b)
	}
	if b := ReadBuild("1.0"); b.Version != "1.0" {
		t.Errorf("%+v", b)
	}
}
