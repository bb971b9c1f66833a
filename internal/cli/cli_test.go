package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is what a command did.
type result struct {
	out, err string
	code     int
	text     string // of the error
}

// run runs a command in a directory of its own, with nothing in its environment but env.
func run(t *testing.T, env []string, in string, args ...string) result {
	t.Helper()
	return runUntil(t.Context(), t, env, in, args...)
}

func runUntil(ctx context.Context, t *testing.T, env []string, in string, args ...string) result {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	err := Run(ctx, Program{Args: args, Env: env, In: strings.NewReader(in), Out: &out, Err: &errs, Version: "v1.2.3", Commit: "abc", BuiltOn: "2026-03-04T05:06:07Z"})
	r := result{out: out.String(), err: errs.String(), code: ExitCode(err)}
	if err != nil {
		r.text = err.Error()
	}
	return r
}

func TestBadCommandLinesAndSettingsEndWithTwo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "opentact.yaml")
	if err := os.WriteFile(file, []byte("htp.addr: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		env  []string
		want string
	}{
		{args: []string{"sing"}, want: "unexpected argument sing; see opentact help"},
		{args: []string{"version", "--loud"}, want: `unknown flag --loud, did you mean "--help"?`},
		{args: []string{"serve", "--log-level=loud"}, want: "--log-level"},
		{args: []string{"serve", "--config", file}, want: "did you mean http.addr?"},
		{args: []string{"serve"}, env: []string{"OPENTACT_HTP_ADDR=x"}, want: "did you mean OPENTACT_HTTP_ADDR?"},
		{args: []string{"sms", "send", "--from", "1"}, want: "missing flags: --text"},
		{args: []string{"sms", "send", "--to", "1", "--text", "x"}, want: "needs --from"},
		{args: []string{"sms", "send", "--from", "1", "--to", "1", "--text", "x"}, want: "no token for http://127.0.0.1:8080: give --token, set OPENTACT_TOKEN, or run opentact login"},
		{args: []string{"events", "tail", "--token", "t", "--api", "ftp://x"}, want: "is not an address of a server"},
		{args: []string{"user", "add", "a@b.example", "--role", "King"}, want: "--role"},
		{args: []string{"doctor", "--rtp-ports", "10-20"}, want: "--rtp-ports"},
	} {
		r := run(t, c.env, "", c.args...)
		if r.code != 2 || !strings.Contains(r.text, c.want) {
			t.Errorf("%v: code %d, %q does not hold %q", c.args, r.code, r.text, c.want)
		}
	}
}

func TestWhatGoesWrongOtherwiseEndsWithOne(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"flow", "lint", "missing.xml"}, "there is no file missing.xml"},
		{[]string{"call", "1", "--flow", "missing.xml", "--token", "t"}, "there is no file missing.xml"},
		{[]string{"events", "tail", "--token", "t", "--api", "http://127.0.0.1:1"}, "no server answers at http://127.0.0.1:1"},
		{[]string{"sms", "send", "--token", "t", "--api", "http://127.0.0.1:1", "--from", "1", "--to", "2", "--text", "x"}, "start it with opentact serve, or give --api"},
	} {
		r := run(t, nil, "", c.args...)
		if r.code != 1 || !strings.Contains(r.text, c.want) || strings.Contains(r.text, "\n") {
			t.Errorf("%v: code %d, %q does not hold %q", c.args, r.code, r.text, c.want)
		}
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	all := run(t, nil, "", "help")
	if all.code != 0 {
		t.Fatalf("help: %+v", all)
	}
	for _, command := range []string{
		"serve", "migrate up", "migrate status", "user add", "user passwd", "token create", "flow lint", "flow run", "login", "call", "sms send", "events tail", "events get", "events resend", "listen", "trigger", "webhook verify",
		"doctor", "version",
	} {
		words := strings.Fields(command)
		if !strings.Contains(all.out, "\n  "+words[0]+" ") {
			t.Errorf("help does not list %s:\n%s", words[0], all.out)
		}
		help, flag := run(t, nil, "", append([]string{"help"}, words...)...), run(t, nil, "", append(words, "--help")...)
		if help.code != 0 || !strings.HasPrefix(help.out, "Usage: opentact "+command) || help.out != flag.out {
			t.Errorf("help %s: %+v", command, help)
		}
	}
	if bare := run(t, nil, ""); bare.out != all.out || bare.code != 0 {
		t.Errorf("without arguments: %+v", bare)
	}
}

func TestHelpAndVersionWorkWithBadSettings(t *testing.T) {
	env := []string{"OPENTACT_NONSENSE=1"}
	if r := run(t, env, "", "version"); r.code != 0 || !strings.HasPrefix(r.out, "opentact v1.2.3\ncommit abc\ngo") || !strings.HasSuffix(r.out, "built on 2026-03-04T05:06:07Z\n") {
		t.Errorf("%+v", r)
	}
	if r := run(t, env, "", "help", "serve"); r.code != 0 || !strings.Contains(r.out, "--http-addr") {
		t.Errorf("%+v", r)
	}
	r := run(t, env, "", "version", "--json")
	var v map[string]string
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || v["version"] != "v1.2.3" || v["commit"] != "abc" || v["go"] == "" {
		t.Errorf("%v %+v", err, r)
	}
}
