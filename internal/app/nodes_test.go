package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/cluster"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db/dbtest"
)

// TestASecondServerIsRefusedOnTheSameData: on the same directory, and on the same database file from another directory. Commands are not.
func TestASecondServerIsRefusedOnTheSameData(t *testing.T) {
	load := func(data, file string) config.Config {
		cfg, err := config.Load([]string{"--db", "sqlite:" + file, "--data", data, "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	open := func(cfg config.Config) (*app.App, error) {
		return app.New(t.Context(), cfg, app.Build{Version: "test"}, io.Discard, slog.New(slog.DiscardHandler))
	}
	data, other := t.TempDir(), t.TempDir()
	file := filepath.Join(other, "rows.db")
	first, err := open(load(data, file))
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []config.Config{load(data, filepath.Join(other, "second.db")), load(other, file)} {
		if _, err := open(cfg); !errors.Is(err, cluster.ErrHeld) || !strings.Contains(err.Error(), "in use by another server") {
			t.Fatal(err)
		}
	}
	admin, err := app.OpenAdmin(t.Context(), load(data, file), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal("a command beside the server:", err)
	}
	if err := admin.Close(); err != nil {
		t.Fatal(err)
	}
	ended(t, first)
	again, err := open(load(data, file))
	if err != nil {
		t.Fatal("after the first has ended:", err)
	}
	ended(t, again)
}

// ended runs a server that is told to stop at once.
func ended(t *testing.T, a *app.App) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := a.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestAUserIsOnlineOnAllNodes as long as there is a socket on one of them.
func TestAUserIsOnlineOnAllNodes(t *testing.T) {
	url := dbtest.PostgresURL(t)
	one, other := start(t, url), start(t, url)
	online := func(want bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; {
			status, out := other.do("GET", "/rest/account", "")
			p, _ := out["payload"].(map[string]any)
			if status != 200 {
				t.Fatal(status, out)
			}
			if p["users"].([]any)[0].(map[string]any)["wss_online"] == want {
				return
			}
			if time.Now().After(end) {
				t.Fatal("online is not", want)
			}
		}
	}
	online(false)
	c, _, err := websocket.Dial(t.Context(), "ws://"+one.app.HTTPAddr()+"/?bearer=test-token-0123456789", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	online(true)
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Fatal(err)
	}
	online(false)
}
