package app_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opentact/opentact/internal/app"
	"github.com/opentact/opentact/internal/config"
	"github.com/opentact/opentact/internal/db/dbtest"
)

// options asks the SIP side over UDP how it is and gives the status line.
func (h *house) options() string {
	h.t.Helper()
	conn, err := net.Dial("udp", h.app.SIPAddr())
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	me := conn.LocalAddr().String()
	fmt.Fprintf(conn, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\nFrom: <sip:probe@%s>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
		h.app.SIPAddr(), me, time.Now().UnixNano(), me, h.app.SIPAddr(), me)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 2000)
	n, err := conn.Read(answer)
	if err != nil {
		h.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(answer[:n]), "\r\n")
	return line
}

// fresh asks on a connection of its own.
func (h *house) fresh(method, path string) (*http.Response, string) {
	h.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, _ := http.NewRequest(method, "http://"+h.app.HTTPAddr()+path, nil)
	req.Header.Set("Authorization", "Bearer test-token-0123456789")
	res, err := client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, string(b)
}

func TestADrainingServerRefusesNewWorkAndServesItsCalls(t *testing.T) {
	h := start(t, dbtest.SQLiteURL(t), "--drain", "30s")
	found := h.payload("POST", "/rest/tn/search", `{"pattern":"212*","size":1}`).(map[string]any)
	tn := int64(found["data"].([]any)[0].(map[string]any)["tn"].(float64))
	if status, out := h.do("POST", "/rest/order", fmt.Sprintf(`{"items":[{"tn":%d,"features":["voice"]}]}`, tn)); status != 201 {
		t.Fatal(status, out)
	}
	status, out := h.do("POST", "/rest/call", fmt.Sprintf(`{"from":%d,"to":15005550007,"xml":"<Response><Pause length='60000'/></Response>"}`, tn))
	if status != 201 {
		t.Fatal(status, out)
	}
	call := out["payload"].(map[string]any)["uuid"].(string)
	h.settled(func() bool { return h.payload("GET", "/rest/call/"+call, "").(map[string]any)["state"] == "live" }, "the call is answered")
	events := h.payload("GET", "/rest/event?type=call_record&wait=0", "").(map[string]any)
	poll := make(chan int, 1)
	go func() {
		res, _ := h.fresh("GET", "/rest/event?wait=30&type=call_record&since="+events["cursor"].(string))
		poll <- res.StatusCode
	}()
	if line := h.options(); line != "SIP/2.0 200 OK" {
		t.Error("before the drain:", line)
	}

	h.stop()
	h.settled(func() bool { res, _ := h.fresh("GET", "/health/ready"); return res.StatusCode == 503 }, "ready says no")
	if res, body := h.fresh("GET", "/rest/account"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(body, `"unavailable"`) {
		t.Error(res.StatusCode, res.Header, body)
	}
	if res, body := h.fresh("GET", "/health/live"); res.StatusCode != 200 {
		t.Error(res.StatusCode, body)
	}
	if res, body := h.fresh("GET", "/health/ready"); !strings.Contains(body, `"draining"`) {
		t.Error(res.StatusCode, body)
	}
	if res, body := h.fresh("GET", "/metrics"); res.StatusCode != 200 || !strings.Contains(body, "opentact_call_live 1") {
		t.Error(res.StatusCode, body)
	}
	if line := h.options(); !strings.HasPrefix(line, "SIP/2.0 503") {
		t.Error("in the drain:", line)
	}
	select {
	case status := <-poll: // 503 when the drain overtook it
		if status != 200 && status != 503 {
			t.Error("long poll:", status)
		}
	case <-time.After(5 * time.Second):
		t.Error("a long poll holds up the drain")
	}
	if res, body := h.fresh("DELETE", "/rest/call/"+call); res.StatusCode != 200 {
		t.Error("the call cannot be ended:", res.StatusCode, body)
	}
	began := time.Now()
	h.end()
	if took := time.Since(began); took > 10*time.Second {
		t.Error("after the last call the server went on for", took)
	}
	if _, err := net.Dial("tcp", h.app.HTTPAddr()); err == nil {
		t.Error("the address is still open")
	}
}

func TestPlainRequestsToATLSAddressAreLedToTLS(t *testing.T) {
	cert, key := pair(t)
	h := start(t, dbtest.SQLiteURL(t), "--http-tls-cert", cert, "--http-tls-key", key)
	silent, err := net.Dial("tcp", h.app.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://" + h.app.HTTPAddr() + "/rest/account?a=1")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if want := "https://" + h.app.HTTPAddr() + "/rest/account?a=1"; res.StatusCode != 302 || res.Header.Get("Location") != want {
		t.Error(res.StatusCode, res.Header.Get("Location"))
	}
	if res, err = client.Get("https://" + h.app.HTTPAddr() + "/version"); err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 || res.ProtoMajor != 2 || res.Header.Get("Strict-Transport-Security") == "" {
		t.Error(res.StatusCode, res.Proto, res.Header)
	}
	if !strings.Contains(h.out.String(), "https://"+h.app.HTTPAddr()+"/rest") {
		t.Error(h.out)
	}
	h.end()
	_ = silent.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Error("a silent connection outlives the server:", err)
	}
}

func TestSettingsThatOnlyThePartsCanJudgeAreFaults(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.pem")
	if err := os.WriteFile(broken, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, flags := range map[string][]string{
		"--speech-tts":     {"--speech-tts=parrot"},
		"--speech-stt":     {"--speech-stt=parrot"},
		"--sip-tls-cert":   {"--sip-tls-addr=127.0.0.1:0", "--sip-tls-cert=" + broken, "--sip-tls-key=" + broken},
		"--http-tls-cert":  {"--http-tls-cert=" + filepath.Join(dir, "missing.pem"), "--http-tls-key=" + broken},
		"--admin-token":    {"--admin-token=short"},
		"--admin-password": {"--admin-password=x"},
	} {
		data := filepath.Join(dir, "data"+key)
		cfg, err := config.Load(append([]string{"--data", data, "--http-addr", "127.0.0.1:0", "--sip-addr", "127.0.0.1:0"}, flags...), nil)
		if err != nil {
			t.Fatal(key, err)
		}
		_, err = app.New(t.Context(), cfg, app.Build{}, io.Discard, slog.New(slog.DiscardHandler))
		if !config.IsFault(err) || !strings.HasPrefix(err.Error(), key+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", key, err)
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: something was opened", key)
		}
	}
}

func TestTheBannerNamesTheAdministratorEachTimeAndEveryAddress(t *testing.T) {
	url, data := dbtest.SQLiteURL(t), t.TempDir()
	cert, key := pair(t)
	flags := []string{"--data", data, "--admin-email", "root@example.org", "--sip-addr", "127.0.0.2:0", "--sip-tls-addr", "127.0.0.1:0", "--sip-tls-cert", cert, "--sip-tls-key", key}
	first := start(t, url, flags...)
	for _, want := range []string{"root@example.org", "Password ", "API token  test-token-0123456789", "127.0.0.2:", ";transport=tls"} {
		if !strings.Contains(first.out.String(), want) {
			t.Errorf("no %s in %s", want, first.out)
		}
	}
	first.end()
	again := start(t, url, flags...)
	if text := again.out.String(); !strings.Contains(text, "root@example.org") || strings.Contains(text, "Password") || strings.Contains(text, "token") {
		t.Error(text)
	}
}

// pair writes a certificate for 127.0.0.1 and its key.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = filepath.Join(t.TempDir(), "pair.pem")
	var both bytes.Buffer
	_ = pem.Encode(&both, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&both, &pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
	if err := os.WriteFile(cert, both.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, cert
}
