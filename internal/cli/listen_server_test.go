package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/cli/client"
	"github.com/opentact/opentact/internal/config"
)

const serverToken = "cli0123456789cli0123456789"

// startServer runs a server until the test ends and gives its address.
func startServer(t *testing.T) string {
	t.Helper()
	cfg, err := config.Load([]string{"--data", t.TempDir(), "--http-addr=127.0.0.1:0", "--sip-addr=127.0.0.1:0", "--allow-private-urls", "--drain=1s", "--admin-token", serverToken}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server, err := app.New(ctx, cfg, app.Build{Version: "v1.2.3", Commit: "test"}, t.Output(), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("the server ended at its start: %v", err)
	}
	return "http://" + server.HTTPAddr()
}

// developer is a customer with a server, one endpoint and one number.
type developer struct {
	t        *testing.T
	api      *client.Client
	flags    []string
	public   *program // what the endpoint leads to
	endpoint struct{ UUID, Secret string }
	number   string
}

func newDeveloper(t *testing.T) *developer {
	d := &developer{t: t, public: newProgram(t)}
	base := startServer(t)
	d.flags = []string{"--api", base, "--token", serverToken}
	var err error
	if d.api, err = client.New(base, serverToken); err != nil {
		t.Fatal(err)
	}
	d.do("POST", "/rest/webhook", map[string]any{"url": d.public.URL, "types": []string{"sms"}}, &d.endpoint)
	var found struct {
		Data []struct{ TN json.Number } `json:"data"`
	}
	d.do("POST", "/rest/tn/search", map[string]any{"npa": "312", "features": []string{"sms"}}, &found)
	d.number = found.Data[0].TN.String()
	d.do("POST", "/rest/order", map[string]any{"items": []any{map[string]any{"tn": found.Data[0].TN, "features": []string{"voice", "sms"}}}}, nil)
	var profiles []struct{ UUID string }
	d.do("GET", "/rest/profile/messaging", nil, &profiles)
	d.do("POST", "/rest/lease/tn/"+d.number+"/subscription/sms", map[string]any{"messaging_profile": profiles[0].UUID}, nil)
	return d
}

func (d *developer) do(method, path string, in, out any) {
	d.t.Helper()
	if err := d.api.Do(d.t.Context(), method, path, in, out); err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// run runs a command that must end well, and gives what it printed.
func (d *developer) run(in string, args ...string) string {
	d.t.Helper()
	r := run(d.t, nil, in, append(args, d.flags...)...)
	if r.code != 0 {
		d.t.Fatalf("%v: %+v", args, r)
	}
	return r.out
}

// settled waits until the endpoint's deliveries are done and gives the event of the latest.
func (d *developer) settled() string {
	d.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		var page struct {
			Data []struct{ Event, State string } `json:"data"`
		}
		d.do("GET", "/rest/webhook/"+d.endpoint.UUID+"/delivery?type=sms", nil, &page)
		if len(page.Data) > 0 && page.Data[0].State == "success" {
			return page.Data[0].Event
		}
		select {
		case <-again.C:
		case <-d.t.Context().Done():
			d.t.Fatal("the delivery does not end")
		}
	}
}

// listen runs the command beside the test until it has had one event; begin happens once it is subscribed.
func (d *developer) listen(private *program, begin func()) string {
	d.t.Helper()
	ready, done := make(chan struct{}), make(chan error, 1)
	var out bytes.Buffer
	errs := &stopAt{word: "Ready: ", stop: func() { close(ready) }}
	args := append([]string{"listen", "--forward-to", private.URL, "--types", "sms", "--secret", d.endpoint.Secret, "--count", "1"}, d.flags...)
	go func() {
		done <- Run(d.t.Context(), Program{Args: args, In: strings.NewReader(""), Out: &out, Err: errs, Version: "v1.2.3"})
	}()
	select {
	case <-ready:
		begin()
	case err := <-done:
		d.t.Fatalf("listen ended before it was ready: %v", err)
	}
	if err := <-done; err != nil {
		d.t.Fatalf("listen: %v", err)
	}
	return out.String()
}

// TestADeveloperWithoutAPublicAddressGetsWhatAnEndpointGets goes through the day of a developer against a whole server.
func TestADeveloperWithoutAPublicAddressGetsWhatAnEndpointGets(t *testing.T) {
	d, private := newDeveloper(t), newProgram(t)
	line := d.listen(private, func() { d.run("", "trigger", "sms", "--real", "--to", d.number, "--text", "Hello?") })
	near, far := <-private.got, <-d.public.got
	if near.body != far.body || !strings.Contains(near.body, "Hello?") || !strings.Contains(line, "  204  ") {
		t.Errorf("listen posted %s, the server %s\n%s", near.body, far.body, line)
	}
	for _, name := range []string{"Webhook-Id", "Content-Type", "User-Agent", "X-Opentact-Event", "X-Opentact-Attempt"} {
		if near.header.Get(name) != far.header.Get(name) || near.header.Get(name) == "" {
			t.Errorf("%s: listen %q, the server %q", name, near.header.Get(name), far.header.Get(name))
		}
	}
	for _, one := range []delivered{near, far} {
		d.run(one.request(), "webhook", "verify", "--endpoint", d.endpoint.UUID)
	}

	id := d.settled()
	if got := d.run("", "events", "get", id); !strings.Contains(got, "webhook "+d.endpoint.UUID+"  success") || !strings.Contains(got, "status 204") {
		t.Error(got)
	}
	if got := d.run("", "events", "resend", "--since", "1h", "--state", "success"); !strings.HasSuffix(got, "1 delivery queued\n") {
		t.Error(got)
	}
	if again := <-d.public.got; again.header.Get("Webhook-Id") != far.header.Get("Webhook-Id") || again.body != far.body {
		t.Errorf("sent again: %+v", again)
	}
	d.settled()
	var e client.Event
	d.do("GET", "/rest/event/"+id, nil, &e)
	if got := d.run("", "events", "resend", e.Cursor); !strings.Contains(got, id+" → "+d.public.URL) {
		t.Error(got)
	}
	<-d.public.got
	d.run("", "events", "resend", id, "--forward-to", private.URL, "--secret", d.endpoint.Secret)
	if again := <-private.got; again.body != far.body {
		t.Errorf("forwarded %s, sent was %s", again.body, far.body)
	}

	if got := d.run("", "trigger", "balance"); !strings.Contains(got, "POST "+d.public.URL) || !strings.Contains(got, "204 No Content in ") {
		t.Error(got)
	}
	if sample := <-d.public.got; sample.header.Get("X-Opentact-Event") != "balance" || !strings.Contains(sample.body, `"test":true`) {
		t.Errorf("%+v", sample)
	}
	broken := strings.Replace(far.request(), "Hello?", "Hallo?", 1)
	r := run(t, nil, broken, append([]string{"webhook", "verify", "--endpoint", d.endpoint.UUID}, d.flags...)...)
	if want := fmt.Sprintf("from byte %d on", strings.Index(far.body, "ello?")); r.code != 1 || !strings.Contains(r.out, want) {
		t.Errorf("%+v, want %s", r, want)
	}
}
