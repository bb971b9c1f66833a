package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/opentact/opentact/internal/stream"
	"github.com/opentact/opentact/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestARequestIsThatOfASignedDelivery(t *testing.T) {
	secret, body := webhook.MakeSecret(), `{"type":"sms", "b":1,"a":"ü"}`
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != body || r.Method != "POST" || r.URL.RequestURI() != "/hook?shop=2" {
			t.Errorf("%v %s %s %s", err, r.Method, r.URL, got)
		}
		for name, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "Opentact/v1", "Webhook-Id": "msg_u", "X-Opentact-Event": "sms", "X-Opentact-Attempt": "1"} {
			if r.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
			}
		}
		headers := map[string]string{}
		for name := range r.Header {
			headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		if d := webhook.Diagnose(webhook.Received{Headers: headers, Body: got}, []webhook.NamedSecret{{Name: "secret", Secret: secret}}, time.Now()); !d.Valid {
			t.Errorf("%+v", d)
		}
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			t.Errorf("credentials %s:%s", user, password)
		}
		io.WriteString(w, "thanks")
	}))
	defer program.Close()
	s, err := New(Config{URL: strings.Replace(program.URL, "://", "://u:p@", 1) + "/hook?shop=2", Secret: secret, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	o := s.Send(t.Context(), Event{UUID: "u", Type: "sms", Body: []byte(body)})
	if !o.Good() || o.Problem() != "" || o.Attempts != 1 || string(o.Body) != "thanks" || o.Request.Get("Webhook-Id") != "msg_u" {
		t.Errorf("%+v", o)
	}
}

func TestAProgramThatIsNotUpIsWaitedFor(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	closed.Close()
	var attempt string
	program := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { attempt = r.Header.Get("X-Opentact-Attempt") })}
	ended := make(chan error, 1)
	told := 0
	s, err := New(Config{URL: "http://" + address, Secret: webhook.MakeSecret(), Waiting: func(error) {
		told++
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		go func() { ended <- program.Serve(l) }()
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := s.Send(t.Context(), Event{UUID: "u"})
	program.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
	if !o.Good() || o.Attempts < 2 || told != 1 || attempt == "1" {
		t.Errorf("%+v, told %d times, attempt %s", o, told, attempt)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := New(Config{URL: "http://127.0.0.1:1", Secret: webhook.MakeSecret(), Waiting: func(error) { cancel() }})
	if err != nil {
		t.Fatal(err)
	}
	if o := s.Send(ctx, Event{UUID: "u"}); o.Good() || o.Attempts != 1 || !strings.Contains(o.Problem(), "connection refused") {
		t.Errorf("%+v %s", o, o.Problem())
	}
}

func TestOtherAnswersAreShownAndNotTriedAgain(t *testing.T) {
	asked := 0
	for status, want := range map[int]string{500: "status 500", 302: "redirects are not followed", 410: "would disable the endpoint"} {
		program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		s, err := New(Config{URL: program.URL, Secret: webhook.MakeSecret()})
		if err != nil {
			t.Fatal(err)
		}
		o := s.Send(t.Context(), Event{UUID: "u"})
		program.Close()
		if o.Good() || o.Status != status || !strings.Contains(o.Problem(), want) {
			t.Errorf("%d: %+v %s", status, o, o.Problem())
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

func TestACertificateOfOnesOwnNeedsSkipVerify(t *testing.T) {
	program := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	program.StartTLS()
	defer program.Close()
	for _, skip := range []bool{false, true} {
		s, err := New(Config{URL: program.URL, Secret: webhook.MakeSecret(), SkipVerify: skip})
		if err != nil {
			t.Fatal(err)
		}
		if o := s.Send(t.Context(), Event{UUID: "u"}); o.Good() != skip || !skip && !strings.Contains(o.Problem(), "certificate") {
			t.Errorf("%t: %+v %s", skip, o, o.Problem())
		}
	}
}

func TestWhatIsNoURLOrSecretIsRefused(t *testing.T) {
	for _, c := range []struct{ url, secret, want string }{
		{"localhost:3000", webhook.MakeSecret(), "is not a URL"},
		{"ftp://x/", webhook.MakeSecret(), "is not a URL"},
		{"http://x/", "whsec_c2hvcnQ=", "base64 of 24 to 64 bytes"},
		{"http://x/", "secret", "a secret must be whsec_"},
	} {
		if _, err := New(Config{URL: c.url, Secret: c.secret}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.url, c.secret, err)
		}
	}
}

// TestALongBodyIsCutAsForAnEndpoint (webhooks.md §7.2).
func TestALongBodyIsCutAsForAnEndpoint(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- string(b)
	}))
	defer s.Close()
	to, err := New(Config{URL: s.URL, Secret: webhook.MakeSecret()})
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"type":"call_state","payload":{"state":"live"},"call":{"uuid":"a","logs":[%q]}}`, strings.Repeat("x", 21<<10))
	o := to.Send(t.Context(), Event{UUID: "a", Type: "call_state", Body: body})
	if text := <-got; !o.Good() || text != `{"type":"call_state","payload":{"state":"live"},"call":{"uuid":"a"},"truncated":true}` {
		t.Fatalf("%v %.200s", o.Err, text)
	}
}

func TestEveryTypeOfEventHasASample(t *testing.T) {
	for typ := range strings.SplitSeq(stream.Types, ",") {
		e, ok := Sample(typ, time.Now())
		if typ == "*" {
			if ok {
				t.Error("* is no type")
			}
			continue
		}
		var got struct {
			UUID, Type string
			Test       bool
			Message    string
			Payload    json.RawMessage
			Call       json.RawMessage
			Ref        string `json:"ref_id"`
		}
		if err := json.Unmarshal(e.Body, &got); err != nil || !ok || got.UUID != e.UUID || got.Type != typ || !got.Test || got.Message == "" || len(got.Payload) < 5 || got.Ref == "" {
			t.Errorf("%s: %v %s", typ, err, e.Body)
		}
		if strings.HasPrefix(typ, "call_") != (got.Call != nil) {
			t.Errorf("%s: call is %s", typ, got.Call)
		}
	}
}
