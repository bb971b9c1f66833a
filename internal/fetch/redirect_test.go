package fetch

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestRedirectMethodsAndBodies(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if code, ok := map[string]int{"/301": 301, "/302": 302, "/303": 303, "/307": 307, "/308": 308}[r.URL.Path]; ok {
			w.Header().Set("Location", "/end?x=1")
			w.WriteHeader(code)
			return
		}
		b, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Method+" "+string(b)+" "+r.Header.Get("Content-Type")+" "+r.Header.Get("Authorization"))
	})
	c := local(t)
	for _, x := range []struct{ path, method, want string }{
		{"/301", "POST", "GET   Basic"},
		{"/302", "POST", "GET   Basic"},
		{"/303", "PATCH", "GET   Basic"},
		{"/303", "POST", "GET   Basic"},
		{"/307", "POST", "POST body text/x Basic"},
		{"/308", "POST", "POST body text/x Basic"},
		{"/302", "PATCH", "PATCH body text/x Basic"},
		{"/301", "DELETE", "DELETE body text/x Basic"},
	} {
		a := mustDo(t, c, Request{
			Method: x.method, URL: s.URL + x.path, Body: []byte("body"), RedirectLimit: 5,
			Header: http.Header{"Content-Type": {"text/x"}, "Authorization": {"Basic"}},
		})
		if string(a.Body) != x.want || a.FinalURL != s.URL+"/end?x=1" || a.Attempt.Redirects != 1 {
			t.Errorf("%s %s: %q at %s", x.method, x.path, a.Body, a.FinalURL)
		}
	}
}

func TestRedirectIsAnAnswerWhenNoneIsFollowed(t *testing.T) {
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/nowhere" {
			w.WriteHeader(302)
			return
		}
		http.Redirect(w, r, "/next", http.StatusFound)
	})
	if a := mustDo(t, local(t), Request{URL: s.URL}); a.Status != 302 || a.Attempt.Redirects != 0 {
		t.Errorf("%+v", a)
	}
	if a := mustDo(t, local(t), Request{URL: s.URL + "/nowhere", RedirectLimit: 5}); a.Status != 302 {
		t.Errorf("%+v", a)
	}
}

func TestRedirectsAreCounted(t *testing.T) {
	var hits atomic.Int32
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/again", http.StatusFound)
	})
	a, err := local(t).Do(t.Context(), Request{URL: s.URL, RedirectLimit: 5})
	if KindOf(err) != Redirects || hits.Load() != 6 || a.Status != 302 {
		t.Errorf("%v after %d requests", err, hits.Load())
	}
}

func TestEachHopIsChecked(t *testing.T) {
	names := &book{names: map[string][]string{"open.example": {"8.8.8.8"}, "inside.example": {"10.0.0.1"}}}
	var location atomic.Value
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location.Load().(string))
		w.WriteHeader(http.StatusFound)
	})
	var dials atomic.Int32
	c := New(Options{Resolver: names, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		if address != "8.8.8.8:80" {
			t.Errorf("dialled %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}})
	defer c.Close()
	for to, kind := range map[string]Kind{
		"http://inside.example/": Address, "http://127.0.0.1/": Address, "http://169.254.169.254/": Address, "//localhost/": Address,
		"file:///etc/passwd": URL, "http://open.example:25/": URL,
	} {
		location.Store(to)
		if _, err := c.Do(t.Context(), Request{URL: "http://open.example/", RedirectLimit: 5}); KindOf(err) != kind {
			t.Errorf("%s: %v", to, err)
		}
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections for one reusable one", dials.Load())
	}
}

func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	other := server(t, func(w http.ResponseWriter, r *http.Request) {
		for _, h := range []string{"Authorization", "Cookie", "X-Api-Key"} {
			if v := r.Header.Get(h); v != "" {
				t.Errorf("%s: %s was carried to another origin", h, v)
			}
		}
		io.WriteString(w, r.Header.Get("X-Plain")+r.Host)
	})
	first := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") == "" {
			t.Error("no cookie at the first hop")
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	for _, u := range []string{first.URL, strings.Replace(first.URL, "//", "//user:secret@", 1)} {
		a := mustDo(t, local(t), Request{URL: u, RedirectLimit: 1, Header: http.Header{
			"Authorization": {"Bearer x"}, "Cookie": {"a=b"}, "X-Api-Key": {"k"}, "X-Plain": {"p"}, "Host": {"shop.example"},
		}})
		if string(a.Body) != "p"+other.Listener.Addr().String() {
			t.Errorf("%s", a.Body)
		}
	}
}

func TestTimerStartsAgainAtEachHop(t *testing.T) {
	const hop = 60 * time.Millisecond
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(hop)
		defer timer.Stop()
		<-timer.C
		if len(r.URL.Path) < 4 {
			http.Redirect(w, r, r.URL.Path+"a", http.StatusFound)
		}
	})
	a := mustDo(t, local(t), Request{URL: s.URL + "/", RedirectLimit: 5, Timeout: 3 * hop})
	if a.Status != 200 || a.Attempt.Redirects != 3 || a.Duration < 4*hop {
		t.Errorf("%+v", a)
	}
}
