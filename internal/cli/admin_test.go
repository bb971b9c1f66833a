package cli

import (
	"context"
	"encoding/json"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestUsersAndTokensAreMadeWithoutAServer(t *testing.T) {
	data := t.TempDir()
	r := run(t, nil, "", "user", "add", "kim@x.example", "--name", "Harbor Books", "--data", data, "--json")
	var user map[string]string
	if err := json.Unmarshal([]byte(r.out), &user); err != nil || r.code != 0 || user["email"] != "kim@x.example" || len(user["password"]) != generatedPassword || user["account"] == "" {
		t.Fatalf("%v %+v", err, r)
	}
	if r = run(t, nil, "", "user", "add", "sam@x.example", "--account", user["account"], "--data", data); r.code != 0 || !strings.Contains(r.out, user["account"]) {
		t.Errorf("%+v", r)
	}
	if r = run(t, nil, "", "user", "add", "kim@x.example", "--data", data); r.code != 1 || !strings.HasPrefix(r.text, "the user was not added: ") {
		t.Errorf("twice: %+v", r)
	}
	if r = run(t, nil, "correct horse\n", "user", "passwd", "kim@x.example", "--data", data); r.code != 0 || strings.Contains(r.out, "horse") {
		t.Errorf("%+v", r)
	}
	if r = run(t, nil, "", "token", "create", "--email", "kim@x.example", "--ttl", "1h", "--scope", "messaging", "--data", data); r.code != 0 || !regexp.MustCompile(`^[A-Za-z0-9]{48}\n$`).MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	if r = run(t, nil, "", "token", "create", "--email", "nobody@x.example", "--data", data); r.code != 1 || r.text != "no token for nobody@x.example: User not found" {
		t.Errorf("%+v", r)
	}
	if r = run(t, nil, "", "migrate", "up", "--data", data); r.code != 0 || !strings.HasPrefix(r.out, "The schema is up to date: ") {
		t.Errorf("%+v", r)
	}
	if r = run(t, nil, "", "migrate", "status", "--data", data); r.code != 0 || !strings.Contains(r.out, "applied  00001") || strings.Contains(r.out, "pending") {
		t.Errorf("%+v", r)
	}
}

func TestServeDrainsAndEndsWithoutAnError(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := &stopAt{word: `"msg":"ready"`, stop: cancel}
	t.Chdir(t.TempDir())
	var out strings.Builder
	err := Run(ctx, Program{
		Args: []string{"serve", "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0", "--drain", "1s", "--log-format", "json"},
		Env:  []string{"OPENTACT_ADMIN_TOKEN=0123456789abcdef"}, In: strings.NewReader(""), Out: &out, Err: log, Version: "v1.2.3",
	})
	if err != nil || !log.seen {
		t.Errorf("%v, ready %v", err, log.seen)
	}
	if !strings.Contains(out.String(), "0123456789abcdef") || !strings.Contains(out.String(), "/rest") {
		t.Errorf("banner: %s", out.String())
	}
}

// stopAt calls stop when a word is written to it. The logger writes whole lines, one at a time.
type stopAt struct {
	word string
	stop func()
	seen bool
}

func (s *stopAt) Write(b []byte) (int, error) {
	if strings.Contains(string(b), s.word) {
		s.seen = true
		s.stop()
	}
	return len(b), nil
}

func TestServeSaysWhatToDoAboutAnAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, nil, "", "serve", "--http-addr", l.Addr().String(), "--sip-addr", "127.0.0.1:0")
	if r.code != 1 || !strings.Contains(r.text, "address already in use: stop the program that has it, or choose others with --http-addr") {
		t.Errorf("%+v", r)
	}
}
