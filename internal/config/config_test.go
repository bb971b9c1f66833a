package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/opentact/opentact/internal/money"
)

// write makes a file in a new directory and gives its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Data: "./data", DB: "sqlite:data/opentact.db", Blob: "file:data/media", Bus: "embedded", HTTPAddr: "127.0.0.1:8080",
		SIPAddr: []string{"127.0.0.1:5060"}, PublicIP: "auto", RTPPorts: PortRange{20000, 29999}, Domain: "sip.localhost",
		APIURL: "http://127.0.0.1:8080", AdminEmail: "admin@localhost", SandboxCredit: 100 * money.Unit, Sandbox: true,
		SpeechTTS: "espeak", SpeechSTT: "pocketsphinx", RateLimit: 50, RateBurst: 100, EventRetention: 7 * 24 * time.Hour, Drain: 30 * time.Second, LogLevel: "info", LogFormat: "auto", Migrate: true,
	}
	if c.String() != want.String() {
		t.Errorf("%v\nwant\n%v", c, want)
	}
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	path := write(t, "x.yaml", "http:\n  addr: 127.0.0.1:1111\n  tls: {cert: c.pem, key: k.pem}\nsip.addr: [127.0.0.1:5070, '127.0.0.2:5070']\ndrain: 10s\nsandbox-credit: 12.5\nsandbox: false\nrtp_ports: 30000-30100\n")
	c, err := Load([]string{"--config", path, "--drain=1m"}, []string{"OPENTACT_HTTP_ADDR=127.0.0.1:2222", "OPENTACT_DRAIN=20s", "PATH=/bin", "OPENTACT_LOG_LEVEL=debug"})
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTPAddr != "127.0.0.1:2222" || c.Drain != time.Minute || c.HTTPTLSCert != "c.pem" || len(c.SIPAddr) != 2 || c.SandboxCredit != money.MustParse("12.5") ||
		c.Sandbox || c.RTPPorts != (PortRange{30000, 30100}) || c.LogLevel != "debug" || c.Data != "./data" || c.APIURL != "https://127.0.0.1:2222" {
		t.Errorf("%v", c)
	}
}

func TestEverySettingHasTheSameNameEverywhere(t *testing.T) {
	values := map[string]string{
		"data": "d", "db": "postgres://u:p@h/x", "blob": "file:b", "bus": "nats://h:1", "http-addr": ":1", "http-tls-cert": "c", "http-tls-key": "k",
		"sip-addr": "127.0.0.1:1,127.0.0.1:2", "sip-tls-addr": ":3", "sip-tls-cert": "c", "sip-tls-key": "k", "public-ip": "192.0.2.1",
		"rtp-ports": "2000-2100", "domain": "sip.example.com", "api-url": "https://a.example", "admin-email": "a@b", "admin-password": "secret-1",
		"admin-token": "secret-2", "sandbox-credit": "1.5", "sandbox": "false", "allow-private-urls": "true", "speech-tts": "flite", "speech-stt": "none",
		"event-retention": "48h", "rate-limit": "7", "rate-burst": "8", "drain": "1s", "log-level": "warn", "log-format": "json", "migrate": "false",
	}
	var args, env []string
	var file strings.Builder
	for _, s := range settings() {
		if s.name == "config" {
			continue
		}
		v, ok := values[s.name]
		if !ok {
			t.Errorf("no value for %s in this test", s.name)
		}
		args = append(args, "--"+s.name+"="+v)
		env = append(env, envName(s.name)+"="+v)
		fmt.Fprintf(&file, "%s: %q\n", fileName(s.name), v)
	}
	if len(values) != len(args) {
		t.Errorf("%d values, %d settings", len(values), len(args))
	}
	path := write(t, "all.yaml", file.String())
	t.Chdir(t.TempDir())
	byFlag, err1 := Load(args, nil)
	byEnv, err2 := Load(nil, env)
	byFile, err3 := Load([]string{"--config=" + path}, nil)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	byFile.File = ""
	for _, c := range []Config{byEnv, byFile} {
		if c.String() != byFlag.String() || c.AdminPassword != byFlag.AdminPassword || c.DB != byFlag.DB {
			t.Errorf("%v\nfrom flags\n%v", c, byFlag)
		}
	}
}

func TestUnknownKeysNameTheNearest(t *testing.T) {
	path := write(t, "x.yaml", "http:\n  adr: 127.0.0.1:1\nsip: {tls: {certt: x}}\n")
	_, err := Load([]string{"--config", path}, []string{"OPENTACT_HTP_ADDR=x", "OPENTACT_DRAIN=soon", "OPENTACT_log_level=info"})
	for _, want := range []string{
		"http.adr: unknown key, did you mean http.addr?", "sip.tls.certt: unknown key, did you mean sip.tls.cert?",
		"OPENTACT_HTP_ADDR: unknown key, did you mean OPENTACT_HTTP_ADDR?", `OPENTACT_DRAIN: "soon" is not a duration`,
		"OPENTACT_log_level: unknown key",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q not in\n%v", want, err)
		}
	}
	if !IsFault(err) {
		t.Error("not a fault of the settings")
	}
	_, err = Load([]string{"--htp-addr=x"}, nil)
	if !IsFault(err) || !strings.Contains(err.Error(), `"--http-addr"`) {
		t.Errorf("%v", err)
	}
	for given, want := range map[string]string{"--http-port=9090": `"--http-addr"`, "--database=x": `"--data"`} {
		if _, err = Load([]string{given}, nil); !IsFault(err) || !strings.Contains(err.Error(), "did you mean "+want) {
			t.Errorf("%s: %v", given, err)
		}
	}
}

func TestAllFaultsAreListed(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load([]string{
		"--db=mysql:x", "--blob=/media", "--bus=redis://x", "--http-addr=nowhere", "--http-tls-cert=c", "--sip-addr=127.0.0.1:5060,127.0.0.1:5060",
		"--sip-tls-cert=c", "--public-ip=here", "--rtp-ports=500-600", "--domain=a..b", "--api-url=ftp://x", "--admin-email=me", "--sandbox-credit=-1",
		"--speech-tts=", "--event-retention=59m", "--rate-limit=0", "--rate-burst=-1", "--drain=-1s", "--log-level=inf", "--log-format=xml",
	}, nil)
	for _, key := range []string{
		"db", "blob", "bus", "http-addr", "http-tls-cert", "sip-addr", "sip-tls-addr", "public-ip", "rtp-ports", "domain",
		"api-url", "admin-email", "sandbox-credit", "speech-tts", "event-retention", "rate-limit", "rate-burst", "drain", "log-level", "log-format",
	} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n--"+key+": ") {
			t.Errorf("--%s not in\n%v", key, err)
		}
	}
	if !strings.Contains(err.Error(), "did you mean info?") {
		t.Error(err)
	}
}

func TestUnreadableValuesAreFaults(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{{"--rtp-ports=20000"}, {"--rtp-ports=5-x"}, {"--sandbox=maybe"}, {"--drain=30"}, {"--rate-limit=x"}, {"--blob=s3://bucket"}, {"--blob=file://host/dir"}, {"--sandbox-credit=x"}, {"--config=missing.yaml"}, {"extra"}} {
		if _, err := Load(args, nil); !IsFault(err) {
			t.Errorf("%v: %v", args, err)
		}
	}
	for _, content := range []string{"drain: 30", "rate.limit: many", "sandbox: 7", "http: null", "a: b: c", "data: [{x: 1}]", "data: x\ndata: y", "http.addr: ':1'\nhttp-addr: ':2'", "config: other.yaml", "- a list"} {
		if c, err := Load([]string{"--config", write(t, "x.yaml", content)}, nil); !IsFault(err) {
			t.Errorf("%q: %v %v", content, err, c)
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	password, token := write(t, "password", "correct horse\n"), write(t, "token", "tok")
	c, err := Load([]string{"--config", write(t, "x.yaml", "admin:\n  token_file: "+token)}, []string{"OPENTACT_ADMIN_PASSWORD_FILE=" + password})
	if err != nil || c.AdminPassword != "correct horse" || c.AdminToken != "tok" {
		t.Errorf("%v %q %q", err, c.AdminPassword, c.AdminToken)
	}
	_, err = Load(nil, []string{"OPENTACT_ADMIN_PASSWORD_FILE=/nonexistent/x", "OPENTACT_ADMIN_TOKEN_FILE=" + token, "OPENTACT_ADMIN_TOKEN=t", "OPENTACT_DATA_FILE=" + token})
	for _, want := range []string{"OPENTACT_ADMIN_PASSWORD_FILE: ", "given twice", "OPENTACT_DATA_FILE: unknown key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q not in %v", want, err)
		}
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	c, err := Load([]string{
		"--db=postgres://app:hunter2@db/x?sslpassword=hunter2", "--bus=nats://a:hunter2@h:1,nats://b:hunter2@h:2", "--admin-password=hunter2",
		"--admin-token=hunter2",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "config", c)
	for _, text := range []string{c.String(), fmt.Sprintf("%v %+v %#v %s", c, c, c, c), log.String(), fmt.Sprintf("%+v", struct{ C Config }{c})} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("secret in %s", text)
		}
		if !strings.Contains(text, "app:***@db") {
			t.Errorf("no database in %s", text)
		}
	}
}

func TestPlatformVariablesAreLeftAlone(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Load(nil, []string{
		"OPENTACT_SERVICE_HOST=10.0.0.1", "OPENTACT_SERVICE_PORT_HTTP=80", "OPENTACT_PORT=tcp://10.0.0.1:80", "OPENTACT_PORT_80_TCP_ADDR=10.0.0.1",
		"OPENTACT_HTTP_PORT_5060_UDP=x", "OPENTACT_TEST_POSTGRES=x",
	})
	if err != nil {
		t.Error(err)
	}
	for given, want := range map[string]string{"OPENTACT_HTTP_PORT=9090": "OPENTACT_HTTP_ADDR", "OPENTACT_SIP_PORT=5062": "OPENTACT_SIP_ADDR", "OPENTACT_PORT=80": "OPENTACT_"} {
		if _, err := Load(nil, []string{given}); !IsFault(err) || !strings.Contains(err.Error(), "unknown key, did you mean "+want) {
			t.Errorf("%s: %v", given, err)
		}
	}
}

func TestDefaultFileIsReadWhereItExists(t *testing.T) {
	t.Chdir(filepath.Dir(write(t, "opentact.yaml", "data: here")))
	if c, err := Load(nil, nil); err != nil || c.Data != "here" {
		t.Errorf("%v %v", c, err)
	}
}

func TestConfigEmbedsInACommandLine(t *testing.T) {
	t.Chdir(t.TempDir())
	var cli struct {
		Serve struct {
			Config `embed:""`
		} `cmd:""`
		Call struct {
			To    string `arg:""`
			Token string
		} `cmd:""`
	}
	env := []string{"OPENTACT_TOKEN=abc", "OPENTACT_HTTP_ADDR=127.0.0.1:1"}
	source, err := NewSource([]string{"call", "+1"}, env, Extra{"token", true}, Extra{"api", false})
	if err != nil {
		t.Fatal(err)
	}
	parser, err := kong.New(&cli, slices.Concat(source.Options(), []kong.Option{kong.Name("opentact")})...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"call", "+1"}); err != nil || cli.Call.Token != "abc" {
		t.Errorf("%v %+v", err, cli.Call)
	}
	if _, err := parser.Parse([]string{"serve", "--no-sandbox"}); err != nil || cli.Serve.HTTPAddr != "127.0.0.1:1" || cli.Serve.Sandbox {
		t.Errorf("%v %v", err, cli.Serve.Config)
	}
	if err := cli.Serve.Finish(); err != nil {
		t.Error(err)
	}
	if byFile, err := NewSource(nil, []string{"OPENTACT_TOKEN_FILE=" + write(t, "token", "from a file\n")}, Extra{"token", true}); err != nil {
		t.Error(err)
	} else if v, _ := byFile.Lookup("token"); v != "from a file" {
		t.Errorf("%q", v)
	}
	if v, ok := source.Lookup("token"); !ok || v != "abc" {
		t.Error("token not found")
	}
}
