package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db/dbtest"
)

type house struct {
	t    *testing.T
	app  *app.App
	out  *bytes.Buffer      // the start banner
	stop context.CancelFunc // begins the drain
	done chan error         // has the end of the server, once
}

// start runs a server until the test ends; flags come after the usual ones, so that they win.
func start(t *testing.T, url string, flags ...string) *house {
	t.Helper()
	cfg, err := config.Load(append([]string{"--db", url, "--data", t.TempDir(), "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0", "--admin-token", "test-token-0123456789", "--allow-private-urls", "--drain", "2s"}, flags...), nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	began := time.Now()
	a, err := app.New(t.Context(), cfg, app.Build{Version: "test"}, &out, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx)
		close(done)
	}()
	select {
	case <-a.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(began))
	h := &house{t, a, &out, cancel, done}
	t.Cleanup(h.end)
	return h
}

// end drains the server and waits for its end; again it does nothing.
func (h *house) end() {
	h.stop()
	if err, first := <-h.done; first && err != nil {
		h.t.Error(err)
	}
}

func (h *house) do(method, path, body string) (int, map[string]any) {
	h.t.Helper()
	req, _ := http.NewRequest(method, "http://"+h.app.HTTPAddr()+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer test-token-0123456789")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		h.t.Fatalf("%s %s: %v: %s", method, path, err, b)
	}
	return res.StatusCode, out
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, start(t, dbtest.SQLiteURL(t))) })
	t.Run("postgres", func(t *testing.T) { fn(t, start(t, dbtest.PostgresURL(t))) })
}

func TestBuyANumber(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if status, out := h.do("GET", "/health/ready", ""); status != 200 {
			t.Fatal(status, out)
		}
		status, found := h.do("POST", "/rest/tn/search", `{"pattern":"212*","size":2}`)
		if status != 200 || found["payload"].(map[string]any)["total"].(float64) != 80 {
			t.Fatal(status, found)
		}
		tn := found["payload"].(map[string]any)["data"].([]any)[0].(map[string]any)["tn"].(float64)
		body, _ := json.Marshal(map[string]any{"items": []any{map[string]any{"tn": tn, "features": []string{"voice", "sms"}}}})
		status, order := h.do("POST", "/rest/order", string(body))
		if status != 201 || order["payload"].(map[string]any)["state"] != "success" {
			t.Fatal(status, order)
		}
		if status, again := h.do("POST", "/rest/order", string(body)); status != 201 || again["payload"].(map[string]any)["state"] != "failed" {
			t.Fatal(status, again)
		}
		status, leases := h.do("GET", "/rest/lease/tn", "")
		if status != 200 || len(leases["payload"].([]any)) != 1 {
			t.Fatal(status, leases)
		}
		status, acct := h.do("GET", "/rest/account", "")
		if status != 200 || acct["payload"].(map[string]any)["balance"].(float64) != 98.9 {
			t.Fatal(status, acct["payload"].(map[string]any)["balance"])
		}
		status, tx := h.do("POST", "/rest/transaction/search", `{}`)
		if status != 200 || tx["payload"].(map[string]any)["total"].(float64) != 3 {
			t.Fatal(status, tx)
		}
	})
}
