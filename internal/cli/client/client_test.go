package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a fake server and gives a client of it.
func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL+"/rest/", "secret")
	if err != nil {
		t.Fatal(err)
	}
	c.pause = 0
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func TestDoSendsJSONWithTheTokenAndUnwrapsThePayload(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Method != "POST" || r.URL.Path != "/rest/sms" || r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" || string(b) != `{"to":1}` {
			t.Errorf("%s %s %v %s", r.Method, r.URL, r.Header, b)
		}
		io.WriteString(w, `{"success":true,"payload":{"uuid":"u"}}`)
	})
	var out struct{ UUID string }
	if err := c.Do(t.Context(), "POST", "/rest/sms", map[string]int{"to": 1}, &out); err != nil || out.UUID != "u" {
		t.Errorf("%v %+v", err, out)
	}
}

func TestRefusalsBecomeOneSentence(t *testing.T) {
	for _, x := range []struct {
		status     int
		body, want string
	}{
		{400, `{"success":false,"message":"is required","status":400,"meta":"validation_failed","fields":{"params.to":{"message":"is required","value":null},"params.from":{"message":"is no number","value":"x"}}}`, "from: is no number; to: is required (400 validation_failed)"},
		{404, `{"success":false,"message":"SMS not found","status":404,"meta":"not_found","fields":{}}`, "SMS not found (404 not_found)"},
		{502, `<html>bad gateway</html>`, "Bad Gateway (502 no_detail)"},
	} {
		c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(x.status)
			io.WriteString(w, x.body)
		})
		err := c.Do(t.Context(), "GET", "/rest/sms/u", nil, nil)
		if err == nil || err.Error() != x.want || !IsStatus(err, x.status) || IsStatus(err, 500) {
			t.Errorf("%v, want %s", err, x.want)
		}
	}
}

func TestAnAnswerThatIsNoJSONNamesTheServer(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	var out any
	if err := c.Do(t.Context(), "GET", "/rest/user", nil, &out); err == nil || !strings.Contains(err.Error(), c.Base()+" an Opentact server?") {
		t.Error(err)
	}
}

func TestNobodyAnswering(t *testing.T) {
	c, err := New("http://127.0.0.1:1", "t")
	if err != nil {
		t.Fatal(err)
	}
	var nobody *UnreachableError
	if err := c.Do(t.Context(), "GET", "/rest/user", nil, nil); !errors.As(err, &nobody) || nobody.Error() != "no server answers at http://127.0.0.1:1: connect: connection refused" {
		t.Error(err)
	}
	if err := c.Follow(t.Context(), Following{Types: []string{"*"}}, nil); !errors.As(err, &nobody) {
		t.Errorf("Follow: %v", err)
	}
}

func TestTheTokenGoesToTheServerOnly(t *testing.T) {
	foreign := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to another server")
		}
		io.WriteString(w, "sound")
	})
	c := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked for %s", r.URL) })
	if b, err := c.Get(t.Context(), foreign.Base()+"/x.wav"); err != nil || string(b) != "sound" {
		t.Errorf("%v %q", err, b)
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://u:p@x", "http://x?y=1"} {
		if _, err := New(base, "t"); err == nil {
			t.Errorf("%q was taken", base)
		}
	}
}

// gate is a fake of the websocket: each connection is signed in, subscribed and handed to session.
func gate(t *testing.T, token string, session func(ctx context.Context, conn *websocket.Conn, since string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		var auth struct{ Type, Payload string }
		read(t, conn, &auth)
		if auth.Payload != token {
			send(t, conn, `{"type":"auth","success":false,"message":"Forbidden","status":401}`)
			conn.Close(4401, "not authenticated")
			return
		}
		send(t, conn, `{"type":"auth","success":true,"cursor":"c_01","payload":{}}`)
		var subscribe struct {
			Payload struct {
				Types []string
				Since string
			}
		}
		read(t, conn, &subscribe)
		if subscribe.Payload.Since == "c_old" {
			send(t, conn, `{"type":"subscribe","success":false,"message":"Cursor is too old","status":410}`)
			return
		}
		send(t, conn, `{"type":"subscribe","success":true,"payload":{"types":["*"],"cursor":"c_02"}}`)
		session(r.Context(), conn, subscribe.Payload.Since)
	}
}

func read(t *testing.T, conn *websocket.Conn, v any) {
	_, b, err := conn.Read(t.Context())
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Error(err)
	}
}

func send(t *testing.T, conn *websocket.Conn, frame string) {
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Error(err)
	}
}

func TestFollowResumesBehindTheLastEvent(t *testing.T) {
	var since []string
	c := serve(t, gate(t, "secret", func(_ context.Context, conn *websocket.Conn, from string) {
		since = append(since, from)
		switch len(since) {
		case 1: // lost before anything happened
			conn.Close(websocket.StatusGoingAway, "server restarts")
		case 2:
			send(t, conn, `{"uuid":"1","type":"sms","cursor":"c_03"}`)
			send(t, conn, `{"uuid":"2","type":"sms","cursor":"c_04"}`)
			conn.CloseNow()
		default:
			send(t, conn, `{"uuid":"3","type":"sms","cursor":"c_05"}`)
			conn.CloseRead(context.Background())
		}
	}))
	enough := errors.New("enough")
	var seen []string
	lost := 0
	err := c.Follow(t.Context(), Following{Types: []string{"*"}, Lost: func(error) { lost++ }}, func(e Event) error {
		if seen = append(seen, e.UUID); len(seen) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || lost != 2 {
		t.Errorf("%v, lost %d times", err, lost)
	}
	if d := cmp.Diff([]string{"", "c_02", "c_04"}, since) + cmp.Diff([]string{"1", "2", "3"}, seen); d != "" {
		t.Error(d)
	}
}

// TestFollowComesBackToAServerThatCannotServeNow, already at the first sign-in.
func TestFollowComesBackToAServerThatCannotServeNow(t *testing.T) {
	tries, enough := 0, errors.New("enough")
	well := gate(t, "secret", func(_ context.Context, conn *websocket.Conn, _ string) {
		send(t, conn, `{"uuid":"1","type":"sms","cursor":"c_03"}`)
		conn.CloseRead(context.Background())
	})
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries > 2 {
			well(w, r)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		var frame struct{ Type string }
		read(t, conn, &frame)
		if tries == 2 {
			send(t, conn, `{"type":"auth","success":true,"cursor":"c_01","payload":{}}`)
			read(t, conn, &frame)
			send(t, conn, `{"type":"subscribe","success":false,"message":"Service unavailable","status":503}`)
			return
		}
		conn.Close(websocket.StatusGoingAway, "sign-in is not possible now; come back")
	})
	if err := c.Follow(t.Context(), Following{Types: []string{"*"}}, func(Event) error { return enough }); !errors.Is(err, enough) || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

func TestFollowEndsWhereComingBackDoesNotHelp(t *testing.T) {
	c := serve(t, gate(t, "another", nil))
	if err := c.Follow(t.Context(), Following{Types: []string{"*"}}, nil); !errors.Is(err, ErrSignedOut) {
		t.Errorf("bad token: %v", err)
	}
	c = serve(t, gate(t, "secret", nil))
	if err := c.Follow(t.Context(), Following{Types: []string{"*"}, Since: "c_old"}, nil); !IsStatus(err, 410) {
		t.Errorf("old cursor: %v", err)
	}
	c = serve(t, gate(t, "secret", func(_ context.Context, conn *websocket.Conn, _ string) { conn.Close(4401, "token revoked") }))
	if err := c.Follow(t.Context(), Following{Types: []string{"*"}}, nil); !errors.Is(err, ErrSignedOut) {
		t.Errorf("revoked token: %v", err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := serve(t, gate(t, "secret", func(ctx context.Context, conn *websocket.Conn, _ string) {
		send(t, conn, `{"uuid":"1","type":"sms","cursor":"c_03"}`)
		<-conn.CloseRead(context.Background()).Done()
	}))
	err := c.Follow(ctx, Following{Types: []string{"*"}}, func(Event) error {
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestEventsThatOvertakeTheAnswerAreKept(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		var f any
		read(t, conn, &f)
		send(t, conn, `{"type":"auth","success":true,"cursor":"c_01","payload":{}}`)
		send(t, conn, `{"uuid":"1","type":"call_flow","success":true,"command":"Say","cursor":"c_02"}`)
		read(t, conn, &f)
		send(t, conn, `{"type":"subscribe","success":true,"payload":{"types":["*"],"cursor":"c_02"}}`)
		conn.CloseRead(context.Background())
	})
	s, err := c.Subscribe(t.Context(), []string{"*"}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if e, err := s.Next(t.Context()); err != nil || e.UUID != "1" || e.Command != "Say" || s.Cursor() != "c_02" {
		t.Errorf("%v %+v", err, e)
	}
}
