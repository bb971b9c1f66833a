package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/config"
)

// settings are those of a server with these flags.
func settings(t *testing.T, flags ...string) config.Config {
	t.Helper()
	t.Chdir(t.TempDir())
	c, err := config.Load(flags, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func want(t *testing.T, c Check, state State, detail, fix string) {
	t.Helper()
	if c.State != state || !strings.Contains(c.Detail, detail) || !strings.Contains(c.Fix, fix) || (c.Fix == "") != (state == Green) {
		t.Errorf("%+v, want %s %q %q", c, state, detail, fix)
	}
}

func TestDoctorPrintsATableAndEndsWithOneOnRed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	flags := []string{"doctor", "--sip-addr", "127.0.0.1:0", "--speech-tts", "none", "--speech-stt", "none", "--http-addr"}
	r := run(t, nil, "", append(flags, l.Addr().String())...)
	if r.code != 1 || !strings.Contains(r.text, "checks are red") || !strings.Contains(r.out, "red     http address") || !strings.Contains(r.out, "→ find it with: ss -lnp") {
		t.Errorf("%+v", r)
	}
	r = run(t, nil, "", append(flags, "127.0.0.1:0", "--json")...)
	var checks []Check
	if err := json.Unmarshal([]byte(r.out), &checks); err != nil {
		t.Fatalf("%v %+v", err, r)
	}
	seen := map[string]State{}
	for _, c := range checks {
		seen[c.Name] = c.State
	}
	for _, name := range []string{"http address", "sip udp", "sip tcp", "media ports", "public address", "dns sip domain", "clock", "speech", "ffmpeg", "database", "media store", "bus", "disk space", "open files"} {
		if seen[name] == "" {
			t.Errorf("no check of %s: %v", name, seen)
		}
	}
}

func TestColoursAreForTerminals(t *testing.T) {
	checks := []Check{green("a", "fine"), red("bb", "broken", "mend it")}
	var plain, coloured strings.Builder
	if err := printChecks(&plain, checks, false); err != nil {
		t.Fatal(err)
	}
	if got := plain.String(); got != "green   a   fine\nred     bb  broken\n            → mend it\n" {
		t.Errorf("%q", got)
	}
	if err := printChecks(&coloured, checks, true); err != nil || !strings.Contains(coloured.String(), "\x1b[31mred   \x1b[0m") {
		t.Errorf("%v %q", err, coloured.String())
	}
}

func TestPorts(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	taken := conn.LocalAddr().String()
	want(t, portCheck(t.Context(), "sip udp", "udp", taken, "--sip-addr", ""), Red, "in use by another program", "choose another --sip-addr")
	want(t, portCheck(t.Context(), "sip udp", "udp", taken, "--sip-addr", "v9"), Green, "in use by the running server (version v9)", "")
	want(t, portCheck(t.Context(), "sip udp", "udp", "127.0.0.1:0", "--sip-addr", ""), Green, "is free", "")
	want(t, portCheck(t.Context(), "sip udp", "udp", "192.0.2.1:5060", "--sip-addr", ""), Red, "not an address of this machine", "0.0.0.0 for all")
}

func TestOurOwnServerIsKnownByItsHeader(t *testing.T) {
	version := "v9"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if version != "" {
			w.Header().Set("X-Opentact-Version", version)
		}
	}))
	defer s.Close()
	cfg := settings(t, "--http-addr", s.Listener.Addr().String())
	if got := runningServer(t.Context(), cfg); got != "v9" {
		t.Errorf("%q", got)
	}
	if version = ""; runningServer(t.Context(), cfg) != "" {
		t.Error("a foreign server was taken for ours")
	}
}

func TestPublicAddress(t *testing.T) {
	want(t, checkPublicIP(settings(t))[0], Green, "only programs of this machine", "")
	want(t, checkPublicIP(settings(t, "--public-ip", "203.0.113.9"))[0], Yellow, "SIP listens on 127.0.0.1 only", "--sip-addr 0.0.0.0:5060")
	want(t, checkPublicIP(settings(t, "--public-ip", "203.0.113.9", "--sip-addr", "0.0.0.0:5060"))[0], Yellow, "a NAT in front", "forward the SIP port and UDP 20000-29999")
}

func TestMediaPorts(t *testing.T) {
	want(t, checkMedia(settings(t, "--sip-addr", "127.0.0.1:20010"))[0], Red, "the SIP port 20010 lies inside", "--rtp-ports")
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	few := settings(t, "--rtp-ports", "41000-41039")
	want(t, checkMedia(few)[0], Yellow, "enough for about 10 calls", "widen")
}

func TestNames(t *testing.T) {
	for _, c := range checkDNS(t.Context(), settings(t)) {
		want(t, c, Green, "this machine by definition", "")
	}
	if got := checkDNS(t.Context(), settings(t, "--domain", "x.localhost", "--api-url", "http://127.0.0.1:1")); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestDatabaseAndDirectories(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cfg := settings(t)
	want(t, checkDatabase(t.Context(), cfg, log)[0], Green, "will be made at the first start", "")
	if _, err := os.Stat("data"); err == nil {
		t.Error("the doctor made the data directory")
	}
	if err := os.WriteFile("plain", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.DB, cfg.Blob = "sqlite:plain/x.db", "file:plain/media"
	want(t, checkBlob(cfg)[0], Red, "cannot be written", "--blob")
	cfg.DB = "postgres://nobody@127.0.0.1:1/x"
	want(t, checkDatabase(t.Context(), cfg, log)[0], Red, "", "start the database, or correct --db")
	if err := os.WriteFile("broken.db", []byte(strings.Repeat("this is no database ", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.DB = "sqlite:broken.db"
	want(t, checkDatabase(t.Context(), cfg, log)[0], Red, "", "--db")
}

func TestBus(t *testing.T) {
	want(t, checkBus(t.Context(), settings(t))[0], Green, "embedded", "")
	want(t, checkBus(t.Context(), settings(t, "--bus", "nats://127.0.0.1:1"))[0], Red, "127.0.0.1:1 does not answer", "start the NATS server")
}

func TestSpeechTurnedOffIsFine(t *testing.T) {
	want(t, checkSpeech(t.Context(), settings(t, "--speech-tts", "none", "--speech-stt", "none"))[0], Green, "none speaks", "")
	want(t, checkSpeech(t.Context(), settings(t, "--speech-tts", "parrot"))[0], Red, "parrot", "--speech-tts")
}

func TestCertificates(t *testing.T) {
	for _, c := range []struct {
		name        string
		from, until time.Duration
		state       State
		detail, fix string
	}{
		{"good", -time.Hour, 100 * 24 * time.Hour, Green, "good until", ""},
		{"ends soon", -time.Hour, time.Hour, Yellow, "ends on", "renew it soon"},
		{"expired", -2 * time.Hour, -time.Hour, Red, "expired on", "renew it"},
		{"not yet", time.Hour, 100 * 24 * time.Hour, Red, "begins on", "clock"},
	} {
		cert, key := pair(t, time.Now().Add(c.from), time.Now().Add(c.until))
		want(t, checkCertificate(c.name, cert, key), c.state, c.detail, c.fix)
	}
	cert, _ := pair(t, time.Now(), time.Now())
	want(t, checkCertificate("no pair", cert, cert), Red, "", "its own key")
}

// pair writes a certificate and its key.
func pair(t *testing.T, from, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"x.example"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
