package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// local is a client that may reach the test servers.
func local(t *testing.T) *Client {
	c := New(Options{AllowPrivate: true, UserAgent: "Opentact/test"})
	t.Cleanup(c.Close)
	return c
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func mustDo(t *testing.T, c *Client, r Request) Answer {
	t.Helper()
	a, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return a
}

// book is a resolver made of a table; it counts its look-ups.
type book struct {
	names map[string][]string
	asked atomic.Int32
}

func (b *book) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	b.asked.Add(1)
	var out []netip.Addr
	for _, a := range b.names[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

func TestRequestIsSentAsWritten(t *testing.T) {
	var got *http.Request
	var body []byte
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		got, body = r, nil
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Reply", "yes")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	})
	u := strings.Replace(s.URL, "http://", "http://amy:pa%20ss@", 1) + "/x?shop=2&to=%2B1"
	a := mustDo(t, local(t), Request{
		Method: "post", URL: u, Body: []byte(`{"a":1}`),
		Header: http.Header{"Content-Type": {"application/json"}, "Host": {"shop.example"}, "Transfer-Encoding": {"chunked"}},
	})
	if a.Status != 418 || string(a.Body) != "short and stout" || a.Truncated || a.Header.Get("X-Reply") != "yes" || a.FinalURL != s.URL+"/x?shop=2&to=%2B1" {
		t.Errorf("%+v", a)
	}
	user, password, _ := got.BasicAuth()
	if got.Method != "POST" || got.URL.RawQuery != "shop=2&to=%2B1" || string(body) != `{"a":1}` || user != "amy" || password != "pa ss" ||
		got.UserAgent() != "Opentact/test" || got.Host != "shop.example" || got.TransferEncoding != nil {
		t.Errorf("%+v %s %q %q", got, body, user, password)
	}
	if !a.Attempt.Sent || a.Attempt.Reused || a.Attempt.RemoteAddr.String() != s.Listener.Addr().String() || a.Duration <= 0 || a.Attempt.FirstByte <= 0 {
		t.Errorf("%+v", a.Attempt)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	c := local(t)
	mustDo(t, c, Request{URL: s.URL})
	if a := mustDo(t, c, Request{URL: s.URL}); !a.Attempt.Reused {
		t.Error("second request opened another connection")
	}
}

func TestURLsThatCanNeverBeFetchedAreRefusedEarly(t *testing.T) {
	for u, kind := range map[string]Kind{
		"":                          URL,
		"example.com/x":             URL,
		"ftp://example.com/":        URL,
		"file:///etc/passwd":        URL,
		"http:example.com":          URL,
		"http:///path":              URL,
		"http://exa mple.com/":      URL,
		"http://example.com:22/":    URL,
		"http://example.com:/":      URL,
		"http://example.com:65536/": URL,
		"http://example.com:1023/":  URL,
		"http://u:p@host:99999/":    URL,
		"http://example.com/" + strings.Repeat("a", MaxURL): URL,
		"http://127.0.0.1/":             Address,
		"http://[::1]:8080/":            Address,
		"http://[::ffff:10.0.0.1]/":     Address,
		"http://[fe80::1%25eth0]/":      Address,
		"http://169.254.169.254/latest": Address,
		"https://LOCALHOST./":           Address,
		"http://api.localhost/":         Address,
	} {
		err := Policy{}.CheckURL(u)
		if KindOf(err) != kind {
			t.Errorf("%q: %v (%q), want %s", u, err, KindOf(err), kind)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("credentials in %q", err)
		}
	}
	for _, u := range []string{"http://example.com", "https://example.com:443/x?y#z", "http://u:p@example.com:8080/", "https://[2606:4700::1]/", "http://8.8.8.8:65535/", "http://bücher.example/"} {
		if err := (Policy{}).CheckURL(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	if err := (Policy{AllowPrivate: true}).CheckURL("http://localhost:8080/"); err != nil {
		t.Error(err)
	}
	if err := (Policy{AllowPrivate: true}).CheckURL("http://169.254.169.254/"); KindOf(err) != Address {
		t.Errorf("metadata address allowed: %v", err)
	}
}

func TestNoForbiddenAddressIsDialled(t *testing.T) {
	var dials atomic.Int32
	names := &book{names: map[string][]string{}}
	c := New(Options{Resolver: names, Dial: func(context.Context, string, string) (net.Conn, error) {
		dials.Add(1)
		return nil, errors.New("dialled")
	}})
	defer c.Close()
	for _, a := range []string{
		"127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "169.254.169.254", "100.64.0.1",
		"100.127.255.255", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
		"198.51.100.7", "203.0.113.7", "192.0.0.8", "192.88.99.1",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
		"64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::1", "2001::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1",
	} {
		names.names["trap.example"] = []string{a}
		answer, err := c.Do(t.Context(), Request{URL: "http://trap.example/"})
		want := "address not allowed: " + netip.MustParseAddr(a).Unmap().String()
		if KindOf(err) != Address || err.Error() != want || answer.Attempt.Sent {
			t.Errorf("%s: %v", a, err)
		}
	}
	if n := dials.Load(); n != 0 {
		t.Errorf("%d connections tried", n)
	}
	names.names["open.example"] = []string{"10.0.0.1", "8.8.8.8", "2606:4700::1111"}
	_, err := c.Do(t.Context(), Request{URL: "http://open.example/"})
	if n := dials.Load(); n != 2 || KindOf(err) == Address {
		t.Errorf("%d connections tried for the two public addresses: %v", n, err)
	}
}

func TestSocketIsCheckedAgain(t *testing.T) {
	d := newDialer(Options{})
	if c, err := d.dial(t.Context(), "tcp", "127.0.0.1:9"); KindOf(err) != Address {
		t.Errorf("%v %v", c, err)
	}
}

func TestNameIsResolvedOnceAndThatAddressIsUsed(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	names := &book{names: map[string][]string{"shop.example": {"127.0.0.1"}}}
	c := New(Options{AllowPrivate: true, Resolver: names})
	defer c.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	a := mustDo(t, c, Request{URL: "http://shop.example:" + port + "/"})
	if names.asked.Load() != 1 || string(a.Body) != "shop.example:"+port {
		t.Errorf("asked %d times, %s", names.asked.Load(), a.Body)
	}
	if _, err := c.Do(t.Context(), Request{URL: "http://nowhere.example/"}); KindOf(err) != Connection || err.Error() != "Connection failed" {
		t.Errorf("%v", err)
	}
}

func TestNoProxyIsUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	t.Setenv("http_proxy", "http://192.0.2.1:1")
	names := &book{names: map[string][]string{"shop.example": {"127.0.0.1"}}}
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {})
	c := New(Options{AllowPrivate: true, Resolver: names})
	defer c.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	mustDo(t, c, Request{URL: "http://shop.example:" + port + "/"})
}

func TestTimeIsUpWhateverIsSlow(t *testing.T) {
	release := make(chan struct{})
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "first part")
			w.(http.Flusher).Flush()
		}
		<-release
	})
	defer close(release)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel and never speaks TLS
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := local(t)
	for _, u := range []string{s.URL + "/head", s.URL + "/body", "https://" + silent.Addr().String()} {
		a, err := c.Do(t.Context(), Request{URL: u, Timeout: 50 * time.Millisecond})
		if KindOf(err) != Timeout || err.Error() != "Timeout" {
			t.Errorf("%s: %v", u, err)
		}
		if strings.HasSuffix(u, "/body") && (a.Status != 200 || string(a.Body) != "first part") {
			t.Errorf("%+v", a)
		}
	}
}

func TestCallersEndIsNoTimeout(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("call ended")
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel(cause)
		<-r.Context().Done()
	})
	if _, err := local(t).Do(ctx, Request{URL: s.URL}); KindOf(err) != Canceled || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestBodyIsCutAtTheLimit(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 100))
		if r.URL.Path == "/endless" {
			for r.Context().Err() == nil {
				w.Write(bytes.Repeat([]byte("x"), 1<<16))
			}
		}
	})
	c := local(t)
	for limit, cut := range map[int]bool{99: true, 100: false, 101: false} {
		a := mustDo(t, c, Request{URL: s.URL, MaxBody: limit})
		if len(a.Body) != min(limit, 100) || a.Truncated != cut {
			t.Errorf("limit %d: %d bytes, truncated %v", limit, len(a.Body), a.Truncated)
		}
	}
	if a := mustDo(t, c, Request{URL: s.URL + "/endless"}); len(a.Body) != DefaultMaxBody || !a.Truncated {
		t.Errorf("%d", len(a.Body))
	}
}

func TestCompressedBodiesAreNotExpanded(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			t.Error("compression offered")
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	if a := mustDo(t, local(t), Request{URL: s.URL}); !bytes.Equal(a.Body, bomb.Bytes()) {
		t.Errorf("%d bytes of %d", len(a.Body), bomb.Len())
	}
}

func TestLostConnectionsAndNonsenseAreToldApart(t *testing.T) {
	serve := func(reply string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Read(make([]byte, 4096))
				io.WriteString(c, reply)
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
		return l.Addr().String()
	}
	closed, _ := net.Listen("tcp", "127.0.0.1:0")
	closed.Close()
	c := local(t)
	for u, want := range map[string]Kind{
		"http://" + closed.Addr().String(): Connection,
		"http://" + serve(""):              Connection,
		"http://" + serve("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"):  Connection,
		"http://" + serve("SSH-2.0-OpenSSH_9\r\n"):                             Protocol,
		"https://" + serve("HTTP/1.0 400 Bad Request\r\n\r\n"):                 TLS,
		"http://" + serve("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("y", 1<<17)): Protocol,
	} {
		a, err := c.Do(t.Context(), Request{URL: u})
		if KindOf(err) != want {
			t.Errorf("%s: %v (%s), want %s", u, err, KindOf(err), want)
		}
		if strings.Contains(u, closed.Addr().String()) && a.Attempt.Sent {
			t.Error("sent without a connection")
		}
	}
	for _, r := range []Request{{Method: "CONNECT", URL: "http://127.0.0.1:9999"}, {Method: "A B", URL: "http://127.0.0.1:9999"}} {
		if _, err := c.Do(t.Context(), r); KindOf(err) != Protocol {
			t.Errorf("%s: %v", r.Method, err)
		}
	}
	s := server(t, func(http.ResponseWriter, *http.Request) {})
	if _, err := c.Do(t.Context(), Request{URL: s.URL, Header: http.Header{"X-A": {"b\r\nX-C: d"}}}); KindOf(err) != Protocol || err.Error() != "invalid request" {
		t.Errorf("%v", err)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, err := local(t).Do(t.Context(), Request{URL: s.URL}); KindOf(err) != TLS || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c := New(Options{AllowPrivate: true, RootCAs: pool})
	defer c.Close()
	if a := mustDo(t, c, Request{URL: s.URL}); string(a.Body) != "HTTP/2.0" {
		t.Errorf("%s", a.Body)
	}
}
