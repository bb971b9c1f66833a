package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// fake is a server that knows some answers and keeps what it was asked.
type fake struct {
	*httptest.Server
	answers map[string]string // "METHOD /path" to a payload, or to "STATUS body" of a refusal
	frames  []string          // events that a websocket gets after "POST /rest/sms" or "POST /rest/call"

	mu     sync.Mutex // guards asked
	asked  []string   // "METHOD /path credential body"
	placed chan struct{}
}

func newFake(t *testing.T, answers map[string]string, frames ...string) *fake {
	t.Helper()
	f := &fake{answers: answers, frames: frames, placed: make(chan struct{}, 1)}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		f.socket(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	key := r.Method + " " + r.URL.Path
	f.mu.Lock()
	f.asked = append(f.asked, strings.TrimSpace(key+" "+r.Header.Get("Authorization")+" "+string(body)))
	f.mu.Unlock()
	answer, ok := f.answers[key]
	var status int
	switch n, _ := fmt.Sscanf(answer, "%d ", &status); {
	case !ok:
		http.NotFound(w, r)
	case n == 1:
		w.WriteHeader(status)
		fmt.Fprint(w, answer[4:])
	default:
		fmt.Fprintf(w, `{"success":true,"payload":%s}`, answer)
		if key == "POST /rest/sms" || key == "POST /rest/call" {
			f.placed <- struct{}{}
		}
	}
}

// socket signs in, subscribes, and tells what happened once something was placed.
func (f *fake) socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for _, answer := range []string{`{"type":"auth","success":true,"cursor":"c_01","payload":{}}`, `{"type":"subscribe","success":true,"payload":{"cursor":"c_02"}}`} {
		if _, _, err := conn.Read(r.Context()); err != nil {
			return
		}
		if conn.Write(r.Context(), websocket.MessageText, []byte(answer)) != nil {
			return
		}
	}
	ctx := conn.CloseRead(r.Context())
	select {
	case <-f.placed:
	case <-ctx.Done():
		return
	}
	for _, frame := range f.frames {
		if conn.Write(ctx, websocket.MessageText, []byte(frame)) != nil {
			return
		}
	}
	<-ctx.Done()
}

// requests joins what was asked.
func (f *fake) requests() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, "\n")
}

const refused401 = `401 {"success":false,"message":"Forbidden","status":401,"meta":"unauthorized","fields":{}}`

func TestLoginWithATokenKeepsItForTheOtherCommands(t *testing.T) {
	home := t.TempDir()
	env := []string{"HOME=" + home}
	f := newFake(t, map[string]string{"GET /rest/user": `{"email":"kim@x.example","account":{"name":"Harbor Books"}}`, "POST /rest/sms": `{"uuid":"m","state":"created"}`})
	if r := run(t, env, "tok\n", "login", "--api", f.URL+"/"); r.code != 0 || !strings.Contains(r.out, "as kim@x.example (account Harbor Books)") {
		t.Fatalf("%+v", r)
	}
	path := filepath.Join(home, ".config", "opentact", "profile.yaml")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", err, info)
	}
	if r := run(t, env, "", "sms", "send", "--from", "12125550170", "--to", "13125550144", "--text", "Hi"); r.code != 0 || r.out != "m created\n" {
		t.Errorf("%+v", r)
	}
	if want := `POST /rest/sms Bearer tok {"from":"12125550170","message":"Hi","to":"13125550144"}`; !strings.HasSuffix(f.requests(), want) {
		t.Errorf("%s\nwant %s", f.requests(), want)
	}
}

func TestLoginWithAPasswordKeepsATokenOfItsOwn(t *testing.T) {
	home := t.TempDir()
	f := newFake(t, map[string]string{"POST /rest/token": `{"token":"made"}`, "GET /rest/user": `{"email":"kim@x.example"}`})
	r := run(t, []string{"XDG_CONFIG_HOME=" + home}, "open sesame\n", "login", "--api", f.URL, "--email", "kim@x.example")
	saved, err := os.ReadFile(filepath.Join(home, "opentact", "profile.yaml"))
	if r.code != 0 || err != nil || !strings.Contains(string(saved), "token: made") || strings.Contains(string(saved)+r.out, "sesame") {
		t.Errorf("%+v %v %s", r, err, saved)
	}
	if !strings.Contains(f.requests(), "POST /rest/token Basic ") || !strings.Contains(f.requests(), "GET /rest/user Bearer made") {
		t.Error(f.requests())
	}
}

func TestLoginRefusedKeepsNothing(t *testing.T) {
	home := t.TempDir()
	f := newFake(t, map[string]string{"GET /rest/user": refused401, "POST /rest/token": refused401})
	for _, args := range [][]string{{"--token", "bad"}, {"--email", "kim@x.example"}} {
		r := run(t, []string{"XDG_CONFIG_HOME=" + home}, "wrong\n", append([]string{"login", "--api", f.URL}, args...)...)
		if r.code != 1 || !strings.Contains(r.text, f.URL+" does not ") {
			t.Errorf("%+v", r)
		}
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", err, entries)
	}
}

func TestTheProfilesTokenDoesNotGoToAnotherServer(t *testing.T) {
	home := t.TempDir()
	env := []string{"HOME=" + home}
	if _, err := (profile{API: "http://127.0.0.1:1", Token: "tok"}).save(env); err != nil {
		t.Fatal(err)
	}
	f := newFake(t, nil)
	r := run(t, env, "", "sms", "send", "--api", f.URL, "--from", "1", "--to", "2", "--text", "x")
	if r.code != 2 || !strings.Contains(r.text, "no token for "+f.URL) || f.requests() != "" {
		t.Errorf("%+v %s", r, f.requests())
	}
}

func TestFlagBeatsEnvironmentBeatsProfile(t *testing.T) {
	home := t.TempDir()
	f := newFake(t, map[string]string{"POST /rest/sms": `{"uuid":"m","state":"created"}`})
	env := []string{"HOME=" + home}
	if _, err := (profile{API: f.URL, Token: "saved"}).save(env); err != nil {
		t.Fatal(err)
	}
	send := []string{"sms", "send", "--from", "1", "--to", "2", "--text", "x"}
	for _, c := range []struct {
		env  []string
		args []string
		want string
	}{
		{env, nil, "saved"},
		{append(env, "OPENTACT_TOKEN=environment"), nil, "environment"},
		{append(env, "OPENTACT_TOKEN=environment", "OPENTACT_API="+f.URL), []string{"--token", "flag"}, "flag"},
	} {
		r := run(t, c.env, "", append(send, c.args...)...)
		<-f.placed
		if asked := f.requests(); r.code != 0 || !strings.Contains(asked[strings.LastIndex(asked, "\n")+1:], "Bearer "+c.want+" ") {
			t.Errorf("%+v %s", r, asked)
		}
	}
}

func TestRefusalsSayTheWayOut(t *testing.T) {
	for answer, want := range map[string]string{
		refused401: "does not accept the token: run opentact login, or give another --token",
		`405 {"message":"Insufficient Balance","status":405,"meta":"insufficient_balance","fields":{}}`:                               "an operator adds credit",
		`400 {"message":"x","status":400,"meta":"validation_failed","fields":{"params.to":{"message":"invalid number","value":"2"}}}`: "to: invalid number (400 validation_failed)",
	} {
		f := newFake(t, map[string]string{"POST /rest/sms": answer})
		r := run(t, nil, "", "sms", "send", "--api", f.URL, "--token", "t", "--from", "1", "--to", "2", "--text", "x")
		if r.code != 1 || !strings.Contains(r.text, want) {
			t.Errorf("%+v, want %s", r, want)
		}
	}
}

func TestSendWaitsForTheReceipt(t *testing.T) {
	frames := []string{
		`{"type":"sms","ref_id":"other","message":"not ours","cursor":"c_03","payload":{"state":"failed"}}`,
		`{"type":"sms","ref_id":"m","message":"SMS: type: smso, state: success","cursor":"c_04","payload":{"state":"success","delivered":false}}`,
		`{"type":"sms","ref_id":"m","message":"delivered now","cursor":"c_05","payload":{"state":"success","delivered":true}}`,
	}
	send := []string{"sms", "send", "--token", "t", "--from", "1", "--to", "2", "--text", "x", "--wait", "20s", "--api"}
	f := newFake(t, map[string]string{"POST /rest/sms": `{"uuid":"m","state":"created"}`}, frames...)
	r := run(t, nil, "", append(send, f.URL)...)
	if r.code != 0 || strings.Contains(r.out, "not ours") || !strings.HasPrefix(r.out, "m created\n") || !strings.Contains(r.out, "delivered now") {
		t.Errorf("%+v", r)
	}
	f = newFake(t, map[string]string{"POST /rest/sms": `{"uuid":"other","state":"created"}`}, `{"type":"sms","ref_id":"other","payload":{"state":"failed","reason":"unknown number"}}`)
	if r := run(t, nil, "", append(send, f.URL)...); r.code != 1 || r.text != "the message failed: unknown number" {
		t.Errorf("%+v", r)
	}
}

func TestCallFindsNumberAndProfileAndWatchesTheCall(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "hello.xml")
	if err := os.WriteFile(file, []byte("<Response><Say>Hello</Say></Response>"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{
		"GET /rest/profile/outbound_voice": `[{"uuid":"off","is_active":false}]`, "POST /rest/profile/outbound_voice": `{"uuid":"p"}`,
		"GET /rest/lease/tn": `[{"tn":{"tn":12125550170,"voice":false}},{"tn":{"tn":12125550171,"voice":true}}]`, "POST /rest/call": `{"uuid":"c","state":"init"}`,
	}
	f := newFake(t, answers,
		`{"type":"call_state","ref_id":"c","message":"rings","call":{"uuid":"c","state":"ringing"}}`,
		`{"type":"call_state","ref_id":"x","message":"another call","call":{"uuid":"x","state":"destroyed"}}`,
		`{"type":"call_state","ref_id":"c","message":"lives","call":{"uuid":"c","state":"live"}}`,
		`{"type":"call_state","ref_id":"d","message":"dialled leg","call":{"uuid":"d","state":"destroyed","parent":{"uuid":"c"}}}`,
		`{"type":"call_state","ref_id":"c","message":"is over","call":{"uuid":"c","state":"destroyed"}}`)
	r := run(t, nil, "", "call", "15005550001", "--flow", file, "--api", f.URL, "--token", "t")
	if r.code != 0 || strings.Contains(r.out, "another call") || !strings.Contains(r.out, "dialled leg") || !strings.Contains(r.out, "is over") {
		t.Errorf("%+v", r)
	}
	var asked map[string]any
	body := f.requests()[strings.LastIndex(f.requests(), "{"):]
	if err := json.Unmarshal([]byte(body), &asked); err != nil || asked["from"] != "12125550171" || asked["outbound_voice_profile"] != "p" || asked["to"] != "15005550001" {
		t.Errorf("%v %s", err, body)
	}
	f = newFake(t, answers, `{"type":"call_state","ref_id":"c","call":{"uuid":"c","state":"destroyed","q850_cause_string":"USER_BUSY"}}`)
	if r := run(t, nil, "", "call", "15005550002", "--flow", file, "--api", f.URL, "--token", "t"); r.code != 1 || !strings.Contains(r.text, "not answered: USER_BUSY") {
		t.Errorf("%+v", r)
	}
}

func TestCallRefusesABadDocumentBeforeAnybodyIsAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.xml")
	if err := os.WriteFile(file, []byte("<Response><Sing/></Response>"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFake(t, nil)
	if r := run(t, nil, "", "call", "1", "--flow", file, "--api", f.URL, "--token", "t"); r.code != 1 || r.text != file+":1:11: unknown element <Sing>" || f.requests() != "" {
		t.Errorf("%+v %s", r, f.requests())
	}
}

func TestTailEndsAfterCount(t *testing.T) {
	f := newFake(t, nil, `{"type":"sms","ref_id":"a","message":"first","cursor":"c_03"}`, `{"type":"sms","ref_id":"b","message":"second","cursor":"c_04"}`, `{"type":"sms","ref_id":"b","message":"third","cursor":"c_05"}`)
	f.placed <- struct{}{}
	r := run(t, nil, "", "events", "tail", "--api", f.URL, "--token", "t", "--ref", "B", "--count", "1", "--json")
	if r.code != 0 || strings.TrimSpace(r.out) != f.frames[1] {
		t.Errorf("%+v", r)
	}
}
