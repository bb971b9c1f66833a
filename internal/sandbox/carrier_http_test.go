package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opentact/opentact/internal/audio"
	"github.com/opentact/opentact/internal/fault"
	"github.com/opentact/opentact/internal/httpapi"
	"github.com/opentact/opentact/internal/money"
	"github.com/opentact/opentact/internal/sandbox/phone"
)

// serve is an API whose token is the account that asks.
func serve(t *testing.T, routes func(*httpapi.API)) *httptest.Server {
	t.Helper()
	a := httpapi.New(httpapi.Options{
		Logger: slog.New(slog.DiscardHandler),
		Auth: httpapi.AuthFunc(func(_ context.Context, c httpapi.Credentials, _ string) (httpapi.Identity, error) {
			if c.Value == "" {
				return httpapi.Identity{}, fault.New(fault.Unauthorized)
			}
			return httpapi.Identity{Account: c.Value, User: "u", Role: httpapi.RoleUser, Unlimited: true}, nil
		}),
	})
	routes(a)
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(srv.Close)
	return srv
}

// ask makes a request for an account and gives status and body.
func ask(t *testing.T, srv *httptest.Server, account, method, path, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(within(t), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", account)
	r.Header.Set("Authorization", "Bearer "+account)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

func payload[T any](t *testing.T, body []byte) T {
	t.Helper()
	var env struct{ Payload T }
	if err := json.Unmarshal(body, &env); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return env.Payload
}

func TestScriptedCallOverHTTP(t *testing.T) {
	n, _ := network(t, func(ctx context.Context, c *phone.Call) {
		_ = c.Answer()
		_ = c.Play(ctx, tone(600))
	}, func(c *Config) { c.Credit = money.MustParse("100") })
	srv := serve(t, n.Routes)

	status, body := ask(t, srv, alice, "GET", "/rest/sandbox", "")
	about := payload[struct {
		Active  bool `json:"is_active"`
		Numbers []struct {
			Number          int64
			Kind, Behaviour string
		}
		Rules  []struct{ Numbers, Behaviour string }
		Credit float64
	}](t, body)
	if status != 200 || !about.Active || len(about.Numbers) != 17 || about.Numbers[0].Number != 15005550001 || len(about.Rules) != 2 || about.Rules[0].Behaviour == "" || about.Credit != 100 {
		t.Errorf("%d %s", status, body)
	}

	status, body = ask(t, srv, alice, "POST", "/rest/sandbox/call",
		`{"from":"+1 500 555 1234","to":"13125550100","script":[{"expect_say":"welcome to the show"},{"hangup":true}]}`)
	leg := payload[struct{ UUID string }](t, body)
	if status != 201 || leg.UUID == "" {
		t.Fatalf("%d %s", status, body)
	}
	type view struct {
		State string
		Steps []struct {
			Step  map[string]any
			OK    bool
			Heard *string
		}
		In    int `json:"packets_in"`
		Audio *string
	}
	var v view
	await(t, within(t), func() bool {
		_, body = ask(t, srv, alice, "GET", "/rest/sandbox/call/"+leg.UUID, "")
		v = payload[view](t, body)
		return v.State == StateEnded
	})
	if len(v.Steps) != 2 || !v.Steps[0].OK || *v.Steps[0].Heard != "welcome to the show" || v.Steps[0].Step["expect_say"] == nil || v.In == 0 || v.Audio == nil {
		t.Fatalf("%s", body)
	}
	status, body = ask(t, srv, alice, "GET", *v.Audio, "")
	if samples, err := audio.DecodeFile(bytes.NewReader(body), audio.Limits{}); status != 200 || err != nil || len(samples) < audio.Rate*3/4 {
		t.Errorf("%d, %d samples, %v", status, len(samples), err)
	}
	if status, _ := ask(t, srv, "bob", "GET", *v.Audio, ""); status != 404 {
		t.Errorf("another account hears it: %d", status)
	}
	status, body = ask(t, srv, alice, "GET", "/rest/sandbox/call", "")
	if list := payload[[]view](t, body); status != 200 || len(list) != 1 {
		t.Errorf("%d %s", status, body)
	}
}

func TestStepsAreCheckedTogether(t *testing.T) {
	n, _ := network(t, nil)
	srv := serve(t, n.Routes)
	status, body := ask(t, srv, alice, "POST", "/rest/sandbox/call",
		`{"from":"15005551234","to":"13125550100","script":[{},{"say":"a","digits":"1"},{"hangup":false},{"wait_ms":1}]}`)
	for _, path := range []string{"script.0", "script.1", "script.2"} {
		if status != 400 || !strings.Contains(string(body), path) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if strings.Contains(string(body), "script.3") {
		t.Errorf("%s", body)
	}
	if status, body := ask(t, srv, alice, "POST", "/rest/sandbox/call", `{"from":"15005551234","to":"13125550100","script":[{"digits":"12x"}]}`); status != 400 {
		t.Errorf("%d %s", status, body)
	}
}

func TestMessageGoesToNumbersOfTheAccountOnly(t *testing.T) {
	n, p := network(t, nil)
	srv := serve(t, n.Routes)
	const text = `{"from":"15005551234","to":"13125550100","message":"hello"}`
	if status, body := ask(t, srv, alice, "POST", "/rest/sandbox/sms", text); status != 201 || payload[struct{ Message string }](t, body).Message != "hello" {
		t.Errorf("%d %s", status, body)
	}
	if status, body := ask(t, srv, "bob", "POST", "/rest/sandbox/sms", text); status != 404 {
		t.Errorf("%d %s", status, body)
	}
	if len(p.texts) != 1 {
		t.Errorf("delivered %q", p.texts)
	}
}

func TestWithoutSandboxItsOperationsAreNotFound(t *testing.T) {
	srv := serve(t, RoutesOff)
	for method, path := range map[string]string{"GET": "/rest/sandbox", "POST": "/rest/sandbox/call"} {
		if status, body := ask(t, srv, alice, method, path, ""); status != 404 {
			t.Errorf("%s %s: %d %s", method, path, status, body)
		}
	}
}
